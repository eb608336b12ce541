"""Pages: a part of a listing, and the cursor by which the next one is asked for.

Knows nothing of what is listed. A cursor means something to the listing alone that it
came from.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Literal, TypeVar

from ..values.errors import CursorInvalidError, InvalidValueError
from ..values.frozen import frozen

T = TypeVar("T")
R = TypeVar("R")

Order = Literal["asc", "desc"]

MAX_PAGE = 200


@frozen
class Page(Generic[T]):
    """One page of a listing: iterate it, and go on with ``cursor``."""

    items: Sequence[T]
    """What is on it, in the order of the listing."""
    cursor: str | None = None
    """Give it back for the next page; None when this is the last one."""
    previous: str | None = None
    """Give it back for what stands before this page in the same order, such as what is
    newer by now; None when nothing is on the page."""

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidValueError("limit", limit, f"from 1 to {MAX_PAGE}")


_CURSOR = re.compile(r"([a-z]+)\.(asc|desc)(\.back)?:(-?[0-9]{1,18})\Z")


@frozen
class Asked:
    """What part of a listing is asked for."""

    listing: str
    """What is listed, in a word."""
    order: Order
    """In which order."""
    place: int | None = None
    """The place beside which the page is; None: the listing begins with it."""
    back: bool = False
    """Whether the page is the one before the place, and not the one after."""

    @property
    def descending(self) -> bool:
        """Whether the rows of the page are to be read from the highest place down."""
        return (self.order == "desc") is not self.back

    def cut(
        self, found: Sequence[R], limit: int, place: Callable[[R], int]
    ) -> tuple[Sequence[R], str | None, str | None]:
        """Return the rows of the page in the order of the listing, and its two cursors.

        ``found`` are the rows as they were read, one more than the limit where there
        are so many.
        """
        rows = list(found[:limit])
        if not rows:
            return rows, None, None
        if self.back:
            rows.reverse()
        # What a page was asked for from stands after it, or did.
        more = self.back or len(found) > limit
        return (
            rows,
            self._cursor(place(rows[-1]), "") if more else None,
            self._cursor(place(rows[0]), ".back"),
        )

    def _cursor(self, place: int, way: str) -> str:
        told = f"{self.listing}.{self.order}{way}:{place}"
        return base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")


def asked(listing: str, order: Order | None, cursor: str | None) -> Asked:
    """Return what a cursor asks for, or the beginning of a listing where it is None.

    A cursor knows its order; one that is given beside it has to be the same.

    Raises:
        CursorInvalidError: it is not of this listing, or not of this order.
    """
    if cursor is None:
        return Asked(listing, order or "desc")
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        told = _CURSOR.match(base64.urlsafe_b64decode(padded).decode())
    except (ValueError, binascii.Error, AttributeError, TypeError):
        told = None
    if told is None or told[1] != listing or order not in (None, told[2]):
        named = listing if order is None else f"{listing} in the order {order}"
        raise CursorInvalidError("cursor", cursor, f"it is not a cursor of {named}")
    kept: Order = "asc" if told[2] == "asc" else "desc"
    return Asked(listing, kept, int(told[4]), told[3] is not None)
