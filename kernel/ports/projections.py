"""The projections of a store: rows that follow from the log, and are disposable.

Whatever is lost of them is made anew from the events (law events.4), so there is a way
to clear those of one session, and no other deletion. Who writes which row for which
event is decided in ``log.projectors``.
"""

from collections.abc import Sequence
from typing import Protocol

from ..values.prompt import Delivery
from .rows import (
    EpochRow,
    InputRow,
    JobRow,
    MessageRow,
    RequestRow,
    SessionRow,
    SettledRow,
)


class ProjectionReader(Protocol):
    """Reading projections."""

    def session(self, session_id: str) -> SessionRow | None:
        """Return a session's row, or None when there is none."""
        ...

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
        """Return sessions with ``after < position < before``, ordered by position, the
        newest first or the oldest.

        ``search`` is plain text looked for in titles without regard to case.
        ``parent`` leaves only its children, ``roots`` only those that are nobody's.
        A page of them is found at once, however many others there are.
        """
        ...

    def session_ids(self, beginning: str, limit: int) -> Sequence[str]:
        """Return ids of sessions that begin with a text, in alphabetical order.

        Found at once, however many sessions there are.
        """
        ...

    def forks(self, session_id: str) -> Sequence[tuple[str, int]]:
        """Return the sessions that were forked from one itself, and the last event of
        it that each shares, in the order in which they were created.

        Found at once, however many other sessions there are.
        """
        ...

    def sessions_with_work(self) -> Sequence[str]:
        """Return ids of sessions with pending input, an unended execution, or a
        compaction that waits."""
        ...

    def input(self, session_id: str, input_id: str) -> InputRow | None:
        """Return an admitted input, pending or not, or None when there is none."""
        ...

    def pending_inputs(
        self,
        session_id: str,
        delivery: Delivery | None = None,
        limit: int | None = None,
    ) -> Sequence[InputRow]:
        """Return pending inputs in admission order, at most ``limit``.

        The first queued ones are found at once, however many wait.
        """
        ...

    def has_pending_input(self, session_id: str, after: int = -1) -> bool:
        """Whether an input waits that was admitted after an event. At once, for -1."""
        ...

    def message(self, session_id: str, message_id: str) -> MessageRow | None:
        """Return where a message is, or None when there is none of this id."""
        ...

    def messages(
        self,
        session_id: str,
        *,
        after: int | None = None,
        before: int | None = None,
        newest_first: bool = False,
        limit: int = 50,
    ) -> Sequence[MessageRow]:
        """Return messages with ``after < seq < before``, ordered by seq."""
        ...

    def open_messages(self, session_id: str) -> Sequence[MessageRow]:
        """Return messages whose Step is not settled, in order."""
        ...

    def settled(
        self, since: int, after: tuple[int, int] = (-1, -1), limit: int = 512
    ) -> Sequence[SettledRow]:
        """Return what the model wrote, Steps and summaries, of all sessions, as far as
        it ended at a time or later, ordered by session and then by seq.

        ``after`` is the position and the seq of the last one that was read. Only
        messages are looked at, however long the logs are.
        """
        ...

    def request(self, session_id: str, request_id: str) -> RequestRow | None:
        """Return a request, answered or not, or None when there is none."""
        ...

    def requests(self, id: str) -> Sequence[RequestRow]:
        """Return each request of this id, answered or not: one a session at most, in
        no order."""
        ...

    def pending_requests(
        self,
        *,
        directory: str | None = None,
        session_id: str | None = None,
        id: str | None = None,
    ) -> Sequence[RequestRow]:
        """Return unanswered requests, oldest first, narrowed by what is given."""
        ...

    def job(self, session_id: str, job_id: str) -> JobRow | None:
        """Return a job, ended or not, or None when there is none."""
        ...

    def jobs(self, session_id: str) -> Sequence[JobRow]:
        """Return the jobs of a session in the order in which they began."""
        ...

    def running_jobs(
        self, *, directory: str | None = None, session_id: str | None = None
    ) -> Sequence[JobRow]:
        """Return the jobs without an end, narrowed by what is given, by session in
        creation order and then in the order in which they began."""
        ...

    def epoch(self, session_id: str) -> EpochRow | None:
        """Return the current Context Epoch, or None before the first one."""
        ...


class ProjectionWriter(ProjectionReader, Protocol):
    """Writing projections."""

    def put_session(self, row: SessionRow) -> None:
        """Insert or replace; the position that the store gave is kept."""
        ...

    def put_input(self, row: InputRow) -> None:
        """Insert or replace."""
        ...

    def put_message(self, row: MessageRow) -> None:
        """Insert or replace."""
        ...

    def put_request(self, row: RequestRow) -> None:
        """Insert or replace."""
        ...

    def put_job(self, row: JobRow) -> None:
        """Insert or replace."""
        ...

    def put_epoch(self, row: EpochRow) -> None:
        """Insert or replace."""
        ...

    def clear_projections(self, session_id: str) -> None:
        """Delete every projection row of the session, and nothing else."""
        ...
