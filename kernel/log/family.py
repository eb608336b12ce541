"""Family: whom a session works for, and who works for it.

Owns the walk from a session to those above it and below it, and that what one uses
counts above it, in the transaction that records it. A session's row says whose child
it is, for good.
"""

from collections.abc import Iterator, Sequence

from ..ports import Reader
from ..values.errors import RowDamagedError
from ..values.events import (
    ChildAsked,
    ChildSpent,
    CompactionEnded,
    CompactionFailed,
    CompactionStarted,
    Event,
    RequestAsked,
    RetryScheduled,
    SessionTitled,
    StepEnded,
    StepFailed,
)
from ..values.ids import SessionId
from ..values.messages import Usage
from .commit import LogTransaction

MAX_ABOVE = 16
"""Sessions above one that are looked at: more than may work for one another."""
MAX_BELOW = 1_000
"""Sessions below one that are looked at."""
PAGE = 200


def above(rows: Reader, session_id: str) -> Sequence[str]:
    """Return the sessions that a session works for, the nearest first."""
    found: list[str] = []
    row = rows.session(session_id)
    while row is not None and row.parent is not None and len(found) < MAX_ABOVE:
        if row.parent in (session_id, *found):
            break  # only a log from elsewhere can say so
        found.append(row.parent)
        row = rows.session(row.parent)
    return found


def below(rows: Reader, session_id: str) -> Sequence[str]:
    """Return the sessions that work for a session, at any depth, those nearer first."""
    found: dict[str, None] = {}
    waiting = [session_id]
    while waiting and len(found) < MAX_BELOW:
        parent = waiting.pop(0)
        for child in children(rows, parent):
            if child not in found and child != session_id:
                found[child] = None
                waiting.append(child)
    return tuple(found)


def children(rows: Reader, session_id: str) -> Iterator[str]:
    """Yield the sessions that work for a session directly, the newest first."""
    before: int | None = None
    for _ in range(MAX_BELOW // PAGE):
        page = rows.sessions(parent=session_id, before=before, limit=PAGE)
        yield from (row.id for row in page)
        if len(page) < PAGE:
            return
        before = page[-1].position


def pass_on(tx: LogTransaction, session_id: str) -> None:
    """Record above a session what this transaction recorded of it that concerns those:
    what it used, and what it asks a person.

    A log above that cannot be written now is left out: it is damaged, or somebody
    else's.
    """
    told = [
        one
        for one in tx.appended
        if one.session_id == session_id and _concerns_above(one)
    ]
    if not told:
        return
    for parent in above(tx.rows, session_id):
        try:
            head = tx.head(parent)
        except RowDamagedError:
            continue
        if head.seq >= 0 and head.owner is None and head.damaged is None:
            tx.append(*(_above(one, SessionId(parent)) for one in told))


_USED = (StepEnded, StepFailed, CompactionEnded, CompactionFailed)
_LOST = (RetryScheduled, CompactionStarted)


def _concerns_above(event: Event) -> bool:
    if isinstance(event, _LOST):
        return event.usage != Usage() or event.unpriced > 0
    return isinstance(event, (*_USED, RequestAsked))


def answered(event: Event) -> bool:
    """Return whether a model answered a request that an event tells the end of, so that
    tokens were used, told or not."""
    if isinstance(event, ChildSpent):
        return event.answered
    if isinstance(event, StepEnded):
        return event.broke_off is None
    return isinstance(event, CompactionEnded | SessionTitled) and bool(event.asked)


def _above(event: Event, parent: SessionId) -> Event:
    if isinstance(event, RequestAsked):
        return ChildAsked(
            session_id=parent,
            child=event.session_id,
            request_id=event.request_id,
            what=event.what,
            agent=event.agent,
        )
    assert isinstance(event, (*_USED, *_LOST))
    return ChildSpent(
        session_id=parent,
        child=event.session_id,
        usage=event.usage,
        cost=event.cost,
        unpriced=event.unpriced,
        steps=int(isinstance(event, StepEnded | StepFailed)),
        answered=answered(event),
    )
