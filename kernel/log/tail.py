"""Tails: replay from a cursor, then follow, with no gap and no repeat (law events.5).

Owns the hand-off: subscribe first, read then, and read again after every ring. A
commit that lands between the two is in the next read, so it arrives exactly once. What
a ring brings is not read again where it goes on from the cursor without a gap.
Pages bound the memory of a reader, however far behind it is. There are two: of one
session in the order of its log, and of the whole store in commit order. What readers
make of each event, to send it on, is made once for those who stand near each other.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import anyio

from ..ports import EventRecord, Reader, StoredFact
from ..values.errors import (
    CursorInvalidError,
    RuntimeClosedError,
    SessionNotFoundError,
    SessionRemovedError,
    StoreClosedError,
)
from ..values.events import Event, SessionRemoved
from ..values.frozen import frozen
from .bell import Bell
from .commit import EventLog
from .reading import PAGE, event_from, event_of, missing_fact

AT_HAND = 64
"""Events of this process that wait for a reader in memory; whoever falls further behind
reads them."""

R = TypeVar("R")
T = TypeVar("T")


def check_cursor(after: int | None) -> int:
    """Return the position to continue after; -1 is before everything.

    Raises:
        CursorInvalidError: it is no position.
    """
    if after is None:
        return -1
    if not isinstance(after, int) or isinstance(after, bool) or after < -1:
        raise CursorInvalidError("cursor", after, "the number of an event, or -1")
    return after


class Following(ABC, Generic[R, T]):
    """What all tails are: an async iterator with one reader, from ``R`` to ``T``.

    Closing it, leaving ``async with``, or dropping it ends it and leaves nothing
    behind. A cancelled ``anext`` loses nothing: the next one goes on.
    """

    _room = 0
    """How many events are at hand that need not be read."""

    def __init__(
        self, log: EventLog, topic: str | None, after: int | None, *, follow: bool
    ) -> None:
        self._cursor = check_cursor(after)
        self._log = log
        self._topic = topic
        self._follow = follow
        self._page: deque[R] = deque()
        self._bell: Bell | None = None
        # Whether there may be something to read: at first, after a ring, and as long
        # as pages come full.
        self._dirty = True
        self._done = False
        self._one_reader = anyio.ResourceGuard("reading from")

    @property
    def cursor(self) -> int:
        """Where it is: give it to another tail as ``after`` to go on from here."""
        return self._cursor

    @property
    def ready(self) -> int:
        """How many of the next events come without waiting."""
        return len(self._page)

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        return self._shown(await self._record())

    def as_bytes(self, write: "Callable[[T], bytes]") -> "Written":
        """Return what a function writes of each event, for whoever sends it on.

        An event is written once for all readers of this log who stand near each other
        and have it written by the same function, as it is stored by then: what is made
        of an event must follow from the event alone. The tail is read by this from
        now on.
        """
        return Written(self, write)

    async def _record(self) -> R:
        if not self._page:
            with self._one_reader:
                await self._turn()
            if not self._page:
                raise StopAsyncIteration
        record = self._page.popleft()
        self._cursor = self._place(record)
        return record

    async def _turn(self) -> None:
        """Fetch the next page; none is left when the tail is at its end."""
        if self._follow and self._bell is None and not self._done:
            # Subscribe before the first read: this closes the hand-off window.
            self._bell = self._log.bell(self._topic, room=self._room)
        while not self._page and not self._done:
            if not self._dirty:
                if self._bell is None or not await self._bell.wait():
                    self.close()
                    return
                at_hand = self._at_hand(self._bell.take())
                if at_hand is not None:
                    self._page.extend(at_hand)
                    continue
                # Until a read is done, or a ring would be lost with a cancelled one.
                self._dirty = True
            try:
                page = await self._log.read(self._read)
            except (RuntimeClosedError, StoreClosedError):
                if self._bell is None or not self._bell.closed:
                    raise
                self.close()
                return
            if not self._done:
                self._dirty = len(page) == PAGE
                self._page.extend(page)

    def _rewind(self, cursor: int) -> None:
        """Read on from here, whatever was read before."""
        self._page.clear()
        self._cursor = cursor
        self._dirty = True

    def _at_hand(self, rung: Sequence[Event] | None) -> Sequence[R] | None:
        """Return what is next of what rings had with them; None: it must be read."""
        return None

    @abstractmethod
    def _read(self, rows: Reader) -> Sequence[R]:
        """Return the next page after the cursor."""

    @abstractmethod
    def _place(self, record: R) -> int:
        """Return the cursor after a record."""

    @abstractmethod
    def _shown(self, record: R) -> T:
        """Return what is delivered."""

    def close(self) -> None:
        """End the tail, also for a reader that waits. Closing twice is harmless."""
        self._done = True
        self._page.clear()
        if self._bell is not None:
            self._log.forget_bell(self._topic, self._bell)
            self._bell.close()

    async def aclose(self) -> None:
        """End the tail."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Written:
    """An async iterator over what a function writes of the events of a tail."""

    def __init__(
        self, tail: Following[Any, Any], write: Callable[[Any], bytes]
    ) -> None:
        self._tail = tail
        self._shared = tail._log.shared(tail._topic, write)
        self._shared.join(self)

    @property
    def cursor(self) -> int:
        """Where the tail is."""
        return self._tail.cursor

    @property
    def ready(self) -> int:
        """How many of the next come without waiting."""
        return self._tail.ready

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        tail = self._tail
        record = await tail._record()
        return self._shared.written(tail._cursor, record, tail._shown)

    def close(self) -> None:
        """End the tail."""
        self._tail.close()


