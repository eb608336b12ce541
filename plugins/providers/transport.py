"""Transport: one HTTP client for all routes of a plugin in a Location.

Owns timeouts, and turns whatever goes wrong below into ProviderError. It and what it
sends by (``exchange``) are the only modules that know httpx, which is loaded on the
first request. Knows nothing of protocols: it sends bytes and hands back bytes.
"""

import logging
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Protocol

import anyio
from anyio import to_thread
from attrs import field, frozen
from dovetail.kernel import AnswerLimits, ProviderError, ProviderFault, Redactor, Tap

from .faults import (
    MAX_BODY_CHARS,
    fault_of_answer,
    fault_of_no_stream,
)
from .reading import answers_in, begins_events, is_cut
from .sse import MAX_EVENT_BYTES

if TYPE_CHECKING:
    import httpx

EVENT_STREAM = "text/event-stream"
WRITE_TIMEOUT = 120.0
"""Seconds in which a part of the request must be taken off our hands."""
GET_TIMEOUT = 10.0
"""Seconds without a byte that are borne where a person waits for a list."""
CLOSE_TIMEOUT = 5.0
DRAIN_TIMEOUT = 0.1
"""Seconds in which the end of a finished response must come for its connection to be
kept; a new one costs about as much."""
# UTF-8 has at most four bytes a character; the rest lets a secret at the cut be whole.
_MAX_BODY_BYTES = 4 * MAX_BODY_CHARS + 4096
_MAX_ADDRESSES = 64
_SIGHT = 16
"""Bytes that tell a stream of events from other bodies."""


@frozen
class Target:
    """Where a route sends its requests, prepared once."""

    provider: str
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    redact: Redactor
    connect_timeout: float
    read_timeout: float | None
    limits: AnswerLimits = field(factory=AnswerLimits)
    accept: str = EVENT_STREAM
    """The kind of stream that is asked for."""
    trouble: str | None = None
    """Why no key is shown, where one was looked for in what could not be read."""


