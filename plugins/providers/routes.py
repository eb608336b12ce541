"""Routes: one way to one model, the same for every protocol that streams events.

Owns the walk of a request: encode, send, frame, decode. What is particular to a
protocol is behind ``Protocol``: a pure encoder, and a Decoder that is a synchronous
state machine, so that both are tested without a connection.
"""

from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from typing import Protocol as Shape, runtime_checkable

import anyio
from anyio import to_thread
from attrs import evolve
from dovetail.kernel import (
    Credential,
    Finish,
    ModelEvent,
    ModelRequest,
    OutputMode,
    Place,
    ProviderCredential,
    ProviderError,
    Redactor,
    RequestBody,
    TextEnd,
    ToolCall,
    Usage,
)

from .calls import beyond
from .endpoints import Endpoint
from .faults import CallRefusedError
from .reading import is_whole
from .sse import EventTooLargeError, SseDecoder, SseEvent
from .transport import EVENT_STREAM, ByteStream, Target, Transport
from .wording import made_call_id

USER_AGENT = "dovetail"
AT_ONCE = 16384
"""Bytes of one stream that are read before others have their turn."""
PAUSE = 0.001
"""Seconds of such a turn. Not none: threads that a neighbour waits for, such as the
store's, need the interpreter's lock, which a loop that never rests lends only now and
then."""
GOODBYE = 10.0
"""Seconds in which a stream goes on after its finish reason, or has ended with it."""


class Decoder(Shape):
    """Turns the events of one response into Model events."""

    @property
    def done(self) -> bool:
        """Whether the Finish was handed out: nothing more is read."""
        ...

    @property
    def ending(self) -> bool:
        """Whether the answer has said that it is at its end, so that what still comes
        is not waited for as long as its words are."""
        ...

    def feed(self, event: SseEvent) -> Sequence[ModelEvent]:
        """Return what this event brings.

        Raises:
            ProviderError: it breaks the protocol, or is an error itself.
        """
        ...

    def finish(self) -> Sequence[ModelEvent]:
        """Return what is left when the stream has ended, the Finish last.

        Raises:
            ProviderError: ``provider.stream_broken``: it ended too soon.
        """
        ...

    def kept(self) -> Sequence[ModelEvent]:
        """Return what is complete when the answer has gone beyond its limits."""
        ...


@runtime_checkable
class TellsUsage(Shape):
    """A Decoder that says what its answer has taken so far, for one that breaks off.

    Asked for when the answer failed, and only then: what was told counts in what the
    session used and cost.
    """

    @property
    def usage(self) -> Usage:
        """The tokens that the provider has told of; what it did not tell stays None."""
        ...


class Frames(Shape):
    """Turns the bytes of one response into events."""

    def feed(self, chunk: bytes) -> Iterator[SseEvent]:
        """Yield the events that these bytes complete."""
        ...

    def finish(self) -> Iterator[SseEvent]:
        """Yield what the end of the stream completes."""
        ...


class Protocol(Shape):
    """How one model is asked, and how its answer is read."""

    def write(self, request: ModelRequest) -> RequestBody:
        """Return the body of a request.

        Raises:
            ProviderError: ``provider.invalid_request``: it cannot be said.
        """
        ...

    def decoder(self, request: ModelRequest) -> Decoder:
        """Return a new decoder, for the one response to this request."""
        ...

    media: Mapping[str, int]
    """Which files can be carried, by the ability that they ask for, and how many bytes
    one of them may have."""

    def output_mode(self, request: ModelRequest) -> OutputMode:
        """Return how a value would be asked for as the answer to this request."""
        ...

    def learned_from(self, error: ProviderError) -> bool:
        """Whether a refusal told how the endpoint wants to be asked; the next body is
        encoded so."""
        ...


