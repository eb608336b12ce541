"""Benchmarks of admission: ``prompt()`` until the prompt is durable."""

import sqlite3
from functools import partial
from time import perf_counter
from typing import Any

import anyio
from dovetail.kernel import Session
from floor import INSERT, NEXT, WAIT, GroupWriter, Log
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
    """64 callers at once, over a bare writer that commits in groups.

    Once it stores the facts of an admission: which number the event has, the event,
    and that it waits; and once the bytes alone.
    """
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

        async def facts(session: Session) -> None:
            for _ in range(each):
                await writer.write(partial(_admit, session.id, fact))

        async def bytes_alone(session: Session) -> None:
            for number in range(each):
                await writer.write(partial(_insert, (session.id, number, fact)))

        async def rate(work: Any) -> float:
            began = perf_counter()
            async with anyio.create_task_group() as group:
                for session in sessions:
                    group.start_soon(work, session)
            return callers * each / (perf_counter() - began)

        found = await interleaved(
            {
                "ours": lambda: rate(ours),
                "facts": lambda: rate(facts),
                "bytes": lambda: rate(bytes_alone),
            },
            bench.of(15, 60),
        )
    writer.close()
    return [
        Line("prompt(), 64 callers", "/s", found["ours"], found["facts"], ">= 0.5"),
        Line("  over inserting the bytes alone", "/s", found["ours"], found["bytes"]),
    ]


def _admit(session: str, fact: bytes, connection: sqlite3.Connection) -> None:
    (seq,) = connection.execute(NEXT, (session,)).fetchone()
    connection.execute(INSERT, (session, seq, fact))
    connection.execute(WAIT, (f"{session}{seq:032}", session, seq))


def _insert(row: tuple[str, int, bytes], connection: sqlite3.Connection) -> None:
    connection.execute(INSERT, row)
