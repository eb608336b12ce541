"""A clock that moves only when a test says so."""

import anyio

from ..values.clock import Clock


class ManualClock(Clock):
    """Starts at a given time; ``advance`` moves it and wakes who waited long enough."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self._start = now
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, anyio.Event]] = []

    def now(self) -> int:
        return self._start + int(self._elapsed * 1000)

    def monotonic(self) -> float:
        return self._elapsed

    @property
    def sleeping(self) -> int:
        """How many tasks wait for this clock."""
        return len(self._sleepers)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await anyio.lowlevel.checkpoint()
            return
        sleeper = (self._elapsed + seconds, anyio.Event())
        self._sleepers.append(sleeper)
        try:
            await sleeper[1].wait()
        finally:
            self._sleepers.remove(sleeper)

    def advance(self, seconds: float) -> None:
        """Move the time forward."""
        self._elapsed += seconds
        for due, event in self._sleepers:
            if due <= self._elapsed:
                event.set()

    def set_back(self, seconds: float) -> None:
        """Let the wall clock go backwards, as real ones do."""
        self._start -= int(seconds * 1000)