class Route:
    """A ProviderRoute: protocol x endpoint x authentication x framing."""

    tells_body = True

    def __init__(
        self,
        protocol: Protocol,
        target: Target,
        transport: Transport,
        frames: Callable[[], Frames] = lambda: SseDecoder(whole=is_whole),
        sign: Callable[[bytes], dict[str, str]] | None = None,
        *,
        endpoint: Endpoint | None = None,
    ) -> None:
        """``endpoint``: whose credential is asked for before each request, where it
        has one of those."""
        self._sign = sign
        self._endpoint = endpoint
        self._frames = frames
        self._protocol = protocol
        self._target = target
        self._transport = transport

    def __repr__(self) -> str:
        return f"<Route to {self._target.provider}>"

    @property
    def media(self) -> Mapping[str, int]:
        """Which files can be carried. See ``ProviderRoute``."""
        return self._protocol.media

    def output_mode(self, request: ModelRequest) -> OutputMode:
        """Return how a value would be asked for. See ``ProviderRoute``."""
        return self._protocol.output_mode(request)

    @asynccontextmanager
    async def stream(
        self, request: ModelRequest
    ) -> AsyncGenerator[AsyncIterator[ModelEvent], None]:
        """Send the request and yield what comes. See ``ProviderRoute.stream``."""
        body = self._protocol.write(request)
        live = self._endpoint.live if self._endpoint else None
        target = self._target
        credential = None
        if self._endpoint is not None and live is not None:
            credential = await live.current()
            target = shown_to(target, self._endpoint, credential, live)
        request.sends(body)
        data = body.data
        if self._sign is not None:
            # In a thread: credentials may have to be fetched first.
            signed = await to_thread.run_sync(self._sign, data, abandon_on_cancel=True)
            headers = target.headers + tuple(signed.items())
            # A refusal for its signature shows the service's idea of what was signed.
            shown = target.redact.with_telling(Redactor(signed.values()))
            target = evolve(target, headers=headers, redact=shown)
        chunks: ByteStream | _Given
        try:
            chunks = await self._transport.begin(target, data)
        except CallRefusedError as error:
            chunks = _Given(error.call(made_call_id(error.written)))
        except ProviderError as error:
            if self._protocol.learned_from(error):
                # Asked in the endpoint's own words it may well answer.
                error.retryable = True
            elif live and credential and error.status == 401:
                error.retryable = live.refused(credential)
            raise
        if isinstance(chunks, _Given):
            yield chunks
            return
        try:
            if live and credential:
                live.accepted(credential)
            decoder = self._protocol.decoder(request)
            yield _Events(chunks, decoder, self._target, self._frames())
        finally:
            await chunks.aclose()


def target_of(
    endpoint: Endpoint,
    path: str,
    authentication: dict[str, str],
    query: str = "",
    accept: str = EVENT_STREAM,
) -> Target:
    """Return where and with which headers a route sends; made once per route.

    Configured headers win over everything but the framing.
    """
    headers = {
        "user-agent": USER_AGENT,
        **authentication,
        **endpoint.headers,
        "accept": accept,
        # Packed streams are held back by whoever packs them.
        "accept-encoding": "identity",
        "content-type": "application/json",
    }
    return Target(
        provider=endpoint.provider,
        url=endpoint.url(path, query),
        headers=tuple(headers.items()),
        redact=endpoint.redactor(),
        connect_timeout=endpoint.connect_timeout,
        read_timeout=endpoint.read_timeout,
        limits=endpoint.limits,
        accept=accept,
        trouble=endpoint.trouble,
    )


def shown_to(
    target: Target,
    endpoint: Endpoint,
    credential: Credential,
    live: ProviderCredential,
) -> Target:
    """Return the target with a credential that is shown to it, and told of nowhere."""
    headers = [
        (name, value)
        for name, value in endpoint.shown(credential).items()
        if name not in endpoint.headers
    ]
    return evolve(
        target,
        headers=(*target.headers, *headers),
        redact=live.hiding(target.redact),
    )


def transport_of(place: Place) -> Transport:
    """Return the transport that this plugin opened for the Location."""
    assert isinstance(place.resource, Transport), "dovetail_open_location was not left"
    return place.resource


