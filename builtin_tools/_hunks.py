"""Where the hunks of a patch go in a text, and what comes of it.

Owns how lines are compared and that nothing is guessed: hunks go in the order of the
file, and where they could go in two ways, they go nowhere. Knows nothing of files and
paths. Pure functions.

A line is compared as the origin of the format does (``seek_sequence`` of
``codex-rs/apply-patch``): exactly; else without blanks at its end; else without blanks
at both ends; else also with typographic dashes, quotes and spaces as plain ones. Every
line that a patch does not change stays as it is in the file, however it was compared.
"""

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches

from attrs import frozen
from dovetail.kernel import ToolFailure

from ._patch import Hunk, HunkLine, shown

_PLAIN = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | dict.fromkeys("\u2018\u2019\u201a\u201b", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f", '"')
    | dict.fromkeys("\u00a0\u202f\u205f\u3000", " ")
    | {chr(code): " " for code in range(0x2002, 0x200B)}
)


def _exact(line: str) -> str:
    return line


def _plain(line: str) -> str:
    return line.strip().translate(_PLAIN)


_COMPARED: tuple[Callable[[str], str], ...] = (_exact, str.rstrip, str.strip, _plain)
_LOOSEST = len(_COMPARED) - 1
_FIRST_CODE = 0xE000
"""Of the characters that stand for lines: above the surrogates."""
_NEAR_LINES = 20_000
"""Lines of a file among which a similar one is looked for, to name it in an error."""


@frozen
class Patched:
    """What hunks make of a text."""

    text: str
    added: int
    """Lines."""
    removed: int
    loose: tuple[int, ...]
    """The lines of the patch at which hunks begin that did not fit exactly."""


def apply_hunks(text: str, hunks: Sequence[Hunk], path: str) -> Patched:
    """Return what the hunks make of a text.

    Added lines get the line ending of the place that they go to. They are whole lines:
    a text that ended without a newline ends with one if its last line is new, and
    without one if it is not.

    Raises:
        ToolFailure: a hunk does not fit, or in more than one way.
    """
    lines = text.split("\n")
    raw = [f"{line}\n" for line in lines[:-1]]
    if lines[-1]:
        raw.append(lines[-1])
    else:
        del lines[-1]
    bare = [line.removesuffix("\r") for line in lines]
    placed = _Placing(bare, hunks, path).placed()
    return _put(raw, placed)


@frozen
class _Fit:
    """Where a hunk goes."""

    hunk: Hunk
    lines: tuple[HunkLine, ...]
    """Its lines, perhaps without empty ones at the end that nobody meant."""
    start: int
    """The first line of the file that it is about, from 0."""
    exact: bool

    @property
    def old(self) -> int:
        """How many lines of the file it is about."""
        return sum(line.sign != "+" for line in self.lines)


# --- finding the places -----------------------------------------------------------


class _Haystack:
    """The lines of a file, as a text in which each line is one character.

    Only lines that the hunks name have a character of their own. So a run of lines is
    found by the search for a text, which is quick for any file and any patch.
    """

    def __init__(self, lines: Sequence[str], wanted: Iterable[str]) -> None:
        self._lines = lines
        self._wanted = {*wanted}
        self._levels: dict[int, tuple[str, dict[str, str]]] = {}

    def _level(self, level: int) -> tuple[str, dict[str, str]]:
        known = self._levels.get(level)
        if known is None:
            compared = _COMPARED[level]
            distinct = sorted({compared(line) for line in self._wanted})
            codes = {line: chr(_FIRST_CODE + at) for at, line in enumerate(distinct)}
            text = "".join([codes.get(compared(line), "\0") for line in self._lines])
            known = self._levels[level] = text, codes
        return known

    def _needle(self, wanted: Sequence[str], level: int) -> tuple[str, str]:
        text, codes = self._level(level)
        compared = _COMPARED[level]
        return text, "".join([codes[compared(line)] for line in wanted])

    def first(self, wanted: Sequence[str], level: int, start: int) -> int:
        """Return the first place at or after ``start``, or -1."""
        text, needle = self._needle(wanted, level)
        return text.find(needle, start)

    def last(self, wanted: Sequence[str], level: int, stop: int) -> int:
        """Return the last place that ends at or before ``stop``, or -1."""
        text, needle = self._needle(wanted, level)
        return text.rfind(needle, 0, stop)


