"""Streams: answers that go on, as server-sent events or as lines.

Owns how a stream begins, keeps alive and ends: a sign of life while nothing happens, an
end that says why, and nothing left behind when whoever listens is gone. Knows nothing
of what it carries. The format is that of the HTML standard, section 9.2.

Written here and not taken from ``sse-starlette``, which replaces uvicorn's handler of
signals when it is imported, and leaves a task of its own on the event loop.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import anyio
import anyio.lowlevel
from dovetail.kernel import LiveOverflowError

from .door import Door, Receive, Scope, Send, encoded
from .problems import answer_to, closing

PING_SECONDS = 15.0
"""Seconds of silence after which a sign of life is sent."""
AT_ONCE = 32 * 1024
"""Bytes that are at hand and sent together."""
PING = b": ping\n\n"
EVENTS = "text/event-stream"
LINES = "application/x-ndjson"


def frame(data: bytes, *, event: str | None = None, id: str | None = None) -> bytes:
    """Return one server-sent event. ``data`` is JSON, which has no line's end."""
    head = b""
    if event is not None:
        head += b"event: %s\n" % event.encode()
    if id is not None:
        head += b"id: %s\n" % id.encode()
    return b"%sdata: %s\n\n" % (head, data)


class Frames(Protocol):
    """What a stream carries. A cancelled ``anext`` must lose nothing."""

    @property
    def ready(self) -> int:
        """How many come without waiting."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes: ...


class EventStream:
    """An answer that goes on until what it carries ends, the reader leaves, or the
    server closes."""

    def __init__(
        self,
        door: Door,
        opened: "Callable[[], AbstractAsyncContextManager[Frames]]",
        *,
        media_type: str = EVENTS,
        ping: float = PING_SECONDS,
    ) -> None:
        self._door = door
        self._opened = opened
        self._media_type = media_type
        self._ping = ping if media_type == EVENTS else float("inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_until_gone, receive, tasks.cancel_scope)
            async with self._opened() as frames:
                await send(
                    {
                        "type": "http.response.start",
                        "status": 200,
                        "headers": [
                            (b"content-type", self._media_type.encode()),
                            (b"cache-control", b"no-store"),
                            # What lies between is not to wait for more.
                            (b"x-accel-buffering", b"no"),
                        ],
                    }
                )
                if scope["method"] != "HEAD":
                    await self._carry(frames, send)
            await _send(send, b"", more=False)
            tasks.cancel_scope.cancel()

    async def _carry(self, frames: Frames, send: Send) -> None:
        is_events = self._media_type == EVENTS
        # Whoever waits for the beginning of the answer has it.
        await _send(send, PING if is_events else b"")
        try:
            while (data := await self._next(frames)) != b"":
                if data is not None:
                    await _send(send, await _more(data, frames))
                    # What is at hand and can be written waits for nothing; others must
                    # come to their turn all the same.
                    await anyio.lowlevel.checkpoint()
                elif self._door.closing.is_set():
                    if not is_events:
                        raise closing()
                    await self._end(send, "server.closing")
                    return
                else:
                    await _send(send, PING)
        except LiveOverflowError as error:
            await self._end(send, error.code)
        except Exception as error:
            # Boundary: the status was sent already, so it is told in the stream. Lines
            # break off instead: half of them must not be taken for all.
            if not is_events:
                raise
            _, _, body = answer_to(error)
            await _send(send, frame(encoded(body), event="error"))

    async def _next(self, frames: Frames) -> bytes | None:
        """Return the next frame; empty at the end, None after silence or at closing."""
        with anyio.move_on_after(self._ping) as waiting, self._door.waiting(waiting):
            return await anext(frames, b"")
        return None

    async def _end(self, send: Send, code: str) -> None:
        await _send(send, frame(encoded({"type": "end", "code": code}), event="end"))


async def _more(first: bytes, frames: Frames) -> bytes:
    """Return a frame with what is at hand behind it: many at once cost little more than
    one."""
    if not frames.ready:
        return first
    parts = [first]
    size = len(first)
    while frames.ready and size < AT_ONCE:
        parts.append(await anext(frames))
        size += len(parts[-1])
    return b"".join(parts)


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _send(send: Send, data: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})
