"""A clock that moves only when a test says so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from ..values.clock import Clock


class ManualClock(Clock):
    """Starts at a given time; ``advance`` moves it and wakes who waited long enough."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self._start = now
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, anyio.Event]] = []
        self._watchers: list[anyio.Event] = []

    def now(self) -> int:
        return self._start + int(self._elapsed * 1000)

    def monotonic(self) -> float:
        return self._elapsed

    @property
    def sleeping(self) -> int:
        """How many tasks wait for this clock."""
        return len(self._sleepers)

    async def until_sleeping(self, tasks: int) -> None:
        """Wait until at least so many tasks wait for this clock."""
        while len(self._sleepers) < tasks:
            watcher = anyio.Event()
            self._watchers.append(watcher)
            try:
                await watcher.wait()
            finally:
                self._watchers.remove(watcher)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await anyio.lowlevel.checkpoint()
            return
        sleeper = (self._elapsed + seconds, anyio.Event())
        self._sleepers.append(sleeper)
        for watcher in self._watchers:
            watcher.set()
        try:
            await sleeper[1].wait()
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    def advance(self, seconds: float) -> None:
        """Move the time forward."""
        self._move_to(self._elapsed + seconds)

    @asynccontextmanager
    async def jumping(self, *, beside: int = 0) -> AsyncIterator[None]:
        """Let the time jump to whoever is due next, whenever all tasks wait.

        What waits for seconds or hours goes on at once and in order, as with the clock
        of trio's own tests. Work in threads and other processes is not seen, so that
        who sleeps while it goes on may be woken before it ends.

        ``beside`` is how many tasks always sleep, and are woken when their time comes
        but are no reason to jump.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._jump, beside)
            yield
            tasks.cancel_scope.cancel()

    async def _jump(self, beside: int) -> None:
        while True:
            await self.until_sleeping(beside + 1)
            await anyio.wait_all_tasks_blocked()
            if len(self._sleepers) > beside:
                # To that very number: a sum of differences may fall short of it.
                self._move_to(min(due for due, _ in self._sleepers))

    def _move_to(self, elapsed: float) -> None:
        self._elapsed = elapsed
        for sleeper in [one for one in self._sleepers if one[0] <= elapsed]:
            # Here and not by whoever sleeps, who has yet to run.
            self._sleepers.remove(sleeper)
            sleeper[1].set()

    def set_back(self, seconds: float) -> None:
        """Let the wall clock go backwards, as real ones do."""
        self._start -= int(seconds * 1000)
