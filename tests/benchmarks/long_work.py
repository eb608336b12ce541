"""Thousands of Steps with a window of 16,000 tokens: ``long_work.py [STEPS]``.

Says what the largest request was, whether a fact of the task was missing in one, how
many summaries were written, and what a Step and the process cost from fifth to fifth
of the run. Nothing is judged: ``tests/proof/test_long_work.py`` is the short form.
"""

import ctypes
import statistics
import sys
import tempfile
from collections import Counter
from pathlib import Path

import anyio
from memory import resident

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.long_work import TASK, WINDOW, Worker, working

PARTS = 5


async def main(steps: int, folder: Path) -> None:
    """Run it and print the figures."""
    worker = Worker(steps)
    seen, held = worker.seen, []

    async def watch() -> None:
        while True:
            held.append((seen.requests, resident()))
            await anyio.sleep(0.5)

    async with working(folder, worker) as session:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await session.prompt(TASK)
            outcome = await session.wait()
            tasks.cancel_scope.cancel()
        last = resident()
        if sys.platform == "linux":
            # What the allocator keeps for later is no part of what is held.
            ctypes.CDLL(None).malloc_trim(0)
        kept = resident()
        kinds = Counter([event.kind async for event in session.events()])
    print(f"{outcome.status}: {seen.requests} Steps, a window of {WINDOW:,} tokens")
    print(f"largest request: {seen.largest:,} tokens")
    print(f"facts missing in a request: {len(seen.missing)}")
    print(
        f"compactions: {kinds['compaction.ended']}, of {seen.summaries} requests; "
        f"results shortened: {kinds['compaction.shortened']} times"
    )
    seconds, paces = seen.seconds[1:], seen.paces[1:]
    size = len(seconds) // PARTS
    first = 0.0
    for part in range(PARTS):
        own = slice(part * size, (part + 1) * size)
        cost = statistics.median(seconds[own])
        # What else the machine does slows the same work down alike.
        ratio = cost / statistics.median(paces[own])
        first = first or ratio
        print(
            f"fifth {part + 1}: {1000 * cost:.3f} ms of processor time per Step "
            f"(median); against the same work beside it {ratio / first:.2f} x"
        )
    for number in range(PARTS):
        least = number * seen.requests // PARTS
        at, size = next((one for one in held if one[0] >= least), held[-1])
        print(f"after {at} Steps: {size / 2**20:.1f} MiB")
    print(f"at the end: {last / 2**20:.1f} MiB, of which {kept / 2**20:.1f} are held")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="dovetail-long-work-") as room:
        anyio.run(main, int(sys.argv[1]) if sys.argv[1:] else 5000, Path(room))