class Tail(Following[StoredFact | Event, Event]):
    """Durable events of one session after a cursor, which is a sequence number.

    Any number of tails per session; what one reader is slow at costs nobody else. Of a
    session that is removed meanwhile, that is the last event; what comes before it and
    was not read yet is not told any more. What is missing in its log is told in its
    place, as what cannot be read.

    Raises (while iterating):
        SessionNotFoundError: there is no such session, or it was removed before.
        RuntimeClosedError: the runtime was closed; a tail that follows ends instead.
        StoreError: the store cannot be read. The next ``anext`` tries again.
    """

    _room = AT_HAND

    def __init__(
        self, log: EventLog, session_id: str, after: int | None, *, follow: bool
    ) -> None:
        super().__init__(log, session_id, after, follow=follow)
        self._session_id = session_id
        self._begun = False
        """Whether it was read while there was the session."""

    def __repr__(self) -> str:
        return f"<Tail of {self._session_id!r} after {self._cursor}>"

    def _read(self, rows: Reader) -> Sequence[StoredFact]:
        head = rows.head(self._session_id)
        if head is None:
            raise SessionNotFoundError(self._session_id)
        if head.removed:
            return self._last(rows, head.seq)
        self._begun = True
        facts = rows.facts(self._session_id, after=self._cursor, limit=PAGE)
        return _filled(facts, self._cursor, head.seq)

    def _last(self, rows: Reader, seq: int) -> Sequence[StoredFact]:
        """Return what is left to tell of a session that was removed: that it was, and
        only to who has followed it before."""
        if not self._begun:
            raise SessionRemovedError(self._session_id)
        # Also to who waits for what is further on than it ended.
        return rows.facts(self._session_id, after=seq - 1, limit=1)

    async def _record(self) -> StoredFact | Event:
        record = await super()._record()
        kind = record.kind if isinstance(record, Event) else record[1]
        if kind == SessionRemoved.kind:
            self.close()
        return record

    def _at_hand(self, rung: Sequence[Event] | None) -> Sequence[Event] | None:
        if rung is None:
            return None
        last = rung[-1] if rung else None
        if isinstance(last, SessionRemoved) and last.seq <= self._cursor:
            return [last]  # Nothing will ever be where it waits.
        # What was read meanwhile may have been rung for as well.
        rest = [event for event in rung if event.seq > self._cursor]
        if [event.seq for event in rest] != list(
            range(self._cursor + 1, self._cursor + 1 + len(rest))
        ):
            return None
        return rest

    def _place(self, record: StoredFact | Event) -> int:
        return record.seq if isinstance(record, Event) else record[0]

    def _shown(self, record: StoredFact | Event) -> Event:
        if isinstance(record, Event):
            return record
        return event_from(self._session_id, record)


def _filled(facts: Sequence[StoredFact], after: int, head: int) -> Sequence[StoredFact]:
    """Return a page after a number, with what stands for each event that is not there:
    nobody is to take a log with a hole for a whole one (law events.6)."""
    whole = len(facts) == PAGE
    if after + len(facts) == (facts[-1][0] if whole else head):
        return facts
    found: list[StoredFact] = []
    due = after + 1
    for fact in facts:
        # What was changed may be of any type.
        if type(fact[0]) is int:
            found += map(missing_fact, range(due, min(fact[0], due + PAGE)))
            due = fact[0] + 1
        found.append(fact)
    if not whole:
        found += map(missing_fact, range(due, min(head + 1, due + PAGE)))
    return found[:PAGE]


@frozen
class Placed:
    """An event and its place in the commit order of the whole store."""

    cursor: int
    """Opaque: only good as ``after`` of ``runtime.events`` on the same store."""
    event: Event
    """The event."""


class RuntimeTail(Following[EventRecord, Placed]):
    """Durable events of all sessions, in commit order, after a cursor.

    Raises (while iterating): as ``Tail``, without the session.
    """

    def __init__(self, log: EventLog, after: int | None, *, follow: bool) -> None:
        super().__init__(log, None, after, follow=follow)

    def __repr__(self) -> str:
        return f"<RuntimeTail after {self._cursor}>"

    def _read(self, rows: Reader) -> Sequence[EventRecord]:
        return rows.all_events(after=self._cursor, limit=PAGE)

    def _place(self, record: EventRecord) -> int:
        return record.position

    def _shown(self, record: EventRecord) -> Placed:
        return Placed(record.position, event_of(record))
