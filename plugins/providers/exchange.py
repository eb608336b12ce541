"""Exchange: requests and answers over HTTP/1.1, on connections that are kept for more.

Owns the connections, and which of them carries a request. The heads of answers are
read by h11, which also checks those of requests, bodies by ``framing``, and the sockets
are anyio's. A client of httpx's does the same and more, for proxies, HTTP/2 and queues
for connections; all of that takes longer than half of a turn without it, and is wanted
of none here. Knows nothing of providers, nor of httpx (``through`` does).
"""

import os
import re
import select
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from ipaddress import IPv4Address
from time import monotonic
from typing import Any, NamedTuple, Protocol

import anyio
import h11
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSStream
from dovetail.kernel import Redactor

from .framing import Framing, UntilClosed, framing_of

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

_MOST_HEADS = 64
"""Heads of requests that are known to be sound, and sent again."""


# --- what goes wrong --------------------------------------------------------------


class ExchangeError(Exception):
    """Nothing was asked, or no answer came, or not all of one. The text says why, and
    quotes nothing of the request: it may hold a key."""


class UnsupportedProtocolError(ExchangeError):
    """An address leads to no server."""


class LocalProtocolError(ExchangeError):
    """A request cannot be sent as it is."""


class ConnectError(ExchangeError):
    """There is no connection."""


class ConnectTimeoutError(ExchangeError):
    """There was no connection in time."""


class WriteError(ExchangeError):
    """A request could not be sent whole."""


class WriteTimeoutError(ExchangeError):
    """A request was not taken in time."""


class ReadError(ExchangeError):
    """The connection broke before the end of an answer."""


class ReadTimeoutError(ExchangeError):
    """An answer was silent for too long."""


class RemoteProtocolError(ExchangeError):
    """What came is no answer, or no whole one."""


_Errors = Mapping[type[Exception], type[ExchangeError]]
_CONNECTING: _Errors = {
    TimeoutError: ConnectTimeoutError,
    ssl.SSLError: ConnectError,
    OSError: ConnectError,
    anyio.BrokenResourceError: ConnectError,
    anyio.EndOfStream: ConnectError,
}
_WRITING: _Errors = {
    TimeoutError: WriteTimeoutError,
    ssl.SSLError: WriteError,
    anyio.BrokenResourceError: WriteError,
    anyio.ClosedResourceError: WriteError,
    anyio.EndOfStream: WriteError,
}
_READING: _Errors = {
    TimeoutError: ReadTimeoutError,
    ssl.SSLError: ReadError,
    anyio.BrokenResourceError: ReadError,
    anyio.ClosedResourceError: ReadError,
}
_READ_FAILURES = tuple(_READING)
_WRITE_FAILURES = tuple(_WRITING)
_LEFT: tuple[type[Exception], ...] = (anyio.EndOfStream, *_READING)
_HUNG_UP = "it hung up without an answer"


# --- what is asked and answered ---------------------------------------------------


Origin = tuple[str, str, int]
Headers = tuple[tuple[str, str], ...]


class Address(NamedTuple):
    """Where a request goes, taken apart."""

    url: str
    origin: Origin
    host: bytes
    """What its header says."""
    target: bytes
    """What its first line says."""


def plain_address(url: str) -> Address | None:
    """Return what an address says that is written in the usual characters, or None for
    any other, of which httpx knows how it is meant."""
    found = _PLAIN.fullmatch(url)
    if found is None or "/." in found["path"]:
        return None
    scheme, host = found["scheme"], found["host"]
    port = int(found["port"] or PORTS[scheme])
    if host.replace(".", "").isdigit():
        try:
            IPv4Address(host)
        except ValueError:
            return None
    named = host if port == PORTS[scheme] else f"{host}:{port}"
    target = (found["path"] or "/") + (found["query"] or "")
    return Address(url, (scheme, host, port), named.encode(), target.encode())


_PLAIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)"
    r"(?::(?P<port>[1-9]\d{0,4}))?"
    r"(?P<path>(?:/(?:[\w.~/:@!$*+,;=-]|%[0-9A-Fa-f]{2})*)?)"
    r"(?P<query>(?:\?(?:[\w.~/:@!$*+,;=&-]|%[0-9A-Fa-f]{2})*)?)",
    re.ASCII,
)


class Limits(NamedTuple):
    """Seconds in which something must happen; None: any."""

    connect: float | None = None
    read: float | None = None
    write: float | None = None


class Asked(NamedTuple):
    """One request."""

    method: bytes
    address: Address
    headers: Headers
    """The host and those of its framing are not among them: they follow from it."""
    content: bytes
    limits: Limits = Limits()
    redact: Redactor | None = None
    """What hides its secrets, for whoever writes it down."""


