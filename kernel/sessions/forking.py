"""Forking: a new session that shares the past of another one, and not its future.

Owns where a session can be forked, and what a fork begins with. It begins with one
event, however long the past is: that names the session, the last event that is shared,
and the hash of that. What is under way there is not taken over: input that waits, open
calls, requests, jobs, budgets and leases are of the session that they are in.
"""

from ..log.commit import LogTransaction
from ..log.lineage import OWN_END, Span, created, message_in, past_of
from ..log.reading import PAGE, damaged, event_from
from ..ports import Reader
from ..values.errors import (
    EventDamagedError,
    ForkPointError,
    InvalidValueError,
    MessageNotFoundError,
    SessionRemovedError,
)
from ..values.events import AgentSwitched, ModelSwitched, SessionCreated, SessionMoved
from ..values.frozen import frozen
from ..values.ids import SessionId

_SETTINGS = (AgentSwitched, ModelSwitched, SessionMoved)
_KINDS = frozenset(one.kind for one in _SETTINGS)


@frozen
class _Settings:
    """What a session is set to at some event."""

    directory: str
    workspace: str | None
    agent: str | None
    model: str | None


def fork(
    tx: LogTransaction,
    session_id: str,
    fork_id: SessionId,
    at: int | str | None,
    title: str | None,
) -> None:
    """Create a fork. One that exists stays as it is.

    Raises:
        SessionNotFoundError: there is no such session.
        SessionRemovedError: it was removed, or one of the fork's id was.
        ForkPointError: a Step runs there, or there is no such event.
        MessageNotFoundError: the session has no such message.
        EventDamagedError: the log is not what was written.
        SessionPastMissingError, EventDivergedError: nor is the past of a fork.
    """
    known = tx.rows.head(fork_id)
    if known is not None:
        if known.removed:
            raise SessionRemovedError(fork_id)
        return
    row = tx.session(session_id)
    if row.damaged is not None:
        raise damaged(session_id, row.damaged)
    origin, seq = _point(tx, session_id, at)
    shared = tx.rows.events(origin, after=seq - 1, limit=1, upto=seq)
    if not shared or shared[0].problem is not None:
        why = shared[0].problem if shared else "it is missing"
        raise EventDamagedError(origin, seq, str(why))
    found = _settings(tx.rows, origin, seq)
    began = created(tx.rows, session_id)
    tx.append(
        SessionCreated(
            session_id=fork_id,
            directory=found.directory,
            workspace=found.workspace,
            title=row.title if title is None else title,
            agent=found.agent,
            model=found.model,
            forked_from=origin,
            forked_seq=seq,
            forked_hash=shared[0].hash.hex(),
            # Whoever works for another may do no more as a fork (law agents.6).
            within=None if began is None else began.within,
        )
    )


def _point(
    tx: LogTransaction, session_id: str, at: int | str | None
) -> tuple[str, int]:
    """Return the session and the last event of it that a fork shares."""
    spans = (*past_of(tx.rows, session_id), Span(session_id, OWN_END))
    head = tx.head(session_id).seq
    if isinstance(at, str):
        found = message_in(tx.rows, spans, at)
        if found is None:
            raise MessageNotFoundError(at)
        span, row = found
        if row.end_seq is None or row.end_seq > span.seq:
            raise ForkPointError(at, "its Step is not settled", row.seq - 1)
        return _plain(spans, span, max(row.seq, row.end_seq))
    if at is not None and (not isinstance(at, int) or isinstance(at, bool)):
        raise InvalidValueError("fork point", at, "an event's number, or a message id")
    if at is not None and not 0 <= at <= head:
        raise ForkPointError(at, f"the session has events 0 to {head}", head)
    last = head if at is None else at
    before = tx.rows.messages(session_id, before=last + 1, newest_first=True, limit=1)
    if before and (before[0].end_seq is None or before[0].end_seq > last):
        # What its Step brings is no past yet: a fork shares it whole, or not at all.
        nearest = before[0].seq - 1
        if at is not None:
            raise ForkPointError(at, "a Step runs there", nearest)
        last = nearest
    return _plain(spans, spans[-1], last)


def _plain(spans: tuple[Span, ...], span: Span, seq: int) -> tuple[str, int]:
    """Return a point without the detour over a fork that adds nothing of its own."""
    place = spans.index(span)
    while seq == 0 and place > 0:
        place -= 1
        span, seq = spans[place], spans[place].seq
    return span.session_id, seq


def _settings(rows: Reader, origin: str, seq: int) -> _Settings:
    """Return what a session was set to when an event had happened."""
    row = rows.session(origin)
    now = None
    if row is not None:
        now = _Settings(row.directory, row.workspace, row.agent, row.model)
    if now is not None and not _changes(rows, origin, seq, OWN_END):
        return now
    first = event_from(origin, rows.facts(origin, limit=1)[0])
    if not isinstance(first, SessionCreated):
        raise EventDamagedError(origin, 0, "a log begins with session.created")
    agent, model = first.agent, first.model
    directory, workspace = first.directory, first.workspace
    for event in _changes(rows, origin, 0, seq):
        if isinstance(event, AgentSwitched):
            agent = event.agent
        elif isinstance(event, ModelSwitched):
            model = event.model
        elif isinstance(event, SessionMoved):
            directory, workspace = event.directory, event.workspace
    return _Settings(directory, workspace, agent, model)


def _changes(rows: Reader, origin: str, after: int, upto: int) -> list[object]:
    """Return the events that changed what the session is set to."""
    found: list[object] = []
    while True:
        page = rows.facts(origin, after=after, limit=PAGE, upto=upto)
        found += [event_from(origin, one) for one in page if one[1] in _KINDS]
        if len(page) < PAGE:
            return found
        after = page[-1][0]
