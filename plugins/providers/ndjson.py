"""Lines of JSON: bytes in any pieces, one event a line out.

Owns the framing that some servers use in the place of server-sent events. Knows nothing
of what the lines mean, and does no I/O.
"""

from collections.abc import Iterator

from .sse import MAX_EVENT_BYTES, EventTooLargeError, SseEvent


class LineDecoder:
    """Turns a byte stream into events, whatever the pieces it arrives in.

    Time is linear in the bytes fed. Empty lines mean nothing. The last line may lack
    its end.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._limit = max_event_bytes
        self._tail = bytearray()

    def feed(self, chunk: bytes) -> Iterator[SseEvent]:
        """Yield the events that these bytes complete. Consume it before feeding more.

        Raises:
            EventTooLargeError: a line is over the limit; those before it were yielded.
        """
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            if self._tail:
                self._tail += line
                line = bytes(self._tail)
                self._tail.clear()
            if line.strip():
                yield SseEvent(line)
        self._tail += rest
        if len(self._tail) > self._limit:
            raise EventTooLargeError(self._limit)

    def finish(self) -> Iterator[SseEvent]:
        """Yield what is left at the end of the stream. Feed nothing after it."""
        line, self._tail = bytes(self._tail), bytearray()
        if line.strip():
            yield SseEvent(line)
