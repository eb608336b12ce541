"""Removal in memory; see ``ports.log``."""

from typing import Any

import attrs

from .blobs import let_go
from .state import MemoryChanges


class RemovalWrites(MemoryChanges):
    """What is deleted of a session that was removed."""

    def set_removed(self, session_id: str) -> None:
        state = self.now()
        self.enter(session_id)
        self.drop(state.sessions, session_id)
        self.drop(state.epochs, session_id)
        paired: tuple[dict[Any, Any], ...] = (state.requests, state.jobs)
        for table in paired:
            for key in [key for key in table if key[0] == session_id]:
                self.drop(table, key)
        waiting = [key for key, row in state.inputs.items() if row.state == "pending"]
        for pending in waiting:
            if pending[0] == session_id:
                self.drop(state.inputs, pending)
        head = attrs.evolve(
            state.heads[session_id], removed=True, imported=(), damaged=None
        )
        self.put(state.heads, session_id, head)
        self.put(state.to_erase, session_id, None)

    def erase(self, session_id: str, limit: int) -> bool:
        state = self.now()
        if session_id not in state.to_erase:
            return False
        holders = {key[1] for key in state.holds if key[0] == session_id}
        deleted = sorted(holders)[:limit]
        for seq in deleted:
            let_go(self, session_id, seq)
        some = bool(deleted)
        tables: tuple[dict[Any, Any], ...] = (
            state.messages,
            state.inputs,
            state.admissions,
        )
        for table in tables:
            for key in [key for key in table if key[0] == session_id][:limit]:
                some = self.drop(table, key) or some
        aside = state.aside.get(session_id, [])
        if aside:
            some = True
            self.put(state.aside, session_id, aside[limit:])
        mine = state.events.get(session_id, [])
        last = state.heads[session_id].seq
        gone = {one.position for one in mine if one.seq != last}
        if gone:
            some = True
            gone = set(sorted(gone)[:limit])
            self.put(
                state.events,
                session_id,
                [one for one in mine if one.position not in gone],
            )
            everything = list(state.log)
            self._undo.append(lambda: state.log.__setitem__(slice(None), everything))
            state.log[:] = [one for one in everything if one.position not in gone]
        if not some:
            self.drop(state.to_erase, session_id)
        return some
