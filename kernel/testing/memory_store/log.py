"""The log in memory; see ``ports.log``."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import islice

import attrs

from ...ports import EventRecord, Head, LeaseRow, LogReader, LogWriter
from ...values.errors import EventAggregateError, EventGapError
from .blobs import let_go
from .state import MemoryChanges, MemoryView


class LogReads(MemoryView, LogReader):
    """Reading the log."""

    def head(self, session_id: str) -> Head | None:
        found = self.now().heads.get(session_id)
        if found is None or (found.seq < 0 and found.owner is None):
            return None
        return found

    def events(
        self,
        session_id: str,
        after: int = -1,
        limit: int = 512,
        upto: int | None = None,
    ) -> Sequence[EventRecord]:
        log = self.now().events.get(session_id, [])
        if log and log[0].seq > 0:  # of a removed session: not all are there
            last = log[-1].seq if upto is None else upto
            found = [one for one in log if after < one.seq <= last]
            return found[: max(limit, 0)]
        last = len(log) if upto is None else upto + 1
        first = max(after, -1) + 1
        return log[first : max(0, min(last, first + max(limit, 0)))]

    def all_events(self, after: int = -1, limit: int = 512) -> Sequence[EventRecord]:
        state = self.now()
        first = bisect_right(state.log, after, key=_position)
        found = islice(state.log, first, None)
        shown = (one for one in found if not self._is_hidden(one))
        return list(islice(shown, max(limit, 0)))

    def _is_hidden(self, record: EventRecord) -> bool:
        head = self._state.heads[record.session_id]
        return head.removed and record.seq != head.seq

    def events_set_aside(self, session_id: str) -> Sequence[EventRecord]:
        return list(self.now().aside.get(session_id, []))

    def sessions_to_erase(self) -> Sequence[str]:
        return list(self.now().to_erase)

    def logs(self, after: int = -1, limit: int = 512) -> Sequence[tuple[int, str]]:
        state = self.now()
        found = sorted(
            (place, session_id)
            for session_id, place in state.positions.items()
            if place > after
        )
        return found[: max(limit, 0)]


class LogWrites(MemoryChanges, LogReads, LogWriter):
    """Appending to the log, and what else may happen to it."""

    def append(self, records: Sequence[EventRecord]) -> None:
        state = self.now()
        if not records:
            return
        session_id = records[0].session_id
        held = state.heads.get(session_id)
        _check_numbers(records, session_id, held.seq + 1 if held else 0)
        for record in records:
            self.check(record)
        self.enter(session_id)
        for record in records:
            self._record(record)
        last = records[-1]
        head = attrs.evolve(state.heads[session_id], seq=last.seq, hash=last.hash)
        self.put(state.heads, session_id, head)

    def _record(self, record: EventRecord) -> None:
        state = self._state
        before = state.placed
        self._undo.append(lambda: setattr(state, "placed", before))
        state.placed += 1
        placed = attrs.evolve(record, position=state.placed)
        mine = state.events.setdefault(record.session_id, [])
        for log in (state.log, mine):
            log.append(placed)
            self._undo.append(log.pop)

    def set_owner(self, session_id: str, owner: str | None) -> None:
        heads = self.now().heads
        if owner is None and session_id not in heads:
            return
        self.check(session_id, owner)
        self.enter(session_id)
        head = attrs.evolve(heads[session_id], owner=owner)
        self.put(heads, session_id, head)

    def set_imported(
        self, session_id: str, imported: Sequence[tuple[int, int]]
    ) -> None:
        state = self.now()
        self.enter(session_id)
        head = attrs.evolve(state.heads[session_id], imported=tuple(imported))
        self.put(state.heads, session_id, head)

    def remove_data(self, records: Sequence[EventRecord]) -> int:
        state = self.now()
        freed = 0
        for record in records:
            self.check(record)
            mine = state.events.get(record.session_id, [])
            if 0 <= record.seq < len(mine):
                stored = mine[record.seq]
                changed = attrs.evolve(stored, data=record.data, digest=record.digest)
                place = bisect_left(state.log, stored.position, key=_position)
                self._exchange(mine, record.seq, changed)
                self._exchange(state.log, place, changed)
                freed += len(stored.data) - len(record.data)
                freed += let_go(self, record.session_id, record.seq)
        return freed

    def _exchange(
        self, log: list[EventRecord], index: int, record: EventRecord
    ) -> None:
        before = log[index]
        self._undo.append(lambda: log.__setitem__(index, before))
        log[index] = record

    def set_damaged(self, session_id: str, seq: int | None) -> None:
        state = self.now()
        head = attrs.evolve(state.heads[session_id], damaged=seq)
        self.put(state.heads, session_id, head)
        row = state.sessions.get(session_id)
        if row is not None:
            self.put(state.sessions, session_id, attrs.evolve(row, damaged=seq))

    def mend_head(self, session_id: str, seq: int, hash: bytes) -> None:
        state = self.now()
        self.enter(session_id)
        head = attrs.evolve(state.heads[session_id], seq=seq, hash=hash)
        self.put(state.heads, session_id, head)
        lease = state.leases.get(session_id)
        fence = 1 if lease is None else lease.fence + 1
        self.put(state.leases, session_id, LeaseRow(session_id, None, fence, 0))

    def set_aside(self, records: Sequence[EventRecord]) -> None:
        state = self.now()
        if not records:
            return
        session_id, first = records[0].session_id, records[0].seq
        mine = state.events.get(session_id, [])
        _check_numbers(records, session_id, first)
        if not 0 <= first <= len(mine):
            raise EventGapError(session_id, first, f"the log has {len(mine)} events")
        for record in records:
            self.check(record)
        self.enter(session_id)
        taken = mine[first:]
        places = {record.position for record in taken}
        kept = [record for record in state.log if record.position not in places]
        everything, state.log[:] = list(state.log), kept
        self._undo.append(lambda: state.log.__setitem__(slice(None), everything))
        self.put(state.events, session_id, mine[:first])
        aside = [*state.aside.get(session_id, []), *taken]
        self.put(state.aside, session_id, aside)
        for record in records:
            self._record(record)
        last = records[-1]
        head = attrs.evolve(state.heads[session_id], seq=last.seq, hash=last.hash)
        self.put(state.heads, session_id, head)


def _check_numbers(records: Sequence[EventRecord], session_id: str, first: int) -> None:
    for number, record in enumerate(records, first):
        if record.session_id != session_id:
            raise EventAggregateError(
                record.session_id, record.seq, f"appended with {session_id!r}"
            )
        if record.seq != number:
            raise EventGapError(session_id, record.seq, f"the next event is {number}")


def _position(record: EventRecord) -> int:
    return record.position
