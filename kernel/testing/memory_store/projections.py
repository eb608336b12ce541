"""Projections in memory; see ``ports.projections``."""

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from ...ports import (
    EpochRow,
    InputRow,
    JobRow,
    MessageRow,
    ProjectionReader,
    ProjectionWriter,
    RequestRow,
    SessionRow,
    SettledRow,
)
from ...values.prompt import Delivery
from .state import MemoryChanges, MemoryView, Pair


class ProjectionReads(MemoryView, ProjectionReader):
    """Reading projections."""

    def session(self, session_id: str) -> SessionRow | None:
        return self.now().sessions.get(session_id)

    def sessions(
        self,
        *,
        directory: str | None = None,
        search: str | None = None,
        parent: str | None = None,
        roots: bool = False,
        before: int | None = None,
        after: int | None = None,
        oldest_first: bool = False,
        limit: int = 50,
    ) -> Sequence[SessionRow]:
        found = [
            row
            for row in self.now().sessions.values()
            if (directory is None or row.directory == directory)
            and (parent is None or row.parent == parent)
            and not (roots and row.parent is not None)
            and (before is None or row.position < before)
            and (after is None or row.position > after)
            and (not search or search.casefold() in (row.title or "").casefold())
        ]
        found.sort(key=lambda row: row.position, reverse=not oldest_first)
        return found[: max(limit, 0)]

    def settled(
        self, since: int, after: tuple[int, int] = (-1, -1), limit: int = 512
    ) -> Sequence[SettledRow]:
        state = self.now()
        found = []
        for row in state.messages.values():
            session = state.sessions.get(row.session_id)
            if session is None or row.type not in ("assistant", "summary"):
                continue
            if row.end_seq is None or (session.position, row.seq) <= after:
                continue
            events = state.events[row.session_id]
            first, last = events[row.body_seq], events[row.end_seq]
            if last.created >= since:
                found.append(
                    SettledRow(
                        session.position,
                        row.seq,
                        row.session_id,
                        session.directory,
                        last.created,
                        first.data,
                        last.data,
                    )
                )
        found.sort(key=lambda one: (one.position, one.seq))
        return found[: max(limit, 0)]

    def session_ids(self, beginning: str, limit: int) -> Sequence[str]:
        found = [one for one in self.now().sessions if one.startswith(beginning)]
        return sorted(found)[: max(limit, 0)]

    def forks(self, session_id: str) -> Sequence[tuple[str, int]]:
        found = [
            row
            for row in self.now().sessions.values()
            if row.forked_from == session_id and row.forked_seq is not None
        ]
        found.sort(key=lambda row: row.position)
        return [(row.id, row.forked_seq or 0) for row in found]

    def sessions_with_work(self) -> Sequence[str]:
        state = self.now()
        working = {
            row.id
            for row in state.sessions.values()
            if row.status == "running" or row.compaction_due >= 0
        }
        working |= {
            row.session_id for row in state.inputs.values() if row.state == "pending"
        }
        return sorted(working, key=state.positions.__getitem__)

    def input(self, session_id: str, input_id: str) -> InputRow | None:
        return self.now().inputs.get((session_id, input_id))

    def pending_inputs(
        self,
        session_id: str,
        delivery: Delivery | None = None,
        limit: int | None = None,
    ) -> Sequence[InputRow]:
        found = [
            row
            for row in self.now().inputs.values()
            if row.session_id == session_id
            and row.state == "pending"
            and delivery in (None, row.delivery)
        ]
        return sorted(found, key=lambda row: (row.seq, row.id))[:limit]

    def has_pending_input(self, session_id: str, after: int = -1) -> bool:
        return any(row.seq > after for row in self.pending_inputs(session_id))

    def message(self, session_id: str, message_id: str) -> MessageRow | None:
        return self.now().messages.get((session_id, message_id))

    def messages(
        self,
        session_id: str,
        *,
        after: int | None = None,
        before: int | None = None,
        newest_first: bool = False,
        limit: int = 50,
    ) -> Sequence[MessageRow]:
        found = [
            row
            for row in self._messages_of(session_id)
            if (after is None or row.seq > after)
            and (before is None or row.seq < before)
        ]
        if newest_first:
            found.reverse()
        return found[: max(limit, 0)]

    def open_messages(self, session_id: str) -> Sequence[MessageRow]:
        return [row for row in self._messages_of(session_id) if row.end_seq is None]

    def _messages_of(self, session_id: str) -> list[MessageRow]:
        rows = self.now().messages.values()
        mine = [row for row in rows if row.session_id == session_id]
        return sorted(mine, key=lambda row: row.seq)

    def request(self, session_id: str, request_id: str) -> RequestRow | None:
        return self.now().requests.get((session_id, request_id))

    def requests(self, id: str) -> Sequence[RequestRow]:
        return [row for row in self.now().requests.values() if row.id == id]

    def pending_requests(
        self,
        *,
        directory: str | None = None,
        session_id: str | None = None,
        id: str | None = None,
    ) -> Sequence[RequestRow]:
        state = self.now()

        def asked(row: RequestRow) -> tuple[int, int, int, str]:
            log = state.events.get(row.session_id, [])
            known = 0 <= row.seq < len(log)
            position = log[row.seq].position if known else -1
            return (position, state.positions[row.session_id], row.seq, row.id)

        found = [
            row
            for row in state.requests.values()
            if row.answered_seq is None
            and directory in (None, row.directory)
            and session_id in (None, row.session_id)
            and id in (None, row.id)
        ]
        return sorted(found, key=asked)

    def job(self, session_id: str, job_id: str) -> JobRow | None:
        return self.now().jobs.get((session_id, job_id))

    def jobs(self, session_id: str) -> Sequence[JobRow]:
        found = [
            row for row in self.now().jobs.values() if row.session_id == session_id
        ]
        return sorted(found, key=lambda row: (row.seq, row.id))

    def running_jobs(
        self, *, directory: str | None = None, session_id: str | None = None
    ) -> Sequence[JobRow]:
        state = self.now()
        found = [
            row
            for row in state.jobs.values()
            if row.ended_seq is None
            and directory in (None, row.directory)
            and session_id in (None, row.session_id)
        ]
        return sorted(
            found, key=lambda row: (state.positions[row.session_id], row.seq, row.id)
        )

    def epoch(self, session_id: str) -> EpochRow | None:
        return self.now().epochs.get(session_id)


