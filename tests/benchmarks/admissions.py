"""Benchmarks of admission: ``prompt()`` until the prompt is durable."""

import sqlite3
from time import perf_counter
from typing import Any

import anyio
from dovetail.kernel import Session
from floor import INSERT, GroupWriter, Log
from measure import Bench, Line, interleaved, timed
from ours import PROMPT, opened
from turns import TEXT, facts_of


async def admission(bench: Bench) -> list[Line]:
    """One caller, over a bare commit of the same bytes."""
    folder, database = bench.folder(), bench.file()
    log = Log(bench.file())
    async with opened(bench.url, database) as runtime:
        session = await runtime.sessions.create(location=folder, model=TEXT)
        await session.prompt(PROMPT, resume=False)
        [fact] = await facts_of(session, 1)

        async def bare() -> None:
            log.commit("a", [fact])

        found = await interleaved(
            {
                "ours": timed(lambda: session.prompt(PROMPT, resume=False)),
                "floor": timed(bare),
            },
            bench.of(500, 3000),
            warm_up=50,
        )
    log.connection.close()
    return [Line("prompt() alone", "us", found["ours"], found["floor"], "<= 2")]


async def admissions_64(bench: Bench) -> list[Line]:
    """64 callers at once, over a bare writer that commits in groups."""
    callers, each = 64, 10
    folder, database = bench.folder(), bench.file()
    writer = GroupWriter(bench.file())
    async with opened(bench.url, database) as runtime:
        sessions = [
            await runtime.sessions.create(location=folder, model=TEXT)
            for _ in range(callers)
        ]
        await sessions[0].prompt(PROMPT, resume=False)
        [fact] = await facts_of(sessions[0], 1)

        async def ours(session: Session) -> None:
            for _ in range(each):
                await session.prompt(PROMPT, resume=False)

        async def bare(session: Session) -> None:
            for number in range(each):
                row = (session.id, number, fact)
                await writer.write(lambda connection, row=row: _insert(connection, row))

        async def rate(work: Any) -> float:
            began = perf_counter()
            async with anyio.create_task_group() as group:
                for session in sessions:
                    group.start_soon(work, session)
            return callers * each / (perf_counter() - began)

        found = await interleaved(
            {"ours": lambda: rate(ours), "floor": lambda: rate(bare)},
            bench.of(15, 60),
        )
    writer.close()
    return [Line("prompt(), 64 callers", "/s", found["ours"], found["floor"], ">= 0.5")]


def _insert(connection: sqlite3.Connection, row: tuple[str, int, bytes]) -> None:
    connection.execute(INSERT, row)
