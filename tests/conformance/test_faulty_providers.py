"""Each check of the suite for providers catches its fault, and it alone.

The protocol is made up: a request is JSON, an answer is lines of ``say TEXT``,
``call NAME ARGUMENTS`` and ``end``.
"""

import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, ClassVar

import anyio
import httpx
import pytest
from attrs import evolve
from dovetail.kernel import (
    AssistantMessage,
    Finish,
    Message,
    ModelEvent,
    ModelInfo,
    ModelRequest,
    Place,
    Provider,
    ProviderError,
    ProviderFault,
    Register,
    TextDelta,
    ToolCall,
    Usage,
    hookimpl,
)
from dovetail.kernel.testing.conformance import (
    ProviderConformance,
    ProviderExample,
)
from support.bounds import HANG
from support.faults import (
    LEFT_OPEN,
    assert_caught,
    assert_conforms,
    cases,
    codes_of,
    swallow,
)

# Trio tells of generators that httpx leaves it to end.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")

FAULT_OF: Mapping[int, ProviderFault] = {
    401: "provider.authentication",
    429: "provider.rate_limited",
    500: "provider.unavailable",
    503: "provider.unavailable",
}


def said(message: Message) -> list[str]:
    if not isinstance(message, AssistantMessage):
        return [message.text]
    calls = [[one.tool, one.arguments, one.text] for one in message.calls]
    return [message.text, *(text for call in calls for text in call)]


def unverified() -> httpx.AsyncClient:
    # Reading the certificates of the world would take most of the time.
    return httpx.AsyncClient(trust_env=False, verify=False)


class Route:
    """A sound route to the made-up service."""

    def __init__(self, place: Place) -> None:
        self.url = place.environment["ACME_URL"]
        self.key = place.environment["ACME_KEY"]
        self.location = place.resource

    def encode(self, request: ModelRequest) -> dict[str, Any]:
        encoded = request.history.encoded(
            "acme", lambda message: json.dumps(said(message)).encode()
        )
        return {
            "system": request.system,
            "messages": [json.loads(one) for one in encoded],
            "tools": [[one.name, one.description, one.schema] for one in request.tools],
        }

    def error(self, status: int, text: str) -> ProviderError:
        told = text.replace(self.key, "***")[:1000]
        fault = FAULT_OF.get(status, "provider.failed")
        return ProviderError(fault, "acme", told, status=status)

    def broken(self, problem: str) -> ProviderError:
        return ProviderError("provider.stream_broken", "acme", problem)

    @asynccontextmanager
    async def answer(self, request: ModelRequest) -> AsyncIterator[httpx.Response]:
        """Send the request; give the answer once it began."""
        body = json.dumps(self.encode(request))
        headers = {"authorization": f"Bearer {self.key}"}
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(unverified())
            sending = client.stream("POST", self.url, content=body, headers=headers)
            try:
                response = await stack.enter_async_context(sending)
                if response.status_code != 200:
                    text = (await response.aread()).decode("utf-8", "replace")
                    raise self.error(response.status_code, text)
            except httpx.HTTPError as error:
                raise self.broken(type(error).__name__) from error
            yield response

    @asynccontextmanager
    async def stream(
        self, request: ModelRequest
    ) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        async with self.answer(request) as response:
            yield self.events(response)

    async def pieces(self, response: httpx.Response) -> AsyncIterator[str]:
        """Yield the lines of an answer."""
        kept = b""
        async for piece in response.aiter_raw():
            *lines, kept = (kept + piece).split(b"\n")
            for line in lines:
                yield line.decode("utf-8", "replace")

    async def events(self, response: httpx.Response) -> AsyncIterator[ModelEvent]:
        called = 0
        try:
            async for line in self.pieces(response):
                verb, _, rest = line.partition(" ")
                if verb == "say":
                    yield TextDelta("0", rest)
                elif verb == "call":
                    called += 1
                    name, _, arguments = rest.partition(" ")
                    yield ToolCall(f"call_{called}", name, arguments)
                elif verb == "end":
                    yield Finish("tool_calls" if called else "stop")
                    return
        except httpx.HTTPError as error:
            raise self.broken(type(error).__name__) from error
        for event in self.at_the_end():
            yield event

    def at_the_end(self) -> list[ModelEvent]:
        raise self.broken("it ended too soon")


class FinishingTwice(Route):
    async def events(self, response: httpx.Response) -> AsyncIterator[ModelEvent]:
        async for event in super().events(response):
            yield event
            if isinstance(event, Finish):
                yield event


class TellingNoUsage(Route):
    def error(self, status: int, text: str) -> ProviderError:
        error = super().error(status, text)
        error.usage = {"input": 3}
        return error


class EndingWithoutAnEnd(Route):
    def at_the_end(self) -> list[ModelEvent]:
        return [Finish("stop")]


class ReadingPieceByPiece(Route):
    async def pieces(self, response: httpx.Response) -> AsyncIterator[str]:
        async for piece in response.aiter_raw():
            for line in piece.decode("utf-8", "replace").splitlines():
                yield line


class ForgettingTools(Route):
    def encode(self, request: ModelRequest) -> dict[str, Any]:
        return {**super().encode(request), "tools": []}


class NumberingRequests(Route):
    def encode(self, request: ModelRequest) -> dict[str, Any]:
        return {**super().encode(request), "request": uuid.uuid4().hex}


class NumberingMessages(Route):
    def encode(self, request: ModelRequest) -> dict[str, Any]:
        request.history.encoded("acme", lambda message: uuid.uuid4().bytes)
        return super().encode(request)


