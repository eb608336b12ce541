"""A machine that is slow where tests do not look: in threads, stores and processes.

On such a machine everything still holds, and a test that bets on how soon something
happens loses: ``DOVETAIL_SLOW=1 pytest tests/session``. Another number makes it slow
at other moments. What waits for work in a thread, for a commit or for a child waits up
to some hundredths of a second longer, so that ``wait_all_tasks_blocked`` returns while
work goes on, and what is counted or ordered comes in another number and order.
"""

import subprocess
import time
from collections.abc import Callable
from random import Random
from typing import Any
from weakref import WeakKeyDictionary

import anyio
import anyio.to_thread

THREAD = 0.06
COMMIT = 0.03
READ = 0.01
CHILD = 0.1
"""Seconds, at most."""


def slow_down(seed: int) -> None:
    """Let this process be slow until it ends."""
    from dovetail.kernel.testing.memory_store.store import MemoryStore
    from dovetail.storage.sqlite.writer import Writer

    random = Random(seed)

    def some(most: float) -> float:
        # Mostly little.
        return most * random.random() ** 2

    def sleepy(function: Callable[..., Any], before: float, after: float) -> Any:
        def slept(*positional: Any, **named: Any) -> Any:
            time.sleep(some(before))
            result = function(*positional, **named)
            time.sleep(some(after))
            return result

        return slept

    def late(function: Callable[..., Any], most: float) -> Any:
        # As if its thread had not come round yet.
        async def waited(*positional: Any, **named: Any) -> Any:
            await anyio.sleep(some(most))
            return await function(*positional, **named)

        return waited

    turns = WeakKeyDictionary[Any, anyio.Lock]()

    def late_in_order(function: Callable[..., Any], most: float) -> Any:
        # Likewise, where whoever calls first is served first.
        async def waited(store: Any, *positional: Any, **named: Any) -> Any:
            async with turns.setdefault(store, anyio.Lock()):
                await anyio.sleep(some(most))
            return await function(store, *positional, **named)

        return waited

    in_thread = anyio.to_thread.run_sync

    async def run_sync(
        function: Callable[..., Any], *positional: Any, **named: Any
    ) -> Any:
        slow = sleepy(function, THREAD, THREAD / 2)
        return await in_thread(slow, *positional, **named)

    changes: list[tuple[Any, str, Any]] = [
        (anyio.to_thread, "run_sync", run_sync),
        (MemoryStore, "transact", late_in_order(MemoryStore.transact, COMMIT)),
        (MemoryStore, "read", late(MemoryStore.read, READ)),
        (Writer, "_settle", sleepy(Writer._settle, COMMIT, 0)),
        (Writer, "_settled", sleepy(Writer._settled, COMMIT, 0)),
        (
            subprocess.Popen,
            "__init__",
            sleepy(subprocess.Popen.__init__, CHILD, CHILD),
        ),
    ]
    for holder, name, change in changes:
        setattr(holder, name, change)
