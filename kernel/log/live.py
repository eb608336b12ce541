"""Live: every event as it happens, deltas included, for readers that are there.

Owns the broadcast to bounded subscribers. Gives no promise about the past: a reader
that must miss nothing uses a tail. Broadcasting never waits, so a slow subscriber
costs nobody anything; it alone is dropped when it falls too far behind. Whoever sends
events on takes them as JSON, which is made once for all who do.

What happens is written down once for all who watch the same: a chain of links, in which
each subscriber has a place. So a model's every word costs the session that hears it the
same, whether one watches or a hundred do.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self, TypeVar

import anyio

from ..values.codec import dumps, sanitised
from ..values.errors import InvalidValueError, LiveOverflowError, UndecodableError
from ..values.events import LiveEvent, event_to_json

S = TypeVar("S", "LiveSubscription", "LiveLines")

# Enough for the deltas of several busy sessions while a reader waits for a terminal
# or a socket; at about 300 bytes each this bounds a stuck reader to roughly 1 MB.
DEFAULT_CAPACITY = 4096


class _Shown:
    """One event, and its JSON once somebody asked for it."""

    __slots__ = ("_line", "event")

    def __init__(self, event: LiveEvent) -> None:
        self.event = event
        self._line: bytes | None = None

    @property
    def line(self) -> bytes:
        if self._line is None:
            shown = event_to_json(self.event)
            try:
                self._line = dumps(shown)
            except UndecodableError:
                # A delta is as the model wrote it: half of a surrogate pair, say.
                self._line = dumps(sanitised(shown))
        return self._line


class _Link:
    """A place in a chain: after what it shows, and before what came next."""

    __slots__ = ("next", "shown")

    def __init__(self, shown: _Shown | None) -> None:
        self.shown = shown
        self.next: _Link | None = None


class _Channel:
    """A chain and whoever watches it: one session's events, or everything."""

    def __init__(self) -> None:
        self.last = _Link(None)
        self.count = 0
        """Links that were added since the beginning."""
        self.members: dict[_Subscription, None] = {}
        self.bell: anyio.Event | None = None
        """Set by the next link, while somebody waits for it."""
        self._room = 0
        """Up to which count nobody can be too far behind."""

    def add(self, shown: _Shown) -> None:
        self.last.next = self.last = _Link(shown)
        self.count += 1
        if self.count > self._room:
            self._look()
        if self.bell is not None:
            self.ring()

    def ring(self) -> None:
        if self.bell is not None:
            self.bell.set()
            self.bell = None

    def join(self, member: "_Subscription") -> None:
        room = self.count + member.capacity
        self._room = min(self._room, room) if self.members else room
        self.members[member] = None

    def _look(self) -> None:
        """Drop whoever is too far behind, and find who will be the next."""
        for member in tuple(self.members):
            if member.behind > member.capacity:
                member.drop()
        ahead = [member.capacity - member.behind for member in self.members]
        self._room = self.count + min(ahead, default=0)


