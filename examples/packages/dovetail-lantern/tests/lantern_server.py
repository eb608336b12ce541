"""A server for tests: it sends exactly the bytes that it is told to, piece by piece."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import SocketAttribute, SocketStream
from attrs import define, field

GOOD = b"HTTP/1.1 200 OK\r\nContent-Type: text/x-lantern\r\nConnection: close\r\n\r\n"
HANG = b"(silence)"
"""Sent in place of bytes: the server goes silent and waits until the client leaves."""


def line(word: str, value: Any) -> bytes:
    return f"{word} {json.dumps(value)}\n".encode()


def answer(*lines: bytes) -> Sequence[bytes]:
    """Return a good answer, each line in a piece of its own."""
    return [GOOD, *lines]


def bad(status: int, body: Any) -> Sequence[bytes]:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return [b"HTTP/1.1 %d No\r\nConnection: close\r\n\r\n" % status, text]


@define
class LanternServer:
    """What is answered, in order, and what was asked."""

    url: str = ""
    answers: list[Sequence[bytes]] = field(factory=list)
    heads: list[bytes] = field(factory=list)
    bodies: list[bytes] = field(factory=list)
    silent: anyio.Event = field(factory=anyio.Event)
    left: anyio.Event = field(factory=anyio.Event)
    """Set when a client went away before its answer was complete."""

    async def talk(self, stream: SocketStream) -> None:
        async with stream:
            try:
                await self._read(stream)
                for piece in self.answers.pop(0):
                    if piece == HANG:
                        self.silent.set()
                        await stream.receive()
                    await stream.send(piece)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                self.left.set()

    async def _read(self, stream: SocketStream) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += await stream.receive()
        head, _, body = received.partition(b"\r\n\r\n")
        [length] = [
            int(one.partition(b":")[2])
            for one in head.split(b"\r\n")
            if one.lower().startswith(b"content-length:")
        ]
        while len(body) < length:
            body += await stream.receive()
        self.heads.append(head)
        self.bodies.append(body)


@asynccontextmanager
async def lantern_server(*answers: Sequence[bytes]) -> AsyncGenerator[LanternServer]:
    """Serve these answers, one a request, on a free port of this machine."""
    server = LanternServer(answers=list(answers))
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)
        server.url = f"http://127.0.0.1:{port}"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, server.talk)
            yield server
            tasks.cancel_scope.cancel()