@frozen
class _Reading:
    """How a hunk was found: what is looked for, and how loosely each of it."""

    hunk: Hunk
    lines: tuple[HunkLine, ...]
    anchors: tuple[int, ...]
    level: int
    start: int
    """The first place where it fits, after the hunks before it."""

    @property
    def old(self) -> tuple[str, ...]:
        return tuple(line.text for line in self.lines if line.sign != "+")


class _Placing:
    """Finds the places of the hunks of one file."""

    def __init__(self, lines: list[str], hunks: Sequence[Hunk], path: str) -> None:
        self._lines = lines
        self._hunks = hunks
        self._path = path
        named = [text for hunk in hunks for text in (*hunk.old, *hunk.anchors)]
        self._haystack = _Haystack(lines, named)

    def placed(self) -> list[_Fit]:
        """Return the places in the order of the file.

        Each hunk is put as far up as it fits behind the one before it, then as far
        down as it fits before the next one. Where these differ it could go in more
        than one way.
        """
        readings: list[_Reading] = []
        appended: list[_Fit] = []
        cursor = 0
        for hunk in self._hunks:
            if not hunk.old and not hunk.anchors:
                # Only new lines, and no word where: they go to the end of the file.
                end = len(self._lines)
                appended.append(_Fit(hunk, hunk.lines, end, exact=True))
                continue
            reading = self._reading(hunk, cursor)
            cursor = reading.start + len(reading.old)
            readings.append(reading)
        stop = len(self._lines)
        for reading in reversed(readings):
            start, stop = self._last(reading, stop)
            if start != reading.start:
                raise self._ambiguous(reading, start)
        places = [
            _Fit(
                reading.hunk,
                reading.lines,
                reading.start,
                exact=not any((*reading.anchors, reading.level)),
            )
            for reading in readings
        ]
        return [*places, *appended]

    def _reading(self, hunk: Hunk, cursor: int) -> _Reading:
        """Return the first place of a hunk, compared as exactly as can be."""
        levels: list[int] = []
        start = cursor
        for anchor in hunk.anchors:
            for level in range(len(_COMPARED)):
                at = self._haystack.first((anchor,), level, start)
                if at >= 0:
                    break
            else:
                raise self._no_anchor(hunk, anchor, start)
            levels.append(level)
            start = at + 1
        for lines in _variants(hunk.lines):
            old = [line.text for line in lines if line.sign != "+"]
            if not old:
                if hunk.old:
                    continue  # empty lines alone do not say where
                return _Reading(hunk, lines, tuple(levels), 0, self._end(hunk, start))
            for level in range(len(_COMPARED)):
                at = self._first(hunk, old, level, start)
                if at >= 0:
                    return _Reading(hunk, lines, tuple(levels), level, at)
        raise self._misfit(hunk, start)

    def _end(self, hunk: Hunk, start: int) -> int:
        return len(self._lines) if hunk.at_end else start

    def _first(self, hunk: Hunk, old: Sequence[str], level: int, start: int) -> int:
        if hunk.at_end:
            start = max(start, len(self._lines) - len(old))
        return self._haystack.first(old, level, start)

    def _last(self, reading: _Reading, stop: int) -> tuple[int, int]:
        """Return the last place of a hunk, and the line that the one before it must
        end at."""
        hunk, old = reading.hunk, reading.old
        if not old:
            top = stop
        elif hunk.at_end:
            top = len(self._lines) - len(old)
        else:
            top = self._haystack.last(old, reading.level, stop)
        if not hunk.anchors:
            return top, top
        # The last anchors above it; then the first place below them is what they mean.
        for anchor, level in zip(
            reversed(hunk.anchors), reversed(reading.anchors), strict=True
        ):
            top = self._haystack.last((anchor,), level, top)
        start = top
        for anchor, level in zip(hunk.anchors, reading.anchors, strict=True):
            start = self._haystack.first((anchor,), level, start) + 1
        if not old:
            return self._end(hunk, start), top
        return self._first(hunk, old, reading.level, start), top

    # --- saying why not -----------------------------------------------------------

    def _cannot(self, number: int, why: str, then: str) -> ToolFailure:
        return ToolFailure(
            f"cannot apply the hunk at line {number} of the patch to "
            f"{shown(self._path)}: {why}; {then}; nothing was changed"
        )

    def _ambiguous(self, reading: _Reading, last: int) -> ToolFailure:
        return self._cannot(
            reading.hunk.number,
            f"it fits in more than one place, such as lines {reading.start + 1} and "
            f"{last + 1}",
            "give more of the lines around the one you mean, or '@@ ' and a line above "
            "it that is there once",
        )

    def _no_anchor(self, hunk: Hunk, anchor: str, start: int) -> ToolFailure:
        above = self._haystack.first((anchor,), _LOOSEST, 0)
        if above >= 0:
            why = f"{shown('@@ ' + anchor)} is line {above + 1}, {_passed(start)}"
            return self._cannot(hunk.number, why, "hunks go in the order of the file")
        why = f"no line is {shown(anchor)}, as its '@@' says"
        return self._cannot(hunk.number, why, self._near(anchor))

    def _misfit(self, hunk: Hunk, start: int) -> ToolFailure:
        old = [line for line in hunk.lines if line.sign != "+"]
        texts = [line.text for line in old]
        anywhere = self._haystack.first(texts, _LOOSEST, 0)
        if anywhere >= 0 and hunk.at_end:
            why = f"its lines are at line {anywhere + 1} and not at the end"
            return self._cannot(hunk.number, why, "leave out '*** End of File'")
        if anywhere >= 0:
            why = f"its lines are at line {anywhere + 1}, {_passed(start)}"
            then = "hunks go in the order of the file"
            if hunk.anchors and anywhere == start - 1:
                then = "the line that '@@' names is not one of the lines below it"
            return self._cannot(hunk.number, why, then)
        # The longest beginning that is there, by halving: each is part of the next.
        fits, over = 0, len(texts)
        while over - fits > 1:
            half = (fits + over) // 2
            found = self._haystack.first(texts[:half], _LOOSEST, start)
            fits, over = (half, over) if found >= 0 else (fits, half)
        if not fits:
            where = f" after line {start}" if start else ""
            why = (
                f"no line{where} is {shown(texts[0])} (line {old[0].number} of the "
                "patch)"
            )
            return self._cannot(hunk.number, why, self._near(texts[0]))
        at = self._haystack.first(texts[:fits], _LOOSEST, start) + fits
        there = shown(self._lines[at]) if at < len(self._lines) else "the end"
        why = (
            f"line {old[fits].number} of the patch expects {shown(texts[fits])} as "
            f"line {at + 1}, found {there}"
        )
        return self._cannot(hunk.number, why, "read the file again")

    def _near(self, wanted: str) -> str:
        lines = self._lines[:_NEAR_LINES]
        numbers = {line.strip()[:200]: at for at, line in reversed([*enumerate(lines)])}
        near = get_close_matches(wanted.strip()[:200], numbers, n=1, cutoff=0.6)
        if not near:
            return "read the file again"
        at = numbers[near[0]]
        return f"line {at + 1} is near to it: {shown(lines[at])}"


