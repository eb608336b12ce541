"""Folding: clean text on rows of so many cells, none of it left out.

Owns how wide a text is, and where a line that is longer than its row is broken: a
terminal that breaks it by itself begins the rest where our own lines begin, so other
people's text could look like them. Pure.
"""

import re
from collections.abc import Sequence

_WORDS = re.compile(r"([^ ]*)( *)")
_MARKED = re.compile(r" +[|+-] ")
GOES_ON = "    "
"""Before what goes on below, where the line has no mark."""


def cells(text: str) -> int:
    """Return how many cells clean text takes."""
    if text.isascii():
        return len(text)
    # Here: what is written in ASCII, as most is, needs no table of widths.
    from rich.cells import cell_len

    return cell_len(text)


def fold(text: str, width: int) -> list[str]:
    """Return clean text of one line as lines of at most so many cells, broken after
    spaces where there are any. Nothing is left out but the one space at a break."""
    if len(text) <= width and text.isascii():
        return [text]
    lines: list[str] = []
    line, room = "", width
    for found in _WORDS.finditer(text):
        word, spaces = found[1], found[2]
        size = cells(word)
        if size > room and line:
            lines.append(line)
            line, room = "", width
        if size > room:
            *whole, word = _chopped(word, room)
            lines += whole
            size = cells(word)
        line, room = line + word, room - size
        if len(spaces) > room:
            spaces = spaces[room + 1 :]
            lines.append(line)
            line, room = "", width
            while len(spaces) > room:
                lines.append(spaces[:room])
                spaces = spaces[room:]
        line, room = line + spaces, room - len(spaces)
    return [*lines, line] if line or not lines else lines


def _chopped(word: str, width: int) -> Sequence[str]:
    if word.isascii():
        return [word[at : at + width] for at in range(0, len(word), width)]
    from rich.cells import chop_cells

    return chop_cells(word, width)


def fitting(text: str, width: int) -> str:
    """Return as much of clean text as so many cells hold, and ``…`` for the rest."""
    if cells(text) <= width:
        return text
    return f"{_chopped(text, max(width - 1, 1))[0]}…"


def rows(line: str, width: int) -> Sequence[str]:
    """Return a line of a card on rows. What goes on below is set in further than any
    label is, or stands behind the same mark: no text can look like a line of ours."""
    found = _MARKED.match(line)
    mark = found[0] if found else ""
    below = mark or GOES_ON
    room = max(width - 1, 20) - len(below)
    if not mark:
        whole = fold(line, room + len(below))
        if len(whole) == 1:
            return whole
        # As much as fits beside what the other rows are set in by.
        first, *_ = fold(line, room)
        rest = line[len(first) :].removeprefix(" ")
        return [first, *(f"{GOES_ON}{part}" for part in fold(rest, room))]
    return [f"{mark}{part}" for part in fold(line[len(mark) :], room) or [""]]
