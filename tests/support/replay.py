"""A loopback HTTP server that answers with scripted bytes, and remembers the questions.

Runs on asyncio and trio. Give it one Answer per expected request, or a function from
a Request to its Answer. By default a test fails when a request comes that nothing was
scripted for, or when an answer was never asked for::

    async with serve(Answer(sse(b"..."))) as server:
        ...  # talk to server.url
    assert server.requests[0].json()["model"] == "m"
"""

import json
import socket
import struct
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import h11
from anyio.abc import SocketAttribute, SocketStream
from attrs import define, field, frozen

EVENT_STREAM = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}


@frozen
class Answer:
    """One scripted response."""

    body: bytes | Sequence[bytes] = b""
    """The bytes, or the pieces that they are sent in."""
    status: int = 200
    headers: Mapping[str, str] = field(factory=lambda: EVENT_STREAM)
    piece: int | None = None
    """Cut the body into pieces of this many bytes."""
    end: str = "whole"
    """``whole``: the response is complete. ``cut``: the connection closes without the
    end of the body. ``reset``: the same, rudely. ``silent``: nothing more comes until
    ``released`` is set, and then the end."""
    before: anyio.Event | None = None
    """Nothing is answered before this is set."""
    released: anyio.Event | None = None

    def pieces(self) -> Iterable[bytes]:
        """Return what is sent, piece by piece."""
        if not isinstance(self.body, bytes):
            return self.body
        if self.piece is None:
            return [self.body] if self.body else []
        return [
            self.body[at : at + self.piece]
            for at in range(0, len(self.body), self.piece)
        ]


@frozen
class Request:
    """One request as it came."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the decoded body."""
        return json.loads(self.body)


@define
class Replay:
    """A running server."""

    url: str
    """``http://127.0.0.1:port``"""
    requests: list[Request] = field(factory=list)
    unexpected: list[Request] = field(factory=list)
    connections: int = 0
    """How many connections were opened so far."""
    gone: anyio.Event = field(factory=anyio.Event)
    """Set when a client left before its answer was complete."""


def sse(*events: Any) -> bytes:
    """Return the bytes of an event stream: a ``str`` or ``bytes`` is data as it is,
    anything else is sent as JSON under its own ``type``, if it has one."""
    out = bytearray()
    for event in events:
        if isinstance(event, str):
            data = event.encode()
        elif isinstance(event, bytes):
            data = event
        else:
            data = json.dumps(event, separators=(",", ":")).encode()
            if isinstance(event, dict) and isinstance(event.get("type"), str):
                out += b"event: " + event["type"].encode() + b"\n"
        out += b"data: " + data + b"\n\n"
    return bytes(out)


@asynccontextmanager
async def serve(
    *answers: Answer | Callable[[Request], Answer], strict: bool = True
) -> AsyncGenerator[Replay, None]:
    """Serve the answers in order on a free port of this machine.

    A function as the last answer answers everything that is left.
    """
    waiting = list(answers)
    forever = waiting.pop() if waiting and callable(waiting[-1]) else None

    def next_answer(request: Request) -> Answer:
        server.requests.append(request)
        if waiting:
            chosen = waiting.pop(0)
        elif forever is not None:
            chosen = forever
        else:
            server.unexpected.append(request)
            return Answer(b"nothing is scripted for this", 500, {})
        return chosen(request) if callable(chosen) else chosen

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    server = Replay(f"http://127.0.0.1:{port}")

    async def talk(stream: SocketStream) -> None:
        server.connections += 1
        try:
            async with stream:
                await _Conversation(stream, server, next_answer).run()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            server.gone.set()
        except h11.RemoteProtocolError:
            # Someone speaks TLS or worse: hang up, as servers do.
            server.gone.set()

    failure: Exception | None = None
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, talk)
        try:
            yield server
        except Exception as error:
            # Raised below, so that a test sees it without the group around it.
            failure = error
        finally:
            tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if strict:
        assert not server.unexpected, f"unexpected: {server.unexpected[0].target}"
        assert not waiting, f"{len(waiting)} answers were never asked for"


class _Conversation:
    """Everything that is said over one connection."""

    def __init__(
        self,
        stream: SocketStream,
        server: Replay,
        next_answer: Callable[[Request], Answer],
    ) -> None:
        self._stream = stream
        self._server = server
        self._next = next_answer
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        while True:
            request = await self._request()
            if request is None:
                return
            if not await self._answer(self._next(request)):
                return
            if self._http.our_state is h11.MUST_CLOSE:
                return
            self._http.start_next_cycle()

    async def _event(self) -> Any:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            try:
                data = await self._stream.receive()
            except anyio.EndOfStream:
                data = b""
            self._http.receive_data(data)

    async def _request(self) -> Request | None:
        head, body = None, bytearray()
        while True:
            event = await self._event()
            if isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                headers = {k.decode(): v.decode("latin-1") for k, v in head.headers}
                return Request(
                    head.method.decode(), head.target.decode(), headers, bytes(body)
                )
            else:
                return None

    async def _send(self, event: Any) -> None:
        data = self._http.send(event)
        if data:
            await self._stream.send(data)

    async def _answer(self, answer: Answer) -> bool:
        """Send one answer and say whether the connection can go on."""
        if answer.before is not None:
            await answer.before.wait()
        headers = list(answer.headers.items())
        if not any(name.lower() == "content-length" for name, _ in headers):
            headers.append(("transfer-encoding", "chunked"))
        await self._send(h11.Response(status_code=answer.status, headers=headers))
        for piece in answer.pieces():
            await self._send(h11.Data(data=piece))
        if answer.end == "silent":
            assert answer.released is not None
            await self._until_released_or_gone(answer.released)
        if answer.end == "reset":
            raw = self._stream.extra(SocketAttribute.raw_socket)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if answer.end in ("cut", "reset"):
            return False
        await self._send(h11.EndOfMessage())
        return True

    async def _until_released_or_gone(self, released: anyio.Event) -> None:
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                try:
                    await self._stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    self._server.gone.set()
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            await released.wait()
            tasks.cancel_scope.cancel()
