"""Watching: what happens in one session, as it happens, with nothing durable missed.

Joins the live events of this process, which bring deltas, with the log, which is
complete and has what other processes commit. Durable events come in order and once.
"""

from collections import deque
from collections.abc import Awaitable, Callable

import anyio
from dovetail.kernel import (
    Event,
    LiveDelta,
    LiveEvent,
    LiveOverflowError,
    LiveSubscription,
    Runtime,
    Session,
    StepStarted,
)

Take = Callable[[LiveEvent], Awaitable[None]]


class Watch:
    """One reader of one session, from a cursor on, until it is closed.

    Where it fell so far behind that deltas were lost, none come until the next Step;
    the end of their part has the text.
    """

    def __init__(self, runtime: Runtime, session: Session, after: int) -> None:
        self._runtime = runtime
        self._session = session
        self._cursor = after
        self._head = after
        """The last event that is known to be in the log."""
        self._live: LiveSubscription | None = None
        self._read: deque[Event] = deque()
        self._whole = True
        self._pause: anyio.CancelScope | None = None
        self._taken = anyio.Event()
        self._ended = False

    @property
    def ready(self) -> bool:
        """Whether more comes without waiting."""
        return bool(self._read) or (self._live is not None and self._live.ready > 0)

    def open(self) -> None:
        """See what happens live from now on."""
        if self._live is None:
            self._live = self._runtime.live(session_id=self._session.id)

    async def run(self, take: Take) -> None:
        """Hand everything over, one by one, until cancelled or the runtime closes.

        Raises:
            EventDamagedError: an event of the session is not what was written.
        """
        self.open()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._follow)
                while (event := await self._next()) is not None:
                    await take(event)
                    if isinstance(event, Event):
                        self._cursor = event.seq
                        self._tell()
                tasks.cancel_scope.cancel()
        finally:
            self._ended = True
            self._tell()
            if self._live is not None:
                self._live.close()

    async def up_to(self, seq: int) -> None:
        """Return when the event of this number was handed over, or nothing is any
        more."""
        while self._cursor < seq and not self._ended:
            await self._taken.wait()

    async def up_to_now(self) -> None:
        """Return when all that is durable by now was handed over."""
        last = self._cursor
        async with self._session.events(after=last) as tail:
            async for event in tail:
                last = event.seq
        await self.up_to(last)

    def _tell(self) -> None:
        self._taken.set()
        self._taken = anyio.Event()

    async def _follow(self) -> None:
        """Learn of what is committed, by whatever process."""
        async with self._session.events(after=self._cursor, follow=True) as tail:
            async for event in tail:
                self._head = event.seq
                # What this process commits comes live, in its place between deltas.
                if self._pause is not None and self._behind:
                    self._pause.cancel()

    @property
    def _behind(self) -> bool:
        """Whether the log has what did not come live."""
        live = self._live is not None and self._live.ready > 0
        return self._head > self._cursor and not live

    async def _next(self) -> LiveEvent | None:
        while True:
            if self._read:
                return self._read.popleft()
            if self._behind:
                await self._catch_up(self._head)
                continue
            assert self._live is not None
            try:
                with anyio.CancelScope() as self._pause:
                    event = await anext(self._live)
                if self._pause.cancelled_caught:
                    continue
            except StopAsyncIteration:
                return None
            except LiveOverflowError:
                self._whole = False
                # Before the log is read: what is committed meanwhile comes live.
                self._live = self._runtime.live(session_id=self._session.id)
                await self._catch_up(None)
                continue
            finally:
                self._pause = None
            if isinstance(event, LiveDelta):
                if self._whole:
                    return event
            elif event.seq > self._cursor:
                self._whole = self._whole or isinstance(event, StepStarted)
                if event.seq == self._cursor + 1:
                    return event
                await self._catch_up(event.seq)

    async def _catch_up(self, last: int | None) -> None:
        async with self._session.events(after=self._cursor) as tail:
            async for event in tail:
                self._read.append(event)
                if event.seq == last:
                    return