class Answer(Protocol):
    """The head of an answer, and its body piece by piece; it is to be closed."""

    status: int

    @property
    def headers(self) -> Mapping[str, str]:
        """By their names in small letters; several of a name are one."""
        ...

    @property
    def ended(self) -> bool:
        """Whether nothing is left to be read or closed."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes: ...

    async def aclose(self) -> None:
        """Give the connection back, or close it when more would come."""
        ...


# --- the connections --------------------------------------------------------------


class Exchange:
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
        self._heads: dict[tuple[bytes, Address, Headers], _Head] = {}
        self._closed = False

    def __repr__(self) -> str:
        kept = sum(map(len, self._kept.values()))
        return f"<Exchange: {len(self._used)} connections used, {kept} kept>"

    async def ask(self, asked: Asked) -> "_Answer":
        """Send a request, and return its answer once its head is there.

        Raises:
            ExchangeError: there is no connection, or no answer came on it.
        """
        origin, limits = asked.address.origin, asked.limits
        if origin[0] not in PORTS or not origin[1]:
            raise UnsupportedProtocolError(
                f"{origin[0] or 'nothing'}:// leads to no server; begin with https://"
            )
        head = self._head(asked)
        connection = await self._idle(origin)
        if connection is None:
            stream = await self._connected(origin, limits.connect)
            connection = _Connection(origin, stream)
            if self._closed:
                # Nobody could end what is asked from here on.
                await connection.aclose()
                raise ConnectError("it was closed meanwhile")
        self._used.add(connection)
        try:
            answered = await connection.ask(head, asked.content, limits)
        except BaseException:
            await self.let_go(connection)
            raise
        return _Answer(self, connection, answered, limits.read)

    def _head(self, asked: Asked) -> "_Head":
        """Return the head of a request, which is looked at once: a model is asked the
        same way again and again."""
        known = asked.method, asked.address, asked.headers
        head = self._heads.get(known)
        if head is None:
            head = _Head.of(asked)
            if head is None:
                raise LocalProtocolError("a header or the address is malformed")
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            self._heads[known] = head
        return head

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
        with _connecting(limit):
            stream: ByteStream = await anyio.connect_tcp(host, port)
        if scheme == "http":
            return stream
        try:
            with _connecting(limit):
                return await TLSStream.wrap(
                    _Below(stream),
                    ssl_context=self._trusted,
                    hostname=host,
                    server_side=False,
                    standard_compatible=False,
                )
        except BaseException:
            await anyio.aclose_forcefully(stream)
            raise


class _Head(NamedTuple):
    """The head of a request, but for the length of what follows it."""

    request: h11.Request
    """As h11 has it, with nothing to follow."""
    written: bytes

    @classmethod
    def of(cls, asked: Asked) -> "_Head | None":
        """Return one, or None where it cannot be sent; which part of it h11 refused is
        not told: it may be a key."""
        try:
            headers = [
                (name.encode("ascii"), value.encode("ascii"))
                for name, value in asked.headers
                if name.lower() not in _FRAMING
            ]
            request = h11.Request(
                method=asked.method,
                target=asked.address.target,
                headers=[(b"Host", asked.address.host), *headers, (_LENGTH, b"0")],
            )
            written = h11.Connection(h11.CLIENT).send(request)
        except (h11.LocalProtocolError, UnicodeEncodeError):
            return None
        assert written is not None
        return cls(request, written.removesuffix(b"0\r\n\r\n"))


_LENGTH = b"Content-Length"
_FRAMING = ("host", "content-length", "transfer-encoding")


class _Connection:
    """One connection, which carries one request at a time."""

    def __init__(self, origin: Origin, stream: ByteStream) -> None:
        self.origin = origin
        self.since = 0.0
        """When its last answer was at its end."""
        self._broken = False
        self._heard = 0
        """Bytes of the answer that came while the request was sent."""
        self._stream = stream
        self._socket: Any = stream.extra(SocketAttribute.raw_socket)
        self._encrypted: Any = stream.extra(TLSAttribute.ssl_object, None)
        # Of the request that it carries: whoever reads the head of its answer, and the
        # body that comes after it.
        self._http = h11.Connection(h11.CLIENT)
        self._body: Framing | None = None
        self._rest = b""
        """What came of the body together with its head."""

    async def ask(self, head: _Head, content: bytes, limits: Limits) -> h11.Response:
        """Send a request and return the head of its answer."""
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._http.send(head.request)
        self._http.send(h11.EndOfMessage())
        self._heard, self._body = 0, None
        parts = [b"%b%d\r\n\r\n" % (head.written, len(content)), content]
        read = limits.read
        try:
            await self._sent(parts, limits.write)
        except WriteError:
            # Who will not hear all of it may have answered before it hung up.
            self._broken = True
        except WriteTimeoutError:
            if not self._heard:
                raise
            self._broken = True
            # The rest of the head may come, and is not waited for without an end.
            read = limits.write
        answered = await self._answered(read)
        self._body = framing_of(answered.status_code, dict(answered.headers))
        self._rest = self._http.trailing_data[0]
        return answered

    async def _sent(self, parts: list[bytes], limit: float | None) -> None:
        try:
            with anyio.move_on_after(limit) as scope:
                if len(parts[1]) > LONG:
                    await self._send_and_hear(parts)
                else:
                    for part in _together(parts):
                        await self._stream.send(part)
        except _WRITE_FAILURES as error:
            raise _meant(error, _WRITING) from error
        if scope.cancelled_caught:
            raise WriteTimeoutError("it was not taken")

    async def _send_and_hear(self, parts: list[bytes]) -> None:
        """Send what is long, and hear meanwhile: who refuses it answers and hangs up,
        and a system throws away what was not heard when the sending fails."""
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._hear)
            try:
                for part in parts:
                    await self._stream.send(part)
            except _WRITE_FAILURES as error:
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

    async def _answered(self, limit: float | None) -> h11.Response:
        """Return the head of the answer; others may come before it."""
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise RemoteProtocolError(str(error)) from error
            if isinstance(event, h11.Response):
                return event
            if event is h11.NEED_DATA:
                data = await self._received(limit)
                if not data:
                    raise RemoteProtocolError(_HUNG_UP)
                self._http.receive_data(data)
            elif not isinstance(event, h11.InformationalResponse):
                raise RemoteProtocolError(_HUNG_UP)

    async def _received(self, limit: float | None) -> bytes:
        """Return what comes next; nothing at the end. ``limit`` is in seconds."""
        try:
            with anyio.move_on_after(limit):
                return await self._stream.receive(READ_AT_ONCE)
        except anyio.EndOfStream:
            return b""
        except _READ_FAILURES as error:
            raise _meant(error, _READING) from error
        raise ReadTimeoutError("nothing came")

    async def piece(self, limit: float | None) -> tuple[bytes, bool]:
        """Return what is there of a body, and whether its end is: a model's words come
        in many small pieces, often several at once. ``limit`` is for each time that
        nothing is there, in seconds."""
        body = self._body
        assert body is not None, "its head was read"
        while True:
            if body.problem is not None:
                # After what came before it.
                raise RemoteProtocolError(body.problem)
            if body.ended:
                return b"", True
            data, self._rest = self._rest, b""
            if not data:
                data = await self._received(limit)
                if not data:
                    body.close()
                    continue
            piece = body.read(data)
            if piece:
                return piece, body.ended

    def is_done(self) -> bool:
        """Say whether it can carry another request, and since when."""
        body = self._body
        # What came beyond an answer would be taken for the beginning of the next, and
        # after a head that says so, or a body that says nothing of its end, none comes.
        if (
            self._broken
            or body is None
            or not body.ended
            or body.beyond
            or self._rest
            or isinstance(body, UntilClosed)
            or self._http.our_state is not h11.DONE
        ):
            return False
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
        if self._encrypted is None:
            return False
        try:
            self._encrypted.read(1)
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:
            return True
        return True

    async def aclose(self) -> None:
        """Close it, also where the caller is cancelled. Twice is once."""
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()


class _Below(ByteStream):
    """A connection below an encryption, which asks for less than asyncio may take from
    a socket: anyio would keep the rest out of sight here too."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def receive(self, max_bytes: int = READ_AT_ONCE) -> bytes:
        """Return what comes next, as much as is there."""
        return await self._stream.receive(READ_AT_ONCE)

    async def send(self, item: bytes) -> None:
        """Send these bytes."""
        await self._stream.send(item)

    async def send_eof(self) -> None:
        """Send no more."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """What is below as well."""
        return self._stream.extra_attributes


class _Answer:
    """An answer, and with the end of its body the end of its connection's use."""

    def __init__(
        self,
        exchange: Exchange,
        connection: _Connection,
        head: h11.Response,
        limit: float | None,
    ) -> None:
        self.status = head.status_code
        self.head = head
        """As h11 read it."""
        self._exchange = exchange
        self._connection: _Connection | None = connection
        self._limit = limit

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """By their names in small letters; several of a name are one."""
        found: dict[str, str] = {}
        for raw_name, raw_value in self.head.headers:
            name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
            found[name] = f"{found[name]}, {value}" if name in found else value
        return found

    @property
    def ended(self) -> bool:
        """Whether nothing is left to be read or closed."""
        return self._connection is None

    def __aiter__(self) -> AsyncIterator[bytes]:
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
        """Give the connection back, or close it when more would come."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._exchange.let_go(connection)


def _together(parts: list[bytes]) -> list[bytes]:
    """Return what is to be sent at once: a long conversation is not copied for that."""
    return parts if sum(map(len, parts)) > COPIED else [b"".join(parts)]


@contextmanager
def _connecting(limit: float | None) -> Iterator[None]:
    try:
        with anyio.fail_after(limit):
            yield
    except tuple(_CONNECTING) as error:
        raise _meant(error, _CONNECTING) from error


def _meant(error: Exception, errors: _Errors) -> ExchangeError:
    """Return what an error means at this point of an exchange."""
    kind = next(errors[one] for one in errors if isinstance(error, one))
    return kind(_reason(error))


def _reason(error: Exception) -> str:
    """Return what went wrong, which anyio has below its own errors."""
    below = error.__cause__
    # Those of names and of encryption have numbers of their own, and say what is wrong.
    numbered = not isinstance(below, ssl.SSLError | socket.gaierror)
    if isinstance(below, OSError) and below.errno and numbered:
        return os.strerror(below.errno)
    return "it hung up" if isinstance(error, anyio.EndOfStream) else str(error)


def _is_readable(descriptor: int) -> bool:
    if not hasattr(select, "poll"):
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
