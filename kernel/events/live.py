"""Live: every event as it happens, deltas included, for whoever watches now.

Owns the broadcast to bounded subscribers. Gives no promise about the past: a reader
that must miss nothing uses a tail. Broadcasting never waits, so a slow subscriber
costs nobody anything; it alone is dropped when it falls too far behind.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType

import anyio

from ..values.errors import InvalidValueError, LiveOverflowError
from ..values.events import LiveEvent

# Enough for the deltas of several busy sessions while a reader waits for a terminal
# or a socket; at about 300 bytes each this bounds a stuck reader to roughly 1 MB.
DEFAULT_CAPACITY = 4096


class LiveFeed:
    """The broadcast of one runtime."""

    def __init__(self) -> None:
        # A dict keeps the order in which subscribers came.
        self._subscribers: dict[LiveSubscription, None] = {}

    def publish(self, event: LiveEvent) -> None:
        """Hand one event to every subscriber. Never waits, never raises."""
        for subscriber in tuple(self._subscribers):
            subscriber.offer(event)

    @property
    def watched(self) -> bool:
        """Whether anybody subscribes, so that deltas are worth making."""
        return bool(self._subscribers)

    def subscribe(
        self,
        *,
        session_id: str | None = None,
        capacity: int = DEFAULT_CAPACITY,
    ) -> "LiveSubscription":
        """Return a subscription that begins now; ``session_id`` narrows it to one.

        ``capacity`` is how many events it may fall behind before it is dropped.

        Raises:
            InvalidValueError: the capacity is not at least 1.
        """
        if capacity < 1:
            raise InvalidValueError("capacity", capacity, "at least 1")
        made = LiveSubscription(session_id, capacity, self._drop)
        self._subscribers[made] = None
        return made

    def _drop(self, subscriber: "LiveSubscription") -> None:
        self._subscribers.pop(subscriber, None)

    def close(self) -> None:
        """End every subscription."""
        for subscriber in tuple(self._subscribers):
            subscriber.close()


class LiveSubscription:
    """An async iterator over what happens from its creation until its closing.

    Raises:
        LiveOverflowError: the reader fell more than the capacity behind. Everything
            that was queued before is delivered first.
    """

    def __init__(
        self,
        session_id: str | None,
        capacity: int,
        leave: Callable[["LiveSubscription"], None],
    ) -> None:
        self._session_id = session_id
        self._capacity = capacity
        self._leave = leave
        self._queue: deque[LiveEvent] = deque()
        self._ready = anyio.Event()
        self._overflowed = False
        self._closed = False

    def offer(self, event: LiveEvent) -> None:
        """Queue an event, or drop this subscriber when the queue is full."""
        if self._session_id is not None and event.session_id != self._session_id:
            return
        if len(self._queue) >= self._capacity:
            self._overflowed = True
            self._leave(self)
        else:
            self._queue.append(event)
        self._ready.set()

    def close(self) -> None:
        """End the iteration after what is queued. Closing twice is harmless."""
        self._closed = True
        self._leave(self)
        self._ready.set()

    def __aiter__(self) -> AsyncIterator[LiveEvent]:
        return self

    async def __anext__(self) -> LiveEvent:
        while not self._queue:
            if self._overflowed:
                raise LiveOverflowError(self._capacity)
            if self._closed:
                raise StopAsyncIteration
            self._ready = anyio.Event()
            await self._ready.wait()
        return self._queue.popleft()

    async def __aenter__(self) -> "LiveSubscription":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
