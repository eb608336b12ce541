"""Blocks: Markdown that streams in, cut where a piece of it is complete.

Owns where a block ends: a paragraph at a blank line, a fence at its end, a list where
what follows is not of it. What is complete can be rendered and is never touched again.
Knows nothing of rendering.
"""

import re
from collections.abc import Iterator

MOST_LINES = 200
MOST_CHARACTERS = 16_384
"""A block that is longer is cut in the middle, so that nobody waits for its end."""

MOST_ROWS = 100
"""A table that is longer is cut, and its head stands above each part: it takes a while
to lay one out, and whoever types meanwhile waits for it."""
SHOWN_ROWS = 20
"""Rows at the end of a table that is not complete."""

# What follows backticks has none, or it is code within a line.
_FENCE = re.compile(r"\s*(?:[-*+] |\d+[.)] )?\s*(`{3,}(?=[^`]*\Z)|~{3,})(.*)\Z")
_ITEM = re.compile(r" {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|\Z)")
_RULE = re.compile(r" {0,3}\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*\Z")
"""Below the head of a table."""
_HEADING = re.compile(r" {0,3}#{1,6}(?:\s|\Z)")


class Blocks:
    """Takes text in any pieces and returns blocks."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        """Of the block that is not complete."""
        self._part = ""
        """The line that is not complete."""
        self._size = 0
        self._fence: str | None = None
        self._info = ""
        self._again = 0
        """Lines that begin the block because it is another part of one."""
        self._gap = False
        """Whether a blank line came in a list, which may go on or not."""

    @property
    def rest(self) -> str:
        """What is not part of a complete block yet."""
        return "\n".join([*self._lines, self._part])

    def end_of_rest(self, most: int) -> str:
        """Return about so many characters of the end of the rest, which are still code
        where the rest is."""
        rest = self.rest
        if self._is_table() and len(self._lines) > SHOWN_ROWS + 2:
            rows = [*self._lines[:2], *self._lines[-SHOWN_ROWS:], self._part]
            rest = "\n".join(rows)
        if len(rest) <= most:
            return rest
        _, newline, cut = rest[-most:].partition("\n")
        cut = cut if newline else rest[-most:]
        return f"{self._info}\n{cut}" if self._fence is not None else cut

    def feed(self, text: str) -> list[str]:
        """Return the blocks that are complete now."""
        *lines, self._part = (self._part + text).split("\n")
        found = [block for line in lines for block in self._line(line)]
        if len(self._part) > MOST_CHARACTERS:
            line, self._part = self._part, ""
            found += self._line(line)
        return found

    def end(self) -> list[str]:
        """Return what is left when nothing more comes."""
        found = list(self._line(self._part)) if self._part else []
        self._part = ""
        found += self._complete()
        self._fence, self._gap = None, False
        return found

    def _line(self, line: str) -> Iterator[str]:
        if self._fence is not None:
            yield from self._fenced(line)
            return
        if not line.strip():
            if self._lines and _ITEM.match(self._lines[0]):
                self._gap = True
                self._add(line)
            else:
                yield from self._complete()
            return
        if self._gap and not line.startswith(("  ", "\t")):
            self._gap = False
            yield from self._complete()
        self._gap = False
        fence = _FENCE.match(line)
        inside = bool(self._lines) and _ITEM.match(self._lines[0]) is not None
        if fence is not None:
            if not inside:
                yield from self._complete()
            self._fence, self._info = fence[1], line
        elif _HEADING.match(line) and not inside:
            yield from self._complete()
            yield line
            return
        self._add(line)
        if len(self._lines) > MOST_ROWS and self._is_table():
            head = self._lines[:2]
            yield self._take()
            self._begin_again(head)
        elif self._size > MOST_CHARACTERS:
            yield self._take()

    def _fenced(self, line: str) -> Iterator[str]:
        assert self._fence is not None
        self._add(line)
        mark = line.strip()
        if mark.startswith(self._fence) and not mark.strip(self._fence[0]):
            inside = _ITEM.match(self._lines[0]) is not None
            self._fence = None
            if not inside:
                yield self._take()
        elif len(self._lines) > MOST_LINES or self._size > MOST_CHARACTERS:
            # Ended here and begun again, so that both halves are code.
            fence, info = self._fence, self._info
            yield f"{self._take()}\n{fence}"
            self._begin_again([info])

    def _is_table(self) -> bool:
        """Return whether the block is a table, and nothing within another thing."""
        head = self._lines[:2]
        return (
            self._fence is None
            and len(head) == 2
            and "|" in head[0]
            and _RULE.match(head[1]) is not None
        )

    def _begin_again(self, head: list[str]) -> None:
        """Begin another part of a block by what its first part began with."""
        for line in head:
            self._add(line)
        self._again = len(head)

    def _complete(self) -> Iterator[str]:
        """Yield the block, if there is anything of it."""
        if len(self._lines) > self._again:
            yield self._take()
        self._lines, self._size, self._again = [], 0, 0

    def _add(self, line: str) -> None:
        self._lines.append(line)
        self._size += len(line) + 1

    def _take(self) -> str:
        lines, self._lines, self._size, self._again = self._lines, [], 0, 0
        return "\n".join(lines).rstrip("\n ")
