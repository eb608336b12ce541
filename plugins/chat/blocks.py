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

# What follows backticks has none, or it is code within a line.
_FENCE = re.compile(r"\s*(?:[-*+] |\d+[.)] )?\s*(`{3,}(?=[^`]*\Z)|~{3,})(.*)\Z")
_ITEM = re.compile(r" {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|\Z)")
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
        self._again = False
        """Whether the line that begins the fence stands above another part of it."""
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
        if self._lines and not (self._again and len(self._lines) == 1):
            found.append(self._take())
        self._lines, self._size = [], 0
        self._fence, self._gap, self._again = None, False, False
        return found

    def _line(self, line: str) -> Iterator[str]:
        if self._fence is not None:
            yield from self._fenced(line)
            return
        if not line.strip():
            if self._lines and _ITEM.match(self._lines[0]):
                self._gap = True
                self._add(line)
            elif self._lines:
                yield self._take()
            return
        if self._gap and not line.startswith(("  ", "\t")):
            self._gap = False
            yield self._take()
        self._gap = False
        fence = _FENCE.match(line)
        inside = bool(self._lines) and _ITEM.match(self._lines[0]) is not None
        if fence is not None:
            if self._lines and not inside:
                yield self._take()
            self._fence, self._info, self._again = fence[1], line, False
        elif _HEADING.match(line) and not inside:
            if self._lines:
                yield self._take()
            yield line
            return
        self._add(line)
        if self._size > MOST_CHARACTERS:
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
            self._add(info)
            self._again = True

    def _add(self, line: str) -> None:
        self._lines.append(line)
        self._size += len(line) + 1

    def _take(self) -> str:
        lines, self._lines, self._size = self._lines, [], 0
        return "\n".join(lines).rstrip("\n ")
