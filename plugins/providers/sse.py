"""Server-sent events: bytes in any pieces, events out.

Owns the framing of the WHATWG standard: line ends, the byte order mark, comments,
fields, the last event id. Knows nothing of what the data means, and does no I/O.
"""

from collections.abc import Iterator

from attrs import frozen

MAX_EVENT_BYTES = 32 * 1024 * 1024
"""More than any known provider sends in one event, generated images included."""


class EventTooLargeError(Exception):
    """An event outgrew the limit before it ended. Nothing after it can be read."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"one event of the stream is over {limit} bytes")
        self.limit = limit


@frozen
class SseEvent:
    """One dispatched event. ``data`` is UTF-8 as it came, lines joined by LF."""

    data: bytes
    event: str = "message"
    id: str = ""


class SseDecoder:
    """Turns a byte stream into events, whatever the pieces it arrives in.

    Time is linear in the bytes fed, also when they come one at a time. What is left
    without a closing empty line at the end of a stream is no event.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.last_event_id = ""
        self.retry: int | None = None
        """The reconnection time that the stream asked for, in milliseconds."""
        self._limit = max_event_bytes
        self._tail = bytearray()
        self._after_cr = False
        self._first = True
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""

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
                self._field(line)
            elif self._data or self._event:
                event = self._dispatched()
                if event is not None:
                    yield event
        self._tail += rest
        self._check(len(self._tail))

    def _check(self, pending: int) -> None:
        if self._size + pending > self._limit:
            raise EventTooLargeError(self._limit)

    def _dispatched(self) -> SseEvent | None:
        data, event = self._data, self._event
        self._data, self._event, self._size = [], "", 0
        if not data:
            return None
        joined = data[0] if len(data) == 1 else b"\n".join(data)
        return SseEvent(joined, event or "message", self.last_event_id)

    def _field(self, line: bytes) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            size = len(value) + 1
            self._check(size)
            self._data.append(value)
            self._size += size
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self.last_event_id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            self.retry = int(value[:18])
