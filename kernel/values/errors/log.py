"""Errors of the event log and of those who read it."""

from .base import DovetailError


class EventLogError(DovetailError):
    """An event cannot be appended, replayed or read. ``aggregate`` and ``seq`` say
    which, ``problem`` why."""

    code = "event.failed"

    def __init__(self, aggregate: str, seq: int, problem: str) -> None:
        super().__init__(f"event {seq} of {aggregate!r}: {problem}")
        self.aggregate = aggregate
        self.seq = seq
        self.problem = problem


class EventGapError(EventLogError):
    """A replayed event does not follow the last stored one."""

    code = "event.gap"


class EventDivergedError(EventLogError):
    """The same sequence number is stored with other content."""

    code = "event.diverged"


class EventAggregateError(EventLogError):
    """A replayed event belongs to another aggregate than it claims."""

    code = "event.wrong_aggregate"


class EventOwnerError(EventLogError):
    """The aggregate is replayed by another owner."""

    code = "event.foreign_owner"


class EventKindError(EventLogError):
    """No event of this kind is known. A newer release or a plugin may know it."""

    code = "event.unknown_kind"


class EventVersionError(EventLogError):
    """The kind is known, this version of it is not."""

    code = "event.unknown_version"


class EventDamagedError(EventLogError):
    """A stored event does not decode, or breaks the hash chain."""

    code = "event.damaged"


class EventUnwritableError(EventLogError):
    """An event holds what cannot be stored, or what nobody could read again. Nothing of
    the commit was written."""

    code = "event.unwritable"


class RowDamagedError(DovetailError):
    """A stored row of one session is not what was written; no other session is hit.

    ``table`` and ``session_id`` say which. What follows from the log is made anew by
    itself when it is met; this is raised for what does not.
    """

    code = "row.damaged"

    def __init__(self, table: str, session_id: str, where: str = "") -> None:
        place = f" in {where}" if where else ""
        super().__init__(
            f"a row of table {table!r} of session {session_id!r}{place} is not what "
            f"was written; `dovetail verify {session_id} --repair` goes on from what is"
        )
        self.table = table
        self.session_id = session_id


class LiveOverflowError(DovetailError):
    """A live subscriber fell behind and was dropped; nobody else was.

    Durable events are not lost: read them with ``session.events(after=cursor)``.
    """

    code = "live.overflow"

    def __init__(self, capacity: int) -> None:
        super().__init__(
            f"this subscriber fell more than {capacity} events behind; "
            "read on from its last cursor"
        )
        self.capacity = capacity
