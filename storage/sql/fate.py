"""Waiting for what cannot be called off.

Owns how a caller waits for a transaction that was handed over: until it is settled,
whatever cancellation comes meanwhile, which then arrives at the caller's next wait. A
thread other than the loop's waits in its own way. Knows nothing of transactions.
"""

import asyncio
import math
import threading
from collections.abc import Callable
from typing import Any, Protocol

import anyio
from anyio.lowlevel import current_token


class Fate(Protocol):
    """Something that is settled once, in the event loop."""

    __slots__ = ()

    def settle(self) -> None:
        """Let whoever waits go on."""
        ...

    async def outlast(self) -> None:
        """Return once it is settled."""
        ...


class AsyncioFate:
    """A fate on asyncio: a bare future, because this is on the path of every commit."""

    __slots__ = ("_future", "_settled")

    def __init__(self) -> None:
        self._future = asyncio.get_running_loop().create_future()
        self._settled = False

    def settle(self) -> None:
        self._settled = True
        if not self._future.done():  # a cancelled caller has cancelled it, too
            self._future.set_result(None)

    async def outlast(self) -> None:
        try:
            await self._future
        except asyncio.CancelledError:
            await self._outlast_cancellation()

    async def _outlast_cancellation(self) -> None:
        # A scope of anyio cancels again by itself; Task.cancel() comes only once, and
        # no shield of anyio holds it off.
        by_task = anyio.current_effective_deadline() != -math.inf
        with anyio.CancelScope(shield=True):
            while not self._settled:
                self._future = asyncio.get_running_loop().create_future()
                try:
                    await self._future
                except asyncio.CancelledError:
                    by_task = True
        if by_task:
            task = asyncio.current_task()
            assert task is not None
            # Once more, but counted once: `asyncio.timeout` compares the counts.
            task.cancel()
            task.uncancel()


class AnyioFate:
    """A fate on any other loop."""

    __slots__ = ("_done",)

    def __init__(self) -> None:
        self._done = anyio.Event()

    def settle(self) -> None:
        self._done.set()

    async def outlast(self) -> None:
        try:
            await self._done.wait()
        except anyio.get_cancelled_exc_class():
            # Cancellation is a state here, not a message: the next wait meets it again.
            with anyio.CancelScope(shield=True):
                await self._done.wait()


class ThreadFate(Fate):
    """A fate that a thread waits for. It is settled wherever that comes up."""

    __slots__ = ("_done",)

    def __init__(self) -> None:
        self._done = threading.Event()

    def settle(self) -> None:
        self._done.set()

    async def outlast(self) -> None:
        raise AssertionError("a thread waits for this, and no task")

    def settled(self, within: float) -> bool:
        """Wait for it, and say whether it came in as many seconds."""
        return self._done.wait(within)


def loop_words() -> tuple[Callable[[], Fate], Callable[..., object]]:
    """Return how the running loop makes a fate, and how a thread calls into it."""
    native: Any = current_token().native_token
    if isinstance(native, asyncio.AbstractEventLoop):
        return AsyncioFate, native.call_soon_threadsafe
    return AnyioFate, native.run_sync_soon
