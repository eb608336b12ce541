"""Benchmarks of turns and Steps: what a user waits for, above the model's own time."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import httpx
from dovetail.kernel import Runtime, Session
from dovetail.kernel.values.events import encode_event
from floor import Floor, GroupFloor
from measure import Bench, Line, Series, interleaved, timed
from model_server import FINISH
from ours import opened, turn
from plain import PlainProvider
from ticker import AGENT, Ticker

TEXT, TOOL = "openai/text", "openai/tool"
EARLY, LATE = 5, 500
FRESH = 10
"""Turns after which another session is taken, where the early ones are wanted."""


class Fresh:
    """A session in its first turns, again and again."""

    def __init__(self, runtime: Runtime, folder: Path, model: str = TEXT) -> None:
        self._runtime = runtime
        self._folder = folder
        self._model = model
        self._turns = FRESH
        self._session: Session

    async def session(self) -> Session:
        """Return a session that had its first turn already, and only a few more."""
        self._turns += 1
        if self._turns > FRESH:
            self._session = await self._runtime.sessions.create(
                location=self._folder, model=self._model
            )
            await turn(self._session)
            self._turns = 2
        return self._session

    async def turn(self) -> float:
        """Make one turn and return its seconds."""
        session = await self.session()
        began = perf_counter()
        await turn(session)
        return perf_counter() - began


async def asked_last(url: str) -> bytes:
    """Return the body of the last request that the model server was sent."""
    async with httpx.AsyncClient() as client:
        return (await client.get(f"{url}/last")).content


async def facts_of(session: Session, count: int) -> list[bytes]:
    """Return the bytes that were stored for the last events of a session."""
    return [encode_event(event) async for event in session.events()][-count:]


TURN_FACTS = 7
"""prompt.admitted, execution.started, prompt.promoted, step.started, text.ended,
step.ended, execution.ended."""
STEP_FACTS = 5
"""tool.called, tool.started, tool.succeeded, step.ended, step.started."""


async def text_turn(bench: Bench) -> list[Line]:
    """A 20-delta text turn through a provider route, from prompt() to wait(), with one
    reader of what happens live."""
    folder, database = bench.folder(), bench.file()
    floor = Floor(bench.url, bench.file())

    async def watch(runtime: Runtime) -> None:
        async for _ in runtime.live():
            pass

    async with (
        opened(bench.url, database) as runtime,
        anyio.create_task_group() as watching,
    ):
        watching.start_soon(watch, runtime)
        fresh = Fresh(runtime, folder)
        session = await fresh.session()
        await turn(session)
        body = await asked_last(bench.url)
        facts = await facts_of(session, TURN_FACTS)
        found = await interleaved(
            {
                "ours": fresh.turn,
                "floor": timed(lambda: floor.turn("a", body, facts)),
            },
            bench.of(150, 600),
        )
        watching.cancel_scope.cancel()
    await floor.aclose()
    return [
        Line(
            "text turn, 20 deltas, watched",
            "ms",
            found["ours"],
            found["floor"],
            "<= 1.7",
        )
    ]


async def long_session(bench: Bench) -> list[Line]:
    """The same at turn 500 of a session, over turn 5 of one."""
    folder, database = bench.folder(), bench.file()
    floor = Floor(bench.url, bench.file())
    async with opened(bench.url, database) as runtime:
        long = await runtime.sessions.create(location=folder, model=TEXT)
        fresh = Fresh(runtime, folder)
        for number in range(LATE - 10):
            await turn(long)
            if number == EARLY:
                early_body = await asked_last(bench.url)
        late_body = await asked_last(bench.url)
        facts = await facts_of(long, TURN_FACTS)
        found = await interleaved(
            {
                "early": fresh.turn,
                "late": timed(lambda: turn(long)),
                "floor early": timed(lambda: floor.turn("a", early_body, facts)),
                "floor late": timed(lambda: floor.turn("b", late_body, facts)),
            },
            bench.of(80, 300),
        )
    await floor.aclose()
    return [_flat(f"text turn {LATE} over turn {EARLY}, bytes aside", found)]


def _flat(what: str, found: dict[str, Series]) -> Line:
    """Return the line for the growth of a cost, without that of a bare request."""
    bytes_sent = found["floor late"].median - found["floor early"].median
    early, late = found["early"], found["late"]
    ratio = (late.median - max(0.0, bytes_sent)) / early.median
    return Line(what, "ms", late, early, "<= 1.15", ratio)


async def tool_step(bench: Bench) -> list[Line]:
    """A model-plus-tool Step at Step 5 and at Step 500 of a session."""
    folder, database = bench.folder(), bench.file()
    floor = Floor(bench.url, bench.file())
    ticker = Ticker()
    few = 8
    async with opened(bench.url, database, ticker) as runtime:

        async def fresh() -> Session:
            return await runtime.sessions.create(
                location=folder, model=TOOL, agent=AGENT
            )

        session = await fresh()
        await ticker.steps(session, EARLY)
        early_body = unfinished(await asked_last(bench.url))
        ending = await facts_of(session, STEP_FACTS + 3)
        facts = [*ending[1:STEP_FACTS], ending[0]]
        long = await fresh()
        await ticker.steps(long, LATE - few)
        late_body = unfinished(await asked_last(bench.url))

        async def early() -> Sequence[float]:
            return await ticker.steps(await fresh(), few)

        async def late() -> Sequence[float]:
            return await ticker.steps(long, few)

        async def bare(name: str, body: bytes) -> Sequence[float]:
            step = timed(lambda: floor.step(name, body, facts))
            return [await step() for _ in range(few - 1)]  # type: ignore[misc]

        found = await interleaved(
            {
                "early": early,
                "late": late,
                "floor early": lambda: bare("a", early_body),
                "floor late": lambda: bare("b", late_body),
            },
            bench.of(15, 60),
        )
    await floor.aclose()
    return [
        Line(
            f"tool Step {EARLY}", "ms", found["early"], found["floor early"], "<= 1.6"
        ),
        Line(f"tool Step {LATE}", "ms", found["late"], found["floor late"], "<= 1.6"),
        _flat(f"tool Step {LATE} over Step {EARLY}, bytes aside", found),
    ]


def unfinished(body: bytes) -> bytes:
    """Return the last request of a session so that it is answered with a call."""
    return body.replace(FINISH.encode(), b"8")


async def scripted_step(bench: Bench) -> list[Line]:
    """A Step's own cost, with a model in the same process, over a bare request."""
    folder = bench.folder()
    floor = Floor(bench.url, bench.file())
    provider = PlainProvider()
    async with opened(bench.url, bench.file(), provider) as runtime:
        routed = await runtime.sessions.create(location=folder, model=TEXT)
        await turn(routed)
        body = await asked_last(bench.url)
        fresh = Fresh(runtime, folder, provider.text)
        found = await interleaved(
            {
                "ours": fresh.turn,
                "request": timed(lambda: floor.model.ask(body)),
            },
            bench.of(100, 400),
        )
    await floor.aclose()
    return [
        Line(
            "turn without a network over a bare request",
            "ms",
            found["ours"],
            found["request"],
        )
    ]


