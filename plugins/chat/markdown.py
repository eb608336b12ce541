"""Markdown for a terminal: what is laid out how, and that nothing of it is hidden.

Owns the elements that a page would show otherwise: an image is its words and address, a
link says where it leads, a table that does not fit becomes rows of names and values,
code goes on below at the edge. What Markdown leaves out (definitions of links, cells
that have no column, what is nested too deep) is shown as it was written. Knows nothing
of colours but their names. Its text is clean already, but for what is spelled out in it
by entities, which is cleaned here.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich import box
from rich.cells import chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import (
    BlockQuote,
    CodeBlock,
    Heading,
    ListElement,
    ListItem,
    Markdown,
    MarkdownElement,
    Paragraph,
    TableElement,
)
from rich.padding import Padding
from rich.segment import Segment
from rich.syntax import Syntax, SyntaxTheme
from rich.table import Table
from rich.text import Text

from ..console.terminal import drawable

MOST_HIGHLIGHTED = 20_000
"""Characters of code that are coloured: what is longer is shown as it is."""
MOST_NESTED = 30
"""Lists and quotes inside each other, both kinds of tag counted."""
LEAST_ROOM = 12
"""Cells: what has less is set in no further."""
LEAST_COLUMN = 8
"""Cells of a column, where its words do not fit."""
GAP = 2
"""Cells between two columns."""
INDENT = (0, 0, 0, 2)
"""Of code: above, right, below, left."""

_TASK = re.compile(r"\[[ xX]\] ")
_PIPE = re.compile(r"(?<!\\)\|")


class Code(CodeBlock):
    """Code without a ground of its own, set in by two columns."""

    syntax_theme: ClassVar[SyntaxTheme]

    @classmethod
    def create(cls, markdown: Markdown, token: Token) -> "Code":
        language, _, more = (token.info or "").strip().partition(" ")
        made = cls(language or "text", markdown.code_theme)
        made.more = more.strip()
        return made

    more = ""
    """What is said of the code besides its language."""

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        if self.more:
            yield Padding(Text(self.more, style="dim"), INDENT)
        room = max(options.max_width - 2, 1)
        for line in code_lines(str(self.text).rstrip(), self.lexer_name, room):
            yield Padding(line, INDENT, expand=False)


def code_lines(code: str, language: str, width: int) -> Iterator[Text]:
    """Yield code in colours, each line as long as fits, and then goes on below."""
    if len(code) > MOST_HIGHLIGHTED:
        language = "text"
    syntax = Syntax(code, language, theme=Code.syntax_theme, background_color="default")
    shown = syntax.highlight(code)
    shown.rstrip()
    for line in shown.split("\n", allow_blank=True):
        line.no_wrap = True
        line.overflow = "ignore"
        ends, at = [], 0
        for part in chop_cells(line.plain, width)[:-1]:
            at += len(part)
            ends.append(at)
        yield from line.divide(ends) if line.plain else (Text(" "),)


class _Heading(Heading):
    """A heading at the left, as all text is."""

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        self.text.justify = "left"
        yield self.text


class _Quote(BlockQuote):
    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        yield from _set_in(console, options, self.elements, "▌ ", "▌ ", self.style)


class _List(ListElement):
    """A list whose numbers are followed by what the text has there."""

    mark = "."

    @classmethod
    def create(cls, markdown: Markdown, token: Token) -> "_List":
        made = cls(token.type, int(token.attrs.get("start", 1)))
        made.mark = token.markup
        return made

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        first = 1 if self.list_start is None else self.list_start
        wide = len(str(first + len(self.items) - 1))
        for number, item in enumerate(self.items, first):
            ordered = self.list_type != "bullet_list_open"
            mark = f" {number:>{wide}}{self.mark} " if ordered else " • "
            below = " " * len(mark)
            if task := _take_task(item):
                mark = f"{mark if ordered else ' '}{task}"
            yield from _set_in(console, options, item.elements, mark, below, item.style)


def _take_task(item: ListItem) -> str:
    """Return the box that an item begins with, taken out of its text."""
    first = next(iter(item.elements._renderables), None)
    if not isinstance(first, Paragraph) or not _TASK.match(first.text.plain):
        return ""
    box_, first.text = first.text.divide([4])
    return box_.plain


def _set_in(
    console: Console,
    options: ConsoleOptions,
    what: Any,
    mark: str,
    below: str,
    style: Any,
) -> RenderResult:
    """Yield what is set in behind a mark, as long as there is room to."""
    room = options.max_width - len(mark)
    if room < LEAST_ROOM:
        room, below = max(options.max_width, 1), ""
        yield Segment(mark.rstrip(), style)
        yield Segment.line()
        mark = ""
    lines = console.render_lines(what, options.update(width=room), style=style)
    if not lines:
        yield Segment(mark, style)
        yield Segment.line()
    for number, line in enumerate(lines):
        yield Segment(below if number else mark, style)
        yield from line
        yield Segment.line()


class _Table(TableElement):
    """A table, or rows of names and values where it is wider than the screen."""

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        heads = self.header.row.cells if self.header and self.header.row else []
        rows = [row.cells for row in self.body.rows] if self.body else []
        names = [cell.content for cell in heads]
        for name in names:
            name.stylize("markdown.table.header")
        texts = [[cell.content for cell in row] for row in rows]
        if not _fits([names, *texts], options.max_width):
            yield from _records(names, texts)
            return
        table = Table(
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, GAP - 1, 0, 0),
            style="markdown.table.border",
            show_edge=False,
            collapse_padding=True,
        )
        for name, cell in zip(names, heads, strict=True):
            table.add_column(name, justify=cell.justify, overflow="fold")
        for row in texts:
            table.add_row(*row)
        yield table


def _fits(rows: Sequence[Sequence[Text]], width: int) -> bool:
    """Return whether each column has room for its words, or for enough of them."""
    needed = 0
    for column in zip(*rows, strict=True):
        whole = max(text.cell_len for text in column)
        words = max(
            (len(word) for text in column for word in text.plain.split()), default=0
        )
        needed += min(whole, max(words, LEAST_COLUMN)) + GAP
    return needed - GAP <= width


def _records(names: Sequence[Text], rows: Iterable[Sequence[Text]]) -> Iterator[Text]:
    """Yield each row as a line for each of its values."""
    if not (rows := list(rows)):
        yield Text(" | ").join(names)
    for number, row in enumerate(rows):
        if number:
            yield Text("")
        for name, value in zip(names, row, strict=True):
            if value.plain.strip():
                yield Text.assemble(name, ": ", value)


class Page(Markdown):
    """One block of Markdown, or several."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "fence": Code,
        "code_block": Code,
        "heading_open": _Heading,
        "blockquote_open": _Quote,
        "bullet_list_open": _List,
        "ordered_list_open": _List,
        "table_open": _Table,
    }

    def __init__(self, markup: str) -> None:
        super().__init__("", hyperlinks=False)
        # What looks like HTML is shown: left out, it would hide what was said. So would
        # the definition of a link, whose use may be shown long before.
        options = {"html": False, "maxNesting": MOST_NESTED + 1}
        parser = MarkdownIt("commonmark", options).disable("reference")
        self.markup = markup
        self.parsed = parser.enable("strikethrough").enable("table").parse(markup)
        self.hides = _hides(self.parsed, markup)
        """Whether something of it would not be seen."""
        for token in self.parsed:
            if token.children:
                token.children = list(_inline(token.children))


