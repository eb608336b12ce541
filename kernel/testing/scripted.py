"""A provider that plays a script: the model's part in tests.

Owns what each request is answered with, in order, and what each request was. Fails on
a request that the script does not expect, and tells at the end about answers that
were never asked for. Answers are model events, errors to raise, and gates to wait at,
so that a test decides exactly how far a stream has come.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import anyio

from ..contracts import Place, Provider, ProviderRoute, Register
from ..hookspecs import hookimpl
from ..values.codec import dumps
from ..values.errors import ProviderError
from ..values.messages import Message, Usage
from ..values.request import (
    Finish,
    FinishReason,
    ModelEvent,
    ModelInfo,
    ModelRequest,
    Price,
    ReasoningDelta,
    TextDelta,
    ToolCall,
)
from ..values.tool import Json


class Gate:
    """A place where a stream or a tool waits until the test opens it."""

    def __init__(self) -> None:
        self._reached = anyio.Event()
        self._open = anyio.Event()

    async def pass_through(self) -> None:
        """Say that it was reached, and wait until it is open."""
        self._reached.set()
        await self._open.wait()

    async def reached(self) -> None:
        """Return once somebody waits here, or has passed."""
        await self._reached.wait()

    def open(self) -> None:
        """Let everybody pass, now and later."""
        self._open.set()


Beat = ModelEvent | Gate | Exception
Answer = Sequence[Beat] | Callable[[ModelRequest], Sequence[Beat]]
"""What one request is answered with: beats, or a function that decides from it."""


def text(*pieces: str, usage: Usage | None = None) -> list[Beat]:
    """Return an answer of text, in the given pieces."""
    return [*(TextDelta("0", piece) for piece in pieces), finish("stop", usage)]


def reasoning(piece: str) -> ReasoningDelta:
    """Return a piece of reasoning."""
    return ReasoningDelta("0", piece)


def call(tool: str, arguments: Json | str = None, *, id: str | None = None) -> ToolCall:
    """Return a complete call. ``arguments`` are JSON data, or text taken as it is.

    ``id`` is made of the tool's name: two calls of one tool in one answer need ids of
    their own, such as ``id="a"`` and ``id="b"``.
    """
    written = (
        arguments if isinstance(arguments, str) else dumps(arguments or {}).decode()
    )
    return ToolCall(id or f"call_{tool}", tool, written)


def calls(*made: ToolCall, usage: Usage | None = None) -> list[Beat]:
    """Return an answer of tool calls."""
    return [*made, finish("tool_calls", usage)]


def finish(reason: FinishReason = "stop", usage: Usage | None = None) -> Finish:
    """Return the end of an answer."""
    return Finish(reason, usage or Usage(input=1, output=1))


class ScriptedProvider(ProviderRoute):
    """A plugin with one provider, ``scripted``, whose model ``model`` plays a script.

    Give it to ``open_runtime(plugins=[...])`` and use the model ``scripted/model``.
    """

    def __init__(
        self,
        *answers: Answer,
        name: str = "scripted",
        context: int | None = None,
        price: Price | None = None,
    ) -> None:
        """``context`` is how many tokens the model takes, and ``price`` what they cost;
        None: nobody knows."""
        self.name = name
        self._context = context
        self._price = price
        self.model = f"{name}/model"
        self.requests: list[ModelRequest] = []
        """Every request, as it was when it was made."""
        self.histories: list[Sequence[Message]] = []
        """The messages of every request."""
        self._answers = list(answers)

    def then(self, *answers: Answer) -> None:
        """Add answers to the end of the script."""
        self._answers += answers

    @property
    def unused(self) -> int:
        """How many answers were never asked for; a finished test has none."""
        return len(self._answers)

    @hookimpl
    def dovetail_register_providers(
        self, register: Register[Provider], place: Place
    ) -> None:
        register(
            Provider(
                name=self.name,
                route=lambda _: self,
                models=(ModelInfo(self.model, self._context, price=self._price),),
                # A script waits at its gates for as long as the test does.
                silence=None,
            )
        )

    @asynccontextmanager
    async def stream(
        self, request: ModelRequest
    ) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        self.requests.append(request)
        self.histories.append(tuple(request.history.messages))
        if not self._answers:
            raise ProviderError(
                "provider.invalid_request",
                self.name,
                f"request {len(self.requests)} is not in the script",
            )
        answer = self._answers.pop(0)
        beats = answer(request) if callable(answer) else answer
        if beats and isinstance(beats[0], Exception):
            raise beats[0]
        yield _play(beats)


async def _play(beats: Sequence[Beat]) -> AsyncIterator[ModelEvent]:
    for beat in beats:
        if isinstance(beat, Gate):
            await beat.pass_through()
        elif isinstance(beat, Exception):
            raise beat
        else:
            yield beat
