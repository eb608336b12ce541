"""The Location map: one graph of services per Location, opened on first use.

Owns which Locations are open and makes sure that each is opened once, shared by all
that use it, and closed when nobody did for a while, or with the runtime. What is inside
a graph is decided by the function it is given; the map knows nothing of it.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from ..values.clock import Clock
from ..values.errors import RuntimeClosedError
from ..values.location import Location
from .clock import SystemClock
from .scope import Scope

S = TypeVar("S")

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 30.0
"""For a Location whole; the plugins in it are bounded one by one before."""

Build = Callable[[Location, Scope], Awaitable[S]]


class _Slot(Generic[S]):
    """One Location: opening, open, failed to open, or closing."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.ready = anyio.Event()
        self.graph: S | None = None
        self.error: Exception | None = None
        self.uses = 0
        self.last_use = 0.0
        self.waiting = False
        """Whether a task waits for the Location to be idle long enough."""
        self.closing = False


class LocationMap(Generic[S]):
    """The open Locations of one runtime.

    One that nobody used for ``idle_seconds`` is closed; None means that it stays open.
    A Location is in one of these states:

    1. *Away*: it has no slot. The first use makes one, and a task that opens it.
    2. *Opening*: whoever comes waits for the same opening. Cancelling any of them
       disturbs none of the others.
    3. *Failed*: everybody who waited has the error. Away again: the next one tries
       anew.
    4. *Open*: uses are counted. After the last of them one task waits until it was idle
       for long enough, however often it is used meanwhile.
    5. *Closing*: whoever comes waits for the end of that, and opens it anew.
    6. *Closed*, all of them, with the runtime: every use is refused.
    """

    def __init__(
        self,
        tasks: TaskGroup,
        build: Build[S],
        *,
        clock: Clock | None = None,
        idle_seconds: float | None = None,
    ) -> None:
        self._tasks = tasks
        self._build = build
        self._clock = clock or SystemClock()
        self._idle_seconds = idle_seconds
        self._slots: dict[Location, _Slot[S]] = {}
        self._idle = anyio.CancelScope()
        self._closed = False

    @asynccontextmanager
    async def use(self, location: Location) -> AsyncIterator[S]:
        """Yield the Location's services, and keep it open until this is left.

        Raises:
            RuntimeClosedError: the runtime is closing.
            Exception: whatever opening raised.
        """
        slot = await self._open_slot(location)
        slot.uses += 1
        try:
            assert slot.graph is not None
            yield slot.graph
        finally:
            slot.uses -= 1
            self._used(location, slot)

    async def acquire(self, location: Location) -> S:
        """Return the Location's services, opening them when they are not.

        Callers that come while it opens wait for the same opening. One that failed is
        tried anew by the next caller. Cancelling a caller does not disturb the others.

        Raises:
            RuntimeClosedError: the runtime is closing.
            Exception: whatever opening raised.
        """
        async with self.use(location) as graph:
            return graph

    async def _open_slot(self, location: Location) -> _Slot[S]:
        while True:
            if self._closed:
                raise RuntimeClosedError
            slot = self._slots.get(location)
            if slot is not None and slot.closing:
                # Two of one Location would hold the same things twice.
                await slot.scope.aclose()
                if self._slots.get(location) is slot:
                    del self._slots[location]
                continue
            if slot is None:
                name = f"location {location.directory}"
                slot = _Slot[S](Scope(name, self._tasks, close_seconds=CLOSE_SECONDS))
                self._slots[location] = slot
                self._tasks.start_soon(self._open, location, slot)
            if slot.ready.is_set():
                break
            # Counted as a use, so that it is there when the waiting is over.
            slot.uses += 1
            try:
                await slot.ready.wait()
            finally:
                slot.uses -= 1
                if slot.graph is not None:
                    self._used(location, slot)
            break
        if slot.error is not None:
            raise slot.error
        return slot

    async def _open(self, location: Location, slot: _Slot[S]) -> None:
        # In a task of its own: the first caller may be cancelled, the others wait on.
        try:
            await slot.scope.open()
            slot.graph = await self._build(location, slot.scope)
        except Exception as error:
            slot.error = error
            self._slots.pop(location, None)
            await slot.scope.aclose()
        except BaseException:
            slot.error = RuntimeClosedError()
            raise
        finally:
            slot.ready.set()

    def _used(self, location: Location, slot: _Slot[S]) -> None:
        slot.last_use = self._clock.monotonic()
        if self._idle_seconds is None or self._closed or slot.uses or slot.waiting:
            return
        slot.waiting = True
        self._tasks.start_soon(
            self._close_when_idle, location, slot, self._idle_seconds
        )

    async def _close_when_idle(
        self, location: Location, slot: _Slot[S], seconds: float
    ) -> None:
        # One task a Location, however often it is used meanwhile.
        with anyio.CancelScope() as scope:
            slot.scope.defer(scope.cancel)
            while not slot.uses:
                rest = slot.last_use + seconds - self._clock.monotonic()
                if rest <= 0:
                    break
                await self._clock.sleep(rest)
        slot.waiting = False
        if slot.uses or self._closed or slot.closing or scope.cancel_called:
            return
        slot.closing = True
        logger.info("location %s closes: nobody uses it", location.directory)
        await slot.scope.aclose()
        if self._slots.get(location) is slot:
            del self._slots[location]

    def open_now(self) -> dict[Location, S]:
        """Return the graphs that are open, by Location."""
        return {
            location: slot.graph
            for location, slot in self._slots.items()
            if slot.graph is not None and not slot.closing
        }

    async def aclose(self) -> None:
        """Close every Location, last opened first; the others are refused from now."""
        self._closed = True
        for slot in reversed(list(self._slots.values())):
            if not slot.ready.is_set() and slot.graph is None:
                await slot.ready.wait()
            await slot.scope.aclose()
        self._slots.clear()
