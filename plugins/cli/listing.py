"""Listings: a few columns for people.

Owns widths and cutting. Cells are other people's text and are made safe here.
"""

import time
from collections.abc import Sequence

from dovetail.kernel import (
    ChildSpent,
    CompactionEnded,
    CompactionFailed,
    LiveEvent,
    Outcome,
    SessionTitled,
    StepEnded,
    StepFailed,
    Usage,
    added_cost,
)

from .terminal import Style, short, visible

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
    cells = [[visible(cell) for cell in row] for row in rows]
    widths = [
        max(len(each) for each in column) for column in zip(heads, *cells, strict=True)
    ]
    while len(widths) > 1:
        room = width - sum(widths[:-1]) - len(GAP) * (len(widths) - 1)
        if room >= min(widths[-1], NARROWEST):
            widths[-1] = min(widths[-1], room)
            break
        widths.pop()

    def line(row: Sequence[str]) -> str:
        fitting = zip(row, widths, strict=False)
        return GAP.join(
            short(cell, size).ljust(size) for cell, size in fitting
        ).rstrip()

    lines = [style.dim(line(heads)), *map(line, cells)]
    return "".join(f"{each}\n" for each in lines)


def when(milliseconds: int) -> str:
    """Return a moment in local time, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(milliseconds / 1000))


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


_BESIDES = StepFailed | CompactionEnded | CompactionFailed | SessionTitled | ChildSpent
"""What is paid for besides answers."""


class Costs:
    """What the work of a session costs, as far as the prices of its models are
    known, with that of sessions which work for it."""

    def __init__(self) -> None:
        self._dollars: float | None = None
        self._unpriced = 0

    def take(self, event: LiveEvent) -> None:
        """Count an event in."""
        if isinstance(event, StepEnded) or (
            isinstance(event, _BESIDES) and event.usage != Usage()
        ):
            self._add(event.cost)

    def _add(self, cost: float | None) -> None:
        self._dollars = added_cost(self._dollars, cost)
        self._unpriced += cost is None

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
        if self._dollars is None:
            return None
        least = "at least " if self._unpriced else ""
        return f"{least}${self._dollars:.4f}"
