"""The status line: what is worked with, and what it has cost so far, as far as it fits.

Pure. What matters most comes first and goes last where the terminal is narrow.
"""

from attrs import frozen
from dovetail.kernel import DEFAULT_AGENT

from ..console.folding import cells
from ..console.terminal import short

GAP = " · "


@frozen
class Status:
    """What the status line tells."""

    state: str
    """What goes on, in a word."""
    model: str | None = None
    agent: str | None = None
    window: int | None = None
    """Tokens that fit; None where that is not known."""
    filled: int | None = None
    """Tokens of the last request and its answer."""
    tokens: int = 0
    cost: str | None = None
    """With ``at least`` where it is a part."""
    seconds: float | None = None
    """How long the work goes on, or took."""

    def text(self, width: int) -> str:
        """Return as much as fits into so many cells."""
        told = [
            (0, self.state),
            (1, short(self.model or "no model", 40)),
            (5, short(self.agent or DEFAULT_AGENT, 20)),
            (2, self._context()),
            (6, f"{count_text(self.tokens)} tokens" if self.tokens else ""),
            (3, self.cost or ""),
            (4, clock_text(self.seconds) if self.seconds is not None else ""),
        ]
        shown = [(rank, text) for rank, text in told if text]
        while shown:
            line = GAP.join(text for _, text in shown)
            if cells(line) <= width:
                return line
            if len(shown) == 1:
                return short(line, max(width, 1))
            shown.remove(max(shown))
        return ""

    def _context(self) -> str:
        if self.filled is None:
            return ""
        if not self.window:
            return f"{count_text(self.filled)} in context"
        return f"{self.filled / self.window:.0%} of {count_text(self.window)}"


def count_text(number: int) -> str:
    """Return a number of tokens, short."""
    if number < 1000:
        return str(number)
    if number < 100_000:
        return f"{number / 1000:.1f}k"
    if number < 1_000_000:
        return f"{number / 1000:.0f}k"
    return f"{number / 1_000_000:.1f}M"


def clock_text(seconds: float) -> str:
    """Return a duration as a clock shows it."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