def _passed(start: int) -> str:
    return f"which is not after line {start}"


def _variants(lines: tuple[HunkLine, ...]) -> Iterable[tuple[HunkLine, ...]]:
    """Yield the lines of a hunk, and those without empty lines at the end.

    Models leave an empty line between a hunk and what follows it.
    """
    yield lines
    stop = len(lines)
    while stop and lines[stop - 1].sign == " " and not lines[stop - 1].text:
        stop -= 1
    if stop < len(lines):
        yield lines[:stop]


# --- what comes of it -------------------------------------------------------------


def _put(raw: list[str], places: Sequence[_Fit]) -> Patched:
    """Return the text with the hunks at their places."""
    after: list[str] = []
    added = removed = at = 0
    for place in places:
        after += raw[at : place.start]
        at = place.start
        stop = at + place.old
        for line in place.lines:
            if line.sign == "+":
                after.append(line.text + _ending(raw, at, stop))
                added += 1
                continue
            if line.sign == " ":
                after.append(raw[at])
            else:
                removed += 1
            at += 1
    after += raw[at:]
    # Only what was the last line of the file can lack its newline.
    for index, text in enumerate(after[:-1]):
        if not text.endswith("\n"):
            after[index] = text + _ending(after, index, index)
    loose = tuple(place.hunk.number for place in places if not place.exact)
    return Patched("".join(after), added, removed, loose)


def _ending(raw: Sequence[str], at: int, stop: int) -> str:
    """Return the line ending of a place: of the line that stands there and is part of
    the change, of the line before, or of the line there; the last one may have none."""
    for index in (at, at - 1, at - 2) if at < stop else (at - 1, at - 2, at):
        if 0 <= index < len(raw) and raw[index].endswith("\n"):
            return "\r\n" if raw[index].endswith("\r\n") else "\n"
    return "\n"
