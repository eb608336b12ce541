"""Server-sent events: bytes in any pieces, events out.

Owns the framing of the WHATWG standard: line ends, the byte order mark, comments,
fields, the last event id; and, for whoever can tell a whole event from a part of one,
the two habits that break it: no empty line between events, and none after the last.
Knows nothing of what the data means, and does no I/O.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""More than any known provider sends in one event, generated images included."""


class EventTooLargeError(Exception):
    """An event outgrew the limit before it ended. Nothing after it can be read."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"one event of the stream is over {limit} bytes")
        self.limit = limit


class SseEvent(NamedTuple):
    """One dispatched event. ``data`` is UTF-8 as it came, lines joined by LF."""

    data: bytes
    event: str = "message"
    id: str = ""


class SseDecoder:
    """Turns a byte stream into events, whatever the pieces it arrives in.

    Time is linear in the bytes fed, also when they come one at a time. What is left
    without a closing empty line at the end of a stream is no event, as the standard
    says.

    With ``whole``, which tells of a text whether it is all of an event's data, three
    habits of servers are understood that the standard loses: a line of whole data
    that another line of data or of a name follows was an event of its own; a line of
    whole data without its field name is data; and ``finish`` gives the last event of
    a stream that ended before its empty line. ``whole`` is asked of first lines only.
    """

    def __init__(
        self,
        max_event_bytes: int = MAX_EVENT_BYTES,
        whole: Callable[[bytes], bool] | None = None,
    ) -> None:
        self.last_event_id = ""
        self.retry: int | None = None
        """The reconnection time that the stream asked for, in milliseconds."""
        self._limit = max_event_bytes
        self._whole = whole
        self._tail = bytearray()
        self._after_cr = False
        self._first = True
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""
        # A name that comes after data is that of the same event, by the standard; where
        # no empty line parts the events it is that of the next one.
        self._later: str | None = None

    def feed(self, chunk: bytes) -> Iterator[SseEvent]:
        """Yield the events that these bytes complete. Consume it before feeding more.

        Raises:
            EventTooLargeError: an event is over the limit; those before it were
                yielded.
        """
        # A CR at the end of the last chunk already ended its line.
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk[0] == 0x0A:
                chunk = chunk[1:]
        if b"\r" in chunk:
            self._after_cr = chunk[-1] == 0x0D
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            if self._tail:
                self._tail += line
                line = bytes(self._tail)
                self._tail.clear()
            if line:
                before = self._field(line)
                if before is not None:
                    yield before
            elif self._data or self._event:
                event = self._dispatched()
                if event is not None:
                    yield event
        self._tail += rest
        self._check(len(self._tail))

    def finish(self) -> Iterator[SseEvent]:
        """Yield what the end of the stream completes. Feed nothing after it.

        Without ``whole`` that is nothing: what lacks its empty line may lack more.
        """
        if self._whole is None:
            return
        line, self._tail = bytes(self._tail), bytearray()
        if line:
            before = self._field(line)
            if before is not None:
                yield before
        if self._data and self._whole(b"\n".join(self._data)):
            event = self._dispatched()
            if event is not None:
                yield event

    def _check(self, pending: int) -> None:
        if self._size + pending > self._limit:
            raise EventTooLargeError(self._limit)

    def _dispatched(self) -> SseEvent | None:
        data, event = self._data, self._event
        if self._later is not None:
            event = self._later
        self._data, self._event, self._later, self._size = [], "", None, 0
        if not data:
            return None
        joined = data[0] if len(data) == 1 else b"\n".join(data)
        return SseEvent(joined, event or "message", self.last_event_id)

    def _field(self, line: bytes) -> SseEvent | None:
        """Take in one line; return the event before it that only this line shows to
        be complete."""
        if self._first:
            self._first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        before = None
        if name == b"data":
            if self._data:
                before = self._parted()
            self._add(value)
        elif name == b"event":
            named = value.decode("utf-8", "replace")
            if self._data:
                self._later = named
            else:
                self._event = named
        elif name == b"id" and b"\0" not in value:
            self.last_event_id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            self.retry = int(value[:18])
        elif self._whole is not None and line[:1] == b"{" and self._whole(line):
            before = self._parted() if self._data else None
            self._add(line)
        return before

    def _add(self, value: bytes) -> None:
        size = len(value) + 1
        self._check(size)
        self._data.append(value)
        self._size += size

    def _parted(self) -> SseEvent | None:
        """Return the event that is held, if it is whole though no empty line came."""
        if self._whole is None or len(self._data) != 1:
            return None
        if not self._whole(self._data[0]):
            return None
        later, self._later = self._later, None
        event = self._dispatched()
        self._event = later or ""
        return event
