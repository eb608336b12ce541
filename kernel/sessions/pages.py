"""Pages: a part of a listing, and the cursor by which the next one is asked for.

Knows nothing of what is listed. A cursor means something to the listing alone that it
came from.
"""

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from ..values.errors import CursorInvalidError, InvalidValueError
from ..values.frozen import frozen

T = TypeVar("T")

MAX_PAGE = 200


@frozen
class Page(Generic[T]):
    """One page of a listing: iterate it, and go on with ``cursor``."""

    items: Sequence[T]
    """What is on it, in the order of the listing."""
    cursor: str | None = None
    """Give it back for the next page; None when this is the last one."""

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidValueError("limit", limit, f"from 1 to {MAX_PAGE}")


def to_cursor(listing: str, place: int) -> str:
    return base64.urlsafe_b64encode(f"{listing}:{place}".encode()).decode().rstrip("=")


def from_cursor(listing: str, cursor: str | None) -> int | None:
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        name, _, place = base64.urlsafe_b64decode(padded).decode().rpartition(":")
        if name == listing:
            return int(place)
    except (ValueError, binascii.Error, AttributeError, TypeError):
        pass
    raise CursorInvalidError("cursor", cursor, f"it is not a cursor of {listing}")
