"""Benchmarks of large logs: tails, verifying, rebuilding, opening."""

import sqlite3
from functools import partial
from pathlib import Path
from time import perf_counter

import orjson
from dovetail.kernel import (
    Event,
    ExecutionEnded,
    ExecutionStarted,
    MessageId,
    Prompt,
    PromptAdmitted,
    PromptPromoted,
    SessionCreated,
    SessionId,
    StepEnded,
    StepStarted,
    TextContent,
    TextEnded,
    ToolCalled,
    ToolStarted,
    ToolSucceeded,
    Usage,
)
from dovetail.kernel.lifecycle.clock import SystemClock
from dovetail.kernel.log.commit import EventLog
from dovetail.storage.sqlite.store import open_sqlite
from measure import Bench, Line, Series, interleaved, timed
from model_server import WORDS
from ours import PROMPT, opened, turn
from turns import TEXT

USAGE = Usage(input=1000, output=20)


def activity(session_id: SessionId, name: str) -> list[Event]:
    """Return the events of one prompt that is answered after one tool call."""
    asked, called, said = (
        MessageId(f"msg_{part}_{name:>024}") for part in ("in", "call", "text")
    )
    own = {"session_id": session_id}
    call = {**own, "message_id": called, "call_id": "call_benchmark"}
    started = {"agent": "build", "model": TEXT}
    return [
        PromptAdmitted(
            **own, input_id=asked, prompt=Prompt(text=PROMPT), delivery="steer"
        ),
        ExecutionStarted(**own, owner="own_019a3c5e2b781421b13e3d6002d81477"),
        PromptPromoted(**own, input_id=asked),
        StepStarted(**own, message_id=called, **started),
        ToolCalled(**call, tool="read", arguments='{"path":"a/b.py"}', effect="pure"),
        ToolStarted(**call),
        ToolSucceeded(
            **call,
            content=(TextContent(WORDS * 8),),
            files={"a/b.py": "5f2b51ca2fdc5baa31ec02e002f69aec"},
        ),
        StepEnded(**own, message_id=called, finish="tool_calls", usage=USAGE),
        StepStarted(**own, message_id=said, **started),
        TextEnded(**own, message_id=said, text=WORDS * 10),
        StepEnded(**own, message_id=said, finish="stop", usage=USAGE),
        ExecutionEnded(**own, status="succeeded"),
    ]


ACTIVITY = 12
"""How many events that is."""


