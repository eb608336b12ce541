"""Tails over the wire: each durable event once, over however many connections.

Owns how a reader goes on where it was. Live events are of one connection: what happens
between two of them is in the log.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import anyio
from dovetail.kernel import (
    Event,
    LiveDelta,
    LiveOverflowError,
    Placed,
    ServerError,
    ServerUnreachableError,
    event_from_json,
)

from .wire import FIRST_PAUSE, LAST_PAUSE, Frame, Stream, Wire

T = TypeVar("T")

PASSING = ("server.closing", "server.busy")
"""What a server says that may be asked again later."""


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


class RemoteTail(_Following[T]):
    """Durable events after a cursor, in order, each once, as ``Tail``.

    With ``follow`` it reaches for the server again when the connection breaks or the
    server ends, for as long as the client's patience, and goes on after the last event
    that it gave.
    """

    def __init__(
        self,
        wire: Wire,
        path: str,
        after: int | None,
        follow: bool,
        shown: Callable[[Frame], T],
    ) -> None:
        super().__init__(wire, path, {})
        self._cursor = -1 if after is None else after
        self._follow = follow
        self._shown = shown

    @property
    def cursor(self) -> int:
        """Where it is: give it to another tail as ``after`` to go on from here."""
        return self._cursor

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
            if frame.event == "message" and frame.id is not None:
                # Seen already where a server repeats itself: it may not, and a reader
                # that counts on it need not trust it.
                if int(frame.id) <= self._cursor:
                    continue
                self._cursor = int(frame.id)
                return self._shown(frame)
            if frame.event == "error":
                raise _told(frame)
            if frame.event == "end":
                await self._again()
        return None

    async def _next(self) -> Frame | None:
        if self._stream is None:
            query = {"after": self._cursor, "follow": self._follow}
            self._stream = await self._wire.stream(self._path, query)
        frame = await self._stream.frame()
        if frame is None and self._follow:
            raise ServerUnreachableError(self._wire.origin, "the stream broke off")
        return frame

    async def _again(self) -> None:
        """Reach the server again.

        Raises:
            ServerUnreachableError: nobody was there for as long as patience lasts.
        """
        there = False
        try:
            await self._wait_for_server()
            there = True
        finally:
            # Whoever leaves, or gives up, has not seen it come back.
            self._wire.let_go(self, there=there)

    async def _wait_for_server(self) -> None:
        pause = FIRST_PAUSE
        with anyio.move_on_after(self._wire.patience):
            while not self._done:
                stream, self._stream = self._stream, None
                if stream is not None:
                    await stream.aclose()
                try:
                    query = {"after": self._cursor, "follow": self._follow}
                    self._stream = await self._wire.stream(self._path, query)
                    return
                except ServerUnreachableError:
                    self._wire.miss(self)
                except ServerError as error:
                    if error.code not in PASSING:
                        raise
                    self._wire.miss(self)
                await anyio.sleep(pause)
                pause = min(2 * pause, LAST_PAUSE)
            return
        raise ServerUnreachableError(
            self._wire.origin, f"nobody there for {self._wire.patience:g} s"
        )


class RemoteLines(_Following[T]):
    """An answer of lines, each as it comes.

    Raises (while iterating):
        ServerUnreachableError: it broke off: what came is not all.
    """

    def __init__(
        self,
        wire: Wire,
        path: str,
        query: Mapping[str, Any],
        read: Callable[[bytes], T],
    ) -> None:
        super().__init__(wire, path, query)
        self._read = read

    async def _take(self) -> T | None:
        if self._stream is None:
            self._stream = await self._wire.stream(self._path, self._query)
        line = await self._stream.next(b"\n")
        return None if line is None else self._read(line)


def event_of(frame: Frame) -> Event:
    """Return the durable event that a frame carries."""
    found = event_from_json(frame.data["data"])
    assert not isinstance(found, LiveDelta), "the log has none"
    return found


def placed_of(frame: Frame) -> Placed:
    """Return the same with its place in the log of the whole store."""
    assert frame.id is not None, "every event of the log has a cursor"
    return Placed(int(frame.id), event_of(frame))


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
            await self._stream.frame()

    async def _take(self) -> Event | LiveDelta | None:
        await self.start()
        while self._stream is not None:
            frame = await self._stream.frame()
            if frame is None:
                break
            if frame.event == "end" and frame.data["code"] == LiveOverflowError.code:
                raise LiveOverflowError(0)
            if frame.event == "error":
                raise _told(frame)
            if frame.event == "end":
                break
            return event_from_json(frame.data["data"])
        return None

    async def __aenter__(self) -> Self:
        await self.start()
        return self


def _told(frame: Frame) -> Exception:
    from .errors import error_of

    return error_of(500, frame.data)
