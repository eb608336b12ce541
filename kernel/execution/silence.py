"""Silence: an answer from which nothing comes for too long is given up.

Owns the watch over the streams of a runtime: one task for all of them, which sleeps
until the first of them may have been silent for long enough. Knows nothing of what a
stream brings.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
from attrs import define

from ..values.clock import Clock
from ..values.errors import ProviderError


@define(eq=False)
class _Stream:
    scope: anyio.CancelScope
    limit: float
    last: float

    @property
    def due(self) -> float:
        return self.last + self.limit


class Silence:
    """Listens to streams, and ends those that have fallen silent."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._streams: set[_Stream] = set()
        self._earlier = anyio.Event()
        """Set when a stream may be due before what is slept for."""
        self._until = float("inf")

    async def watch(self) -> None:
        """End what is silent for too long, for as long as this runs."""
        while True:
            self._earlier = anyio.Event()
            self._until = min((one.due for one in self._streams), default=float("inf"))
            if self._streams:
                await self._sleep(self._until - self._clock.monotonic())
            else:
                await self._earlier.wait()
            now = self._clock.monotonic()
            for stream in [one for one in self._streams if one.due <= now]:
                self._streams.discard(stream)
                stream.scope.cancel()

    async def _sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        async with anyio.create_task_group() as tasks:

            async def woken() -> None:
                await self._earlier.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(woken)
            await self._clock.sleep(seconds)
            tasks.cancel_scope.cancel()

    @contextmanager
    def listening(
        self, provider: str, limit: float | None
    ) -> Iterator[Callable[[], None]]:
        """Give a function to call whenever something came.

        Raises:
            ProviderError: ``provider.stream_broken``: nothing came for ``limit``
                seconds; it is retryable.
        """
        if limit is None:
            yield _nothing
            return
        scope = anyio.CancelScope()
        stream = _Stream(scope, limit, self._clock.monotonic())
        self._streams.add(stream)
        if stream.due < self._until:
            self._earlier.set()

        def heard() -> None:
            stream.last = self._clock.monotonic()

        try:
            with scope:
                yield heard
        finally:
            self._streams.discard(stream)
        if scope.cancelled_caught:
            raise ProviderError(
                "provider.stream_broken",
                provider,
                f"nothing came for {limit:g} seconds",
                retryable=True,
            )


def _nothing() -> None:
    return None
