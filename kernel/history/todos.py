"""The to-do list of a session, as its log has it now."""

from ..log.lineage import Span, past_of
from ..log.reading import PAGE, event_at, existing_session
from ..ports import Reader
from ..values.events import TodosReplaced
from ..values.todo import Todo


def todos_of(rows: Reader, session_id: str) -> tuple[Todo, ...]:
    """Return the list; empty before the first one, and when retention removed it.

    Raises:
        SessionNotFoundError: there is no such session.
        RowDamagedError: its row is not what was written.
    """
    row = existing_session(rows, session_id)
    if row.todos_seq >= 0:
        return _list_at(rows, session_id, row.todos_seq)
    for span in reversed(past_of(rows, session_id)):
        seq = _last_in(rows, span)
        if seq >= 0:
            return _list_at(rows, span.session_id, seq)
    return ()


def _list_at(rows: Reader, session_id: str, seq: int) -> tuple[Todo, ...]:
    event = event_at(rows, session_id, seq)
    return event.todos if isinstance(event, TodosReplaced) else ()


def _last_in(rows: Reader, span: Span) -> int:
    """Return where the last list is that a fork shares; -1 where there is none."""
    row = rows.session(span.session_id)
    if row is not None and row.todos_seq <= span.seq:
        return row.todos_seq
    # It was replaced since: whoever went on there has another one.
    last = after = -1
    while page := rows.facts(span.session_id, after=after, limit=PAGE, upto=span.seq):
        after = page[-1][0]
        last = max(
            (one[0] for one in page if one[1] == TodosReplaced.kind), default=last
        )
    return last
