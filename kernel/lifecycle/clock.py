"""The system's clock: the only place in the kernel that asks for the time."""

import time

import anyio

from ..values.clock import Clock


class SystemClock(Clock):
    """Wall time and waiting of this machine."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)
