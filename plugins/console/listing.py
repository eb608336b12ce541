"""Listings: a few columns for people.

Owns widths and cutting. Cells are other people's text and are made safe here.
"""

import logging
import time
from collections.abc import Sequence

from dovetail.kernel import (
    Event,
    LiveEvent,
    Outcome,
    Usage,
    added_cost,
)

from .folding import cells, fitting
from .terminal import Style, visible

GAP = "  "
NARROWEST = 10
"""Columns of the screen below which a cell says nothing."""


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], width: int, style: Style
) -> str:
    """Return rows under their heads, cut to fit the width from the last column on.

    A column that has no room at all is left out. The first one, which says what a row
    is about, stays whole.
    """
    texts = [[visible(cell) for cell in row] for row in rows]
    widths = [max(map(cells, column)) for column in zip(heads, *texts, strict=True)]
    while len(widths) > 1:
        room = width - sum(widths[:-1]) - len(GAP) * (len(widths) - 1)
        if room >= min(widths[-1], NARROWEST):
            widths[-1] = min(widths[-1], room)
            break
        widths.pop()

    def line(row: Sequence[str]) -> str:
        shown = (
            (fitting(text, size), size) for text, size in zip(row, widths, strict=False)
        )
        padded = (f"{text}{' ' * (size - cells(text))}" for text, size in shown)
        return GAP.join(padded).rstrip()

    lines = [style.dim(line(heads)), *map(line, texts)]
    return "".join(f"{each}\n" for each in lines)


def when(milliseconds: int) -> str:
    """Return a moment in local time, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(milliseconds / 1000))


def ago(milliseconds: int, now: float | None = None) -> str:
    """Return how long ago a moment was, in words; where more is wanted (``-v``), or it
    is not yet, the moment itself."""
    seconds = (time.time() if now is None else now) - milliseconds / 1000
    if seconds < -60 or logging.getLogger("dovetail").isEnabledFor(logging.DEBUG):
        return when(milliseconds)
    if seconds < 10:
        return "just now"
    for unit, lasts, upto in _UNITS:
        if seconds < upto:
            count = max(1, int(seconds / lasts))
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return when(milliseconds)


_UNITS = (
    ("second", 1, 60),
    ("minute", 60, 3_600),
    ("hour", 3_600, 86_400),
    ("day", 86_400, 14 * 86_400),
    ("week", 7 * 86_400, 60 * 86_400),
    ("month", 30 * 86_400, 365 * 86_400),
)
"""What is longer ago is told by its date."""


def moment(milliseconds: int) -> str:
    """Return a moment in local time, to the millisecond."""
    seconds, rest = divmod(milliseconds, 1000)
    told = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    return f"{told}.{rest:03}"


def outcome_text(outcome: Outcome) -> str:
    """Return an outcome with its reason, in one line."""
    if outcome.reason is None:
        return outcome.status
    return f"{outcome.status}: {outcome.reason.message} [{outcome.reason.code}]"


def usage_text(usage: Usage) -> str:
    """Return how many tokens were used, as far as it is known."""
    told = [
        f"{count:,} {what}"
        for count, what in (
            (usage.input, "in"),
            (usage.cache_read, "of them from a cache"),
            (usage.cache_write, "of them kept in one"),
            (usage.output, "out"),
            (usage.reasoning, "of them reasoning"),
        )
        if count
    ]
    return ", ".join(told) or "none"


def money(cost: float | None, unpriced: int, digits: int = 4) -> str | None:
    """Return what something cost, for people, and whether it was more than that; None
    when no price was known."""
    if cost is None:
        return None
    least = "at least " if unpriced else ""
    return f"{least}${cost:.{digits}f}"


class Costs:
    """What the work of a session costs, as far as the prices of its models are
    known, with that of sessions which work for it."""

    def __init__(self) -> None:
        self._dollars: float | None = None
        self._unpriced = 0

    def take(self, event: LiveEvent) -> None:
        """Count an event in."""
        # Every event that tells of a request says both.
        if isinstance(event, Event) and hasattr(event, "unpriced"):
            self._dollars = added_cost(self._dollars, getattr(event, "cost", None))
            self._unpriced += event.unpriced

    @property
    def dollars(self) -> float | None:
        """The sum; None when no price was known."""
        return self._dollars

    @property
    def whole(self) -> bool:
        """Whether the price of everything was known."""
        return not self._unpriced

    @property
    def text(self) -> str | None:
        """The sum for people; None when no price was known."""
        return self.text_with(None, 0)

    def text_with(self, before: float | None, unpriced: int) -> str | None:
        """Return the sum for people, with what was used before: see ``SessionInfo``."""
        return money(added_cost(before, self._dollars), unpriced + self._unpriced)
