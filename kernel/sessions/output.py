"""Output: from what a caller names as a value to what is recorded, and back.

Owns what may be named, and how the value that answered a prompt is found in the log.
"""

from collections.abc import Mapping
from typing import Any

from ..log.reading import event_at, events_between, existing_session
from ..ports import Reader
from ..tools.schema import input_schema
from ..values.errors import (
    InputNotFoundError,
    OutputInvalidError,
    ValueNotGivenError,
)
from ..values.events import OutputAccepted, OutputRefused, PromptAdmitted
from ..values.output import Output
from ..values.shapes import is_attrs, origin
from ..values.tool import TOOL_NAME, Json


def wanted_output(output: Any) -> Output | None:
    """Return what a caller wants for an answer as it is recorded.

    Raises:
        InvalidValueError: it is neither an attrs class nor a JSON Schema nor an Output,
            or one that cannot be used.
        ToolDefinitionError: a field of the class has no place in JSON Schema.
    """
    if output is None:
        return None
    if is_attrs(output):
        name = origin(output).__name__
        schema = input_schema(output)
        about = schema.get("description", "")
        return Output.checked(Output(schema, name[:64], about))
    if isinstance(output, Mapping):
        title = output.get("title")
        name = title if isinstance(title, str) and TOOL_NAME.match(title) else "answer"
        return Output.checked(Output(output, name))
    return Output.checked(output)


def value_of(rows: Reader, session_id: str, input_id: str) -> Json:
    """Return the value that answered a prompt.

    Raises:
        InputNotFoundError: the session has no such prompt, or it wanted no value.
        OutputInvalidError: the model gave none.
        ValueNotGivenError: there is none yet.
    """
    existing_session(rows, session_id)
    row = rows.input(session_id, input_id)
    admitted = None if row is None else event_at(rows, session_id, row.seq)
    if not isinstance(admitted, PromptAdmitted) or admitted.output is None:
        raise InputNotFoundError(input_id, "name a prompt that wants a value")
    for event in events_between(rows, session_id, admitted.seq):
        if isinstance(event, OutputAccepted) and event.input_id == input_id:
            return event.value
        if (
            isinstance(event, OutputRefused)
            and event.final
            and event.input_id == input_id
        ):
            raise OutputInvalidError(admitted.output.name, (event.problem,))
    raise ValueNotGivenError(input_id)
