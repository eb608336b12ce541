"""Own time: a limit for a stranger's code, which measures it and no queue before it.

Owns what counts. In a process with a thousand sessions at work the event loop comes
round late and the worker threads have a queue; a wall clock would give up on code that
had no chance to run. Knows nothing of what is limited.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio import to_thread

LOOKS = 50
"""How often the time is looked at within the limit. One look counts as what was asked
for, however late it comes: so the code has this many turns of the loop at the least."""

QUEUED = 20
"""How many limits may pass while others queue for worker threads, before that counts
too: threads that nobody gives back must not keep everybody waiting for ever."""


@asynccontextmanager
async def own_time(seconds: float) -> AsyncIterator[anyio.CancelScope]:
    """Cancel what is awaited in here after so many seconds of its own.

    Yields the scope that is cancelled then: its ``cancelled_caught`` says whether.
    """
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_end_after, seconds, scope)
            yield scope
            tasks.cancel_scope.cancel()


async def _end_after(seconds: float, scope: anyio.CancelScope) -> None:
    threads = to_thread.current_default_thread_limiter()
    counted = queued = 0
    while counted < LOOKS and queued < LOOKS * QUEUED:
        await anyio.sleep(seconds / LOOKS)
        if threads.statistics().tasks_waiting:
            queued += 1
        else:
            counted += 1
    scope.cancel()
