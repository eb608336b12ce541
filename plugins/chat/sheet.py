"""The sheet: how what is finished is laid out, one thing below the other.

Owns the width, the colours, and that what follows a text is set off from it. Knows
nothing of events, and nothing of what a thing is.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from dovetail.kernel import Prompt

from ..console.folding import fold
from ..console.terminal import Style, drawable, short

MOST_PROMPT_LINES = 12


class Renders(Protocol):
    """How text is laid out: see ``rendering`` and ``plain``."""

    def markdown(self, text: str, width: int) -> str: ...
    def diff(self, lines: Iterable[str], width: int, most: int) -> str: ...


class Sheet:
    """Lays out what one session shows; each text it returns is printed next."""

    def __init__(
        self, renderer: Renders, style: Style, width: Callable[[], int]
    ) -> None:
        self._renderer = renderer
        self._width = width
        self.style = style
        self._after_text = False
        """Whether a text was shown last, which what follows is set off from."""

    def blank(self) -> "Sheet":
        """Return a sheet on which nothing stands, for the same screen."""
        return Sheet(self._renderer, self.style, self._width)

    @property
    def width(self) -> int:
        """Columns that there are."""
        return self._width()

    def set_off(self) -> str:
        """Return what stands between a text and what follows it."""
        out = "\n" if self._after_text else ""
        self._after_text = False
        return out

    def aside(self, text: str) -> str:
        """Return a line that is of nobody's making but ours."""
        width = max(self.width - 1, 20)
        lines = fold(f"· {short(text, 400)}", width)
        return self.set_off() + "".join(f"{self.style.dim(one)}\n" for one in lines)

    def prompt(self, prompt: Prompt) -> str:
        """Return what a person said."""
        text = drawable(prompt.text)
        lines = text.split("\n")
        left = len(lines) - MOST_PROMPT_LINES
        if left > 1:
            lines = [*lines[:MOST_PROMPT_LINES], f"… {left:,} more lines"]
        lines += [f"[{short(file.name, 60)}]" for file in prompt.files]
        width = max(self.width - 3, 20)
        folded = [part for line in lines for part in fold(line, width)]
        mark = self.style.strong(">")
        self._after_text = False
        shown = "".join(f"{mark} {line}".rstrip() + "\n" for line in folded)
        return f"\n{shown}"

    def thought(self, text: str) -> str:
        """Return what the model thought, in full."""
        width = max(self.width - 3, 20)
        lines = drawable(text).strip("\n").split("\n")
        folded = [part for line in lines for part in fold(line, width)]
        return "".join(f"{self.style.dim(f'  {line}')}\n" for line in folded)

    def blocks(self, blocks: Sequence[str]) -> str:
        """Return blocks of Markdown."""
        out = ""
        for block in blocks:
            rendered = self._renderer.markdown(block, self.width)
            if rendered.strip():
                out += f"\n{rendered}"
                self._after_text = True
        return out

    def draft(self, text: str, width: int) -> list[str]:
        """Return Markdown that is not complete, row by row; nothing is shown by it."""
        return self._renderer.markdown(text, width).split("\n")[:-1]

    def change(self, lines: Sequence[str], most: int) -> str:
        """Return changed lines of files, coloured; at most so many."""
        return self._renderer.diff(lines, self.width - 1, most) if lines else ""
