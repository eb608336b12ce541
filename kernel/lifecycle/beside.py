"""Beside: strangers' code that is run for a while and left behind if it does not end.

Owns that nobody waits for longer than a limit and a bit of patience for code that
ignores its cancellation. What it did by then is the caller's to know. Knows nothing of
what runs.
"""

from collections.abc import Awaitable, Callable, Sequence

import anyio

from .detached import DetachedTasks
from .own_time import own_time

Work = Callable[[], Awaitable[None]]


async def run_beside(
    name: str, works: Sequence[Work], seconds: float, patience: float
) -> None:
    """Run all of these at the same time, for so many seconds of their own (see
    ``own_time``), then cancel what has not ended and wait ``patience`` seconds for it.

    What still goes on then is left behind, in a task that is nobody's. Cancelling this
    cancels all of them, and waits as long.

    Raises:
        BaseException: what one of them raised, which ended the others.
    """
    if not works:
        return
    left, ended = len(works), anyio.Event()

    async def one(work: Work) -> None:
        nonlocal left
        try:
            await work()
        finally:
            left -= 1
            if not left:
                ended.set()

    # In a task of its own: a group in this one could not be left.
    detached = DetachedTasks(name, ended.set)
    group = await detached.open()
    try:
        for work in works:
            group.start_soon(one, work)
        async with own_time(seconds):
            await ended.wait()
    finally:
        await detached.aclose(patience)
    if detached.error is not None:
        raise detached.error
