"""Pastes: what was pasted is one short mark on the prompt line, and is sent whole.

Owns the marks and what each stands for. Pure.
"""

import re

FOLDED_LINES = 6
FOLDED_CHARACTERS = 1000
_COLOURS = re.compile("\x1b\\[[0-9;:]{0,64}m")
_MARK = re.compile(r"\[pasted [\d,]+ (?:lines|characters)(?: #\d+)?\]")


_JOINS = "\u200c\u200d"
"""What joins letters and emoji, and shows nothing by itself."""


def typeable(text: str) -> str:
    """Return text for the prompt line, where all that is there is to be seen: without
    controls, and without what reorders or hides signs around it."""
    return "".join(
        sign
        for sign in _COLOURS.sub("", text)
        if sign.isprintable() or sign in "\n\t" or sign in _JOINS
    )


class Pastes:
    """What stands for what, in one conversation."""

    def __init__(self) -> None:
        self._whole: dict[str, str] = {}

    def fold(self, text: str) -> str:
        """Return what to put on the prompt line for a text that was pasted."""
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        lines = text.count("\n") + (not text.endswith("\n"))
        if lines < FOLDED_LINES and len(text) < FOLDED_CHARACTERS:
            return text
        size = f"{lines:,} lines" if lines > 1 else f"{len(text):,} characters"
        mark = f"[pasted {size}]"
        number = 2
        while self._whole.get(mark, text) != text:
            mark = f"[pasted {size} #{number}]"
            number += 1
        self._whole[mark] = text
        return mark

    def unfold(self, line: str) -> str:
        """Return a line with what its marks stand for. A mark that somebody typed
        stands for itself."""
        return _MARK.sub(lambda match: self._whole.get(match[0], match[0]), line)

    def mark_at_end(self, line: str) -> str | None:
        """Return the mark that a line ends with: it goes as one sign."""
        found = list(_MARK.finditer(line[-80:]))
        if found and found[-1].end() == len(line[-80:]):
            mark = found[-1][0]
            return mark if mark in self._whole else None
        return None