def _hides(tokens: Sequence[Token], markup: str) -> bool:
    lines = markup.split("\n")
    columns = 0
    for token in tokens:
        if token.level >= MOST_NESTED:
            return True
        if token.type == "thead_open":
            columns = 0
        elif token.type == "th_open":
            columns += 1
        elif token.type == "tr_open" and columns and token.map:
            row = lines[token.map[0]].strip().removeprefix("|")
            row = row[:-1] if row.endswith("|") else row
            if len(_PIPE.findall(row)) >= columns:
                return True
    return False


def _inline(tokens: Iterable[Token]) -> Iterator[Token]:
    """Yield the tokens of a line with what they stand for in words."""
    tokens = list(tokens)
    for place, token in enumerate(tokens):
        token.content = drawable(token.content)
        if token.type == "image":
            yield _words(f"[image: {token.content or 'no words'}] ({_address(token)})")
        elif token.type == "softbreak":
            # Who writes for a terminal means a new line by it: there is no page that
            # would be filled.
            yield Token("hardbreak", "br", 0)
        elif _says_itself(tokens[max(place - 2, 0) : place + 3], token):
            # Its words are its address.
            continue
        elif token.type == "link_open" and token.attrs.get("title"):
            # Said in the address, which is shown behind the words.
            yield Token("link_open", "a", 1, attrs={"href": _address(token)})
        else:
            yield token


def _says_itself(around: Sequence[Token], token: Token) -> bool:
    """Return whether a token begins or ends a link that is nothing but its address."""
    kinds = [one.type for one in around]
    if token.type not in ("link_open", "link_close") or "link_open" not in kinds:
        return False
    at = kinds.index("link_open") if token.type == "link_close" else around.index(token)
    if kinds[at : at + 3] != ["link_open", "text", "link_close"]:
        return False
    address = str(around[at].attrs.get("href"))
    said = around[at + 1].content
    return address in (said, f"mailto:{said}") and not around[at].attrs.get("title")


def _address(token: Token) -> str:
    address = str(token.attrs.get("href") or token.attrs.get("src") or "")
    title = token.attrs.get("title")
    return drawable(f'{address} "{title}"' if title else address)


def _words(text: str) -> Token:
    return Token("text", "", 0, content=text)
