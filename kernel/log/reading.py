"""Reading: what is stored of a log, as events.

Owns that every event that is handed on is one that was written: what is missing, was
changed, or is of another release is named in its place, by number and reason (law
events.6), and never taken for something else. Knows nothing of what events mean.
"""

import logging
from collections.abc import Iterator

from ..ports import EventRecord, Head, Reader, SessionRow, StoredFact
from ..values.errors import (
    DovetailError,
    EventDamagedError,
    EventKindError,
    EventVersionError,
    RowDamagedError,
    SessionNotFoundError,
    SessionRemovedError,
)
from ..values.events import Event, SessionCreated, decode_event
from ..values.frozen import frozen
from ..values.ids import SessionId
from ..values.tool import Failure

logger = logging.getLogger(__name__)

PAGE = 200
"""Events read at once: bounds memory and the time that a read view is held. They are no
more than a store reads in the event loop itself: a larger page is begun there, broken
off, and read once more in a thread."""


@frozen(kw_only=True)
class UnreadableEvent(Event):
    """Stands for a stored event that this release cannot read (law events.6)."""

    kind = "event.unreadable"

    stored_kind: str
    """Empty for events that are missing."""
    stored_version: int
    """The version that is stored of it."""
    failure: Failure
    """Why it cannot be read."""

    @property
    def is_damaged(self) -> bool:
        """Whether it is damage, and no kind or version of another release."""
        return self.failure.code == EventDamagedError.code

    @property
    def problem(self) -> str:
        """What is wrong with it, without saying again which event it is."""
        return self.failure.message.partition(": ")[2]


def event_of(record: EventRecord) -> Event:
    """Return the event of a record, or what stands for one that cannot be read."""
    return event_from(
        record.session_id,
        (
            record.seq,
            record.kind,
            record.version,
            record.created,
            record.data,
            record.problem,
        ),
    )


def event_from(session_id: str, fact: StoredFact) -> Event:
    """Return the event of a stored fact, or what stands for one that cannot be read."""
    seq, kind, version, created, data, problem = fact
    try:
        if problem is not None:
            raise EventDamagedError(session_id, seq, problem)
        return decode_event(kind, version, data, session_id, seq, created)
    except (EventKindError, EventVersionError, EventDamagedError) as error:
        logger.warning("%s", error)
        return UnreadableEvent(
            session_id=SessionId(session_id),
            # What was changed may be of any type.
            seq=seq if type(seq) is int else -1,
            created=created if type(created) is int else 0,
            stored_kind=str(kind),
            stored_version=version if type(version) is int else 0,
            failure=Failure(error.code, str(error)),
        )


def missing_fact(seq: int) -> StoredFact:
    """Return what stands for a fact that is not there."""
    return seq, "", 0, 0, b"", "it is missing"


def _missing(session_id: str, seq: int, upto: int) -> UnreadableEvent:
    """Return what stands for events that are not there."""
    problem = "it is missing" if seq == upto else f"it and those to {upto} are missing"
    error = EventDamagedError(session_id, seq, problem)
    logger.warning("%s", error)
    return UnreadableEvent(
        session_id=SessionId(session_id),
        seq=seq,
        stored_kind="",
        stored_version=0,
        failure=Failure(error.code, str(error)),
    )


def event_at(rows: Reader, session_id: str, seq: int) -> Event:
    """Return one stored event, or what stands for one that cannot be read."""
    found = rows.facts(session_id, after=seq - 1, limit=1, upto=seq)
    return event_from(session_id, found[0]) if found else _missing(session_id, seq, seq)


def readable(event: Event) -> Event:
    """Return an event that can be believed.

    One of a kind or version that this release does not know is let through.

    Raises:
        EventDamagedError: it is not what was written, or is not there.
    """
    if isinstance(event, UnreadableEvent) and event.is_damaged:
        raise EventDamagedError(event.session_id, event.seq, event.problem)
    return event


def events_between(
    rows: Reader, session_id: str, after: int, upto: int | None = None
) -> Iterator[Event]:
    """Yield the events with ``after < seq <= upto`` in order, page by page.

    Where some are missing, one ``UnreadableEvent`` stands for them.
    """
    while True:
        page = rows.facts(session_id, after=after, limit=PAGE, upto=upto)
        for fact in page:
            if fact[0] != after + 1:
                yield _missing(session_id, after + 1, fact[0] - 1)
            yield event_from(session_id, fact)
            after = fact[0]
        if len(page) < PAGE:
            break
    if upto is None:
        head = rows.head(session_id)
        upto = -1 if head is None else head.seq
    if after < upto:
        yield _missing(session_id, after + 1, upto)


def check_readable(rows: Reader, session_id: str) -> None:
    """Read a whole log.

    Raises:
        EventDamagedError: one of its events is not what was written, or not there.
    """
    for event in events_between(rows, session_id, -1):
        readable(event)


def damaged(session_id: str, seq: int) -> EventDamagedError:
    """Return what to tell whoever wants to build on a log that was found damaged."""
    return EventDamagedError(
        session_id,
        seq,
        "it is not what was written, and nothing from here on can be relied on; "
        f"`dovetail verify {session_id} --repair` goes on from what is before it",
    )


def existing_head(rows: Reader, session_id: str) -> Head:
    """Return where a session's log ends.

    Raises:
        SessionNotFoundError: there is no such session, or it was removed.
    """
    head = rows.head(session_id)
    if head is None:
        raise SessionNotFoundError(session_id)
    if head.removed:
        raise SessionRemovedError(session_id)
    return head


def existing_session(rows: Reader, session_id: str) -> SessionRow:
    """Return a session's row.

    Raises:
        SessionNotFoundError: there is no such session, or it was removed.
        RowDamagedError: there is, and its row was lost.
        EventDamagedError: there is, and not even its beginning can be read.
    """
    row = rows.session(session_id)
    if row is None:
        raise no_session(rows, session_id)
    return row


def no_session(rows: Reader, session_id: str) -> DovetailError:
    """Return why a session has no row: there is none, or the row was lost."""
    head = rows.head(session_id)
    if head is not None and head.removed:
        return SessionRemovedError(session_id)
    if head is not None and head.seq >= 0:
        first = readable(event_at(rows, session_id, 0))
        if isinstance(first, SessionCreated):
            return RowDamagedError("session", session_id)
    return SessionNotFoundError(session_id)