class _Given:
    """The answer that a refused call comes to: that call, for the model to mend."""

    def __init__(self, call: ToolCall) -> None:
        self._ready: deque[ModelEvent] = deque([call, Finish("tool_calls")])

    def __aiter__(self) -> AsyncIterator[ModelEvent]:
        return self

    async def __anext__(self) -> ModelEvent:
        if not self._ready:
            raise StopAsyncIteration
        return self._ready.popleft()


def _cited(event: ModelEvent) -> ModelEvent:
    """Return an event with what its text rests on."""
    if not isinstance(event, TextEnd) or not event.metadata:
        return event
    # Here, because few answers cite anything.
    from .citations import citations_of

    return evolve(event, citations=citations_of(event.metadata))


class _Events:
    """The Model events of one response. What came before a failure comes first."""

    def __init__(
        self, chunks: ByteStream, decoder: Decoder, target: Target, frames: Frames
    ) -> None:
        self._limits = target.limits
        self._chunks = chunks
        self._frames = frames
        self._bytes = 0
        self._quiet = 0
        self._chunk = b""
        self._at = 0
        self._decoder = decoder
        self._provider = target.provider
        self._ready: deque[ModelEvent] = deque()
        self._failure: ProviderError | None = None
        self._ended = False

    def __aiter__(self) -> AsyncIterator[ModelEvent]:
        return self

    async def __anext__(self) -> ModelEvent:
        while not self._ready:
            if self._failure is not None:
                if isinstance(self._decoder, TellsUsage):
                    self._failure.usage = self._decoder.usage
                raise self._failure
            if self._ended:
                raise StopAsyncIteration
            if self._decoder.done:
                self._ended = True
                await self._chunks.drain()
            else:
                await self._read()
        return self._ready.popleft()

    async def _read(self) -> None:
        try:
            chunk = await self._next()
        except ProviderError as error:
            chunk, self._failure = None, error
        try:
            if chunk is None:
                self._ended = True
                self._take(self._frames.finish())
                self._ready.extend(map(_cited, self._decoder.finish()))
                # The answer was whole; what broke off was only its goodbye.
                self._failure = None
                return
            self._bytes += len(chunk)
            most = self._limits.stream
            if self._bytes > most:
                raise beyond(self._provider, f"{most} bytes of its stream")
            self._take(self._frames.feed(chunk))
        except EventTooLargeError as error:
            self._failure = ProviderError(
                "provider.answer_limit", self._provider, str(error)
            )
        except ProviderError as error:
            self._failure = self._failure or error
        if self._failure and self._failure.code == "provider.answer_limit":
            self._ready.extend(map(_cited, self._decoder.kept()))

    def _take(self, events: Iterator[SseEvent]) -> None:
        for event in events:
            if self._decoder.done:
                return
            made = self._decoder.feed(event)
            if made:
                self._quiet = 0
                self._ready += map(_cited, made) if TextEnd in map(type, made) else made
                continue
            self._quiet += 1
            most = self._limits.quiet
            if self._quiet > most:
                raise beyond(
                    self._provider, f"{most} events in a row that bring nothing"
                )

    async def _next(self) -> bytes | None:
        """Return some more bytes; None at the end, which an answer that has said it is
        at its end may not be left waiting for."""
        if self._at < len(self._chunk):
            # A server that sends faster than is read must not keep others waiting.
            await anyio.sleep(PAUSE)
        else:
            self._chunk, self._at = b"", 0
            if self._decoder.ending:
                with anyio.move_on_after(GOODBYE):
                    await self._fill()
            else:
                await self._fill()
            if not self._chunk:
                return None
        begin, self._at = self._at, self._at + AT_ONCE
        return self._chunk[begin : self._at]

    async def _fill(self) -> None:
        """Wait for bytes, or for the end: then there are none."""
        async for chunk in self._chunks:
            if chunk:
                self._chunk = chunk
                return
