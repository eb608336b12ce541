"""Tails over the wire: each durable event once, over however many connections.

Owns how a reader goes on where it was. Live events are of one connection: what happens
between two of them is in the log.
"""

from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import anyio
from attrs import frozen
from dovetail.kernel import (
    Event,
    ExportedEvent,
    LiveDelta,
    LiveOverflowError,
    Placed,
    ServerError,
    ServerLogError,
    ServerUnreachableError,
    SessionRemoved,
    UnreadableEvent,
)

from .answer import exported_in
from .errors import error_of
from .values import session_path
from .wire import FIRST_PAUSE, LAST_PAUSE, Frame, Stream, Wire

T = TypeVar("T")

PASSING = ("server.closing", "server.busy")
"""What a server says that may be asked again later."""
ERROR_STATUS = 500
"""What an error in a stream, whose own status was sent before, would have had."""
MOST_NUMBERS = 10_000
"""Sessions whose last number a reader of all of them remembers."""


class _Following(Generic[T]):
    """An async iterator with one reader over a stream."""

    def __init__(self, wire: Wire, path: str, query: Mapping[str, Any]) -> None:
        self._wire = wire
        self._path = path
        self._query = dict(query)
        self._stream: Stream | None = None
        self._done = False
        self._reading: anyio.CancelScope | None = None

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        if not self._done:
            with anyio.CancelScope() as self._reading:
                try:
                    found = await self._take()
                finally:
                    self._reading = None
                if found is not None:
                    return found
        # Nobody closes what has come to its end.
        await self.aclose()
        raise StopAsyncIteration

    async def _take(self) -> T | None:
        """Return what comes next; None at the end."""
        raise NotImplementedError

    def close(self) -> None:
        """End it from beside its reader, who gets nothing more. The connection is let
        go by the reader, or with the client."""
        self._done = True
        if self._reading is not None:
            self._reading.cancel()

    async def aclose(self) -> None:
        """End it. Closing twice is harmless."""
        self.close()
        if self._reading is not None:
            # Whoever reads is told to stop, and lets go of it.
            return
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class _Tail(_Following[T]):
    """Durable events after a cursor, in order, each once.

    With ``follow`` it reaches for the server again when the connection breaks or the
    server ends, for as long as the client's patience, and goes on after the last event
    that it gave. What does not follow that one is read again once, and named if it
    still does not: nothing is left out in silence (law events.5).
    """

    def __init__(self, wire: Wire, path: str, after: int | None, follow: bool) -> None:
        super().__init__(wire, path, {})
        self._cursor = -1 if after is None else after
        self._follow = follow
        self._synced = False
        """Whether this connection told all that was there when it began."""
        self._doubted = False
        """Whether what comes next is read for the second time."""
        self._pause = 0.0
        """Seconds before the next try: none after one that brought something."""
        self._lost: float | None = None
        """Since when nothing came, where it is waited for."""

    @property
    def cursor(self) -> int:
        """Where it is: give it to another tail as ``after`` to go on from here."""
        return self._cursor

    def _after(self) -> int:
        """Return what a connection that begins asks for."""
        return self._cursor

    def _took(self, frame: Frame, event: Event) -> T | None:
        """Go on after an event, and return what is delivered of it, if anything is.

        Raises:
            ServerLogError: it is not the one that was to come.
        """
        raise NotImplementedError

    def _told_all(self, cursor: int) -> None:
        """Take that a server says that it told all up to a cursor.

        Raises:
            ServerLogError: it did not.
        """
        if cursor != self._cursor:
            problem = (
                f"it was told up to {self._cursor}, and is said to end at {cursor}"
            )
            raise self._broken(None, self._cursor + 1, cursor, problem)

    def _broken(
        self, session_id: str | None, due: int, came: int | None, problem: str
    ) -> ServerLogError:
        asked = f"GET /api/{self._path}"
        origin = self._wire.origin
        return ServerLogError(origin, asked, session_id, due, came, problem)

    async def _take(self) -> T | None:
        while not self._done:
            try:
                frame = await self._next()
            except ServerUnreachableError:
                if not self._follow:
                    raise
                await self._again()
                continue
            except ServerError as error:
                if not self._follow or error.code not in PASSING:
                    raise
                await self._again()
                continue
            if frame is None:
                break
            self._pause, self._lost = 0.0, None
            try:
                found = self._read(frame)
            except ServerLogError:
                await self._let_go()
                if self._doubted:
                    raise
                self._doubted = True
                continue
            if found is not None:
                self._doubted = False
                return found
            if frame.event == "end":
                await self._again()
        return None

    def _read(self, frame: Frame) -> T | None:
        """Return what is delivered of a frame, if anything is."""
        if frame.event == "error":
            raise error_of(frame.data, ERROR_STATUS)
        if frame.event == "synced":
            cursor = frame.data["cursor"].read_if(int)
            self._told_all(-1 if cursor is None else cursor)
            self._synced = True
        if frame.event != "message":
            return None
        if frame.id is None:
            raise frame.data.wrong("an event of a log has an id")
        event = frame.data["data"].read_event()
        if isinstance(event, LiveDelta):
            raise frame.data["data"]["kind"].wrong("a log has none of this kind")
        return self._took(frame, event)

    async def _next(self) -> Frame | None:
        if self._stream is None:
            self._stream = await self._begun()
        frame = await self._stream.frame()
        if frame is None and (self._follow or not self._synced):
            raise ServerUnreachableError(self._wire.origin, "the stream broke off")
        return frame

    async def _begun(self) -> Stream:
        self._synced = False
        query = {"after": self._after(), "follow": self._follow}
        return await self._wire.stream(self._path, query)

    async def _let_go(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()

    async def _again(self) -> None:
        """Reach the server again.

        Raises:
            ServerUnreachableError: nobody was there for as long as patience lasts.
        """
        if self._lost is None:
            self._lost = anyio.current_time()
        there = False
        try:
            await self._wait_for_server(self._lost + self._wire.patience)
            there = True
        finally:
            # Whoever leaves, or gives up, has not seen it come back.
            self._wire.let_go(self, there=there)

    async def _wait_for_server(self, until: float) -> None:
        with anyio.CancelScope(deadline=until):
            while not self._done:
                await self._let_go()
                await anyio.sleep(self._pause)
                self._pause = min(max(2 * self._pause, FIRST_PAUSE), LAST_PAUSE)
                try:
                    self._stream = await self._begun()
                    return
                except ServerUnreachableError:
                    self._wire.miss(self)
                except ServerError as error:
                    if error.code not in PASSING:
                        raise
                    self._wire.miss(self)
            return
        raise ServerUnreachableError(
            self._wire.origin, f"nobody there for {self._wire.patience:g} s"
        )


class RemoteTail(_Tail[Event]):
    """Durable events of one session after a cursor, as ``Tail``."""

    def __init__(
        self, wire: Wire, session_id: str, after: int | None, follow: bool
    ) -> None:
        super().__init__(wire, f"{session_path(session_id)}/event", after, follow)
        self._session_id = session_id
        self._last: _Mark | None = None
        """The last one that was given."""
        self._known: _Mark | None = None
        """The same, until a new connection has told it."""

    def _after(self) -> int:
        # The last one is told once more: by it one sees that this is still that log,
        # and no other one or an older copy of it.
        self._known = self._last
        return self._cursor if self._known is None else self._known.seq - 1

    def _took(self, frame: Frame, event: Event) -> Event | None:
        told = frame.data["data"]
        if event.session_id != self._session_id:
            raise told["session_id"].wrong(f"{self._session_id!r} was asked for")
        if event.seq != frame.id:
            raise told["seq"].wrong(f"the id of this event is {frame.id}")
        known, self._known = self._known, None
        if isinstance(event, SessionRemoved):
            # Nothing comes after it. What was not read before it is not told any more.
            self._done = True
        elif known is not None:
            if _Mark.of(event) != known:
                problem = f"it had another event {known.seq} before"
                raise self._broken(self._session_id, known.seq, event.seq, problem)
            return None
        elif event.seq != self._cursor + 1:
            problem = f"after event {self._cursor} comes {event.seq}"
            raise self._gap(event.seq, problem)
        self._cursor, self._last = event.seq, _Mark.of(event)
        return event

    def _told_all(self, cursor: int) -> None:
        if self._known is not None:
            problem = f"it had an event {self._known.seq} before, and has none now"
            raise self._broken(self._session_id, self._known.seq, None, problem)
        super()._told_all(cursor)

    def _gap(self, came: int, problem: str) -> ServerLogError:
        return self._broken(self._session_id, self._cursor + 1, came, problem)


@frozen
class _Mark:
    """By what an event is known again. Its data may be removed meanwhile."""

    seq: int
    created: int

    @classmethod
    def of(cls, event: Event) -> "_Mark":
        return cls(event.seq, event.created)


class RemoteRuntimeTail(_Tail[Placed]):
    """Durable events of all sessions after a cursor, in commit order, as
    ``RuntimeTail``."""

    def __init__(self, wire: Wire, after: int | None, follow: bool) -> None:
        super().__init__(wire, "log", after, follow)
        self._numbers: dict[str, int | None] = {}
        """Of sessions, the latest to be seen last, the number of the last event. What
        comes next of one that has none may be any: cursors are opaque, and say not what
        is between two of them."""
        self._whole = self._cursor < 0
        """Whether all sessions that were not seen begin from here on."""

    def _took(self, frame: Frame, event: Event) -> Placed:
        place, id = frame.id, event.session_id
        assert place is not None, "every event of a log has an id"
        if place <= self._cursor:
            problem = f"after {self._cursor} comes {place}"
            raise self._broken(None, self._cursor + 1, place, problem)
        last = self._numbers.get(id, -1 if self._whole else None)
        # A lower number is what a repair wrote anew, and does not have to be missed.
        follows = last is None or event.seq <= last + 1
        if not follows and not isinstance(event, SessionRemoved | UnreadableEvent):
            assert last is not None
            problem = f"after event {last} of {id!r} comes {event.seq}"
            raise self._broken(id, last + 1, event.seq, problem)
        self._cursor = place
        self._numbers.pop(id, None)
        self._numbers[id] = event.seq if follows else None
        if len(self._numbers) > MOST_NUMBERS:
            del self._numbers[next(iter(self._numbers))]
            self._whole = False
        return Placed(place, event)


class RemoteLines(_Following[T]):
    """What is exported of a session, a line each, as it comes.

    Raises (while iterating):
        ServerUnreachableError: it broke off: what came is not all.
        ServerLogError: an event is missing.
    """

    def __init__(
        self, wire: Wire, path: str, query: Mapping[str, Any], kind: type[T]
    ) -> None:
        super().__init__(wire, path, query)
        self._kind = kind
        self._due = 0 if query["after"] is None else query["after"] + 1

    async def _take(self) -> T | None:
        if self._stream is None:
            self._stream = await self._wire.stream(self._path, self._query)
        line = await self._stream.next(b"\n")
        if line is None:
            return None
        source = self._stream.source
        found = exported_in(line, source)
        if not isinstance(found, self._kind):
            raise source.wrong("another kind of line was asked for")
        if isinstance(found, ExportedEvent):
            self._check(found)
        return found

    def _check(self, event: ExportedEvent) -> None:
        if event.seq != self._due:
            asked = f"GET /api/{self._path}"
            problem = f"where event {self._due} was to come is {event.seq}"
            raise ServerLogError(
                self._wire.origin,
                asked,
                event.session_id,
                self._due,
                event.seq,
                problem,
            )
        self._due += 1


class RemoteLive(_Following[Event | LiveDelta]):
    """Every event as it happens, from when it is first read, deltas included.

    Raises (while iterating):
        LiveOverflowError: it fell too far behind.
        ServerUnreachableError: the connection broke; what happened since is in the log.
    """

    async def start(self) -> None:
        """Return when everything that happens from now on will be told."""
        if self._stream is None and not self._done:
            self._stream = await self._wire.stream(self._path, self._query)
            frame = await self._stream.frame()
            if frame is None:
                raise ServerUnreachableError(self._wire.origin, "the stream broke off")
            kind = frame.data["type"]
            if kind.read(str) not in ("server.connected", "end"):
                raise kind.wrong("it does not begin with server.connected")
            self._done = frame.event == "end"

    async def _take(self) -> Event | LiveDelta | None:
        await self.start()
        if self._stream is None or self._done:
            return None
        frame = await self._stream.frame()
        if frame is None:
            return None
        if frame.event == "error":
            raise error_of(frame.data, ERROR_STATUS)
        if frame.event == "end":
            if frame.data["code"].read(str) == LiveOverflowError.code:
                raise LiveOverflowError(0)
            return None
        event = frame.data["data"].read_event()
        wanted = self._query["session"]
        if wanted is not None and event.session_id != wanted:
            raise frame.data["data"]["session_id"].wrong(f"{wanted!r} was asked for")
        return event

    async def __aenter__(self) -> Self:
        await self.start()
        return self
