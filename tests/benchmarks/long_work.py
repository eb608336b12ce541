"""Thousands of Steps with a window of 16,000 tokens: ``long_work.py [STEPS]``.

Says what the largest request was, whether a fact of the task was missing in one, how
many summaries were written, what the process held on the way, what a Step at the end of
it costs over one at the beginning of another session, and what it costs to open it
again over a session of fifty Steps. Nothing is judged; the short form is
``tests/proof/test_long_work.py``.

What a Step costs is measured by turns: the last Steps of the long session, and those of
a new one in a store of its own, one of each after the other in the same process. So
whatever else the machine does hits both.
"""

import ctypes
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import process_time

import anyio
from attrs import define, field
from dovetail.kernel import ModelEvent, ModelRequest, Session
from memory import resident

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.compactions import is_for_summary
from support.long_work import TASK, WINDOW, Worker, working

PARTS = 5
BY_TURNS = 1_000
"""Steps of each session that are taken by turns, at the most."""
FIRST = 100
"""Steps of a session that count for nothing: its history must be as long as it gets."""
SHORT = 50
"""Steps of the session that a long one is opened against."""
ROUNDS = 15


@define
class Turns:
    """Whose turn it is, of two, and what each took in its own."""

    seconds: tuple[list[float], list[float]] = field(factory=lambda: ([], []))
    _whose: int = 0
    _ended: int | None = None
    _moved: anyio.Event = field(factory=anyio.Event)
    _since: float = 0.0

    async def next(self, who: int) -> None:
        """End this one's turn, and come back when it is its turn again."""
        if self._whose == who:
            self.seconds[who].append(process_time() - self._since)
            self._give(1 - who)
        while self._whose != who and self._ended is None:
            await self._moved.wait()
        self._since = process_time()

    def end(self, who: int) -> None:
        """Let the other one go on alone."""
        self._ended = who
        self._give(1 - who)

    def _give(self, who: int) -> None:
        self._whose = who
        moved, self._moved = self._moved, anyio.Event()
        moved.set()


class TakingTurns(Worker):
    """A model that waits for its turn before each answer, from a Step on."""

    def __init__(self, steps: int, who: int, turns: Turns, since: int) -> None:
        super().__init__(steps)
        self._who, self._turns, self._turned = who, turns, since

    @asynccontextmanager
    async def stream(
        self, request: ModelRequest
    ) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        # A summary is part of the Step that it makes room for.
        if self.seen.requests >= self._turned and not is_for_summary(request):
            await self._turns.next(self._who)
        async with super().stream(request) as events:
            yield events


async def main(steps: int, folder: Path) -> None:
    """Run it and print the figures."""
    turns, by_turns = Turns(), min(BY_TURNS, steps // 2)
    long = TakingTurns(steps, 0, turns, steps - by_turns)
    new = TakingTurns(by_turns, 1, turns, 0)
    seen, held = long.seen, list[tuple[int, int, int]]()
    folders = [folder / name for name in ("long", "new", "short")]
    for one in folders:
        one.mkdir()

    async def watch() -> None:
        while True:
            held.append((seen.requests, resident(), sys.getallocatedblocks()))
            await anyio.sleep(0.5)

    async def work(session: Session, who: int) -> None:
        await session.prompt(TASK)
        outcome = await session.wait()
        turns.end(who)
        assert outcome.succeeded, outcome

    async with (
        working(folders[0], long) as session,
        working(folders[1], new) as another,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(watch)
        async with anyio.create_task_group() as both:
            both.start_soon(work, session, 0)
            both.start_soon(work, another, 1)
        last = resident()
        if sys.platform == "linux":
            # What the allocator keeps for later is no part of what is held.
            ctypes.CDLL(None).malloc_trim(0)
        kept = resident()
        kinds = Counter([event.kind async for event in session.events()])
        tasks.cancel_scope.cancel()
    print(f"{seen.requests} Steps, a window of {WINDOW:,} tokens")
    print(f"largest request: {seen.largest:,} tokens")
    print(f"facts missing in a request: {len(seen.missing)}")
    print(
        f"compactions: {kinds['compaction.ended']}, of {seen.summaries} requests; "
        f"results shortened: {kinds['compaction.shortened']} times"
    )
    old, young = (statistics.median(one[FIRST:] or one) for one in turns.seconds)
    print(
        f"processor time of a Step, by turns (median): {1000 * old:.3f} ms of the last "
        f"{by_turns}, {1000 * young:.3f} ms of the first {by_turns} of a new session: "
        f"{old / young:.2f} x"
    )
    for number in range(PARTS):
        least = number * seen.requests // PARTS
        at, size, blocks = next((one for one in held if one[0] >= least), held[-1])
        print(
            f"after {at} Steps: {size / 2**20:.1f} MiB resident, {blocks:,} blocks of "
            "memory that Python holds"
        )
    print(f"at the end: {last / 2**20:.1f} MiB, of which {kept / 2**20:.1f} are held")
    async with working(folders[2], Worker(SHORT)) as session:
        await session.prompt(TASK)
        await session.wait()
    long_again, short_again = await opened_again(folders[0], folders[2])
    print(
        f"processor time to take it up again and answer (median): "
        f"{1000 * long_again:.1f} ms, of {SHORT} Steps {1000 * short_again:.1f} ms: "
        f"{long_again / short_again:.2f} x"
    )


async def opened_again(*folders: Path) -> list[float]:
    """Return what one more Step takes in a process that knows nothing of each."""
    taken: list[list[float]] = [[] for _ in folders]
    for _ in range(ROUNDS):
        for seconds, folder in zip(taken, folders, strict=True):
            async with working(folder, Worker(0)) as session:
                since = process_time()
                await session.prompt("And?")
                await session.wait()
                seconds.append(process_time() - since)
    return [statistics.median(one) for one in taken]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="dovetail-long-work-") as room:
        anyio.run(main, int(sys.argv[1]) if sys.argv[1:] else 5000, Path(room))
