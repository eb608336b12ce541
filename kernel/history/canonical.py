"""The canonical body: a request as JSON, for routes that are plain code.

Owns the one form in which a request is recorded whose route wrote no body of its own.
It holds what such a route is handed, and nothing that only the log knows, so that the
same transcript gives the same bytes in any session. A pure function of the request.
"""

from typing import Any

from ..values.codec import dumps_sanitised, sanitised, to_json
from ..values.generation import NO_GENERATION
from ..values.messages import AssistantMessage, Message, ToolPart, UserMessage
from ..values.request import ModelRequest
from ..values.sent import RequestBody
from ..values.tool import ToolDefinition

CANONICAL = "canonical"


class CanonicalWriter:
    """Writes requests as they are recorded where their routes tell of no body."""

    def __init__(self) -> None:
        self._tools: tuple[ToolDefinition, ...] = ()
        self._written = b"[]"

    def write(self, request: ModelRequest) -> RequestBody:
        """Return the body of a request."""
        # Comparing tuples of the same objects is cheap: identity is looked at first.
        if request.tools != self._tools:
            self._tools = request.tools
            self._written = _json([to_json(one) for one in request.tools])
        choice = request.tool_choice
        told: dict[str, Any] = {
            "system": list(request.system),
            "tool_choice": choice if isinstance(choice, str) else to_json(choice),
            "max_output": request.max_output,
            "options": dict(request.options),
        }
        if request.generation != NO_GENERATION:
            told["generation"] = to_json(request.generation)
        if request.output is not None:
            told["output"] = to_json(request.output)
        rest = _json(told)
        head = b'{"model":%b,"tools":%b,' % (_json(request.model), self._written)
        return RequestBody(
            protocol=CANONICAL,
            head=head + rest[1:-1] + b',"messages":[',
            messages=request.history.encoded(CANONICAL, _message),
            tail=b"]}",
        )


def _json(value: Any) -> bytes:
    return dumps_sanitised(sanitised(value))


def _message(message: Message) -> bytes:
    said: dict[str, Any] = {"type": message.type, "text": message.text}
    if isinstance(message, UserMessage):
        if message.files:
            said["files"] = [to_json(one) for one in message.files]
    elif isinstance(message, AssistantMessage):
        said["model"] = message.model
        said["parts"] = [
            _call(part)
            if isinstance(part, ToolPart)
            else {"type": part.type, "text": part.text, "metadata": part.metadata}
            for part in message.parts
        ]
        del said["text"]
    return _json(said)


def _call(part: ToolPart) -> dict[str, Any]:
    return {
        "type": part.type,
        "call_id": part.call_id,
        "tool": part.tool,
        "arguments": part.arguments,
        "state": part.state,
        "content": [to_json(one) for one in part.content],
        "failure": None if part.failure is None else part.failure.message,
        "metadata": part.metadata,
        "reading": list(part.reading),
    }
