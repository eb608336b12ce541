"""To-dos: the list in which a model keeps what it is to do, and how far it is.

Owns the shape of an entry and what makes a list well-formed. A list is replaced whole.
"""

from typing import Literal, get_args

from .codec import clean_text
from .errors import InvalidValueError
from .frozen import frozen

TodoState = Literal["pending", "in_progress", "completed", "cancelled"]
TodoPriority = Literal["high", "medium", "low"]

MAX_TODOS = 200
"""Entries of one list."""
MAX_TODO = 2_000
"""Characters of one entry."""
MAX_TODO_ID = 64


@frozen
class Todo:
    """One entry of the list."""

    id: str
    """What it is called from one list to the next; unique in its list."""
    content: str
    """What is to be done."""
    status: TodoState = "pending"
    """How far it is; at most one entry of a list is ``in_progress``."""
    priority: TodoPriority = "medium"
    """How much it matters."""


def checked_todos(todos: object) -> tuple[Todo, ...]:
    """Return a list as it is kept, with text that can be stored.

    Raises:
        InvalidValueError: an entry is not well-formed, two have one id, or more than
            one is in progress.
    """
    if not isinstance(todos, list | tuple):
        raise InvalidValueError("to-dos", todos, "give a list of Todo")
    if len(todos) > MAX_TODOS:
        raise InvalidValueError("to-dos", len(todos), f"at most {MAX_TODOS} entries")
    kept: dict[str, Todo] = {}
    for one in map(_checked, todos):
        if one.id in kept:
            raise InvalidValueError("to-do id", one.id, "each entry has its own")
        kept[one.id] = one
    working = [one.id for one in kept.values() if one.status == "in_progress"]
    if len(working) > 1:
        rule = f"one at a time; in progress are {', '.join(working)}"
        raise InvalidValueError("to-do status", "in_progress", rule)
    return tuple(kept.values())


def _checked(todo: object) -> Todo:
    if not isinstance(todo, Todo):
        raise InvalidValueError("to-do", todo, "give a Todo")
    if not isinstance(todo.id, str) or not isinstance(todo.content, str):
        raise InvalidValueError("to-do", todo, "its id and content are texts")
    id, content = clean_text(todo.id.strip()), clean_text(todo.content.strip())
    if not 0 < len(id) <= MAX_TODO_ID or not id.isprintable():
        rule = f"1 to {MAX_TODO_ID} printable characters"
        raise InvalidValueError("to-do id", todo.id[:MAX_TODO_ID], rule)
    if not 0 < len(content) <= MAX_TODO:
        raise InvalidValueError(
            "to-do content", content[:80], f"1 to {MAX_TODO} characters"
        )
    for name, value, known in (
        ("status", todo.status, get_args(TodoState)),
        ("priority", todo.priority, get_args(TodoPriority)),
    ):
        if value not in known:
            raise InvalidValueError(
                f"to-do {name}", value, f"one of {', '.join(known)}"
            )
    return Todo(id, content, todo.status, todo.priority)
