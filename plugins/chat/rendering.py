"""Rendering: Markdown, code and changes as coloured text of a certain width.

Owns the colours, which are the terminal's own sixteen, and of these only the ones that
can be read on a light and on a dark ground, never a ground of our own. All that is
given is other people's text and is made harmless here, before it is laid out and after:
a Markdown entity can spell what the text itself did not have. Pure: text in, text out.
"""

import re
from collections.abc import Iterable
from io import StringIO
from typing import Any

from attrs import frozen
from pygments.token import (
    Comment,
    Generic,
    Keyword,
    Name,
    Number,
    Operator,
    String,
    Token,
)
from rich.console import Console, Group
from rich.style import Style as RichStyle
from rich.syntax import ANSISyntaxTheme, Syntax
from rich.text import Text
from rich.theme import Theme

from ..console.folding import fold
from ..console.terminal import drawable
from .markdown import MOST_HIGHLIGHTED, Code, Page, code_lines

NARROWEST = 20

# What a renderer cannot have written by itself.
_NOT_OURS = re.compile(
    "[\x00-\x09\x0b-\x1a\x1c-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)
_NOT_A_COLOUR = re.compile("\x1b(?!\\[[0-9;]*m)")

_SYNTAX = ANSISyntaxTheme(
    {
        Token: RichStyle(),
        Comment: RichStyle(dim=True, italic=True),
        Keyword: RichStyle(color="magenta"),
        Keyword.Type: RichStyle(color="cyan"),
        Name.Function: RichStyle(bold=True),
        Name.Class: RichStyle(bold=True),
        Name.Tag: RichStyle(color="magenta"),
        Name.Decorator: RichStyle(color="cyan"),
        Name.Builtin: RichStyle(color="cyan"),
        String: RichStyle(color="green"),
        Number: RichStyle(color="cyan"),
        Operator.Word: RichStyle(color="magenta"),
        Generic.Deleted: RichStyle(color="red"),
        Generic.Inserted: RichStyle(color="green"),
        Generic.Heading: RichStyle(bold=True),
    }
)
_THEME = Theme(
    {
        "markdown.code": "cyan",
        "markdown.code_block": "default",
        "markdown.block_quote": "dim",
        "markdown.h1": "bold underline",
        "markdown.h2": "bold underline",
        "markdown.h3": "bold",
        "markdown.h4": "bold",
        "markdown.h5": "bold",
        "markdown.h6": "bold dim",
        "markdown.h7": "dim",
        "markdown.hr": "dim",
        "markdown.item.bullet": "bold",
        "markdown.item.number": "bold",
        "markdown.link": "underline",
        "markdown.link_url": "dim",
        "markdown.table.header": "bold",
        "markdown.table.border": "dim",
        "markdown.s": "strike",
    }
)


Code.syntax_theme = _SYNTAX


@frozen
class Renderer:
    """Renders for one kind of terminal."""

    colour: bool = True

    def markdown(self, text: str, width: int) -> str:
        """Return Markdown as it is shown, with a line end."""
        clean = drawable(text)
        page = Page(clean)
        return self._render(Text(clean) if page.hides else page, width)

    def code(self, text: str, name: str, width: int) -> str:
        """Return code of a file of this name."""
        clean = drawable(text)
        lexer = Syntax.guess_lexer(name, clean[:1000])
        return self._render(Group(*code_lines(clean, lexer, width)), width)

    def diff(self, lines: Iterable[str], width: int, most: int) -> str:
        """Return changed lines, each beginning with ``+``, ``-``, ``@`` or a space; at
        most so many, and how many more there are."""
        shown: list[str] = []
        left = 0
        for line in lines:
            if len(shown) < most:
                shown.append(line)
            else:
                left += 1
        colours = {"+": "green", "-": "red", "@": "cyan"}
        text = Text()
        for line in shown:
            clean = drawable(line[:MOST_HIGHLIGHTED]).replace("\n", " ")
            for part in fold(clean, max(width - 2, NARROWEST - 2)):
                text.append(f"  {part}\n", style=colours.get(line[:1], "dim"))
        if left:
            text.append(f"  … {left:,} more lines\n", style="dim")
        return self._render(text, width, end="")

    def _render(self, what: Any, width: int, end: str = "\n") -> str:
        out = StringIO()
        console = Console(
            file=out,
            force_terminal=True,
            color_system="standard" if self.colour else None,
            legacy_windows=False,
            width=max(width, NARROWEST),
            height=100,
            highlight=False,
            markup=False,
            emoji=False,
            theme=_THEME,
            _environ={},
        )
        console.print(what, end="")
        text = _NOT_A_COLOUR.sub("", _NOT_OURS.sub("", out.getvalue()))
        lines = [line.rstrip() for line in text.split("\n")]
        while lines and not lines[-1]:
            lines.pop()
        while lines and not lines[0]:
            lines.pop(0)
        return "".join(f"{line}\n" for line in lines) if lines else end