async def growth(bench: Bench) -> list[Line]:
    """How a tool Step's cost grows over 500 of them, without a network."""
    folder = bench.folder()
    provider, ticker = PlainProvider(), Ticker()
    early: list[float] = []
    late: list[float] = []
    async with opened(bench.url, bench.file(), provider, ticker) as runtime:
        for _ in range(bench.of(1, 4)):
            session = await runtime.sessions.create(
                location=folder, model=provider.tool, agent=AGENT
            )
            times = await ticker.steps(session, LATE + 1)
            early += times[5:55]
            late += times[-50:]
    return [
        Line(
            "Steps 450-500 over Steps 5-55, no network",
            "ms",
            Series(tuple(late)),
            Series(tuple(early)),
            "<= 1.15",
        )
    ]


async def sessions_20(bench: Bench) -> list[Line]:
    """Turns a second of 20 sessions at once, over 20 tasks of the floor.

    The floor stores in the task that has something to store, and all others stand
    still for it; or it has a writer that commits in groups, as dovetail has.
    """
    tasks, turns = 20, 3
    folder, database = bench.folder(), bench.file()
    floor = Floor(bench.url, bench.file())
    grouped = GroupFloor(bench.url, bench.file())
    async with opened(bench.url, database) as runtime:
        sessions: list[Session] = []

        async def renew() -> None:
            sessions[:] = [
                await runtime.sessions.create(location=folder, model=TEXT)
                for _ in range(tasks)
            ]
            for session in sessions:
                await turn(session)

        await renew()
        body = await asked_last(bench.url)
        facts = await facts_of(sessions[0], TURN_FACTS)

        async def ours(number: int) -> None:
            for _ in range(turns):
                await turn(sessions[number])

        async def bare(number: int) -> None:
            for _ in range(turns):
                await floor.turn(str(number), body, facts)

        async def in_groups(number: int) -> None:
            for _ in range(turns):
                await grouped.turn(str(number), body, facts)

        async def rate(work: Any) -> float:
            began = perf_counter()
            async with anyio.create_task_group() as group:
                for number in range(tasks):
                    group.start_soon(work, number)
            return tasks * turns / (perf_counter() - began)

        found = await interleaved(
            {
                "ours": lambda: rate(ours),
                "floor": lambda: rate(bare),
                "groups": lambda: rate(in_groups),
            },
            bench.of(8, 30),
            warm_up=1,
        )
    await floor.aclose()
    await grouped.aclose()
    return [
        Line(
            "20 sessions at once, turns", "/s", found["ours"], found["floor"], ">= 0.6"
        ),
        Line(
            "  over a floor that commits in groups",
            "/s",
            found["ours"],
            found["groups"],
            ">= 0.6",
        ),
    ]


