"""The Clock port: where time comes from.

Owns the face only. The system clock lives in ``lifecycle``, a manual one in
``testing``. Times are stored and shown, and decide nothing (law events.10).
"""

from typing import Protocol


class Clock(Protocol):
    """Wall time, elapsed time and waiting, in one replaceable place."""

    def now(self) -> int:
        """Milliseconds since 1970-01-01 UTC. May go backwards."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start. Never goes backwards."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that long by this clock. Cancellable."""
        ...
