"""The Location map: one graph of services per Location, opened on first use.

Owns which Locations are open and makes sure that each is opened once, shared by all
that use it, and closed with its scope. What is inside a graph is decided by the
function it is given; the map knows nothing of it.
"""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from ..values.errors import RuntimeClosedError
from ..values.location import Location
from .scope import Scope

S = TypeVar("S")

Build = Callable[[Location, Scope], Awaitable[S]]


class _Slot(Generic[S]):
    """One Location: opening, open, or failed to open."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.ready = anyio.Event()
        self.graph: S | None = None
        self.error: Exception | None = None


class LocationMap(Generic[S]):
    """The open Locations of one runtime."""

    def __init__(self, tasks: TaskGroup, build: Build[S]) -> None:
        self._tasks = tasks
        self._build = build
        self._slots: dict[Location, _Slot[S]] = {}
        self._closed = False

    async def acquire(self, location: Location) -> S:
        """Return the Location's services, opening them when they are not.

        Callers that come while it opens wait for the same opening. One that failed is
        tried anew by the next caller. Cancelling a caller does not disturb the others.

        Raises:
            RuntimeClosedError: the runtime is closing.
            Exception: whatever opening raised.
        """
        if self._closed:
            raise RuntimeClosedError
        slot = self._slots.get(location)
        if slot is None:
            slot = _Slot[S](Scope(f"location {location.directory}", self._tasks))
            self._slots[location] = slot
            self._tasks.start_soon(self._open, location, slot)
        if not slot.ready.is_set():
            await slot.ready.wait()
        if slot.error is not None:
            raise slot.error
        assert slot.graph is not None
        return slot.graph

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

    def open_now(self) -> dict[Location, S]:
        """Return the graphs that are open, by Location."""
        return {
            location: slot.graph
            for location, slot in self._slots.items()
            if slot.graph is not None
        }

    async def aclose(self) -> None:
        """Close every Location, last opened first; the others are refused from now."""
        self._closed = True
        for slot in reversed(list(self._slots.values())):
            await slot.ready.wait()
            await slot.scope.aclose()
        self._slots.clear()