async def disk(bench: Bench) -> list[Line]:
    """Bytes written to the disk per turn, and how the database grows.

    What is written to a log is folded into the file later, once for many turns: both
    are made to do it at the end of what is counted, and of nothing more than that.
    """
    counted = bench.of(100, 200)
    folder, database, other = bench.folder(), bench.file(), bench.file()
    floor = Floor(bench.url, other)
    async with opened(bench.url, database) as runtime:
        session = await runtime.sessions.create(location=folder, model=TEXT)
        await turn(session)
        body = await asked_last(bench.url)

        async def count(work: Any, path: Path) -> tuple[Series, Series]:
            _fold(path)
            written, size = _written(), _size(path)
            for _ in range(counted):
                await work()
            _fold(path)
            grown = (_size(path) - size) / counted
            return (
                Series(((_written() - written) / counted,)),
                Series((grown,)),
            )

        await turn(session)
        facts = await facts_of(session, TURN_FACTS)
        ours = await count(lambda: turn(session), database)
        bare = await count(lambda: floor.turn("a", body, facts), other)
        while (await session.info()).steps < LATE - counted:
            await turn(session)
        late = await count(lambda: turn(session), database)
    await floor.aclose()
    lines = [
        Line("database size per turn", "kB", ours[1], bare[1], "<= 1.5"),
        Line(f"  the same at turn {LATE}", "kB", late[1], ours[1], "<= 1.15"),
    ]
    if _written():
        lines += [
            Line("bytes written per turn", "kB", ours[0], bare[0], "<= 1.5"),
            Line(f"  the same at turn {LATE}", "kB", late[0], ours[0], "<= 1.15"),
        ]
    return lines


def _written() -> int:
    """Return the bytes that this process sent to disks so far; 0 if nobody knows."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return 0
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


def _fold(path: Path) -> None:
    """Bring what is in a database's write-ahead log into the database."""
    connection = sqlite3.connect(path)
    (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
    connection.close()
    assert not busy


def _size(path: Path) -> int:
    """Return the size of a database, what is in its write-ahead log included."""
    connection = sqlite3.connect(path)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    return int(pages) * int(size)
