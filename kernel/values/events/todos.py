"""The to-do list of a session."""

from ..frozen import frozen
from ..ids import MessageId
from ..todo import Todo
from .declaring import Event, event


@event("todos.replaced", retention="transcript")
@frozen(kw_only=True)
class TodosReplaced(Event):
    """A call put another list in the place of the one there was."""

    todos: tuple[Todo, ...]
    """The whole list, in its order."""
    message_id: MessageId
    """The message of the call."""
    call_id: str
    """The call, as its provider named it."""
