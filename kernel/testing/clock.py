"""A clock that moves only when a test says so."""

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from attrs import frozen

from ..values.clock import Clock


@frozen(eq=False)
class _Sleeper:
    due: float
    seconds: float
    woken: anyio.Event


class ManualClock(Clock):
    """Starts at a given time; ``advance`` moves it and wakes who waited long enough."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self._start = now
        self._elapsed = 0.0
        self._sleepers: list[_Sleeper] = []
        self._watchers: list[anyio.Event] = []

    def now(self) -> int:
        return self._start + int(self._elapsed * 1000)

    def monotonic(self) -> float:
        return self._elapsed

    @property
    def sleeping(self) -> int:
        """How many tasks wait for this clock."""
        return len(self._sleepers)

    async def until_sleeping(
        self, tasks: int, *, within: float = math.inf, beyond: float = 0.0
    ) -> None:
        """Wait until at least so many tasks wait for this clock.

        Only who is due ``within`` so many seconds counts, who is woken by
        ``advance(within)``, and not before ``beyond`` so many. So a test need not know
        how many other tasks of a runtime wait for minutes or hours.
        """
        await self._until(lambda: self._due(beyond, within) >= tasks)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await anyio.lowlevel.checkpoint()
            return
        sleeper = _Sleeper(self._elapsed + seconds, seconds, anyio.Event())
        self._sleepers.append(sleeper)
        self._tell_watchers()
        try:
            await sleeper.woken.wait()
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    def advance(self, seconds: float) -> None:
        """Move the time forward."""
        self._move_to(self._elapsed + seconds)

    @asynccontextmanager
    async def jumping(self, *, longest: float = math.inf) -> AsyncIterator[None]:
        """Let the time jump to whoever is due next, whenever all tasks wait.

        What waits for seconds or hours goes on at once and in order, as with the clock
        of trio's own tests. Work in threads and other processes is not seen, so that
        who sleeps while it goes on may be woken before it ends.

        Who sleeps for more than ``longest`` seconds at a time is woken when the time
        comes but is no reason to jump: tasks of a runtime that look after something
        every few hours would let the time run for as long as a thread works.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._jump, longest)
            yield
            tasks.cancel_scope.cancel()

    async def _jump(self, longest: float) -> None:
        def reasons() -> list[float]:
            return [one.due for one in self._sleepers if one.seconds <= longest]

        while True:
            await self._until(lambda: bool(reasons()))
            await anyio.wait_all_tasks_blocked()
            if due := reasons():
                # To that very number: a sum of differences may fall short of it.
                self._move_to(min(due))

    def _due(self, beyond: float, within: float) -> int:
        now = self._elapsed
        return sum(now + beyond <= one.due <= now + within for one in self._sleepers)

    async def _until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds of who sleeps and when they are due."""
        while not holds():
            watcher = anyio.Event()
            self._watchers.append(watcher)
            try:
                await watcher.wait()
            finally:
                self._watchers.remove(watcher)

    def _move_to(self, elapsed: float) -> None:
        self._elapsed = elapsed
        for sleeper in [one for one in self._sleepers if one.due <= elapsed]:
            # Here and not by whoever sleeps, who has yet to run.
            self._sleepers.remove(sleeper)
            sleeper.woken.set()
        # Who is due within so many seconds may have become others.
        self._tell_watchers()

    def _tell_watchers(self) -> None:
        for watcher in self._watchers:
            watcher.set()

    def set_back(self, seconds: float) -> None:
        """Let the wall clock go backwards, as real ones do."""
        self._start -= int(seconds * 1000)
