"""Listings: a few columns for people.

Owns widths and cutting. Cells are other people's text and are made safe here.
"""

import time
from collections.abc import Sequence

from dovetail.kernel import Outcome, Usage

from .terminal import Style, short, visible

GAP = "  "


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], width: int, style: Style
) -> str:
    """Return rows under their heads, the last column cut to fit the width."""
    cells = [[visible(cell) for cell in row] for row in rows]
    widths = [
        max(len(each) for each in column) for column in zip(heads, *cells, strict=True)
    ]
    room = max(width - sum(widths[:-1]) - len(GAP) * (len(heads) - 1), 10)

    def line(row: Sequence[str]) -> str:
        padded = [cell.ljust(size) for cell, size in zip(row, widths, strict=True)]
        return GAP.join([*padded[:-1], short(row[-1], room)]).rstrip()

    lines = [style.dim(line(heads)), *map(line, cells)]
    return "".join(f"{each}\n" for each in lines)


def when(milliseconds: int) -> str:
    """Return a moment in local time, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(milliseconds / 1000))


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
            (usage.output, "out"),
            (usage.reasoning, "of them reasoning"),
        )
        if count
    ]
    return ", ".join(told) or "none"
