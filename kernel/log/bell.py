"""Bell: the dirty signal of one reader, of capacity one.

Any number of rings before a wait are one ring: the reader looks again, once, and
finds everything. Capacity one is enough because a ring carries no data.
"""

import anyio


class Bell:
    """Rung by writers, waited for by one reader."""

    __slots__ = ("__weakref__", "_closed", "_event", "_rung")

    def __init__(self) -> None:
        self._rung = False
        self._closed = False
        self._event: anyio.Event | None = None

    def ring(self) -> None:
        """Let the reader look again. Never waits."""
        self._rung = True
        if self._event is not None:
            self._event.set()

    def close(self) -> None:
        """Ring for the last time."""
        self._closed = True
        self.ring()

    @property
    def closed(self) -> bool:
        """Whether it was rung for the last time."""
        return self._closed

    async def wait(self) -> bool:
        """Return True once rung since the last wait, or False when closed.

        A cancelled wait takes no ring with it.
        """
        if not self._rung:
            self._event = anyio.Event()
            try:
                await self._event.wait()
            finally:
                self._event = None
        self._rung = False
        return not self._closed
