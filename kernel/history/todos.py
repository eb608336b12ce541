"""The to-do list of a session, as its log has it now."""

from ..log.reading import event_at, existing_session
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
    if row.todos_seq < 0:
        return ()
    event = event_at(rows, session_id, row.todos_seq)
    return event.todos if isinstance(event, TodosReplaced) else ()