async def filled(path: Path, folder: Path, sessions: int, events: int) -> list[str]:
    """Make a store of sessions with about so many events each; return their ids."""
    ids = [SessionId(f"ses_{number:032x}") for number in range(sessions)]
    async with open_sqlite(path) as store:
        log = EventLog(store, SystemClock())
        for session_id in ids:
            created = {"directory": str(folder), "model": TEXT}
            waiting: list[Event] = [SessionCreated(session_id=session_id, **created)]
            for number in range(events // ACTIVITY):
                waiting += activity(session_id, f"{number}")
                if len(waiting) >= BATCH:
                    await log.append(*waiting)
                    waiting = []
            if waiting:
                await log.append(*waiting)
        log.close()
    return [str(session_id) for session_id in ids]


BATCH = 1000
"""Events in one commit, while a store is filled."""

ROWS = """
SELECT seq, kind, version, created, data, hash, digest, position FROM event
WHERE aggregate = (SELECT id FROM aggregate WHERE session_id = ?) AND seq > ?
ORDER BY seq LIMIT ?
"""


async def tail(bench: Bench) -> list[Line]:
    """10,000 events from a cursor, decoded, over reading the same rows bare."""
    count, cursor = 10_000, 1_000
    folder, database = bench.folder(), bench.file()
    [session_id] = await filled(database, folder, 1, count + cursor + 100)
    connection = sqlite3.connect(database)

    async def bare() -> None:
        rows = connection.execute(ROWS, (session_id, cursor, count)).fetchall()
        assert len([orjson.loads(row[4]) for row in rows]) == count

    async with opened(bench.url, database) as runtime:
        session = await runtime.sessions.get(session_id)

        async def ours() -> None:
            number = 0
            async for _ in session.events(after=cursor):
                number += 1
                if number == count:
                    break

        found = await interleaved(
            {"ours": timed(ours), "floor": timed(bare)}, bench.of(10, 40), warm_up=1
        )
    connection.close()
    return [
        Line("tail of 10,000 events", "ms", found["ours"], found["floor"], "<= 1.5")
    ]


async def long_log(bench: Bench) -> list[Line]:
    """Verifying and rebuilding a very long session, over one that is a tenth."""
    long, short = bench.of(20_000, 100_000), bench.of(2_000, 10_000)
    folder = bench.folder()
    stores = {count: bench.file() for count in (long, short)}
    for count, database in stores.items():
        await filled(database, folder, 1, count)
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(bench.of(2, 5)):
        for count, database in stores.items():
            async with opened(bench.url, database) as runtime:
                began = perf_counter()
                [found] = await runtime.sessions.verify()
                took = perf_counter() - began
                rates.setdefault(("verify", count), []).append(found.events / took)
                began = perf_counter()
                rebuilt = await runtime.sessions.rebuild()
                took = perf_counter() - began
                rates.setdefault(("rebuild", count), []).append(rebuilt / took)
    return [
        Line(
            f"{what} {long:,} events, over {short:,}",
            "/s",
            Series(tuple(rates[what, long])),
            Series(tuple(rates[what, short])),
            ">= 20000 /s, ~1",
        )
        for what in ("verify", "rebuild")
    ]


async def long_reads(bench: Bench) -> list[Line]:
    """What an application reads of a very long session, over a session of a hundred
    events: opening it, its first page, a tail from its end."""
    events = bench.of(20_000, 100_000)
    folder, long, short = bench.folder(), bench.file(), bench.file()
    named = [
        await filled(path, folder, 1, n) for path, n in ((long, events), (short, 100))
    ]
    lines = []
    async with opened(bench.url, long) as one, opened(bench.url, short) as other:
        opens = [(one, named[0][0]), (other, named[1][0])]
        sessions = [await runtime.sessions.get(name) for runtime, name in opens]
        ends = [[event.seq async for event in made.events()][-1] for made in sessions]

        async def opening(which: int) -> None:
            runtime, name = opens[which]
            await (await runtime.sessions.get(name)).info()

        async def first_page(which: int) -> None:
            await sessions[which].messages(limit=20)

        async def tail(which: int) -> None:
            assert (
                len([_ async for _ in sessions[which].events(ends[which] - 20)]) == 20
            )

        for what, work in (
            ("open it", opening),
            ("its first page of messages", first_page),
            ("a tail from its end", tail),
        ):
            found = await interleaved(
                {"long": timed(partial(work, 0)), "short": timed(partial(work, 1))},
                bench.of(50, 200),
            )
            name = f"{events:,} events: {what}"
            lines.append(Line(name, "ms", found["long"], found["short"], "~1"))
    return lines


async def large_store(bench: Bench) -> list[Line]:
    """A store with very many sessions and events, over an empty one."""
    sessions = bench.of(1_000, 10_000)
    folder, large, empty = bench.folder(), bench.file(), bench.file()
    await filled(large, folder, sessions, 100)
    await filled(empty, folder, 0, 0)
    listing: dict[Path, list[float]] = {large: [], empty: []}
    turns: dict[Path, list[float]] = {large: [], empty: []}

    async def visit(path: Path) -> float:
        began = perf_counter()
        async with opened(bench.url, path) as runtime:
            took = perf_counter() - began
            for _ in range(5):
                began = perf_counter()
                await runtime.sessions.list(limit=10)
                listing[path].append(perf_counter() - began)
            session = await runtime.sessions.create(location=folder, model=TEXT)
            await turn(session)
            for _ in range(5):
                began = perf_counter()
                await turn(session)
                turns[path].append(perf_counter() - began)
        return took

    found = await interleaved(
        {"large": lambda: visit(large), "empty": lambda: visit(empty)},
        bench.of(12, 40),
        warm_up=2,
    )
    name = f"{sessions:,} sessions, {sessions * 100:,} events"
    goal = "<= 1.5"
    return [
        Line(f"open a store: {name}", "ms", found["large"], found["empty"], goal),
        _of_two("  its session list", listing[large], listing[empty]),
        _of_two("  one more turn", turns[large], turns[empty]),
    ]


def _of_two(what: str, ours: list[float], other: list[float]) -> Line:
    return Line(what, "ms", Series(tuple(ours)), Series(tuple(other)), "<= 1.5")
