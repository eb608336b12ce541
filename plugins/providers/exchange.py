"""Exchange: requests and answers over HTTP/1.1, on connections that are kept for more.

Owns the connections, and which of them carries a request. What is said on them is
h11's, the sockets are anyio's, and to the outside it is a transport as httpx has them:
its requests, answers and errors. httpx's own does the same and more, for proxies,
HTTP/2 and queues for connections; all of that takes as long as two fifths of a request,
and is wanted of none here. Knows nothing of providers.
"""

import os
import select
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any

import anyio
import h11
import httpx
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSStream

MOST_KEPT = 32
"""Connections that wait for another request."""
KEPT_FOR = 60.0
"""Seconds for which they do."""
READ_AT_ONCE = 256 * 1024
"""Bytes; as many as asyncio takes from a socket at once. Of more than was asked for
anyio would keep the rest where nobody sees it, and the next request would be answered
with it."""
COPIED = 16 * 1024
"""Bytes of a request that are put together, so that they arrive together."""
LONG = 64 * 1024
"""Bytes of a request that may be answered before all of it is taken: fewer fit where
systems keep what is on its way."""
MAX_HEAD = 100 * 1024
"""Bytes of the head of an answer, or of a line between two pieces of its body."""
PORTS = {"http": 80, "https": 443}

_Errors = Mapping[type[Exception], type[httpx.TransportError]]
_CONNECTING: _Errors = {
    TimeoutError: httpx.ConnectTimeout,
    ssl.SSLError: httpx.ConnectError,
    OSError: httpx.ConnectError,
    anyio.BrokenResourceError: httpx.ConnectError,
    anyio.EndOfStream: httpx.ConnectError,
}
_WRITING: _Errors = {
    TimeoutError: httpx.WriteTimeout,
    ssl.SSLError: httpx.WriteError,
    anyio.BrokenResourceError: httpx.WriteError,
    anyio.ClosedResourceError: httpx.WriteError,
    anyio.EndOfStream: httpx.WriteError,
}
_READING: _Errors = {
    TimeoutError: httpx.ReadTimeout,
    ssl.SSLError: httpx.ReadError,
    anyio.BrokenResourceError: httpx.ReadError,
    anyio.ClosedResourceError: httpx.ReadError,
}
_LEFT: tuple[type[Exception], ...] = (anyio.EndOfStream, *_READING)

Origin = tuple[str, str, int]


