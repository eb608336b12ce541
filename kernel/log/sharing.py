"""Sharing: what is written of an event, once for all readers who stand near each other.

Owns how long that is kept: until everybody who read when it was written has passed, and
no more of it than a page or so. Knows nothing of where the events come from, and takes
nothing for what it was before: an event whose content was removed is written anew.
"""

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

MOST = 512
"""Events that are kept written."""
MOST_BYTES = 1024 * 1024
"""Bytes of them."""


class Shared:
    """What one function wrote of the events of one log, for whoever reads them now."""

    def __init__(self, write: Callable[[Any], bytes]) -> None:
        self._write = write
        # By place: what was written, of what, and how many may still come for it.
        self._kept: dict[int, tuple[object, bytes, int]] = {}
        self._size = 0
        self._readers: WeakSet[object] = WeakSet()

    def join(self, reader: object) -> None:
        """Take part as long as this is held by somebody."""
        self._readers.add(reader)

    def written(self, place: int, record: Any, shown: Callable[[Any], Any]) -> bytes:
        """Return what is written of the event of a record."""
        known = self._kept.get(place)
        if known is not None:
            self._drop(place)
            was, data, left = known
            if was is record or was == record:
                self._keep(place, was, data, left - 1)
                return data
        data = self._write(shown(record))
        self._keep(place, record, data, len(self._readers) - 1)
        return data

    def _keep(self, place: int, record: object, data: bytes, left: int) -> None:
        if left <= 0:
            return
        self._kept[place] = record, data, left
        self._size += len(data)
        while self._size > MOST_BYTES or len(self._kept) > MOST:
            self._drop(next(iter(self._kept)))

    def _drop(self, place: int) -> None:
        self._size -= len(self._kept.pop(place)[1])
