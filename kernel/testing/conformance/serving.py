"""Serving: a service on loopback that answers as it is told, byte for byte.

Owns as much of HTTP/1.1 as a client needs that is to be watched: which requests came,
and which connections are still open. Knows nothing of what the bytes mean. For checks
only: what it reads is not defended against.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from attrs import define, field, frozen

MAX_HEAD = 256 * 1024
MAX_BODY = 64 * 1024 * 1024


_GONE = (
    anyio.BrokenResourceError,
    anyio.DelimiterNotFound,
    anyio.EndOfStream,
    anyio.IncompleteRead,
    ValueError,
)


@frozen
class Wire:
    """One answer as it goes over the wire."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)
    piece: int | None = None
    """Send the body in pieces of this many bytes; None means all at once."""
    end: str = "whole"
    """``whole``, or ``cut``: the connection closes before the end of the body, or
    ``silent``: nothing more comes until the other side leaves, or ``none``: the
    connection closes without any answer."""

    def pieces(self) -> Iterator[bytes]:
        """Return what is sent, piece by piece."""
        size = self.piece or max(1, len(self.body))
        for at in range(0, len(self.body), size):
            yield self.body[at : at + size]


@frozen
class Sent:
    """One request as it came."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes


@define(eq=False)
class Service:
    """A running service. What it answers next is in ``answer``."""

    url: str
    """``http://127.0.0.1:PORT``"""
    answer: Wire = field(factory=Wire)
    echo: bool = False
    """Put the headers of the request in front of the answer's body."""
    requests: list[Sent] = field(factory=list)
    answering: int = 0
    """How many answers are on their way."""
    connections: int = 0
    """How many connections are open."""
    _changed: anyio.Event = field(factory=anyio.Event)

    async def left(self, seconds: float) -> bool:
        """Wait until no answer is on its way; return whether that came in time."""
        with anyio.move_on_after(seconds):
            while self.answering:
                await self._changed.wait()
        return not self.answering

    async def idle(self, seconds: float) -> bool:
        """Wait until no connection is open; return whether that came in time."""
        with anyio.move_on_after(seconds):
            while self.connections:
                await self._changed.wait()
        return not self.connections

    def _change(self, *, answering: int = 0, connections: int = 0) -> None:
        self.answering += answering
        self.connections += connections
        self._changed.set()
        self._changed = anyio.Event()

    async def _talk(self, stream: SocketStream) -> None:
        self._change(connections=1)
        try:
            async with stream:
                await _Conversation(self, stream).run()
        except _GONE:
            # The other side left, or speaks no HTTP: hang up.
            return
        finally:
            self._change(connections=-1)


@asynccontextmanager
async def serving() -> AsyncIterator[Service]:
    """Serve on a free port of this machine until the block is left."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    service = Service(f"http://127.0.0.1:{port}")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, service._talk)
        yield service
        tasks.cancel_scope.cancel()


class _Conversation:
    """Everything that is said over one connection."""

    def __init__(self, service: Service, stream: SocketStream) -> None:
        self._service = service
        self._stream = stream
        self._incoming = BufferedByteReceiveStream(stream)

    async def run(self) -> None:
        """Answer request after request, until the other side leaves."""
        while True:
            request = await self._request()
            service = self._service
            service.requests.append(request)
            service._change(answering=1)
            try:
                if not await self._answer(service.answer, request):
                    return
            finally:
                service._change(answering=-1)

    async def _request(self) -> Sent:
        head = await self._incoming.receive_until(b"\r\n\r\n", MAX_HEAD)
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = f"{first}  ".split(" ", 2)
        headers = []
        for line in lines:
            name, _, value = line.partition(":")
            headers.append((name.strip().lower(), value.strip()))
        named = dict(headers)
        if named.get("expect"):
            await self._stream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if named.get("transfer-encoding"):
            body = await self._chunks()
        else:
            size = min(int(named.get("content-length", "0")), MAX_BODY)
            body = await self._incoming.receive_exactly(size) if size else b""
        return Sent(method, target, headers, body)

    async def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            line = await self._incoming.receive_until(b"\r\n", MAX_HEAD)
            size = int(line.partition(b";")[0], 16)
            body += (await self._incoming.receive_exactly(size + 2))[:size]
            if not size:
                return bytes(body)

    async def _answer(self, wire: Wire, request: Sent) -> bool:
        """Send one answer and say whether the connection can go on."""
        if wire.end == "none":
            return False
        headers = {**wire.headers, "transfer-encoding": "chunked"}
        head = [f"HTTP/1.1 {wire.status} Answer"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        await self._stream.send("\r\n".join([*head, "", ""]).encode("latin-1"))
        if self._service.echo:
            said = "; ".join(f"{name}: {value}" for name, value in request.headers)
            await self._send(said.encode("latin-1"))
        for piece in wire.pieces():
            await self._send(piece)
        if wire.end == "silent":
            await self._stream.receive()
        if wire.end != "whole":
            return False
        await self._stream.send(b"0\r\n\r\n")
        return True

    async def _send(self, piece: bytes) -> None:
        if piece:
            await self._stream.send(b"%x\r\n%s\r\n" % (len(piece), piece))