class Exchange(httpx.AsyncBaseTransport):
    """Sends each request on a connection of its own, new or kept.

    There are as many connections as there are requests at a time. Whatever ends a
    request before the end of its answer ends its connection.
    """

    def __init__(self, trusted: ssl.SSLContext) -> None:
        """``trusted`` says whom an encrypted connection is made to."""
        trusted.set_alpn_protocols(["http/1.1"])
        self._trusted = trusted
        # By where they lead to; the one that was used last is taken first.
        self._kept: dict[Origin, list[_Connection]] = {}
        self._used: set[_Connection] = set()
        self._closed = False

    def __repr__(self) -> str:
        kept = sum(map(len, self._kept.values()))
        return f"<Exchange: {len(self._used)} connections used, {kept} kept>"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return its answer once its head is there.

        Raises:
            httpx.TransportError: there is no connection, or no answer came on it.
        """
        origin = _origin(request.url)
        limits = request.extensions.get("timeout", {})
        connection = await self._idle(origin)
        if connection is None:
            stream = await self._connected(origin, limits.get("connect"))
            connection = _Connection(origin, stream)
            if self._closed:
                # Nobody could end what is asked from here on.
                await connection.aclose()
                raise httpx.ConnectError("it was closed meanwhile")
        self._used.add(connection)
        try:
            head = await connection.ask(request, limits)
        except BaseException:
            await self.let_go(connection)
            raise
        return httpx.Response(
            head.status_code,
            headers=head.headers.raw_items(),
            stream=_Body(self, connection, limits.get("read")),
            extensions={
                "http_version": b"HTTP/" + head.http_version,
                "reason_phrase": head.reason,
            },
        )

    async def let_go(self, connection: "_Connection") -> None:
        """Keep a connection whose answer is at its end, and close any other, with those
        that were kept for too long or are too many."""
        self._used.discard(connection)
        if self._closed or not connection.is_done():
            await connection.aclose()
            return
        self._kept.setdefault(connection.origin, []).append(connection)
        while self._kept:
            longest = min(self._kept, key=lambda one: self._kept[one][0].since)
            many = sum(map(len, self._kept.values())) > MOST_KEPT
            if not many and not self._kept[longest][0].is_old():
                return
            await self._taken(longest, 0).aclose()

    async def aclose(self) -> None:
        """Close all connections. Closing twice is harmless."""
        self._closed = True
        every = [*self._used]
        for kept in self._kept.values():
            every += kept
        self._used.clear()
        self._kept.clear()
        for connection in every:
            await connection.aclose()

    def _taken(self, origin: Origin, at: int) -> "_Connection":
        waiting = self._kept[origin]
        connection = waiting.pop(at)
        if not waiting:
            del self._kept[origin]
        return connection

    async def _idle(self, origin: Origin) -> "_Connection | None":
        """Return a connection that can carry another request, and close those that the
        other end has left, or that were kept for too long."""
        while origin in self._kept:
            connection = self._taken(origin, -1)
            if connection.is_usable():
                return connection
            await connection.aclose()
        return None

    async def _connected(self, origin: Origin, limit: float | None) -> ByteStream:
        scheme, host, port = origin
        with _meaning(_CONNECTING), anyio.fail_after(limit):
            stream: ByteStream = await anyio.connect_tcp(host, port)
        if scheme == "http":
            return stream
        try:
            with _meaning(_CONNECTING), anyio.fail_after(limit):
                return await TLSStream.wrap(
                    stream,
                    ssl_context=self._trusted,
                    hostname=host,
                    server_side=False,
                    standard_compatible=False,
                )
        except BaseException:
            await anyio.aclose_forcefully(stream)
            raise


class _Connection:
    """One connection, which carries one request at a time."""

    def __init__(self, origin: Origin, stream: ByteStream) -> None:
        self.origin = origin
        self.since = 0.0
        """When its last answer was at its end."""
        self._broken = False
        self._heard = 0
        """Bytes of the answer that came while the request was sent."""
        self._failure: httpx.RemoteProtocolError | None = None
        self._stream = stream
        self._socket: Any = stream.extra(SocketAttribute.raw_socket)
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)

    async def ask(
        self, request: httpx.Request, limits: Mapping[str, float | None]
    ) -> h11.Response:
        """Send a request and return the head of its answer."""
        parts = self._written(request)
        if parts is None:
            raise httpx.LocalProtocolError("a header or the address is malformed")
        self._heard = 0
        try:
            with _meaning(_WRITING), _within(limits.get("write")):
                if len(request.content) > LONG:
                    await self._send_and_hear(parts)
                else:
                    for part in _together(parts):
                        await self._stream.send(part)
        except httpx.WriteError:
            # Who will not hear all of it may have answered before it hung up.
            self._broken = True
        except httpx.WriteTimeout:
            if not self._heard:
                raise
            self._broken = True
            # The rest of the head may come, and is not waited for without an end.
            limits = {**limits, "read": limits.get("write")}
        while True:
            event = await self.event(limits.get("read"))
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise httpx.RemoteProtocolError(
                    "Server disconnected without sending a response."
                )

    async def _send_and_hear(self, parts: list[bytes]) -> None:
        """Send what is long, and hear meanwhile: who refuses it answers and hangs up,
        and a system throws away what was not heard when the sending fails."""
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._hear)
            try:
                for part in parts:
                    await self._stream.send(part)
            except tuple(_WRITING) as error:
                failure = error
            finally:
                tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _hear(self) -> None:
        try:
            while self._heard < READ_AT_ONCE:
                data = await self._stream.receive(READ_AT_ONCE)
                self._http.receive_data(data)
                self._heard += len(data)
        except _LEFT:
            return  # whoever reads the answer is told the same

    def _written(self, request: httpx.Request) -> list[bytes] | None:
        """Return a request as it is sent, or None where it cannot be; which part of it
        h11 refused is not told: it may be a key."""
        try:
            asked = h11.Request(
                method=request.method,
                target=request.url.raw_path,
                headers=request.headers.raw,
            )
            parts = [self._http.send(asked)]
            if request.content:
                parts.append(self._http.send(h11.Data(data=request.content)))
            parts.append(self._http.send(h11.EndOfMessage()))
        except h11.LocalProtocolError:
            return None
        return [part for part in parts if part]

    async def event(self, limit: float | None) -> object:
        """Return what h11 makes of what comes next of an answer; ``limit`` is for each
        time that nothing is there, in seconds."""
        while (event := self._next()) is h11.NEED_DATA:
            with _meaning(_READING), _within(limit):
                try:
                    data = await self._stream.receive(READ_AT_ONCE)
                except anyio.EndOfStream:
                    data = b""
            if not data and self._http.their_state is h11.SEND_RESPONSE:
                raise httpx.RemoteProtocolError(
                    "Server disconnected without sending a response."
                )
            self._http.receive_data(data)
        return event

    async def piece(self, limit: float | None) -> tuple[bytes, bool]:
        """Return what is there of a body, and whether its end is: a model's words come
        in many small pieces, often several at once."""
        if self._failure is not None:
            raise self._failure
        event = await self.event(limit)
        found: list[bytes] = []
        while isinstance(event, h11.Data):
            found.append(bytes(event.data))
            try:
                event = self._next()
            except httpx.RemoteProtocolError as error:
                # What came before it comes first.
                self._failure = error
                break
        ended = event is h11.PAUSED or isinstance(event, h11.EndOfMessage)
        return b"".join(found), ended

    def _next(self) -> object:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error

    def is_done(self) -> bool:
        """Say whether it can carry another request, and prepare it for that."""
        http = self._http
        # What came beyond an answer would be taken for the beginning of the next.
        if (
            self._broken
            or http.our_state is not h11.DONE
            or http.their_state is not h11.DONE
            or http.trailing_data[0]
        ):
            return False
        http.start_next_cycle()
        self.since = monotonic()
        return True

    def is_usable(self) -> bool:
        """Say whether it may still be used. Whoever has nothing to say and is readable
        has hung up, or is out of step."""
        if self.is_old() or self._socket.fileno() < 0:
            return False
        return not _is_readable(self._socket.fileno()) and not self._holds_more()

    def is_old(self) -> bool:
        """Say whether it was kept for too long."""
        return monotonic() - self.since > KEPT_FOR

    def _holds_more(self) -> bool:
        """Say whether more arrived with what was decrypted last: more of an answer, or
        that it was the last one. The socket tells nothing of it."""
        encrypted = self._stream.extra(TLSAttribute.ssl_object, None)
        if encrypted is None:
            return False
        try:
            encrypted.read(1)
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:
            return True
        return True

    async def aclose(self) -> None:
        """Close it, also where the caller is cancelled. Twice is once."""
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()


class _Body(httpx.AsyncByteStream):
    """The body of an answer, and with its end the end of its connection's use."""

    def __init__(
        self, exchange: Exchange, connection: _Connection, limit: float | None
    ) -> None:
        self._exchange = exchange
        self._connection: _Connection | None = connection
        self._limit = limit

    def __aiter__(self) -> "_Body":
        return self

    async def __anext__(self) -> bytes:
        if self._connection is None:
            raise StopAsyncIteration
        try:
            piece, ended = await self._connection.piece(self._limit)
        except BaseException:
            await self.aclose()
            raise
        if ended:
            # At once: whoever reads on would wait for the next answer.
            await self.aclose()
            if not piece:
                raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._exchange.let_go(connection)


