"""Benchmarks of the HTTP door, held against a bare Starlette application.

Both are served by uvicorn on sockets of this process, with the same payloads, and asked
by the same client: bytes that are written before, and lengths that are read.
"""

import asyncio
import gc
import socket
import sqlite3
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count
from time import perf_counter
from typing import Any, Self

import anyio
import orjson
import uvicorn
from dovetail.kernel import LiveDelta, open_runtime
from dovetail.kernel.testing import ScriptedProvider, text
from dovetail.plugins.http import app
from measure import Bench, Line, Program, Series, interleaved
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

FOLLOWERS = 200
CLIENTS = 16
PROMPTS = 20
"""Of each client in a round."""
EVENTS = 500
HOST = b"Host: localhost\r\n"
DURABLE = "durable"


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
    by 50 readers, over HTTP; what a follower holds, and the way of a first delta."""
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
        rows = opened.enter_context(_Rows(bench))
        bare = await opened.enter_async_context(_served(_bare(receipt, data, rows)))

        def admitting(port: int, session: str = "ses_b") -> Program:
            async def program() -> float:
                began = perf_counter()
                async with anyio.create_task_group() as tasks:
                    for _ in range(CLIENTS):
                        made = partial(_post, keys, session)
                        tasks.start_soon(_ask, port, made, PROMPTS)
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
            {
                "ours": admitting(ours),
                "bare": admitting(bare),
                "durable": admitting(bare, DURABLE),
            },
            rounds,
            1,
        )
        one = await interleaved(
            {"ours": reading(ours, 1), "bare": reading(bare, 1)}, rounds, 1
        )
        many = await interleaved(
            {"ours": reading(ours, 50), "bare": reading(bare, 50)}, bench.of(2, 5), 0
        )
        held = await interleaved(
            {"ours": _following(ours), "bare": _following(bare)}, bench.of(3, 5), 1
        )
    first = await _first_delta(bench)
    goal = "<= 1.67", "<= 1.43"
    return [
        Line("HTTP: a prompt", "us", prompts["ours"], prompts["durable"], goal[0]),
        Line("  over an echo", "us", prompts["ours"], prompts["bare"]),
        Line("HTTP: an event, 1 reader", "us", one["ours"], one["bare"], goal[1]),
        Line("HTTP: an event, 50 readers", "us", many["ours"], many["bare"], goal[1]),
        Line("HTTP: a follower's memory", "kB", held["ours"], held["bare"]),
        Line("HTTP: to the first delta", "ms", first["ours"], first["embedded"]),
    ]


class _Rows:
    """A table that takes a row a prompt, durable when it is answered: a writer on a
    thread of its own, and one commit for whatever waits."""

    def __init__(self, bench: Bench) -> None:
        self._file = bench.file()
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writing = False

    def __enter__(self) -> Self:
        self._rows = sqlite3.connect(self._file, check_same_thread=False)
        self._rows.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
            "CREATE TABLE row (id INTEGER PRIMARY KEY, data BLOB)"
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._rows.close()

    async def put(self, data: bytes) -> None:
        """Return when it is durable."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((data, done))
        if not self._writing:
            self._writing = True
            while self._waiting:
                taken, self._waiting = self._waiting, []
                await asyncio.to_thread(self._write, [one for one, _ in taken])
                for _, each in taken:
                    each.set_result(None)
            self._writing = False
        await done

    def _write(self, rows: list[bytes]) -> None:
        with self._rows:
            self._rows.executemany(
                "INSERT INTO row (data) VALUES (?)", [(one,) for one in rows]
            )


def _following(port: int) -> Program:
    """What a server holds for each who follows and is told nothing, in bytes, with the
    socket that follows and nothing else of a client's."""

    async def program() -> float:
        gc.collect()
        tracemalloc.start()
        readers = []
        for _ in range(FOLLOWERS):
            reader = socket.create_connection(("127.0.0.1", port))
            reader.setblocking(False)
            reader.sendall(_get("/api/session/ses_a/event?after=499"))
            readers.append(reader)
            await anyio.lowlevel.checkpoint()
        for reader in readers:
            found = b""
            while b"\n\n" not in found:
                await anyio.wait_readable(reader)
                found += reader.recv(4096)
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        for reader in readers:
            reader.close()
        return held / FOLLOWERS

    return program


async def _first_delta(bench: Bench) -> dict[str, Series]:
    """From a prompt to the first byte of its first delta at who watches, in the process
    and over HTTP."""
    rounds = bench.of(10, 40)
    model = ScriptedProvider(*(text("Hello") for _ in range(2 * rounds + 4)))
    async with AsyncExitStack() as opened:
        runtime = await opened.enter_async_context(
            open_runtime(f"sqlite:///{bench.file()}", plugins=[model])
        )
        session = await runtime.sessions.create(
            "ses_b", bench.folder(), model="scripted/model"
        )
        port = await opened.enter_async_context(_served(app(runtime)))

        async def embedded() -> float:
            async with runtime.live(session_id="ses_b") as live:
                began = perf_counter()
                await session.prompt("Say hello")
                async for event in live:
                    if isinstance(event, LiveDelta):
                        took = perf_counter() - began
                        break
            await session.wait()
            return took

        async def ours() -> float:
            watching, leaving = await asyncio.open_connection("127.0.0.1", port)
            leaving.write(_get("/api/event?session=ses_b"))
            await watching.readuntil(b"server.connected")
            _, asked = await asyncio.open_connection("127.0.0.1", port)
            began = perf_counter()
            asked.write(_post(None))
            await watching.readuntil(b"live.delta")
            took = perf_counter() - began
            asked.close()
            leaving.close()
            await session.wait()
            return took

        return await interleaved({"ours": ours, "embedded": embedded}, rounds, 2)


def _bare(receipt: bytes, data: bytes, rows: _Rows) -> Starlette:
    """Return an application that answers the same, and does nothing for it but, in the
    session ``DURABLE``, that one row is durable."""
    frames = [frame + b"\n\n" for frame in data.split(b"\n\n") if frame]

    async def admit(request: Request) -> Response:
        body = await request.body()
        orjson.loads(body)
        if request.path_params["id"] == DURABLE:
            await rows.put(body)
        return Response(receipt, media_type="application/json")

    async def told(follow: bool) -> AsyncIterator[bytes]:
        for frame in frames[-1:] if follow else frames:
            yield frame
        if follow:
            await anyio.sleep_forever()

    async def events(request: Request) -> Response:
        follow = "after" in request.query_params
        return StreamingResponse(told(follow), media_type="text/event-stream")

    return Starlette(
        routes=[
            Route("/api/session/{id}/prompt", admit, methods=["POST"]),
            Route("/api/session/{id}/event", events),
        ]
    )


def _get(path: str) -> bytes:
    return b"GET %s HTTP/1.1\r\n%s\r\n" % (path.encode(), HOST)


def _post(keys: "count[int] | None", session: str = "ses_b") -> bytes:
    body = b'{"prompt":{"text":"Say hello"}}'
    if keys is not None:
        body = body[:-1] + b',"resume":false,"key":"%d"}' % next(keys)
    head = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    path = b"/api/session/%s/prompt" % session.encode()
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
