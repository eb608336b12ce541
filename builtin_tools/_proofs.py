"""Proof of what ripgrep reports: that a file is there, and that a line stands in it.

ripgrep opens files by their paths. Whoever puts a link in the place of a folder
meanwhile has it read what no rule was asked about, and report it by a path that may be
read. So what is to be shown is looked at once more, below the folder that is held open
and without following a link, and what is not there is dropped. Knows nothing of how
ripgrep is run. Everything here is synchronous and runs in worker threads.
"""

import codecs
import io
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import groupby

from attrs import frozen

from ._text import BOM, MAX_LINE, cut
from ._walk import Held, text_lines

_CHUNK = 262_144
_ENOUGH = 4 * (MAX_LINE + 2) + 1
"""Bytes of a line that hold all of it that is shown, whatever its characters."""


@frozen
class FoundLine:
    """A line that matches, as it is shown."""

    path: str
    """As the file system has it, relative to the folder that was searched."""
    number: int
    text: str


def shown_line(number: int, line: bytes) -> str:
    """Return a line of a file, without its LF, as it is shown."""
    text = line.removesuffix(b"\r").decode("utf-8", "replace")
    return cut(text.removeprefix(BOM) if number == 1 else text)


def files_there(folder: int, paths: Sequence[str]) -> list[str]:
    """Return those paths below an open folder that are regular files by themselves."""
    with closing(Held(folder)) as held:
        return [path for path in paths if held.has_file(path)]


def lines_there(
    folder: int, lines: Sequence[FoundLine], alive: Callable[[], None]
) -> list[FoundLine]:
    """Return those lines that stand in just these files below an open folder.

    A file is read once, as far as its last line in question. ``alive`` is called
    between chunks and may raise.
    """
    kept: list[FoundLine] = []
    with closing(Held(folder)) as held:
        for path, group in groupby(lines, lambda one: one.path):
            asked = list(group)
            try:
                with open(held.file(path), "rb") as file:
                    there = _texts(file, {one.number for one in asked}, alive)
            except OSError:
                continue  # gone, a link by now, or not ours to read
            kept += [one for one in asked if there.get(one.number) == one.text]
    return kept


def _texts(
    file: io.BufferedReader, numbers: set[int], alive: Callable[[], None]
) -> dict[int, str]:
    """Return the lines with these numbers, as they are shown."""
    if file.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return _wide_texts(file, numbers, alive)
    found: dict[int, str] = {}
    todo = sorted(numbers, reverse=True)
    number, line = 1, b""
    while todo and (chunk := file.read(_CHUNK)):
        alive()
        at = 0
        while todo and at < len(chunk):
            if number < todo[-1]:
                # Most of a file is in between, and is only counted.
                passed = chunk.count(b"\n", at)
                if number + passed < todo[-1]:
                    number += passed
                    break
                while number < todo[-1]:
                    at = chunk.index(b"\n", at) + 1
                    number += 1
            end = chunk.find(b"\n", at)
            stop = len(chunk) if end < 0 else end
            line += chunk[at : min(stop, at + _ENOUGH - len(line))]
            at = stop + 1
            if end >= 0:
                found[todo.pop()] = shown_line(number, line)
                number, line = number + 1, b""
    if todo and number == todo[-1]:
        found[number] = shown_line(number, line)
    return found


def _wide_texts(
    file: io.BufferedReader, numbers: set[int], alive: Callable[[], None]
) -> dict[int, str]:
    found: dict[int, str] = {}
    last = max(numbers)
    text = io.TextIOWrapper(file, "utf-16", "replace", newline="\n")
    for number, line in text_lines(text):
        alive()
        if number in numbers:
            found[number] = cut(line)
        if number >= last:
            break
    text.detach()
    return found
