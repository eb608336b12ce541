"""Lineage: the past that a fork shares with the sessions it came from.

Owns the way from a session to the spans of other logs that are its past, and the order
in which all of it is read. Nothing of a past is copied: a fork names the session, the
last event that it shares, and the hash of that, which stands for all before it (laws
events.9 and travel.3). Knows nothing of what is in it.
"""

from collections.abc import Sequence

from ..ports import MessageRow, Reader
from ..values.errors import EventDivergedError, SessionPastMissingError
from ..values.events import SessionCreated
from ..values.frozen import frozen
from .reading import event_at, readable

MAX_DEPTH = 1_000
"""How many forks of forks a past may go through."""


@frozen
class Span:
    """A part of a session's whole past: the beginning of a log.

    What is inherited is numbered down from -1, the last event before the session's own
    first one, so that numbers give the order of all of it.
    """

    session_id: str
    """Whose log it is in."""
    seq: int
    """Its last event there."""
    offset: int = 0
    """What is added to a number there: below zero for what is inherited."""


OWN_END = 2**53
"""Stands for the end of the session's own log."""


def created(rows: Reader, session_id: str) -> SessionCreated | None:
    """Return the first event of a session, or None where it has none.

    Raises:
        EventDamagedError: it is not what was written.
    """
    if rows.head(session_id) is None:
        return None
    event = readable(event_at(rows, session_id, 0))
    return event if isinstance(event, SessionCreated) else None


def past_of(rows: Reader, session_id: str) -> tuple[Span, ...]:
    """Return the spans of a session's past, the oldest first; none for what is no fork.

    Raises:
        SessionPastMissingError: a session that it came from is not in this store, or
            not as far, or they are too many.
        EventDivergedError: another past is stored under that name.
        EventDamagedError: the beginning of one is not what was written.
    """
    row = rows.session(session_id)
    if row is not None and row.forked_from is None:
        return ()
    found: list[tuple[str, int]] = []
    here = created(rows, session_id)
    while here is not None and here.forked_from is not None:
        origin, seq = here.forked_from, here.forked_seq or 0
        _check(rows, session_id, origin, seq, here.forked_hash)
        found.append((origin, seq))
        if len(found) > MAX_DEPTH:
            raise SessionPastMissingError(
                session_id, origin, f"it goes through more than {MAX_DEPTH} forks"
            )
        here = created(rows, origin)
    spans: list[Span] = []
    offset = 0
    for origin, seq in found:
        offset -= seq + 1
        spans.append(Span(origin, seq, offset))
    return tuple(reversed(spans))


def _check(
    rows: Reader, session_id: str, origin: str, seq: int, hash: str | None
) -> None:
    head = rows.head(origin)
    if head is None or head.removed or head.seq < seq:
        raise SessionPastMissingError(
            session_id,
            origin,
            f"event {seq} of it is not in this store; import that session",
        )
    shared = rows.events(origin, after=seq - 1, limit=1, upto=seq)
    if hash is not None and (not shared or shared[0].hash.hex() != hash):
        raise EventDivergedError(
            origin, seq, f"it is not the past that session {session_id!r} shares"
        )


def whole(rows: Reader, session_id: str) -> tuple[Span, ...]:
    """Return a session's past and, as the last span, its own log.

    Raises:
        SessionPastMissingError, EventDivergedError, EventDamagedError: as ``past_of``.
    """
    return (*past_of(rows, session_id), Span(session_id, OWN_END))


def shared_by(rows: Reader, session_id: str) -> tuple[int, list[str]]:
    """Return up to which event forks share a session's log, and which forks these are;
    -1 where there are none."""
    found = rows.forks(session_id)
    return max((seq for _, seq in found), default=-1), [name for name, _ in found]


def message_in(
    rows: Reader, spans: Sequence[Span], message_id: str
) -> tuple[Span, MessageRow] | None:
    """Return where a message is, and its row; the session's own first."""
    for span in reversed(spans):
        row = rows.message(span.session_id, message_id)
        if row is not None and row.seq <= span.seq:
            return span, row
    return None


def messages_in(
    rows: Reader,
    spans: Sequence[Span],
    *,
    place: int | None,
    newest_first: bool,
    limit: int,
) -> list[tuple[Span, MessageRow]]:
    """Return messages of all these spans, with where each is, in order.

    Only those after a place, or before it where the newest come first.
    """
    found: list[tuple[Span, MessageRow]] = []
    for span in reversed(spans) if newest_first else spans:
        there = None if place is None else place - span.offset
        # A row that is not what was written may be anywhere: it is to be found.
        end = None if span.seq == OWN_END else span.seq + 1
        page: Sequence[MessageRow] = ()
        if newest_first:
            if there is not None:
                end = there if end is None else min(end, there)
            if end is None or end > 0 or span.seq == OWN_END:
                page = rows.messages(
                    span.session_id,
                    before=end,
                    newest_first=True,
                    limit=limit - len(found),
                )
        elif there is None or there < span.seq:
            page = rows.messages(
                span.session_id, after=there, before=end, limit=limit - len(found)
            )
        found += [(span, row) for row in page]
        if len(found) >= limit:
            break
    return found
