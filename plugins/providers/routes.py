"""Routes: one way to one model, the same for every protocol that streams events.

Owns the walk of a request: encode, send, frame, decode. What is particular to a
protocol is behind ``Protocol``: a pure encoder, and a Decoder that is a synchronous
state machine, so that both are tested without a connection.
"""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol as Shape

from dovetail.kernel import ModelEvent, ModelRequest, Place, ProviderError

from .endpoints import Endpoint
from .sse import EventTooLargeError, SseDecoder, SseEvent
from .transport import ByteStream, Target, Transport

USER_AGENT = "dovetail"


class Decoder(Shape):
    """Turns the events of one response into Model events."""

    @property
    def done(self) -> bool:
        """Whether the Finish was handed out: nothing more is read."""
        ...

    def feed(self, event: SseEvent) -> list[ModelEvent]:
        """Return what this event brings.

        Raises:
            ProviderError: it breaks the protocol, or is an error itself.
        """
        ...

    def finish(self) -> list[ModelEvent]:
        """Return what is left when the stream has ended, the Finish last.

        Raises:
            ProviderError: ``provider.stream_broken``: it ended too soon.
        """
        ...


class Protocol(Shape):
    """How one model is asked, and how its answer is read."""

    def encode(self, request: ModelRequest) -> bytes:
        """Return the body of a request.

        Raises:
            ProviderError: ``provider.invalid_request``: it cannot be said.
        """
        ...

    def decoder(self) -> Decoder:
        """Return a new decoder, for one response."""
        ...


class Route:
    """A ProviderRoute: protocol x endpoint x authentication x framing."""

    def __init__(
        self, protocol: Protocol, target: Target, transport: Transport
    ) -> None:
        self._protocol = protocol
        self._target = target
        self._transport = transport

    def __repr__(self) -> str:
        return f"<Route to {self._target.provider}>"

    @asynccontextmanager
    async def stream(
        self, request: ModelRequest
    ) -> AsyncGenerator[AsyncIterator[ModelEvent], None]:
        """Send the request and yield what comes. See ``ProviderRoute.stream``."""
        body = self._protocol.encode(request)
        async with self._transport.post(self._target, body) as chunks:
            yield _Events(chunks, self._protocol.decoder(), self._target.provider)


def target_of(endpoint: Endpoint, path: str, authentication: dict[str, str]) -> Target:
    """Return where and with which headers a route sends; made once per route.

    Configured headers win over everything but the framing.
    """
    headers = {
        "user-agent": USER_AGENT,
        **authentication,
        **endpoint.headers,
        "accept": "text/event-stream",
        # Packed streams are held back by whoever packs them.
        "accept-encoding": "identity",
        "content-type": "application/json",
    }
    return Target(
        provider=endpoint.provider,
        url=endpoint.url(path),
        headers=tuple(headers.items()),
        redact=endpoint.redactor(),
        connect_timeout=endpoint.connect_timeout,
        read_timeout=endpoint.read_timeout,
    )


def transport_of(place: Place) -> Transport:
    """Return the transport that this plugin opened for the Location."""
    assert isinstance(place.resource, Transport), "dovetail_open_location was not left"
    return place.resource


class _Events:
    """The Model events of one response. What came before a failure comes first."""

    def __init__(self, chunks: ByteStream, decoder: Decoder, provider: str) -> None:
        self._chunks = chunks
        self._frames = SseDecoder()
        self._decoder = decoder
        self._provider = provider
        self._ready: deque[ModelEvent] = deque()
        self._failure: ProviderError | None = None
        self._ended = False

    def __aiter__(self) -> AsyncIterator[ModelEvent]:
        return self

    async def __anext__(self) -> ModelEvent:
        while not self._ready:
            if self._failure is not None:
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
            chunk = await anext(self._chunks, None)
        except ProviderError as error:
            chunk, self._failure = None, error
        try:
            if chunk is None:
                self._ended = True
                self._ready.extend(self._decoder.finish())
                # The answer was whole; what broke off was only its goodbye.
                self._failure = None
                return
            for event in self._frames.feed(chunk):
                self._ready.extend(self._decoder.feed(event))
                if self._decoder.done:
                    return
        except EventTooLargeError as error:
            self._failure = ProviderError(
                "provider.invalid_output", self._provider, str(error)
            )
        except ProviderError as error:
            self._failure = self._failure or error
