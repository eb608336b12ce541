"""Opens sessions that wait, and prints the bytes that each holds.

A program of its own: ``idle.py URL DATABASE FOLDER COUNT handle|reader``. Every session
had a turn and its handle is kept; with ``reader`` a tail follows each of them.
"""

import gc
import sys
from pathlib import Path

import anyio
from dovetail.kernel import Session
from memory import resident
from ours import opened, turn
from turns import TEXT

WARM = 100
"""Sessions before any is counted: the histories that are kept, the caches."""


async def _read(session: Session) -> None:
    async for _ in session.events(follow=True):
        pass


async def main(url: str, database: str, folder: str, count: str, how: str) -> None:
    async with (
        opened(url, Path(database)) as runtime,
        anyio.create_task_group() as tasks,
    ):
        kept = []
        for number in range(WARM + int(count)):
            if number == WARM:
                gc.collect()
                before = resident()
            session = await runtime.sessions.create(location=folder, model=TEXT)
            await turn(session)
            kept.append(session)
            if how == "reader":
                tasks.start_soon(_read, session)
        await anyio.wait_all_tasks_blocked()
        gc.collect()
        print("done", flush=True)
        print((resident() - before) / int(count))
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