class ProjectionWrites(MemoryChanges, ProjectionReads, ProjectionWriter):
    """Writing projections."""

    def put_session(self, row: SessionRow) -> None:
        state = self.now()
        self.check(attrs.evolve(row, position=0))
        self.enter(row.id)
        placed = attrs.evolve(
            row,
            position=state.positions[row.id],
            damaged=state.heads[row.id].damaged,
        )
        self.put(state.sessions, row.id, placed)

    def put_input(self, row: InputRow) -> None:
        state = self.now()
        self.check(row)
        self.enter(row.session_id)
        self.put(state.inputs, (row.session_id, row.id), row)

    def put_message(self, row: MessageRow) -> None:
        state = self.now()
        self.check(row)
        self.enter(row.session_id)
        for other in self._messages_of(row.session_id):
            if other.seq == row.seq and other.id != row.id:
                self.drop(state.messages, (other.session_id, other.id))
        self.put(state.messages, (row.session_id, row.id), row)

    def put_request(self, row: RequestRow) -> None:
        state = self.now()
        self.check(row)
        self.enter(row.session_id)
        self.put(state.requests, (row.session_id, row.id), row)

    def put_job(self, row: JobRow) -> None:
        state = self.now()
        self.check(row)
        self.enter(row.session_id)
        self.put(state.jobs, (row.session_id, row.id), row)

    def put_epoch(self, row: EpochRow) -> None:
        state = self.now()
        self.check(row)
        self.enter(row.session_id)
        self.put(state.epochs, row.session_id, row)

    def clear_projections(self, session_id: str) -> None:
        state = self.now()
        self.drop(state.sessions, session_id)
        self.drop(state.epochs, session_id)
        paired: Iterable[dict[Pair, Any]] = (
            state.inputs,
            state.messages,
            state.requests,
            state.jobs,
        )
        for table in paired:
            for key in [key for key in table if key[0] == session_id]:
                self.drop(table, key)
