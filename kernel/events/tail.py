"""Tail: replay from a cursor, then follow, with no gap and no repeat (law events.5).

Owns the hand-off: subscribe first, read then, and read again after every ring. A
commit that lands between the two is in the next read, so it arrives exactly once.
Pages bound the memory of a reader, however far behind it is.
"""

from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType

from ..ports import EventRecord, Reader
from ..values.errors import CursorInvalidError
from ..values.events import Event
from .bell import Bell
from .log import PAGE, EventLog, event_of, existing_session


class Tail:
    """Durable events of one session after a cursor: an async iterator.

    Closing it, leaving ``async with``, or dropping it ends it and leaves nothing
    behind. One reader per tail; any number of tails per session.
    """

    def __init__(
        self, log: EventLog, session_id: str, after: int | None, *, follow: bool
    ) -> None:
        if after is not None and (not isinstance(after, int) or after < -1):
            raise CursorInvalidError("cursor", after, "a sequence number, or -1")
        self._log = log
        self._session_id = session_id
        self._cursor = -1 if after is None else after
        self._follow = follow
        self._page: deque[EventRecord] = deque()
        self._bell: Bell | None = None
        self._more = True
        self._done = False

    @property
    def cursor(self) -> int:
        """The sequence number of the last event that was delivered."""
        return self._cursor

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._page:
            if self._done:
                raise StopAsyncIteration
            if self._bell is None:
                # Subscribe before the first read: this closes the hand-off window.
                self._bell = self._log.bell(self._session_id)
            elif not self._more and not (self._follow and await self._bell.wait()):
                self.close()
                raise StopAsyncIteration
            page = await self._log.read(self._read)
            self._more = len(page) == PAGE
            self._page.extend(page)
        record = self._page.popleft()
        self._cursor = record.seq
        return event_of(record)

    def _read(self, rows: Reader) -> list[EventRecord]:
        page = list(rows.events(self._session_id, after=self._cursor, limit=PAGE))
        if not page:
            existing_session(rows, self._session_id)
        return page

    def close(self) -> None:
        """End the tail. Closing twice is harmless."""
        self._done = True
        self._page.clear()
        if self._bell is not None:
            self._log.hush(self._session_id, self._bell)

    async def aclose(self) -> None:
        """End the tail."""
        self.close()

    async def __aenter__(self) -> "Tail":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