def _together(parts: list[bytes]) -> list[bytes]:
    """Return what is to be sent at once: a long conversation is not copied for that."""
    return parts if sum(map(len, parts)) > COPIED else [b"".join(parts)]


def _origin(url: httpx.URL) -> Origin:
    if url.scheme not in PORTS or not url.host:
        raise httpx.UnsupportedProtocol(
            f"{url.scheme or 'nothing'}:// leads to no server; begin with https://"
        )
    port = url.port or PORTS[url.scheme]
    return url.scheme, url.raw_host.decode("ascii"), port


@contextmanager
def _meaning(errors: _Errors) -> Iterator[None]:
    """Raise what an error means to whoever knows httpx."""
    try:
        yield
    except tuple(errors) as error:
        kind = next(errors[one] for one in errors if isinstance(error, one))
        raise kind(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Return what went wrong, which anyio has below its own errors."""
    below = error.__cause__
    # Those of names and of encryption have numbers of their own, and say what is wrong.
    numbered = not isinstance(below, ssl.SSLError | socket.gaierror)
    if isinstance(below, OSError) and below.errno and numbered:
        return os.strerror(below.errno)
    return "it hung up" if isinstance(error, anyio.EndOfStream) else str(error)


@contextmanager
def _within(seconds: float | None) -> Iterator[None]:
    if seconds is None:
        yield
        return
    with anyio.fail_after(seconds):
        yield


def _is_readable(descriptor: int) -> bool:
    if not hasattr(select, "poll"):
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