class LettingForeignErrorsPass(Route):
    def broken(self, problem: str) -> Any:
        return ConnectionError(problem)


class TryingAgain(Route):
    @asynccontextmanager
    async def answer(self, request: ModelRequest) -> AsyncIterator[httpx.Response]:
        async with AsyncExitStack() as stack:
            try:
                response = await stack.enter_async_context(super().answer(request))
            except ProviderError:
                response = await stack.enter_async_context(super().answer(request))
            yield response


class ShowingTheKey(Route):
    def error(self, status: int, text: str) -> ProviderError:
        self.key, key = "nothing", self.key
        try:
            return super().error(status, text)
        finally:
            self.key = key


class TellingEverything(Route):
    def error(self, status: int, text: str) -> ProviderError:
        told = text.replace(self.key, "***")
        return ProviderError(FAULT_OF.get(status, "provider.failed"), "acme", told)


class Swallowing(Route):
    async def events(self, response: httpx.Response) -> AsyncIterator[ModelEvent]:
        async for event in super().events(response):
            await swallow()
            yield event


class StayingConnected(Route):
    @asynccontextmanager
    async def answer(self, request: ModelRequest) -> AsyncIterator[httpx.Response]:
        # Left when the Location closes, and not before.
        async with self.location.lock:
            manager = super().answer(request)
            yield await self.location.stack.enter_async_context(manager)


class LeavingAFile(Route):
    def encode(self, request: ModelRequest) -> dict[str, Any]:
        LEFT_OPEN.one_more()
        return super().encode(request)


class Kept:
    """What lives as long as the Location."""

    def __init__(self) -> None:
        self.stack = AsyncExitStack()
        self.lock = anyio.Lock()


class Offering:
    """A plugin with one provider."""

    def __init__(
        self, route: type[Route] = Route, name: str = "acme", model: str = "acme/one"
    ) -> None:
        self.route = route
        self.name_of_provider = name
        self.known = ModelInfo(model)

    @hookimpl
    def dovetail_open_location(self, place: Place) -> Any:
        return kept()

    @hookimpl
    def dovetail_register_providers(
        self, register: Register[Provider], place: Place
    ) -> None:
        def route(model: str) -> Route:
            return self.route(place)

        register(Provider(self.name_of_provider, route, (self.known,)))


@asynccontextmanager
async def kept() -> AsyncIterator[Kept]:
    one = Kept()
    async with one.stack:
        yield one


class Acme(ProviderConformance):
    """A suite for a plugin that is sound but for one thing."""

    version = 1
    plugin: object = Offering()
    provider = "acme"
    environment: ClassVar = {"ACME_URL": "{url}", "ACME_KEY": ProviderConformance.key}
    examples = (
        ProviderExample(
            "say Grüße, \nsay Welt\nend\n".encode(), text="Grüße, Welt", finish="stop"
        ),
        ProviderExample(
            b'call look {"at": 1}\nend\n', calls=[("look", {"at": 1})], text=""
        ),
        ProviderExample(b"no", status=401, error="provider.authentication"),
    )
    patience = HANG


def suite(route: type[Route] = Route, **changes: Any) -> type[ProviderConformance]:
    return type("Faulty", (Acme,), {"plugin": Offering(route, **changes)})


class OnlyFailing(Acme):
    examples = Acme.examples[2:]


class OfOtherUsage(Acme):
    examples = (evolve(Acme.examples[0], usage=Usage(input=3)), *Acme.examples[1:])


FAULTS: list[tuple[str, str, type[ProviderConformance]]] = [
    ("it offers another provider", "provider.definition", suite(name="other")),
    ("its model is another's", "provider.definition", suite(model="other/one")),
    ("its suite shows no answer", "provider.definition", OnlyFailing),
    ("it finishes twice", "provider.stream", suite(FinishingTwice)),
    ("its usage is not what is told", "provider.stream", OfOtherUsage),
    ("its usage of an error is none", "provider.stream", suite(TellingNoUsage)),
    ("it decodes each piece alone", "provider.pieces", suite(ReadingPieceByPiece)),
    ("it forgets the tools", "provider.complete", suite(ForgettingTools)),
    ("it numbers its requests", "provider.words", suite(NumberingRequests)),
    ("it numbers its messages", "provider.words", suite(NumberingMessages)),
    ("it takes half for whole", "provider.faults", suite(EndingWithoutAnEnd)),
    ("its errors are foreign", "provider.faults", suite(LettingForeignErrorsPass)),
    ("it tries again", "provider.once", suite(TryingAgain)),
    ("it shows the key", "provider.secret", suite(ShowingTheKey)),
    ("it tells everything", "provider.bounded", suite(TellingEverything)),
    ("it swallows its cancellation", "provider.cancellation", suite(Swallowing)),
    ("it stays connected", "provider.leaving", suite(StayingConnected)),
    ("it leaves a file open", "provider.leak", suite(LeavingAFile)),
]


@pytest.mark.parametrize(("code", "faulty"), cases(FAULTS))
def test_a_fault_is_caught_by_its_check_alone(
    code: str, faulty: type[ProviderConformance]
) -> None:
    assert_caught(code, faulty)


def test_every_check_has_a_fault_that_it_catches() -> None:
    assert {code for _, code, _ in FAULTS} == codes_of(ProviderConformance)


def test_without_its_fault_the_plugin_conforms() -> None:
    assert_conforms(Acme)