class ByteStream(Protocol):
    """The body of an answer, piece by piece."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes: ...

    async def drain(self) -> None:
        """Read what is left, briefly, so that the connection can be used again."""
        ...


class Transport:
    """Sends requests and streams answers. Opens nothing until the first one."""

    def __init__(self, tape: Tap | None = None) -> None:
        self._tape = tape
        self._clients: dict[bool, httpx.AsyncBaseTransport] = {}
        """One for each answer to whether anything of it may be encrypted. Reading the
        certificates that are trusted takes as long as a dozen requests, and a model on
        this machine needs none; a client without them trusts nobody."""
        self._addresses: dict[str, httpx.URL] = {}
        # As a client reads it: once, when it is made.
        self._proxied = _proxied()
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._clients else "unused"
        return f"<Transport {state}>"

    @asynccontextmanager
    async def post(
        self, target: Target, body: bytes
    ) -> AsyncGenerator[ByteStream, None]:
        """Send one request; give the body of its answer once that began well.

        There is no total timeout, and a limit on silence where the target has one.
        Nothing is repeated and no redirect is followed. Leaving before the end closes
        the connection.

        Raises:
            ProviderError: on entering, and while the body is read.
        """
        client = await self._opened(target)
        import httpx

        request = httpx.Request(
            "POST",
            self._address(target),
            headers=target.headers,
            content=body,
            extensions={
                "timeout": {
                    "connect": target.connect_timeout,
                    "read": target.read_timeout,
                    "write": WRITE_TIMEOUT,
                    "pool": target.connect_timeout,
                },
                # For a tape, which must keep nothing of it.
                "redact": target.redact,
            },
        )
        try:
            with _unlogged():
                response = await client.handle_async_request(request)
        except httpx.HTTPError as error:
            raise _fault_of(error, target) from error
        chunks = _Chunks(response, target)
        try:
            undivided = await _check(response, chunks, target)
            yield chunks if undivided is None else _Undivided(undivided)
        finally:
            # Also when cancelled: the connection must go back or go away.
            with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await chunks.aclose()

    async def get(self, target: Target) -> bytes:
        """Return the body of what is there; at most ``MAX_EVENT_BYTES`` of it.

        Raises:
            ProviderError: it cannot be had, or is a refusal.
        """
        client = await self._opened(target)
        import httpx

        bound = dict.fromkeys(("connect", "read", "write", "pool"), GET_TIMEOUT)
        request = httpx.Request(
            "GET",
            target.url,
            headers=target.headers,
            extensions={"timeout": bound, "redact": target.redact},
        )
        try:
            with _unlogged():
                response = await client.handle_async_request(request)
        except httpx.HTTPError as error:
            raise _fault_of(error, target) from error
        chunks = _Chunks(response, target)
        try:
            body, _ = await _bounded(chunks, MAX_EVENT_BYTES)
            packed = response.headers.get("content-encoding", "identity")
            if response.status_code != 200 or packed != "identity":
                text = body[:_MAX_BODY_BYTES].decode("utf-8", "replace")
                refused = fault_of_answer(
                    target.provider,
                    response.status_code,
                    response.headers,
                    text,
                    target.redact,
                    target.trouble,
                )
                assert isinstance(refused, ProviderError)
                raise refused
            return body
        finally:
            with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await chunks.aclose()

    async def _opened(self, target: Target) -> "httpx.AsyncBaseTransport":
        encrypted = self._proxied or not target.url.startswith("http://")
        if encrypted not in self._clients:
            # In a thread: importing it and reading certificates takes long enough to
            # hold up every session of the process.
            try:
                made = await to_thread.run_sync(self._made, encrypted)
            except (OSError, ValueError, ImportError, TypeError) as error:
                raise _unusable(error, target) from error
            # Another request may have been quicker; a client without connections holds
            # nothing that had to be closed.
            self._clients.setdefault(encrypted, made)
        if self._closed:
            self._clients.clear()
            raise ProviderError(
                "provider.unreachable", target.provider, "its Location was closed"
            )
        return self._clients[encrypted]

    def _address(self, target: Target) -> "httpx.URL":
        """Return where a request goes, as httpx has it: taken apart once."""
        found = self._addresses.get(target.url)
        if found is None:
            import httpx

            if len(self._addresses) >= _MAX_ADDRESSES:
                self._addresses.clear()
            found = self._addresses[target.url] = httpx.URL(target.url)
        return found

    def _made(self, encrypted: bool) -> "httpx.AsyncBaseTransport":
        client = _new_client(encrypted, self._proxied)
        if self._tape is None:
            return client
        taped: httpx.AsyncBaseTransport = self._tape.over(client)
        return taped

    async def aclose(self) -> None:
        """Close all connections. Closing twice is harmless."""
        self._closed = True
        while self._clients:
            _, client = self._clients.popitem()
            with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await client.aclose()


def _unusable(error: Exception, target: Target) -> ProviderError:
    """Return what it means that nothing can be sent at all, without the value of a
    variable: the address of a proxy may hold a password."""
    if isinstance(error, ImportError):
        why = "a SOCKS proxy is named, and the package socksio is not installed"
    elif isinstance(error, OSError):
        problem = error.strerror or type(error).__name__
        why = f"the certificates of SSL_CERT_FILE or SSL_CERT_DIR: {problem}"
    else:
        why = "the proxy that the environment names is no address of one"
    problem = f"no connection: {why}"
    return ProviderError("provider.unreachable", target.provider, problem)


def _proxied() -> bool:
    """Return whether the environment names a proxy, as httpx reads it."""
    return any(
        value and name.lower() in ("http_proxy", "https_proxy", "all_proxy")
        for name, value in os.environ.items()
    ) or sys.platform in ("darwin", "win32")


def _new_client(encrypted: bool, proxied: bool) -> "httpx.AsyncBaseTransport":
    """Return what sends requests.

    A client of httpx's only where it has to tell which proxy a request goes through.
    """
    import ssl

    import httpx

    from .exchange import KEPT_FOR, MOST_KEPT, Exchange

    trusted = (
        httpx.create_ssl_context()
        if encrypted
        else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    )
    if not proxied:
        return Exchange(trusted)
    # No limit on connections: sessions must not wait for each other's model.
    limits = httpx.Limits(
        max_connections=None,
        max_keepalive_connections=MOST_KEPT,
        keepalive_expiry=KEPT_FOR,
    )
    return _proxying_type()(httpx.AsyncClient(verify=trusted, limits=limits))


@asynccontextmanager
async def open_transport(tape: Tap | None = None) -> AsyncGenerator[Transport, None]:
    """Give a transport that is closed on leaving. What it sends and is answered is
    recorded on the tape, or played from it."""
    transport = Transport(tape)
    try:
        yield transport
    finally:
        await transport.aclose()


_ours: ContextVar[bool] = ContextVar("dovetail_request", default=False)


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep httpx from logging the request, and what is below it the head of its answer:
    an address may hold a secret, and a server may repeat one (law access.6). Requests
    that others make with httpx are logged as ever."""
    _silence_httpx()
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)


