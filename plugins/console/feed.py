"""The feed: what happens in one session, as it happens, with nothing durable missed.

Joins the live events of this process with the log: live events are quick and bring
deltas, the log is complete. Whatever live did not bring, because this reader fell
behind or because another process committed it, is read from the log. While another
process works on the session, the log is all there is to follow. A server's sessions are
followed the same way, and by its log alone once the connection of the live ones broke.
"""

from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from dovetail.kernel import (
    Event,
    LiveDelta,
    LiveEvent,
    LiveOverflowError,
    LiveSubscription,
    Runtime,
    ServerError,
    ServerUnreachableError,
    Session,
    StepStarted,
)


class Feed:
    """An async iterator over a session's events, from a cursor until it is ended.

    Durable events come gap-free and once. Deltas come between them; when some were
    lost, none come until the next Step, and the end event of their part has the text.
    ``elsewhere`` says that another process may be the one that works; then no deltas
    come.
    """

    def __init__(
        self, runtime: Runtime, session: Session, *, elsewhere: bool = False
    ) -> None:
        self._runtime = runtime
        self._session = session
        self._live = not elsewhere
        self._source: Any = (
            session.events(follow=True)
            if elsewhere
            else runtime.live(session_id=session.id)
        )
        self._read: deque[Event] = deque()
        self._cursor = -1
        self._whole = True
        """Whether no delta of the current Step was lost."""
        self._ended = False
        self._drained = False

    async def start(self) -> None:
        """Return when what happens from now on is seen as it happens. Without it that
        may begin later over a connection, and the log has what was before."""
        if self._live:
            await self._source.__aenter__()

    def begin(self, after: int) -> None:
        """Say where to begin. What was committed since then is not lost."""
        self._cursor = after
        if not self._live:
            self._follow_log()

    def _follow_log(self) -> None:
        self._live = False
        self._source.close()
        self._source = self._session.events(self._cursor, follow=True)

    def end(self) -> None:
        """End it after everything that is durable by now."""
        self._ended = True
        self._source.close()

    def close(self) -> None:
        """End it at once."""
        self.end()
        self._drained = True
        self._read.clear()

    def __aiter__(self) -> AsyncIterator[LiveEvent]:
        return self

    async def __anext__(self) -> LiveEvent:
        while True:
            if self._read:
                event = self._read.popleft()
                self._cursor = event.seq
                return event
            if self._drained:
                raise StopAsyncIteration
            live = await self._next_live()
            if isinstance(live, LiveDelta):
                if self._whole:
                    return live
            elif live is not None and live.seq > self._cursor:
                self._whole = self._whole or isinstance(live, StepStarted)
                if live.seq == self._cursor + 1:
                    self._cursor = live.seq
                    return live
                await self._catch_up(live.seq)

    async def _next_live(self) -> LiveEvent | None:
        """Return what happens next; None after reading what could not be seen."""
        try:
            return await anext(self._source)
        except LiveOverflowError:
            self._whole = False
            if self._ended:
                self._drained = True
            else:
                # Before the log is read: what is committed meanwhile comes live.
                self._source = self._runtime.live(session_id=self._session.id)
                await self.start()
        except ServerUnreachableError:
            if not self._live:
                # The log's reader waited for the server as long as it may.
                raise
            self._broke()
            return None
        except ServerError as error:
            if not self._live or error.code != "server.closing":
                raise
            self._broke()
            return None
        except StopAsyncIteration:
            here = isinstance(self._source, LiveSubscription)
            if self._live and not here and not self._ended:
                self._broke()
                return None
            self._drained = True
        await self._catch_up(None)
        return None

    def _broke(self) -> None:
        """Go on by the log: nobody tells any more what happens live."""
        self._whole = False
        if self._ended:
            self._drained = True
        self._follow_log()

    async def _catch_up(self, last: int | None) -> None:
        async with self._session.events(after=self._cursor) as tail:
            async for event in tail:
                self._read.append(event)
                if event.seq == last:
                    return
