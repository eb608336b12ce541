"""A provider in the same process, which costs next to nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dovetail.kernel import (
    Finish,
    ModelEvent,
    ModelRequest,
    Place,
    Provider,
    Register,
    TextDelta,
    ToolCall,
    ToolPart,
    Usage,
    hookimpl,
)
from model_server import DELTAS, FINISH, WORDS

USAGE = Usage(input=1000, output=20)
TEXT = (
    *(TextDelta("0", f"{number} {WORDS}") for number in range(DELTAS)),
    Finish("stop", USAGE),
)
CALL = (
    ToolCall("call_benchmark", "tick", '{"word":"tock"}'),
    Finish("tool_calls", USAGE),
)


class PlainProvider:
    """Plays the same answers as the model server, without any protocol."""

    text = "plain/text"
    tool = "plain/tool"

    @hookimpl
    def dovetail_register_providers(
        self, register: Register[Provider], place: Place
    ) -> None:
        register(Provider(name="plain", route=_Route))


class _Route:
    def __init__(self, model: str) -> None:
        self._calls = model == "tool"
        self._last = b""

    @asynccontextmanager
    async def stream(
        self, request: ModelRequest
    ) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        # As a real route does: each message is made into something once.
        made = request.history.encoded("plain", _mark)
        ended = not self._calls or FINISH.encode() in made[-1]
        yield _play(TEXT if ended else CALL)


def _mark(message: object) -> bytes:
    parts = getattr(message, "parts", ())
    return "".join(part.text for part in parts if isinstance(part, ToolPart)).encode()


async def _play(events: tuple[ModelEvent, ...]) -> AsyncIterator[ModelEvent]:
    for event in events:
        yield event
