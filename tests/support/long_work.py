"""Work of thousands of Steps with a model of a small window, and what it came to.

The model is a program. It knows nothing but its request: at each Step it looks for the
facts of its task in what it is shown, and fails the run where one is missing or where
the request does not fit. A token is what four bytes are, as such a provider counts.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from dovetail.kernel import (
    AssistantMessage,
    Finish,
    Message,
    ModelEvent,
    ModelInfo,
    ModelRequest,
    Provider,
    ProviderError,
    ProviderRoute,
    Register,
    Session,
    TextDelta,
    Tool,
    ToolCall,
    ToolContext,
    ToolPart,
    Usage,
    hookimpl,
)
from dovetail.kernel.values.codec import dumps, to_json

from .compactions import is_for_summary, shipped
from .hosts import host

WINDOW = 16_000
TASK = (
    "Bring order #W2378156 of customer mei_kovacs_8020 through all stations, in the "
    "ledger at depot/ledger.toml. Never ship to Rotterdam. The code is PELICAN-41."
)
FACTS = ("#W2378156", "mei_kovacs_8020", "depot/ledger.toml", "Rotterdam", "PELICAN-41")


@frozen
class Station:
    number: int
    file: str


async def _visit(input: Station, context: ToolContext) -> str:
    lines = [f"station {input.number} of {input.file}: all is well"]
    # Some results are long, most are short.
    more = 60 if input.number % 10 == 0 else 8
    lines += [
        f"  entry {n}: crate {input.number * n % 977} stands" for n in range(more)
    ]
    return "\n".join(lines)


VISIT = Tool("visit", "Visit a station.", Station, _visit, effect="pure")


@define
class Seen:
    """What the model saw of the run."""

    largest: int = 0
    """Tokens of the largest request."""
    missing: list[str] = field(factory=list)
    """Facts that a request lacked, with its number."""
    requests: int = 0
    summaries: int = 0
    last: Sequence[Message] = ()
    """What was shown in the last request."""


class Worker(ProviderRoute):
    """A model that visits a station in each Step, as many as it is told to."""

    def __init__(self, steps: int, *, telling: bool = True) -> None:
        self.steps = steps
        self.seen = Seen()
        self._telling = telling
        self._done = 0

    @hookimpl
    def dovetail_register_providers(self, register: Register[Provider]) -> None:
        model = ModelInfo("worker/model", WINDOW, 4_000)
        register(Provider("worker", lambda _: self, models=(model,), silence=None))

    @asynccontextmanager
    async def stream(
        self, request: ModelRequest
    ) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        pieces = request.history.encoded("worker", _encoded)
        rest = {"system": request.system, "tools": to_json(list(request.tools))}
        tokens = (sum(map(len, pieces)) + len(dumps(rest))) // 4
        seen = self.seen
        seen.largest = max(seen.largest, tokens)
        if tokens > WINDOW - 1_000:
            raise ProviderError("provider.context_overflow", "worker", f"{tokens}")
        usage = Usage(input=tokens, output=40) if self._telling else Usage()
        if is_for_summary(request):
            seen.summaries += 1
            yield _stream([TextDelta("0", _summary(request)), Finish("stop", usage)])
            return
        seen.requests += 1
        shown = b"".join(pieces).decode()
        seen.missing += [
            f"{fact} in request {seen.requests}" for fact in FACTS if fact not in shown
        ]
        seen.last = request.history.messages
        self._done += 1
        if self._done > self.steps:
            yield _stream([TextDelta("0", "All stations."), Finish("stop", usage)])
            return
        call = ToolCall(
            f"visit_{self._done}",
            "visit",
            json.dumps({"number": self._done, "file": f"depot/s{self._done % 50}.csv"}),
        )
        yield _stream([TextDelta("0", "On."), call, Finish("tool_calls", usage)])


def _summary(request: ModelRequest) -> str:
    """Return what a model would write that is careless about the task."""
    return "## State of the work\nSome stations were visited; all was well there."


async def _stream(events: Sequence[ModelEvent]) -> AsyncIterator[ModelEvent]:
    for event in events:
        yield event


def _encoded(message: Message) -> bytes:
    if not isinstance(message, AssistantMessage):
        return dumps({"role": "user", "text": message.text})
    return dumps(
        [
            {"id": part.call_id, "arguments": part.arguments, "result": part.text}
            if isinstance(part, ToolPart)
            else {"text": part.text}
            for part in message.parts
        ]
    )


@asynccontextmanager
async def working(
    folder: Path, worker: Worker, **options: Any
) -> AsyncIterator[Session]:
    """Open a session that is ready for its task."""
    async with host(folder, worker, VISIT, plugins=[shipped], **options) as runtime:
        yield await runtime.sessions.create(
            id="long", location=folder, model="worker/model"
        )
