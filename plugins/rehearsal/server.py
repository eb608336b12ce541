"""The server: HTTP/1.1 on loopback, as much of it as a model's endpoint has.

Owns connections, limits and the three paths. Does not know what is said. Everything
that comes in is bounded: heads, bodies, idle time and the number of connections.
"""

import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import anyio
import h11
from anyio.abc import ByteStream, SocketAttribute

from . import chat
from .policy import decide

MAX_HEAD = 64 * 1024
MAX_BODY = 16 * 1024 * 1024
MAX_CONNECTIONS = 64
IDLE_SECONDS = 60.0

_READ = 64 * 1024

_log = logging.getLogger(__name__)


class RehearsalServer:
    """A running rehearsal. ``base_url`` is what a provider's base URL is set to."""

    def __init__(self, port: int, pace: float = 0.0) -> None:
        self.port = port
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self.model = chat.MODEL
        self.requests = 0
        """Completions asked for so far, refused ones included."""
        self._pace = pace
        self._numbers = count(1)
        # One connection more waits, unread, until a place is free.
        self._places = anyio.CapacityLimiter(MAX_CONNECTIONS)

    def __repr__(self) -> str:
        return f"<RehearsalServer {self.base_url} requests={self.requests}>"

    async def converse(self, stream: ByteStream) -> None:
        """Serve one connection until it ends, goes idle or breaks the protocol."""
        async with self._places, stream:
            try:
                await self._requests(_Exchange(stream))
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                # The other side left: there is nobody to tell.
                return

    async def _requests(self, exchange: "_Exchange") -> None:
        while True:
            try:
                request = await exchange.next_request()
                if request is None:
                    return
                await self._answer(exchange, *request)
            except h11.RemoteProtocolError as error:
                await exchange.refuse(error.error_status_hint or 400, str(error))
                return
            except _TooLarge:
                problem = f"the body is larger than {MAX_BODY} bytes"
                await exchange.refuse(413, problem)
                return
            if not exchange.again():
                return

    async def _answer(
        self, exchange: "_Exchange", head: h11.Request, body: bytes
    ) -> None:
        path = head.target.partition(b"?")[0].decode("ascii")
        allowed = {"/v1/chat/completions": b"POST"}.get(path, b"GET")
        if path == "/v1/models":
            answer: Any = {"object": "list", "data": [_model_card()]}
        elif path == f"/v1/models/{chat.MODEL}":
            answer = _model_card()
        elif path == "/v1/chat/completions":
            answer = None
        else:
            return await exchange.refuse(404, f"unknown path {path!r}")
        if head.method != allowed:
            method = head.method.decode("ascii")
            return await exchange.refuse(405, f"{method} is not allowed for {path}")
        if answer is not None:
            return await exchange.send(200, json.dumps(answer).encode())
        return await self._complete(exchange, body)

    async def _complete(self, exchange: "_Exchange", body: bytes) -> None:
        self.requests += 1
        try:
            request = chat.read_request(body)
        except chat.BadRequest as error:
            return await exchange.refuse(400, str(error), error.param)
        try:
            reply = decide(request)
        except Exception:
            # A connection's own boundary: a defect here must not end the others.
            _log.exception("the rehearsal could not decide what to say")
            return await exchange.refuse(500, "the rehearsal broke; see its log")
        name = f"chatcmpl-rehearsal-{next(self._numbers)}"
        created = int(time.time())
        if not request.stream:
            return await exchange.send(200, chat.whole(request, reply, name, created))
        await exchange.begin(200, b"text/event-stream; charset=utf-8")
        for piece in chat.chunks(request, reply, name, created):
            await exchange.more(piece)
            if self._pace:
                await anyio.sleep(self._pace)
        return await exchange.end()


def _model_card() -> dict[str, Any]:
    return {"id": chat.MODEL, "object": "model", "created": 0, "owned_by": "dovetail"}


class _TooLarge(Exception):
    pass


class _Exchange:
    """One connection, request after request."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)

    async def next_request(self) -> tuple[h11.Request, bytes] | None:
        """Return the next request with its body, or None when there is none."""
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > MAX_BODY:
                    raise _TooLarge
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                return head, bytes(body)
            else:
                # Closed between requests, or idle for too long.
                return None

    async def _next_event(self) -> object:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._http.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                await self._write(go_on)
            with anyio.move_on_after(IDLE_SECONDS):
                try:
                    data = await self._stream.receive(_READ)
                except anyio.EndOfStream:
                    data = b""
                self._http.receive_data(data)
                continue
            return None

    def again(self) -> bool:
        """Prepare for another request; False when the connection ends here."""
        if self._http.our_state is not h11.DONE:
            return False
        if self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def send(self, status: int, body: bytes) -> None:
        """Answer with a JSON body."""
        await self.begin(status, b"application/json", len(body))
        await self.more(body)
        await self.end()

    async def refuse(self, status: int, problem: str, param: str | None = None) -> None:
        """Answer with an error in the protocol's words."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        error = {
            "message": problem,
            "type": "invalid_request_error",
            "param": param,
            "code": None,
        }
        await self.send(status, json.dumps({"error": error}).encode())

    async def begin(
        self, status: int, content_type: bytes, length: int | None = None
    ) -> None:
        headers = [(b"content-type", content_type), (b"cache-control", b"no-store")]
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        if status == 413 or self._http.their_state is h11.ERROR:
            headers.append((b"connection", b"close"))
        await self._write(h11.Response(status_code=status, headers=headers))

    async def more(self, data: bytes) -> None:
        await self._write(h11.Data(data=data))

    async def end(self) -> None:
        await self._write(h11.EndOfMessage())

    async def _write(self, event: Any) -> None:
        data = self._http.send(event)
        if data:
            await self._stream.send(data)


@asynccontextmanager
async def rehearsal_server(
    *, port: int = 0, pace: float = 0.0
) -> AsyncIterator[RehearsalServer]:
    """Serve a rehearsal on 127.0.0.1 until the block is left.

    ``port`` 0 takes a free one. ``pace`` is how long it waits between two pieces of a
    stream, in seconds, for people who watch. A bearer token is accepted and ignored.
    Leaving ends all connections.

    Raises:
        OSError: the port is taken.
    """
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    failure: Exception | None = None
    async with listener, anyio.create_task_group() as connections:
        server = RehearsalServer(listener.extra(SocketAttribute.local_port), pace)
        connections.start_soon(listener.serve, server.converse)
        try:
            yield server
        except Exception as error:
            # Raised below, as it is: not in the group of a task group.
            failure = error
        connections.cancel_scope.cancel()
    if failure is not None:
        raise failure
