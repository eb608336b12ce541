"""The to-do list of a session, as its log has it now."""

from collections.abc import Iterator, Sequence

from ..log.lineage import Span, past_of
from ..log.reading import PAGE, event_at, event_from, existing_session
from ..ports import Reader
from ..values.events import Event, SessionReverted, SessionUnreverted, TodosReplaced
from ..values.todo import Todo

_KINDS = frozenset(
    one.kind for one in (TodosReplaced, SessionReverted, SessionUnreverted)
)


def todos_of(rows: Reader, session_id: str) -> tuple[Todo, ...]:
    """Return the list; empty before the first one, and when retention removed it.

    Raises:
        SessionNotFoundError: there is no such session.
        RowDamagedError: its row is not what was written.
    """
    row = existing_session(rows, session_id)
    found = _list_at(rows, session_id, row.todos_seq)
    if found is not None:
        return found
    for span in reversed(past_of(rows, session_id)):
        found = _list_at(rows, span.session_id, _last_in(rows, span))
        if found is not None:
            return found
    return ()


def list_among(
    rows: Reader, session_id: str, hidden: Sequence[tuple[int, int]]
) -> int | None:
    """Return the event that holds the list where these runs of events are hidden, for
    an event that goes back to it; -1 where none does, and None where it is so already.
    """
    row = existing_session(rows, session_id)
    if row.todos_seq < 0:
        return None
    last = -1
    for event in _list_events(rows, session_id, None):
        seen = not any(first <= event.seq <= upto for first, upto in hidden)
        if isinstance(event, TodosReplaced) and seen:
            last = event.seq
    now = event_at(rows, session_id, row.todos_seq)
    if isinstance(now, SessionReverted | SessionUnreverted):
        return None if last == now.todos else last
    return None if last == now.seq else last


def _list_at(rows: Reader, session_id: str, seq: int) -> tuple[Todo, ...] | None:
    """Return the list that an event says; None where nothing of this log says one."""
    if seq < 0:
        return None
    event = event_at(rows, session_id, seq)
    if isinstance(event, SessionReverted | SessionUnreverted):
        seq = -1 if event.todos is None else event.todos
        if seq < 0:
            return None
        event = event_at(rows, session_id, seq)
    return event.todos if isinstance(event, TodosReplaced) else ()


def _last_in(rows: Reader, span: Span) -> int:
    """Return where it is last said in what a fork shares; -1 where it is not."""
    row = rows.session(span.session_id)
    if row is not None and row.todos_seq <= span.seq:
        return row.todos_seq
    # It was said anew since: whoever went on there has another one.
    last = -1
    for event in _list_events(rows, span.session_id, span.seq):
        if (
            isinstance(event, TodosReplaced)
            or getattr(event, "todos", None) is not None
        ):
            last = event.seq
    return last


def _list_events(rows: Reader, session_id: str, upto: int | None) -> Iterator[Event]:
    """Yield the events of a log that may say how the list is."""
    after = -1
    while page := rows.facts(session_id, after=after, limit=PAGE, upto=upto):
        after = page[-1][0]
        yield from (event_from(session_id, one) for one in page if one[1] in _KINDS)
