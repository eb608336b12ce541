"""Bell: the dirty signal of one reader, of capacity one.

Any number of rings before a wait are one ring: the reader looks again, once, and
finds everything. Capacity one is enough because a reader needs no data of a ring.

A reader may still be spared the look: a ring can bring the events that it is about. It
keeps as many as there is room for, and none of them once one is missing.
"""

from collections.abc import Sequence

import anyio

from ..values.events import Event


class Bell:
    """Rung by writers, waited for by one reader.

    ``room`` is for how many events it keeps until they are asked for.
    """

    __slots__ = ("__weakref__", "_closed", "_event", "_kept", "_room", "_rung")

    def __init__(self, room: int = 0) -> None:
        self._rung = False
        self._closed = False
        self._event: anyio.Event | None = None
        self._room = room
        # None: something happened of which no ring had the event, or there was no room.
        self._kept: list[Event] | None = []

    def ring(self, events: Sequence[Event] | None = None) -> None:
        """Let the reader look again. Never waits.

        ``events`` are all that there is to see; None: nobody here knows.
        """
        if self._room:
            kept = self._kept
            if kept is not None and events is not None:
                kept += events
            if kept is None or events is None or len(kept) > self._room:
                self._kept = None
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

    def take(self) -> Sequence[Event] | None:
        """Return the events of all rings since the last take; None: some miss."""
        found, self._kept = self._kept, []
        return found

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
