"""Benchmarks of the HTTP door, held against a bare Starlette application.

Both are served by uvicorn on sockets of this process, with the same payloads, and asked
by the same client: bytes that are written before, and lengths that are read.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from time import perf_counter
from typing import Any

import anyio
import orjson
import uvicorn
from dovetail.kernel import open_runtime
from dovetail.plugins.http import app
from measure import Bench, Line, Program, interleaved
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

CLIENTS = 16
PROMPTS = 20
"""Of each client in a round."""
EVENTS = 500
HOST = b"Host: localhost\r\n"


@asynccontextmanager
async def _served(application: Any) -> AsyncIterator[int]:
    config = uvicorn.Config(application, log_config=None, lifespan="off", http="h11")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as place:
        # As on a socket that uvicorn opens itself.
        place.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [place])
            yield place.getsockname()[1]
            server.should_exit = server.force_exit = True


async def doors(bench: Bench) -> list[Line]:
    """Prompts that are admitted a second, and events that are read a second by one and
    by 50 readers, over HTTP."""
    keys = count()
    async with AsyncExitStack() as opened:
        runtime = await opened.enter_async_context(
            open_runtime(f"sqlite:///{bench.file()}")
        )
        session = await runtime.sessions.create("ses_a", bench.folder())
        # Prompts are of another one: what is read stays as long as it is here.
        await runtime.sessions.create("ses_b", bench.folder())
        for number in range(EVENTS - 1):
            await session.rename(f"Title {number}")
        ours = await opened.enter_async_context(_served(app(runtime)))
        data = await _read(ours, _get("/api/session/ses_a/event?follow=false"))
        receipt = await _read(ours, _post(keys))
        bare = await opened.enter_async_context(_served(_bare(receipt, data)))

        def admitting(port: int) -> Program:
            async def program() -> float:
                began = perf_counter()
                async with anyio.create_task_group() as tasks:
                    for _ in range(CLIENTS):
                        tasks.start_soon(_ask, port, lambda: _post(keys), PROMPTS)
                return (perf_counter() - began) / (CLIENTS * PROMPTS)

            return program

        def reading(port: int, readers: int) -> Program:
            asked = _get("/api/session/ses_a/event?follow=false")

            async def program() -> float:
                began = perf_counter()
                async with anyio.create_task_group() as tasks:
                    for _ in range(readers):
                        tasks.start_soon(_ask, port, lambda: asked, 1)
                return (perf_counter() - began) / (readers * EVENTS)

            return program

        rounds = bench.of(5, 15)
        prompts = await interleaved(
            {"ours": admitting(ours), "bare": admitting(bare)}, rounds, 1
        )
        one = await interleaved(
            {"ours": reading(ours, 1), "bare": reading(bare, 1)}, rounds, 1
        )
        many = await interleaved(
            {"ours": reading(ours, 50), "bare": reading(bare, 50)}, bench.of(2, 5), 0
        )
    goal = "<= 1.67", "<= 1.43"
    return [
        Line("HTTP: a prompt", "us", prompts["ours"], prompts["bare"], goal[0]),
        Line("HTTP: an event, 1 reader", "us", one["ours"], one["bare"], goal[1]),
        Line("HTTP: an event, 50 readers", "us", many["ours"], many["bare"], goal[1]),
    ]


def _bare(receipt: bytes, data: bytes) -> Starlette:
    """Return an application that answers the same, and does nothing for it."""
    frames = [frame + b"\n\n" for frame in data.split(b"\n\n") if frame]

    async def admit(request: Request) -> Response:
        orjson.loads(await request.body())
        return Response(receipt, media_type="application/json")

    async def told() -> AsyncIterator[bytes]:
        for frame in frames:
            yield frame

    async def events(request: Request) -> Response:
        return StreamingResponse(told(), media_type="text/event-stream")

    return Starlette(
        routes=[
            Route("/api/session/{id}/prompt", admit, methods=["POST"]),
            Route("/api/session/{id}/event", events),
        ]
    )


def _get(path: str) -> bytes:
    return b"GET %s HTTP/1.1\r\n%s\r\n" % (path.encode(), HOST)


def _post(keys: "count[int]") -> bytes:
    body = b'{"prompt":{"text":"Say hello"},"resume":false,"key":"%d"}' % next(keys)
    head = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    path = b"/api/session/ses_b/prompt"
    return b"POST %s HTTP/1.1\r\n%s%s\r\n%s" % (path, HOST, head, body)


async def _ask(port: int, asked: Callable[[], bytes], times: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(times):
        writer.write(asked())
        await _answer(reader)
    writer.close()


async def _read(port: int, asked: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(asked)
    found = await _answer(reader)
    writer.close()
    return found


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head[:20], head
    length = head.lower().partition(b"content-length: ")[2]
    if length:
        return await reader.readexactly(int(length.partition(b"\r\n")[0]))
    parts = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        parts.append((await reader.readexactly(size + 2))[:-2])
    await reader.readexactly(2)
    return b"".join(parts)