class LiveFeed:
    """Hands events to whoever watches now."""

    def __init__(self) -> None:
        # By session; whoever watches everything is under None.
        self._channels: dict[str | None, _Channel] = {}

    def publish(self, event: LiveEvent) -> None:
        """Hand one event to every subscriber. Never waits, never raises."""
        channels = self._channels
        if not channels:
            return
        shown = _Shown(event)
        channel = channels.get(None)
        if channel is not None:
            channel.add(shown)
        channel = channels.get(event.session_id)
        if channel is not None:
            channel.add(shown)

    @property
    def watched(self) -> bool:
        """Whether anybody subscribes, so that deltas are worth making."""
        return bool(self._channels)

    def subscribe(
        self,
        *,
        session_id: str | None = None,
        capacity: int = DEFAULT_CAPACITY,
    ) -> "LiveSubscription":
        """Return a subscription to everything from now on, or to one session's.

        ``capacity`` is how many events it may fall behind before it is dropped.

        Raises:
            InvalidValueError: the capacity is not at least 1.
        """
        return self._joined(LiveSubscription, session_id, capacity)

    def subscribe_lines(
        self,
        *,
        session_id: str | None = None,
        capacity: int = DEFAULT_CAPACITY,
    ) -> "LiveLines":
        """Return a subscription to the same, as JSON.

        Raises:
            InvalidValueError: the capacity is not at least 1.
        """
        return self._joined(LiveLines, session_id, capacity)

    def _joined(self, kind: type[S], session_id: str | None, capacity: int) -> S:
        if capacity < 1:
            raise InvalidValueError("capacity", capacity, "at least 1")
        channel = self._channels.setdefault(session_id, _Channel())

        def leave(member: _Subscription) -> None:
            channel.members.pop(member, None)
            if not channel.members and self._channels.get(session_id) is channel:
                del self._channels[session_id]

        made = kind(channel, capacity, leave)
        channel.join(made)
        return made

    def close(self) -> None:
        """End every subscription."""
        for channel in tuple(self._channels.values()):
            for member in tuple(channel.members):
                member.close()


class _Subscription:
    """A place in a channel's chain, which one reader moves on."""

    def __init__(
        self,
        channel: _Channel,
        capacity: int,
        leave: "Callable[[_Subscription], None]",
    ) -> None:
        self.capacity = capacity
        self._channel = channel
        self._leave = leave
        self._place = channel.last
        self._read = channel.count
        self._rest: deque[_Shown] | None = None
        """What is left to read, once nothing is added any more."""
        self._overflowed = False

    @property
    def behind(self) -> int:
        """How many events wait to be read, while it takes part."""
        return self._channel.count - self._read

    @property
    def ready(self) -> int:
        """How many of the next events come without waiting."""
        return self.behind if self._rest is None else len(self._rest)

    def drop(self) -> None:
        """Give up on a reader that fell too far behind: it has what fits."""
        self._overflowed = True
        self._end(self.capacity)

    def close(self) -> None:
        """End the iteration after what is queued. Closing twice is harmless."""
        if self._rest is None:
            self._end(self.behind)

    def _end(self, count: int) -> None:
        # The chain goes on for the others, and this place must not hold on to it.
        rest: deque[_Shown] = deque()
        while len(rest) < count:
            rest.append(self._step())
        self._rest = rest
        self._place = _Link(None)
        self._leave(self)
        self._channel.ring()

    def _step(self) -> _Shown:
        following = self._place.next
        assert following is not None, "there is one"
        assert following.shown is not None, "only a chain's beginning shows nothing"
        self._place = following
        self._read += 1
        return following.shown

    def _at_hand(self) -> _Shown | None:
        """Return what is next, if it is there; most of it is, once a reader wakes."""
        if self._rest is None and self._place.next is not None:
            return self._step()
        return None

    async def _next(self) -> _Shown:
        while self._rest is None:
            if self._place.next is not None:
                return self._step()
            if self._channel.bell is None:
                self._channel.bell = anyio.Event()
            await self._channel.bell.wait()
        if self._rest:
            return self._rest.popleft()
        if self._overflowed:
            raise LiveOverflowError(self.capacity)
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class LiveSubscription(_Subscription):
    """An async iterator over what happens from its creation until its closing.

    Raises:
        LiveOverflowError: the reader fell more than the capacity behind. Everything
            that was queued before is delivered first.
    """

    def __aiter__(self) -> AsyncIterator[LiveEvent]:
        return self

    async def __anext__(self) -> LiveEvent:
        shown = self._at_hand()
        return (shown or await self._next()).event


class LiveLines(_Subscription):
    """The same as JSON, an event each without a line's end, for whoever sends it on.

    What JSON cannot hold, such as half of a surrogate pair, is replaced in it.

    Raises:
        LiveOverflowError: as for ``LiveSubscription``.
    """

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        shown = self._at_hand()
        return (shown or await self._next()).line
