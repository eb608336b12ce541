"""The route to one model: sends one request over HTTP and streams the answer.

The only module that knows httpx. Nothing is repeated: retries are the kernel's.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from functools import cache
from ssl import SSLContext

import anyio
import httpx
from dovetail.kernel import (
    Finish,
    ModelEvent,
    ModelRequest,
    ProviderError,
    ProviderFault,
    ProviderRoute,
)

from .protocol import Reader, encode_request

MAX_LINE = 1_048_576
MAX_BODY = 16_384
"""Bytes of a bad answer that are read."""
CLOSE_SECONDS = 5.0


@cache
def trusted() -> SSLContext:
    """Return what is trusted: read once, which takes longer than a request."""
    return httpx.create_ssl_context()


def new_client() -> httpx.AsyncClient:
    """Return a client for all routes of a Location.

    Sessions must not wait for each other's model, so connections are not limited; nor
    is silence, because a model may think for long, and the kernel watches that.
    """
    return httpx.AsyncClient(
        verify=trusted(),
        limits=httpx.Limits(max_connections=None),
        timeout=httpx.Timeout(None, connect=10.0, write=60.0),
        headers={"Accept": "text/x-lantern", "Accept-Encoding": "identity"},
    )


class Body(httpx.AsyncByteStream):
    """What is sent. httpx's own is a generator, which a request that is cancelled while
    it is sent leaves behind unfinished."""

    def __init__(self, data: bytes) -> None:
        self._left = [data]

    def __aiter__(self) -> "Body":
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


class LanternRoute(ProviderRoute):
    """One way to one model."""

    def __init__(
        self, client: httpx.AsyncClient, provider: str, url: str, key: str
    ) -> None:
        self._client = client
        self._provider = provider
        self._url = f"{url.rstrip('/')}/answers"
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
        }
        self._reader = Reader(provider, key)

    @asynccontextmanager
    async def stream(
        self, request: ModelRequest
    ) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        try:
            body = encode_request(request)
            sent = self._client.build_request(
                "POST", self._url, content=body, headers=self._headers
            )
            sent.stream = Body(body)
            response = await self._client.send(sent, stream=True)
        except httpx.InvalidURL:
            raise self._fault("provider.invalid_request", "its URL is none") from None
        except httpx.HTTPError as error:
            raise self._lost("provider.unreachable", error) from error
        chunks = response.aiter_raw()
        try:
            await self._check(response, chunks)
            async with aclosing(self._events(chunks)) as events:
                yield events
        finally:
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                await response.aclose()
                # What reads from what is closed ends at once, and with it the
                # generators below, from the inside out.
                with suppress(httpx.HTTPError, httpx.StreamError):
                    async for _ in chunks:
                        pass

    async def _check(
        self, response: httpx.Response, chunks: AsyncIterator[bytes]
    ) -> None:
        """Return when the answer is a stream of lines."""
        if response.headers.get("content-encoding", "identity") != "identity":
            # What unpacks to no end is not unpacked at all.
            raise self._reader.broken(
                "the answer is packed, and that was not asked for"
            )
        if response.status_code != 200:
            body = bytearray()
            # The status says more than the loss of its explanation.
            with suppress(httpx.HTTPError):
                async for chunk in chunks:
                    body += chunk
                    if len(body) > MAX_BODY:
                        break
            raise self._reader.answered(response.status_code, bytes(body[:MAX_BODY]))
        kind = response.headers.get("content-type", "").partition(";")[0].strip()
        if kind != "text/x-lantern":
            raise self._reader.broken("the answer is not of the type text/x-lantern")

    async def _events(
        self, chunks: AsyncIterator[bytes]
    ) -> AsyncGenerator[ModelEvent, None]:
        try:
            async with aclosing(self._lines(chunks)) as lines:
                async for line in lines:
                    for event in self._reader.events(line):
                        yield event
                        if isinstance(event, Finish):
                            return
        except httpx.HTTPError as error:
            raise self._lost("provider.stream_broken", error) from error
        raise self._fault("provider.stream_broken", "the answer was cut")

    async def _lines(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Return the lines that have an end and say something."""
        line = bytearray()
        async for chunk in chunks:
            first, *others = chunk.split(b"\n")
            line += first
            for other in others:
                if line:
                    yield bytes(line)
                line = bytearray(other)
            if len(line) > MAX_LINE:
                raise self._reader.broken(f"a line is longer than {MAX_LINE} bytes")

    def _lost(self, fault: ProviderFault, error: httpx.HTTPError) -> ProviderError:
        return self._fault(fault, f"the connection failed: {type(error).__name__}")

    def _fault(self, fault: ProviderFault, problem: str) -> ProviderError:
        retryable = fault != "provider.invalid_request"
        return ProviderError(fault, self._provider, problem, retryable=retryable)