@cache
def _silence_httpx() -> None:
    for name in ("httpx", "httpcore.http11", "httpcore.proxy"):
        logging.getLogger(name).addFilter(lambda _: not _ours.get())


@cache
def _proxying_type() -> "Callable[[httpx.AsyncClient], httpx.AsyncBaseTransport]":
    """Return, as a class, what sends through a client, which finds the proxies."""
    import httpx

    class Proxying(httpx.AsyncBaseTransport):
        def __init__(self, client: httpx.AsyncClient) -> None:
            self._client = client

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            request.stream = _body_type()(request.content)
            with _unlogged():
                return await self._client.send(
                    request, stream=True, follow_redirects=False
                )

        async def aclose(self) -> None:
            await self._client.aclose()

    return Proxying


@cache
def _body_type() -> "Callable[[bytes], httpx.AsyncByteStream]":
    """Return the body of a request as a class. httpx's own is a generator, which a
    request that is cancelled while it is sent leaves behind unfinished."""
    import httpx

    class Body(httpx.AsyncByteStream):
        def __init__(self, data: bytes) -> None:
            self._data = [data]

        def __aiter__(self) -> "Body":
            return self

        async def __anext__(self) -> bytes:
            if not self._data:
                raise StopAsyncIteration
            return self._data.pop()

    return Body


class _Chunks:
    """The bytes of one response, with httpx's errors in our words."""

    def __init__(self, response: "httpx.Response", target: Target) -> None:
        import httpx

        self._response = response
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self._bytes = aiter(response.stream)
        self._broken = httpx.HTTPError
        self._target = target
        self._begun = False
        self._seen = b""
        """What was looked at, and is yet to be read."""
        self._failed: ProviderError | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._seen:
            seen, self._seen = self._seen, b""
            return seen
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed
        self._begun = True
        try:
            return await anext(self._bytes)
        except self._broken as error:
            raise _fault_of(error, self._target, began=True) from error

    async def look(self) -> bytes:
        """Return the first bytes, if any come; they, and what fails, are read again."""
        seen = b""
        try:
            while len(seen) < _SIGHT:
                seen += await anext(self)
        except StopAsyncIteration:
            pass
        except ProviderError as error:
            self._failed = error
        self._seen = seen
        return seen

    async def drain(self) -> None:
        with anyio.move_on_after(DRAIN_TIMEOUT):
            try:
                async for _ in self:
                    pass
            except ProviderError:
                # The answer is complete; only its connection is lost.
                return

    async def aclose(self) -> None:
        """Give the connection back, or close it when more would come."""
        await self._response.aclose()
        if not self._begun:
            return
        # Below are generators within generators, each of which must end: reading on
        # from what is closed ends them all, from the inside out.
        try:
            async for _ in self:
                pass
        except ProviderError:
            return


