"""Patterns: how rules and approvals name what they are about.

A pattern is the whole text: ``*`` stands for any characters, ``/`` and line ends
included, ``?`` for exactly one, everything else for itself, in its own case. A pattern
that ends in a space and ``*`` also matches without them, so that ``ls *`` matches
``ls`` and ``ls -la`` and not ``lsof``. A backslash is a backslash: it means something
in a command, and whoever names a path as a resource names it with ``/``.

Owns matching, and its cost: proportional to the text, and for a piece of a pattern with
``?`` in it to the text and the piece in machine words. Patterns come out of other
people's files and texts out of models, so no pair of them may hold up a session.
"""

import re
from collections.abc import Callable
from functools import lru_cache, partial

MAX_PATTERN = 512
"""Characters of one pattern of a rule."""
MAX_RULES = 1_000
"""Rules of one list."""


def matches(pattern: str, text: str) -> bool:
    """Return whether the pattern matches the whole text."""
    return matcher(pattern)(text)


@lru_cache(maxsize=8 * MAX_RULES)
def matcher(pattern: str) -> Callable[[str], bool]:
    """Return what tells whether a text matches the pattern, made once."""
    if not wild(pattern):
        return pattern.__eq__
    if not pattern.strip("*"):
        return _everything
    literal = pattern.rstrip("*")
    if literal == pattern.rstrip("*?") and not wild(literal) and literal[-1] != " ":
        # By far the most, and several for each file of a search.
        return lambda text: text.startswith(literal)
    return partial(_one_fits, _pieces(pattern))


def needed(pattern: str) -> str:
    """Return a text that everything the pattern matches contains: to tell quickly, of
    many patterns, which ones cannot match."""
    # What ends in a space and a star matches without them, too.
    return max(re.split(r"[*?]+", pattern.removesuffix(" *")), key=len)


def _everything(text: str) -> bool:
    return True


def _one_fits(forms: tuple[tuple["_Piece", ...], ...], text: str) -> bool:
    return any(_fits(pieces, text) for pieces in forms)


def _pieces(pattern: str) -> tuple[tuple["_Piece", ...], ...]:
    """Return what is between the stars, for each form that the pattern has."""
    forms = (pattern, pattern[:-2]) if pattern.endswith(" *") else (pattern,)
    return tuple(
        tuple(_Piece(piece) for piece in re.split(r"\*+", form)) for form in forms
    )


def _fits(pieces: tuple["_Piece", ...], text: str) -> bool:
    first, *middle = pieces
    if not middle:
        return first.length == len(text) and first.at(text, 0)
    last = middle.pop()
    end = len(text) - last.length
    if end < first.length or not (first.at(text, 0) and last.at(text, end)):
        return False
    # The leftmost place of each middle piece is as good as any other: what follows
    # has the more room.
    start = first.length
    for piece in middle:
        found = piece.find(text, start, end)
        if found < 0:
            return False
        start = found + piece.length
    return True


class _Piece:
    """Text without a star; ``?`` is any one character."""

    def __init__(self, text: str) -> None:
        self.length = len(text)
        self._text = text
        self._signs = [(at, sign) for at, sign in enumerate(text) if sign != "?"]
        self._literal = len(self._signs) == self.length

    def at(self, text: str, start: int) -> bool:
        if self._literal:
            return text.startswith(self._text, start)
        return all(text[start + at] == sign for at, sign in self._signs)

    def find(self, text: str, start: int, end: int) -> int:
        """Return the leftmost place between two positions, or -1."""
        if self._literal:
            return text.find(self._text, start, end)
        # A bit for each place where it may begin: one step for each sign, whatever the
        # text repeats. A search that compares place by place takes their product.
        places = (1 << max(end - self.length + 1, 0)) - 1 >> start << start
        for at, sign in self._signs:
            if not places:
                return -1
            places &= _positions(text, sign) >> at
        return (places & -places).bit_length() - 1


@lru_cache(maxsize=128)
def _positions(text: str, sign: str) -> int:
    """Return a number with a bit set for each place of a character in a text."""
    if ord(sign) > 255:
        text, sign = text.replace("\1", "?").replace(sign, "\1"), "\1"
    # What Latin-1 lacks becomes a question mark, which is never looked for.
    digits = bytes(b"01"[byte == ord(sign)] for byte in range(256))
    return int(b"0" + text.encode("latin-1", "replace").translate(digits)[::-1], 2)


def rests(pattern: str, start: str) -> tuple[str, ...]:
    """Return the patterns of what may come after a text that begins with ``start``:
    the pattern matches the whole where one of them matches the rest."""
    states = {0}
    for sign in start:
        following = set()
        for at in _open(pattern, states):
            if at < len(pattern) and pattern[at] in ("*", "?", sign):
                following.add(at if pattern[at] == "*" else at + 1)
        states = following
    return tuple(dict.fromkeys(pattern[at:] for at in sorted(states)))


def _open(pattern: str, states: set[int]) -> set[int]:
    """Return the states, and those that a star which stands for nothing leads to."""
    found = set(states)
    waiting = list(states)
    while waiting:
        at = waiting.pop()
        if at < len(pattern) and pattern[at] == "*" and at + 1 not in found:
            found.add(at + 1)
            waiting.append(at + 1)
    return found


def wild(text: str) -> bool:
    """Return whether a pattern may match more than one text."""
    return "*" in text or "?" in text
