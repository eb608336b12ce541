"""The rows at the bottom, which change: what goes on, the prompt line, the status line.

Owns which of them stand where and how high, their colours, and the few words that are
shown until the next key. Knows nothing of keys, and nothing of what is above.
"""

from collections.abc import Callable

from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import ANSI, StyleAndTextTuples, to_formatted_text
from prompt_toolkit.layout import (
    BufferControl,
    CompletionsMenu,
    ConditionalContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    VerticalAlign,
    Window,
)
from prompt_toolkit.layout.dimension import Dimension
from prompt_toolkit.output import Output
from prompt_toolkit.styles import Style

from .answering import Answering
from .fitting import folded
from .prompt_line import PromptLine
from .shown import Talk

MOST_ROWS = 8
"""Rows of the prompt line."""

COLOURED = {
    "status": "noreverse",
    "prompt": "bold",
    "completion-menu": "noreverse bg:default",
    "completion-menu.completion": "bg:default fg:default",
    "completion-menu.completion.current": "bg:default fg:default bold reverse",
    "completion-menu.meta.completion": "bg:default fg:default",
    "completion-menu.meta.completion.current": "bg:default fg:default bold",
    "scrollbar.background": "bg:default",
    "scrollbar.button": "reverse",
}
PLAIN = {
    **COLOURED,
    "prompt": "",
}


class Rows:
    """What is drawn of a talk, and of what is typed and answered there."""

    def __init__(
        self,
        talk: Callable[[], Talk],
        line: PromptLine,
        answering: Answering,
        output: Output,
    ) -> None:
        self._talk = talk
        self._answering = answering
        self._output = output
        self.hint = ""
        """A few words, until the next key."""
        self.layout = Layout(self._laid_out(line), focused_element=line.buffer)

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return max(self._output.get_size().columns, 10)

    @property
    def height(self) -> int:
        """Rows of the terminal."""
        return max(self._output.get_size().rows, 4)

    def _laid_out(self, line: PromptLine) -> HSplit:
        prompt = Window(
            BufferControl(line.buffer),
            get_line_prefix=self._prefix,
            wrap_lines=True,
            height=Dimension(min=1, max=MOST_ROWS),
            dont_extend_height=True,
        )
        above = Window(
            FormattedTextControl(self._above),
            height=lambda: Dimension.exact(len(self._lines())),
            dont_extend_height=True,
            wrap_lines=False,
        )
        status = Window(
            FormattedTextControl(lambda: self._talk().status(self.width - 1)),
            height=1,
            dont_extend_height=True,
            style="class:status",
        )
        return HSplit(
            [
                ConditionalContainer(above, Condition(lambda: bool(self._lines()))),
                prompt,
                CompletionsMenu(max_height=6, scroll_offset=1),
                status,
            ],
            align=VerticalAlign.TOP,
        )

    def _prefix(self, line: int, wraps: int) -> StyleAndTextTuples:
        if self._answering.by_key is not None:
            return [("class:prompt", "? ")]
        first = line == 0 and wraps == 0
        return [("class:prompt", "> " if first else "  ")]

    def _lines(self) -> list[str]:
        """Return the rows above the prompt line, rendered."""
        width, height = self.width, self.height
        return [
            *self._talk().rows(width, max(height - 6, 1)),
            *self._answering.rows(width, height),
            *folded(self.hint, width - 1),
        ]

    def _above(self) -> StyleAndTextTuples:
        return to_formatted_text(ANSI("\n".join(self._lines())))


def style(*, colour: bool) -> Style:
    """Return how the rows look."""
    return Style.from_dict(COLOURED if colour else PLAIN)
