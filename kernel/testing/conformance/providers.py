"""The suite for providers: who serves models, over whatever wire.

::

    class TestAcme(ProviderConformance):
        version = 1
        plugin = dovetail_acme.plugin
        provider = "acme"
        environment = {"ACME_URL": "{url}/v2", "ACME_KEY": ProviderConformance.key}
        examples = (
            ProviderExample(b'data: {"say": "Hi"}\\n\\ndata: end\\n\\n', text="Hi"),
        )

The suite runs a service of its own on loopback that answers with the bytes of an
example, whole or broken, and ``{url}`` stands for where it is. A suite that runs a
service itself overrides ``surroundings``, gives examples without bytes, and exempts the
checks that need to choose what the service answers.
"""

import json
from collections.abc import (
    AsyncIterator,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from typing import Any, ClassVar, get_args

from attrs import define, evolve, field, frozen

from ...contracts import ProviderRoute
from ...execution.handover import problem_with
from ...history.encoding import Encoded
from ...values.errors import ModelUnknownError, ProviderError, ProviderFault, raised
from ...values.ids import MessageId, SessionId
from ...values.messages import (
    AssistantMessage,
    Message,
    NoticeMessage,
    TextPart,
    ToolPart,
    Usage,
    UserMessage,
)
from ...values.request import (
    Finish,
    FinishReason,
    ModelRequest,
    ReasoningDelta,
    ReasoningEnd,
    TextDelta,
    TextEnd,
    ToolCall,
    ToolInputDelta,
)
from ...values.tool import Json, TextContent, ToolDefinition
from .driving import interrupted
from .looking import watching
from .serving import Sent, Service, Wire, serving
from .suite import Bench, Case, Checks, Host, NotOfferedError, NotShownError, Suite
from .words import strangers

MAX_ERROR = 64 * 1024
"""Characters of one error."""
LEAVING_SECONDS = 2.0
"""How soon a connection must be gone."""

SESSION = SessionId("ses_conformance")
KEY = "sk-conformance-Zr8vQ2mW5xT1"


@frozen
class ProviderExample:
    """One answer of the service, and how it must be read."""

    body: bytes | None = None
    """The bytes that the service answers with; None where the suite runs a service of
    its own, which decides by itself."""
    text: str | None = None
    """All the text; None means whatever it is."""
    calls: Sequence[tuple[str, Json]] | None = None
    """The tools that are called, with their arguments; None means whatever they are."""
    finish: FinishReason | None = None
    """Why it ends; None means for whatever reason."""
    usage: Usage | None = None
    """The tokens that it tells of, also where it ends with an error; None means
    whatever they are."""
    error: str | None = None
    """The code of the ProviderError that it ends with instead."""
    status: int = 200
    """The HTTP status of the answer."""
    headers: Mapping[str, str] = field(
        factory=lambda: {"content-type": "text/event-stream"}
    )
    """The headers of the answer."""
    prompt: str = "Hello"
    """What the user says in the request."""

    def wire(self, **changes: Any) -> Wire:
        """Return what the service sends."""
        return evolve(Wire(self.body or b"", self.status, self.headers), **changes)


class ProviderConformance(Suite):
    """Inherit it, name the class ``Test...``, and say which provider it is about."""

    provider: str = ""
    """The provider's name; the plugin must offer it."""
    model: str = "conformance"
    """The name of a model at the provider."""
    key: ClassVar[str] = KEY
    """The secret to configure: no error may ever show it."""
    examples: Sequence[ProviderExample] = ()
    """Answers that show what can come: at least one that ends well."""

    checks: ClassVar[Checks] = Checks("provider")

    @asynccontextmanager
    async def surroundings(self) -> AsyncIterator[Any]:
        """Run the service; override it to run another one, with a ``url``."""
        async with serving() as service:
            yield service


check = ProviderConformance.checks.add


# --- asking -----------------------------------------------------------------------


@define(eq=False)
class _History:
    """A RequestHistory that has everything encoded twice."""

    messages: Sequence[Message]
    unstable: bool = False

    def encoded(
        self,
        dialect: str,
        encode: Callable[[Message], bytes],
        join: Callable[[bytes, bytes], bytes | None] | None = None,
    ) -> list[bytes]:
        once, again = self._made(encode, join), self._made(encode, join)
        self.unstable |= once != again
        return once

    def _made(
        self,
        encode: Callable[[Message], bytes],
        join: Callable[[bytes, bytes], bytes | None] | None,
    ) -> list[bytes]:
        pieces = [encode(one) for one in self.messages]
        if join is None:
            return pieces
        encoded = Encoded()
        encoded.pieces += pieces
        return encoded.joined(0, len(pieces), join)


@define
class _Reading:
    """What a stream came to."""

    events: list[Any] = field(factory=list)
    """Model events, if the route keeps its promises."""
    error: BaseException | None = None

    @property
    def text(self) -> str:
        return "".join(one.text for one in self.events if isinstance(one, TextDelta))

    @property
    def calls(self) -> list[ToolCall]:
        return [one for one in self.events if isinstance(one, ToolCall)]

    @property
    def finish(self) -> str | None:
        ends = [one.reason for one in self.events if isinstance(one, Finish)]
        return ends[-1] if ends else None

    @property
    def sense(self) -> tuple[object, ...]:
        """What was said, however it was cut into pieces."""
        code = getattr(self.error, "code", None)
        made = [(one.tool, one.arguments, one.cut) for one in self.calls]
        return self.text, made, self.finish, code or type(self.error)

    @property
    def ending(self) -> str:
        if self.error is not None:
            return f"{type(self.error).__name__}: {str(self.error)[:300]}"
        return f"a Finish ({self.finish})" if self.finish else "no end"


def _route(case: Case[ProviderConformance], host: Host) -> ProviderRoute:
    suite = case.suite
    try:
        return host.services.catalog.resolve(f"{suite.provider}/{suite.model}").route
    except (ModelUnknownError, ProviderError) as error:
        raise NotOfferedError(
            f"there is no route to {suite.provider}/{suite.model}: {error}"
            f"{host.problem}"
        ) from None


def _request(case: Case[ProviderConformance], example: ProviderExample) -> ModelRequest:
    said = UserMessage(MessageId("msg_1"), SESSION, 1, 0, example.prompt)
    return ModelRequest(case.suite.model, ("Be brief.",), _History([said]))


async def _read(route: ProviderRoute, request: ModelRequest) -> _Reading:
    reading = _Reading()
    try:
        async with route.stream(request) as events:
            async for event in events:
                reading.events.append(event)
    except Exception as error:
        # What a stranger's route raises is looked at by the checks.
        reading.error = raised(error)
    return reading


async def _answered(
    case: Case[ProviderConformance],
    host: Host,
    example: ProviderExample,
    wire: Wire | None = None,
) -> _Reading:
    route = _route(case, host)
    if isinstance(case.surroundings, Service):
        case.surroundings.answer = wire or example.wire()
    return await _read(route, _request(case, example))


def _each(
    bench: Bench[ProviderConformance],
) -> Iterator[tuple[str, ProviderExample]]:
    for number, example in enumerate(bench.suite.examples, 1):
        yield f"example {number}", example


def _wired(
    bench: Bench[ProviderConformance],
) -> list[tuple[str, ProviderExample]]:
    """Return the examples that say what goes over the wire.

    Raises:
        NotShownError: there are none.
    """
    found = [(name, one) for name, one in _each(bench) if one.body is not None]
    if not found:
        raise NotShownError("no example says what the service answers")
    return found


def _sound(bench: Bench[ProviderConformance]) -> tuple[str, ProviderExample]:
    """Return the first example that ends well; of all, if it says what is sent."""
    fine = [(name, one) for name, one in _each(bench) if one.error is None]
    wired = [(name, one) for name, one in fine if one.body is not None]
    if not fine:
        raise NotOfferedError("the suite has no example that ends well")
    return (wired or fine)[0]


# --- what it is -------------------------------------------------------------------


@check("definition", since=1)
def _definition(bench: Bench[ProviderConformance]) -> Iterator[str]:
    """The plugin offers the provider and makes a route without reaching the network;
    the suite has an example that ends well."""

    async def look(case: Case[ProviderConformance], host: Host) -> list[str]:
        with watching(case.folder) as watch:
            _route(case, host)
            reached = list(watch.reached)
        provider = host.services.providers.get(case.suite.provider)
        names = [one.name for one in provider.models] if provider else []
        found = [f"it reached {one} before a route streamed" for one in reached[:1]]
        for name in names:
            if not name.startswith(f"{case.suite.provider}/"):
                found.append(f"the model {name!r} does not begin with its provider")
        return found

    yield from bench.hosted(look)
    _sound(bench)


# --- reading ----------------------------------------------------------------------


@check("stream", since=1)
def _stream(bench: Bench[ProviderConformance]) -> Iterator[str]:
    """Each example is read as the suite says: parts that begin and end once, calls
    with ids of their own, and exactly one Finish, at the end."""
    for name, example in _each(bench):

        async def ask(
            case: Case[ProviderConformance],
            host: Host,
            example: ProviderExample = example,
        ) -> _Reading:
            return await _answered(case, host, example)

        reading = bench.hosted(ask)
        yield from (f"{name}: {one}" for one in _malformed(reading))
        yield from (f"{name}: {one}" for one in _misread(reading, example))


def _malformed(reading: _Reading) -> Iterator[str]:
    ended: set[str] = set()
    begun: set[str] = set()
    ids: list[str] = []
    for at, event in enumerate(reading.events):
        if isinstance(event, TextDelta | ReasoningDelta):
            begun.add(event.part)
            if event.part in ended:
                yield f"part {event.part!r} goes on after its end"
        elif isinstance(event, TextEnd | ReasoningEnd):
            if event.part not in begun or event.part in ended:
                yield f"part {event.part!r} ends without having begun, or twice"
            ended.add(event.part)
        elif isinstance(event, ToolCall):
            ids.append(event.call_id)
        elif isinstance(event, Finish):
            if at != len(reading.events) - 1 or reading.error is not None:
                yield "something comes after its Finish"
        elif not isinstance(event, ToolInputDelta):
            yield f"{type(event).__name__} is no model event"
    if not all(ids) or len(set(ids)) != len(ids):
        yield f"its calls have no ids of their own: {ids}"
    if reading.error is None and reading.finish is None:
        yield "it ended without a Finish"
    told = getattr(reading.error, "usage", None)
    if told is not None:
        wrong = problem_with(Finish("error", told))
        if wrong is not None:
            yield f"the usage of its error is none: {wrong}"


def _misread(reading: _Reading, example: ProviderExample) -> Iterator[str]:
    code = getattr(reading.error, "code", None)
    broke = example.error is not None or reading.error is not None
    if broke and code != example.error:
        wanted = example.error or "a Finish"
        yield f"it ended with {reading.ending} instead of {wanted}"
    told = [one.usage for one in reading.events if isinstance(one, Finish)]
    told = told or [getattr(reading.error, "usage", None) or Usage()]
    if example.usage is not None and told[0] != example.usage:
        yield f"it tells of {told[0]} instead of {example.usage}"
    if broke:
        return
    if example.text is not None and reading.text != example.text:
        yield f"it was read as {reading.text!r} instead of {example.text!r}"
    if example.calls is not None:
        made = [(one.tool, _arguments(one)) for one in reading.calls]
        wanted_calls = [tuple(one) for one in example.calls]
        if made != wanted_calls:
            yield f"its calls were read as {made} instead of {wanted_calls}"
    if example.finish is not None and reading.finish != example.finish:
        yield f"it ends for {reading.finish!r} instead of {example.finish!r}"


def _arguments(call: ToolCall) -> Json:
    try:
        return json.loads(call.arguments) if call.arguments.strip() else {}
    except ValueError:
        return call.arguments


@check("pieces", since=1)
def _pieces(bench: Bench[ProviderConformance]) -> Iterator[str]:
    """An answer is read the same in whatever pieces its bytes come."""
    for name, example in _wired(bench):

        async def ask(
            case: Case[ProviderConformance],
            host: Host,
            example: ProviderExample = example,
        ) -> list[_Reading]:
            wires = [example.wire(piece=size) for size in (None, 1, 7)]
            return [await _answered(case, host, example, wire) for wire in wires]

        whole, *others = bench.hosted(ask)
        for size, other in zip((1, 7), others, strict=True):
            if other.sense != whole.sense:
                yield (
                    f"{name}: in pieces of {size} bytes it is read as {other.sense}, "
                    f"at once as {whole.sense}"
                )
                break


# --- what goes out ----------------------------------------------------------------

_MARKS = {
    "the system text": "SYSTEMalpha",
    "the user's message": "USERbravo",
    "what the model said": "MODELcharlie",
    "the name of the tool that was called": "toolDelta",
    "the arguments of a call": "ARGUMENTSecho",
    "the result of a call": "RESULTfoxtrot",
    "a notice": "NOTICEgolf",
    "the last message": "LASThotel",
    "the name of an offered tool": "toolIndia",
    "the description of an offered tool": "DESCRIPTIONjuliett",
    "the schema of an offered tool": "SCHEMAkilo",
}


def _full(case: Case[ProviderConformance]) -> ModelRequest:
    """Return a request with one of everything in it."""
    marks = list(_MARKS.values())
    system, user, said, tool, arguments, result, notice, last, name, what, schema = (
        marks
    )
    call = ToolPart(
        "call_1",
        tool,
        json.dumps({"city": arguments}),
        "succeeded",
        (TextContent(result),),
    )
    model = f"{case.suite.provider}/{case.suite.model}"
    messages: list[Message] = [
        UserMessage(MessageId("msg_1"), SESSION, 1, 0, user),
        AssistantMessage(
            MessageId("msg_2"),
            SESSION,
            2,
            0,
            "build",
            model,
            (TextPart(said), call),
            finish="tool_calls",
            ended=1,
        ),
        NoticeMessage(MessageId("msg_3"), SESSION, 3, 0, notice),
        UserMessage(MessageId("msg_4"), SESSION, 4, 0, last),
    ]
    properties: Json = {schema: {"type": "string"}}
    empty: Json = {"type": "object", "properties": {}}
    tools = (
        ToolDefinition(tool, "Tell the weather.", empty),
        ToolDefinition(name, what, {"type": "object", "properties": properties}),
    )
    return ModelRequest(case.suite.model, (system,), _History(messages), tools)


async def _sent(
    case: Case[ProviderConformance], host: Host, request: ModelRequest, wire: Wire
) -> list[Sent]:
    """Return what goes out for one request."""
    service: Service = case.surroundings
    service.answer = wire
    before = len(service.requests)
    await _read(_route(case, host), request)
    return service.requests[before:]


@check("complete", since=1)
def _complete(bench: Bench[ProviderConformance]) -> Iterator[str]:
    """The system text, every message, call and result, and every tool go out."""
    name, example = _wired(bench)[0]

    async def ask(case: Case[ProviderConformance], host: Host) -> list[Sent]:
        return await _sent(case, host, _full(case), example.wire())

    sent = bench.hosted(ask)
    if not sent:
        yield f"{name}: nothing reached the service"
    for one in sent[:1]:
        text = f"{one.target} {one.body.decode('utf-8', 'replace')}"
        for what, mark in _MARKS.items():
            if mark not in text:
                yield f"{what} is not in the request"


@check("words", since=1)
def _words(bench: Bench[ProviderConformance]) -> Iterator[str]:
    """The same request is the same bytes, also after a restart; nothing is added that
    is a clock, a random id, the name of a machine or a home."""
    _, example = _wired(bench)[0]

    async def twice(
        case: Case[ProviderConformance],
    ) -> tuple[list[tuple[str, bytes]], bool]:
        sent: list[Sent] = []
        unstable = False
        for _ in range(2):
            async with case.host() as host:
                request = _full(case)
                sent += await _sent(case, host, request, example.wire())
                assert isinstance(request.history, _History)
                unstable |= request.history.unstable
        return [(one.target, one.body) for one in sent], unstable

    sent, unstable = bench.case(twice)
    if unstable:
        yield "a message is encoded in other bytes the second time"
    elif len(set(sent)) > 1:
        yield "the same request is sent in other bytes after a restart"
    for target, body in sent[:1]:
        for stranger in strangers(
            f"{target} {body.decode('utf-8', 'replace')}", bench.clock
        ):
            yield f"the request has {stranger}"


# --- what goes wrong --------------------------------------------------------------

_HTML = {"content-type": "text/html"}
_STATUSES: Mapping[int, tuple[str, ...]] = {
    401: ("provider.authentication",),
    429: ("provider.rate_limited", "provider.quota"),
    500: ("provider.unavailable",),
    503: ("provider.unavailable",),
}


@check("faults", since=1)
def _faults(bench: Bench[ProviderConformance]) -> Iterator[str]:
    """Whatever goes wrong is a ProviderError with the code that it should have; an
    answer that broke off is never taken for a whole one."""
    for status, codes in _STATUSES.items():
        reading = bench.hosted(_asking(bench, Wire(b"<p>No.</p>", status, _HTML)))
        code = getattr(reading.error, "code", None)
        if code not in codes:
            wanted = " or ".join(codes)
            yield f"status {status}: {reading.ending} [{code}] instead of {wanted}"
    for what, wire in (
        ("no answer at all", Wire(end="none")),
        ("an empty answer", Wire(headers={"content-type": "text/event-stream"})),
        ("a page instead of an answer", Wire(b"<html></html>", 200, _HTML)),
        ("bytes without a meaning", Wire(bytes(range(256)) * 8)),
    ):
        reading = bench.hosted(_asking(bench, wire))
        if not _is_fault(reading.error):
            yield f"{what}: {reading.ending} instead of a ProviderError"
    for name, example in _wired(bench):
        if example.error is not None:
            continue
        half = (example.body or b"")[: len(example.body or b"") // 2]
        wires = example.wire(), example.wire(body=half, end="cut")
        whole, cut = (bench.hosted(_asking(bench, wire)) for wire in wires)
        if not _is_fault(cut.error) and cut.sense != whole.sense:
            yield f"{name}, cut in the middle: {cut.ending} instead of a ProviderError"


def _asking(
    bench: Bench[ProviderConformance], wire: Wire, echo: bool = False
) -> Callable[[Case[ProviderConformance], Host], Any]:
    _, example = _wired(bench)[0]

    async def ask(case: Case[ProviderConformance], host: Host) -> _Reading:
        case.surroundings.echo = echo
        return await _answered(case, host, example, wire)

    return ask


def _is_fault(error: BaseException | None) -> bool:
    return isinstance(error, ProviderError) and error.code in get_args(ProviderFault)


@check("once", since=1)
def _once(bench: Bench[ProviderConformance]) -> Iterator[str]:
    """A stream is one request, however it ends: a route repeats nothing by itself."""
    _, example = _wired(bench)[0]
    again = {"retry-after": "0", "content-type": "application/json"}
    for what, wire in (
        ("an answer that ends well", example.wire()),
        ("status 429", Wire(b"{}", 429, again)),
        ("status 503", Wire(b"{}", 503, again)),
        ("no answer at all", Wire(end="none")),
    ):

        async def ask(
            case: Case[ProviderConformance], host: Host, wire: Wire = wire
        ) -> int:
            await _answered(case, host, example, wire)
            return len(case.surroundings.requests)

        count = bench.hosted(ask)
        if count != 1:
            yield f"{what}: {count} requests came"


@check("secret", since=1)
def _secret(bench: Bench[ProviderConformance]) -> Iterator[str]:
    """The key goes to the service and shows nowhere else: in no error and no name."""
    _, example = _wired(bench)[0]

    async def look(case: Case[ProviderConformance], host: Host) -> list[str]:
        found = []
        (sent,) = await _sent(case, host, _request(case, example), example.wire())
        if KEY not in f"{sent.headers} {sent.target} {sent.body!r}":
            found.append("the suite's `key` is not configured: it never goes out")
        if KEY in repr(_route(case, host)):
            found.append("the route shows the key")
        return found

    yield from bench.hosted(look)
    for status in (400, 401, 500):
        # Some services say what they were sent.
        wire = Wire(b" is what was sent", status, {"content-type": "text/plain"})
        reading = bench.hosted(_asking(bench, wire, echo=True))
        if any(KEY in f"{one!s} {one!r}" for one in _chain(reading.error)):
            yield f"status {status}: its error shows the key"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@check("bounded", since=1)
def _bounded(bench: Bench[ProviderConformance]) -> Iterator[str]:
    """An error says little, however much the service says."""
    wire = Wire(b"no " * 1_000_000, 400, {"content-type": "text/plain"})
    reading = bench.hosted(_asking(bench, wire))
    size = len(str(reading.error))
    if size > MAX_ERROR:
        yield f"an error of {size} characters; at most {MAX_ERROR}"


# --- cancellation and closing -----------------------------------------------------


@check("cancellation", since=1)
def _cancellation(bench: Bench[ProviderConformance]) -> Iterator[str]:
    """Cancelled at any of its suspensions, a stream ends soon and lets the
    cancellation pass; and it never holds the event loop."""
    name, example = _sound(bench)

    async def ask(case: Case[ProviderConformance], host: Host) -> None:
        route = _route(case, host)
        if isinstance(case.surroundings, Service):
            case.surroundings.answer = example.wire()
        async with route.stream(_request(case, example)) as events:
            async for _ in events:
                pass

    yield from (f"{name}: {one}" for one in bench.cancelled(ask))


@check("leaving", since=1)
def _leaving(bench: Bench[ProviderConformance]) -> Iterator[str]:
    """Left early, a stream closes its connection: nobody pays for what nobody reads."""
    for name, example in _wired(bench):
        if example.error is not None:
            continue
        body = example.body or b""
        wire = example.wire(body=body[: len(body) // 2], end="silent")

        async def leave(
            case: Case[ProviderConformance],
            host: Host,
            wire: Wire = wire,
            example: ProviderExample = example,
        ) -> bool:
            case.surroundings.answer = wire

            async def ask() -> None:
                route = _route(case, host)
                async with route.stream(_request(case, example)):
                    pass  # left before anything was read

            await interrupted(ask, 0)
            gone: bool = await case.surroundings.left(LEAVING_SECONDS)
            return gone

        if not bench.hosted(leave):
            yield f"{name}: its connection stays open after it was left"
            return


@check("leak", since=1)
def _leak(bench: Bench[ProviderConformance]) -> Iterator[str]:
    """Nothing is left behind when its Location closes: no connection, no task, no
    thread, no file, no process."""
    _, example = _sound(bench)
    open_ones: list[int] = []

    async def ask(case: Case[ProviderConformance]) -> None:
        async with case.host() as host:
            await _answered(case, host, example)
        service = case.surroundings
        if isinstance(service, Service) and not await service.idle(LEAVING_SECONDS):
            open_ones.append(service.connections)

    yield from bench.leaks(ask)
    if open_ones:
        yield "a connection is open after its Location closed"
