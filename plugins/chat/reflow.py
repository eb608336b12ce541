"""Reflow: where the cursor is when a window was made another size.

Most terminals fold the rows that stand on them anew when their window is made narrower.
What was drawn is more rows then, and the cursor is further down than whoever drew them
knows. Owns which terminals do so, and a renderer that goes back all the way, so that
nothing of what was drawn stays on the screen.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from prompt_toolkit.application import Application
from prompt_toolkit.layout import Layout
from prompt_toolkit.layout.screen import Screen
from prompt_toolkit.renderer import Renderer


def reflows(environment: Mapping[str, str]) -> bool:
    """Return whether a terminal folds its rows anew.

    Where nobody knows, it does, as all do but for a few old ones: those would lose a
    row of text by it, and the others would keep rows that mean nothing.
    """
    if environment.get("TMUX"):
        return True
    term = environment.get("TERM", "")
    old = term in ("xterm", "linux") or term.startswith(("vt", "rxvt", "screen"))
    return not old and "XTERM_VERSION" not in environment


def rows_more(rows: Sequence[Sequence[int]], cursor: int, width: int) -> int:
    """Return how many rows further down the cursor is, once rows are folded.

    ``rows`` are those above the cursor and its own, each the widths of its signs, and
    ``cursor`` is how many signs of the last one are before it.
    """
    *above, last = rows
    return sum(_folded(row, width) for row in above) + _folded(last[:cursor], width)


def _folded(row: Sequence[int], width: int) -> int:
    more, used = 0, 0
    for cells in row:
        if used + cells > width:
            more, used = more + 1, 0
        used += cells
    return more


class ReflowRenderer(Renderer):
    """A renderer that finds the first of its rows again."""

    def render(
        self, app: Application[Any], layout: Layout, is_done: bool = False
    ) -> None:
        """Draw, and where the window has another size, anew."""
        if self._last_size not in (None, self.output.get_size()):
            self.erase(leave_alternate_screen=False)
        super().render(app, layout, is_done)

    def erase(self, leave_alternate_screen: bool = True) -> None:
        """Take away all that was drawn."""
        screen, size = self.last_rendered_screen, self.output.get_size()
        if (
            screen is not None
            and self._last_size is not None
            and size.columns < self._last_size.columns
            and reflows(os.environ)
        ):
            y, x = self._cursor_pos.y, self._cursor_pos.x
            rows = [_widths(screen, number) for number in range(y + 1)]
            self.output.cursor_up(rows_more(rows, x, max(size.columns, 1)))
        super().erase(leave_alternate_screen)


def _widths(screen: Screen, number: int) -> list[int]:
    """Return the width of each sign of a row, as far as anything was written."""
    row = screen.data_buffer[number]
    written = [at for at, sign in row.items() if sign.char != " "]
    return [row[at].width for at in range(max(written, default=-1) + 1)]
