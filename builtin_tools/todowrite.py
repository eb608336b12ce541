"""The tool ``todowrite``: keep the list of what is to be done."""

import attrs
from attrs import frozen
from dovetail.kernel import (
    InvalidValueError,
    Todo,
    TodoPriority,
    TodoState,
    Tool,
    ToolContext,
    ToolFailure,
)

from . import _fields as fields

DESCRIPTION = """\
Keep a list of what is to be done, for work of three steps or more, so that you and \
the person see how far it is. Every call replaces the whole list: give all entries, \
with the same ids as before. Mark one entry in_progress before you begin it, at most \
one at a time, and completed as soon as it is really done; cancelled says that it is \
not needed any more."""

MARKS: dict[TodoState, str] = {
    "pending": "[ ]",
    "in_progress": "[>]",
    "completed": "[x]",
    "cancelled": "[-]",
}


@frozen
class TodoInput:
    id: str = fields.text(
        "What it is called in every list, such as 1.",
        min_length=1,
        max_length=64,
    )
    content: str = fields.text("What is to be done.", min_length=1, max_length=2_000)
    status: TodoState = attrs.field(
        default="pending", metadata={"description": "How far it is."}
    )
    priority: TodoPriority = attrs.field(
        default="medium", metadata={"description": "How much it matters."}
    )


@frozen
class TodosInput:
    todos: tuple[TodoInput, ...] = fields.several(
        "The whole list, in order; empty to remove it.", at_most=200
    )


@frozen
class TodosOutput:
    """What is recorded of the list."""

    todos: tuple[Todo, ...]


def todowrite_tool() -> Tool[TodosInput, TodosOutput]:
    """Return the tool ``todowrite``."""
    return Tool(
        name="todowrite",
        description=DESCRIPTION,
        input=TodosInput,
        output=TodosOutput,
        effect="idempotent",
        asks=(),
        execute=_execute,
        render=_render,
        bound="end",
    )


async def _execute(input: TodosInput, context: ToolContext) -> TodosOutput:
    todos = [Todo(one.id, one.content, one.status, one.priority) for one in input.todos]
    try:
        await context.replace_todos(todos)
    except InvalidValueError as error:
        raise ToolFailure(f"the list stays as it was: {error}") from error
    return TodosOutput(tuple(todos))


def _render(output: TodosOutput) -> str:
    if not output.todos:
        return "The list is empty."
    left = sum(one.status in ("pending", "in_progress") for one in output.todos)
    lines = [f"{MARKS[one.status]} {one.id}: {one.content}" for one in output.todos]
    return "\n".join([f"{left} of {len(output.todos)} left.", *lines])