class _Undivided:
    """An answer that came as JSON and not as a stream, as the events it would be."""

    def __init__(self, answers: list[bytes]) -> None:
        self._events = [b"data: %b\n\n" % one for one in reversed(answers)]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._events:
            raise StopAsyncIteration
        return self._events.pop()

    async def drain(self) -> None:
        """Nothing is left: it was read whole."""


async def _check(
    response: "httpx.Response", chunks: _Chunks, target: Target
) -> list[bytes] | None:
    """Return None when the answer is a stream, or at least does not deny it; or the
    answer itself, from a server that does not stream.

    Raises:
        ProviderError, CallRefusedError: it is no answer.
    """
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    packed = response.headers.get("content-encoding", "").strip().lower()
    if packed in ("", "identity"):
        packed = ""
    streamed = kind == target.accept or kind not in _NO_STREAM
    if response.status_code == 200 and streamed and not packed:
        return None
    sent = response.status_code == 200 and not packed and target.accept == EVENT_STREAM
    if sent and begins_events(await chunks.look()):
        # Some label their streams as what they would send without.
        return None
    headers: Mapping[str, str] = response.headers
    answered = response.status_code == 200 and kind == "application/json"
    most = MAX_EVENT_BYTES if answered else _MAX_BODY_BYTES
    raw, broken = (b"", None) if packed else await _bounded(chunks, most)
    if answered and (undivided := answers_in(raw)):
        return undivided
    if answered and (broken is not None or (len(raw) < most and is_cut(raw))):
        told = "the stream ended before the answer did"
        raise broken or ProviderError(
            "provider.stream_broken", target.provider, told, retryable=True
        )
    body = raw[:_MAX_BODY_BYTES].decode("utf-8", "replace")
    if response.status_code != 200:
        raise fault_of_answer(
            target.provider,
            response.status_code,
            headers,
            body,
            target.redact,
            target.trouble,
        )
    raise fault_of_no_stream(
        target.provider, f"packed as {packed}" if packed else kind, body, target.redact
    )


_NO_STREAM = frozenset(
    ("application/json", "application/x-ndjson", "text/html", "application/xml")
)


async def _bounded(chunks: _Chunks, most: int) -> tuple[bytes, ProviderError | None]:
    """Return that much of a body, or what came of it and why it broke off."""
    broken = None
    read = bytearray()
    try:
        async for chunk in chunks:
            read += chunk
            if len(read) >= most:
                break
    except ProviderError as error:
        # A status that is no success says more than the loss of its explanation.
        broken = error
    return bytes(read[:most]), broken


def _untrusted(error: BaseException) -> str | None:
    """Return what is wrong with a certificate, where that is why there is no
    connection; on trio the error itself says nothing."""
    import ssl

    below: BaseException | None = error
    while below is not None:
        if isinstance(below, ssl.SSLCertVerificationError):
            why = below.verify_message
            return f"its certificate is not trusted ({why}); SSL_CERT_FILE names others"
        below = below.__cause__ or below.__context__
    return None


def _fault_of(
    error: "httpx.HTTPError", target: Target, *, began: bool = False
) -> ProviderError:
    """Return what an error of the connection means."""
    import httpx

    fault: ProviderFault
    retryable = True
    told = target.redact.masked(str(error)) or type(error).__name__
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        fault, problem = (
            "provider.unreachable",
            f"no connection within {target.connect_timeout:g} seconds",
        )
    elif isinstance(error, httpx.ConnectError | httpx.ProxyError):
        told = _untrusted(error) or told
        fault, problem = "provider.unreachable", f"no connection: {told}"
    elif isinstance(error, httpx.ReadTimeout):
        fault, problem = (
            "provider.stream_broken",
            f"it was silent for {target.read_timeout:g} seconds",
        )
    elif isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        fault, problem = "provider.invalid_request", f"it cannot be asked: {told}"
        retryable = False
    elif began:
        fault, problem = "provider.stream_broken", f"the stream broke off: {told}"
    else:
        fault, problem = (
            "provider.stream_broken",
            f"the connection broke before an answer came: {told}",
        )
    return ProviderError(fault, target.provider, problem, retryable=retryable)
