"""Output: the one place where what a tool shows to the model is bounded.

Owns the limits, where to cut, the line that says what was left out (law tools.6), how
much of the whole is kept at all (law tools.7), and how the lines of a complete output
are counted when it is read back. Knows nothing of where that is kept: the caller keeps
it and names the place with ``Bounded.kept_as``; until then the line says that the rest
is lost.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from typing import Literal

import attrs

from ..values.codec import clean_text
from ..values.errors import InvalidValueError
from ..values.frozen import frozen
from ..values.tool import Content, FileContent, ManagedPage, TextContent

MAX_KEY_BYTES = 160
"""The longest key of a complete output: room for it is left beside the marker."""
MAX_PAGE_LINES = 2_000
_LINE = 2_000
"""Characters of a line that is read back; what is longer goes on in the next."""
_MARKER_BYTES = 320
_LOSS_BYTES = 80
"""More of them, where a marker tells of a loss."""
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,63}/[A-Za-z0-9!#$&^_.+-]{1,63}\Z")

NOTHING = TextContent("(no output)")
"""Shown for an empty output: providers refuse empty text."""


@frozen
class OutputLimits:
    """How much of one call's output the model is shown, and how much is recorded."""

    lines: int = 2_000
    """Lines of all texts together, the marker included; at least 3."""
    bytes: int = 50 * 1024
    """UTF-8 bytes of all texts together, the marker included; at least 1,024."""
    file: int = 5 * 1024 * 1024
    """Base64 characters of one file."""
    files: int = 20 * 1024 * 1024
    """Base64 characters of all files together."""
    file_count: int = 50
    """How many files."""
    data: int = 256 * 1024
    """Bytes of the structured output, as JSON, that are recorded beside the content."""
    kept: int = 8 * 1024 * 1024
    """UTF-8 bytes of the complete text that are kept behind what is shown: its
    beginning and its end, with a line between them that says how much is missing. At
    least 1,024. What is over it never reaches a store."""

    def __attrs_post_init__(self) -> None:
        least = {"lines": 3, "bytes": 1024, "kept": 1024}
        for attribute in attrs.fields(OutputLimits):
            value, lowest = getattr(self, attribute.name), least.get(attribute.name, 0)
            if type(value) is not int or value < lowest:
                raise InvalidValueError(
                    f"output limit {attribute.name}", value, f"at least {lowest}"
                )


@frozen
class Cut:
    """Where the marker is, and what it stands for."""

    index: int
    """Which content."""
    start: int
    """Where in its text the marker begins."""
    end: int
    lines: int
    """How many lines were left out, broken ones included."""
    bytes: int
    first: int
    """The line of the complete text where they begin, as ``page_of`` counts."""
    lost: int = 0
    """How many bytes more there were, which are not kept."""


@frozen
class Bounded:
    """What the model is shown."""

    content: tuple[Content, ...]
    full_text: str | None = None
    """The complete text, when it was cut, as far as it is kept."""
    cut: Cut | None = None

    def kept_as(self, key: str) -> "Bounded":
        """Return the same with a marker that says how to read what was left out.

        Raises:
            InvalidValueError: the key is over 160 bytes or more than one line.
        """
        if self.cut is None:
            return self
        if len(key.encode()) > MAX_KEY_BYTES or "\n" in key:
            raise InvalidValueError("managed key", key, "one line of 160 bytes at most")
        cut = self.cut
        shown = self.content[cut.index]
        assert isinstance(shown, TextContent)
        marker = _marker(cut.lines, cut.bytes, key, cut.first, cut.lost)
        text = shown.text[: cut.start] + marker + shown.text[cut.end :]
        content = list(self.content)
        content[cut.index] = TextContent(text)
        cut = attrs.evolve(cut, end=cut.start + len(marker))
        return Bounded(tuple(content), self.full_text, cut)


def bound(
    content: Sequence[Content],
    mode: Literal["middle", "end"] = "middle",
    limits: OutputLimits | None = None,
) -> Bounded:
    """Return content within the limits.

    Text within them is unchanged. Otherwise ``middle`` keeps the first and the last
    half, by lines and then by bytes between characters, and ``end`` keeps the
    beginning; a marker line says how much is missing. Files over the limits become a
    line of text. Lone surrogates become U+FFFD. Linear in the size of the content, and
    of texts over ``kept`` no copy is made.

    Raises:
        InvalidValueError: a file's data is not base64, or its type is no media type.
    """
    limits = limits or OutputLimits()
    content, lost = _within_kept(content, limits.kept)
    kept = _files_bounded(content, limits)
    if not kept:
        return Bounded((NOTHING,))
    texts = [one.text for one in kept if isinstance(one, TextContent)]
    if (
        sum(map(_lines, texts)) <= limits.lines
        and sum(map(_size, texts)) <= limits.bytes
    ):
        return Bounded(tuple(kept))
    return _cut(kept, texts, mode, limits, lost)


def keep(text: str, limits: OutputLimits | None = None) -> str:
    """Return what is kept of a complete text: all of it, or its beginning and end."""
    shortened, _ = _ends(text, (limits or OutputLimits()).kept)
    return shortened


def _within_kept(
    content: Sequence[Content], budget: int
) -> tuple[Sequence[Content], int]:
    """Return contents whose texts together are within the budget, and how many bytes
    were taken out."""
    length = sum(len(one.text) for one in content if isinstance(one, TextContent))
    if length * 4 <= budget:
        return content, 0
    found: list[Content] = []
    lost = 0
    for one in content:
        if isinstance(one, TextContent) and one.text:
            if not budget:
                lost += _size(one.text)
                continue
            text, missing = _ends(one.text, budget)
            text = clean_text(text)
            budget = max(0, budget - _size(text))
            lost += missing
            if missing or text != one.text:
                one = TextContent(text)
        found.append(one)
    return found, lost


def _ends(text: str, limit: int) -> tuple[str, int]:
    """Return a text of about ``limit`` bytes, and how many its middle lacks."""
    if len(text) * 4 <= limit or _size(text) <= limit:
        return text, 0
    half = limit // 2
    head = clean_text(text[:half]).encode()[:half].decode(errors="ignore")
    tail = clean_text(text[len(text) - half :]).encode()[-half:].decode(errors="ignore")
    missing = _size(text) - _size(head) - _size(tail)
    return f"{head}\n[... {missing} bytes were not kept ...]\n{tail}", missing


def _size(text: str) -> int:
    # A lone surrogate has as many bytes as what it is replaced by.
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _lines(text: str) -> int:
    """Return how many lines a text has; an end of line at its end adds none."""
    return text.count("\n") + (not text.endswith("\n") and text != "")


def _files_bounded(content: Sequence[Content], limits: OutputLimits) -> list[Content]:
    kept: list[Content] = []
    total = count = 0
    for one in content:
        if isinstance(one, TextContent):
            if one.text:
                text = clean_text(one.text)
                kept.append(one if text is one.text else TextContent(text))
            continue
        size = len(one.data)
        mime, name = _named(one)
        if (
            size > limits.file
            or total + size > limits.files
            or count == limits.file_count
        ):
            named = f" {name!r}" if name else ""
            why = (
                f"at most {limits.file} base64 characters a file, {limits.files} and "
                f"{limits.file_count} files a call"
            )
            kept.append(
                TextContent(
                    f"[file{named} ({mime}, {size * 3 // 4} bytes) left out and not "
                    f"kept: {why}]"
                )
            )
            continue
        _check_base64(one.data)
        total, count = total + size, count + 1
        kept.append(FileContent(mime, one.data, name))
    return kept


def _named(file: FileContent) -> tuple[str, str | None]:
    if not _MEDIA_TYPE.match(file.mime):
        raise InvalidValueError("media type", file.mime, "must be like 'image/png'")
    return file.mime, None if file.name is None else clean_text(file.name)[:255]


def _check_base64(data: str) -> None:
    # One file that is none would make the provider refuse every later request.
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidValueError("file data", data, "must be base64") from error
    if not data:
        raise InvalidValueError("file data", data, "must not be empty")


def _cut(
    kept: list[Content],
    texts: list[str],
    mode: Literal["middle", "end"],
    limits: OutputLimits,
    lost: int,
) -> Bounded:
    # All texts are cut as one, with an end of line between two of them; afterwards
    # each gets back the part of it that is left.
    full_text = "\n".join(texts)
    raw = full_text.encode()
    marker_bytes = _MARKER_BYTES + (_LOSS_BYTES if lost else 0)
    head, tail = _spans(raw, mode, limits, marker_bytes)
    gone = raw[head:tail]
    lines = gone.count(b"\n") + (not gone.endswith(b"\n"))
    marker = _marker(lines, len(gone), None, lost=lost)
    shown: list[Content] = []
    cut: Cut | None = None
    start = 0
    for one in kept:
        if not isinstance(one, TextContent):
            shown.append(one)
            continue
        own = one.text.encode()
        end = start + len(own)
        before = raw[start : min(end, head)].decode() if head > start else ""
        after = raw[max(start, tail) : end].decode() if tail < end else ""
        if cut is None and end >= head:
            glue = "\n" if before and not before.endswith("\n") else ""
            at = len(before) + len(glue)
            first = _next_line(raw[:head].decode())
            cut = Cut(len(shown), at, at + len(marker), lines, len(gone), first, lost)
            before += glue + marker + ("\n" if after else "")
        if before or after:
            shown.append(TextContent(before + after))
        start = end + 1
    assert cut is not None
    return Bounded(tuple(shown), full_text, cut)


def _spans(
    raw: bytes, mode: Literal["middle", "end"], limits: OutputLimits, marker: int
) -> tuple[int, int]:
    """Return where the head ends and where the tail begins, in bytes."""
    size = len(raw)
    total = raw.count(b"\n") + (not raw.endswith(b"\n"))
    room = limits.lines - 1  # the marker is a line
    first = room if mode == "end" else room // 2
    last = room - first
    # 1. By lines.
    head, tail = size, 0
    if mode == "end":
        tail = size
    if total > limits.lines:
        head = 0
        for _ in range(first):
            head = raw.index(b"\n", head) + 1
        if mode == "middle":
            tail = size - raw.endswith(b"\n")
            for _ in range(last):
                tail = raw.rindex(b"\n", 0, tail)
            tail += 1
    # 2. By bytes, each half giving what it does not need to the other.
    budget = limits.bytes - marker
    if head + (size - tail) > budget:
        half = budget if mode == "end" else budget // 2
        head = min(head, max(half, budget - (size - tail)))
        tail = max(tail, size - (budget - head))
        while head and raw[head : head + 1] and raw[head] & 0xC0 == 0x80:
            head -= 1
        while tail < size and raw[tail] & 0xC0 == 0x80:
            tail += 1
    # 3. A line that the cut breaks counts twice. Give up its two halves, and then, if
    # the last line has no end to give it up at, the line before the cut.
    if _rows(raw, head, tail) > limits.lines:
        head = raw.rfind(b"\n", 0, head) + 1
        after = raw.find(b"\n", tail)
        if after >= 0 and raw[tail - 1] != 10:
            tail = after + 1
    while _rows(raw, head, tail) > limits.lines:
        head = raw.rfind(b"\n", 0, head - 1) + 1
    return head, tail


def _rows(raw: bytes, head: int, tail: int) -> int:
    """Return how many lines are shown, with the marker's."""
    rows = 1
    for part in (raw[:head], raw[tail:]):
        rows += part.count(b"\n") + (part != b"" and not part.endswith(b"\n"))
    return rows


def _marker(
    lines: int, size: int, key: str | None, first: int = 1, lost: int = 0
) -> str:
    where = (
        f'to see them, read path="managed:{key}" with offset={first}'
        if key is not None
        else "what was left out is lost"
    )
    noun = "line" if lines == 1 else "lines"
    more = f", and {lost} bytes more that were too much to keep" if lost else ""
    return f"[... {lines} {noun} ({size} bytes) left out here{more}; {where} ...]"


# --- reading back -----------------------------------------------------------------


def page_of(text: str, offset: int = 1, limit: int = MAX_PAGE_LINES) -> ManagedPage:
    """Return at most ``limit`` lines of a complete output, from line ``offset`` on.

    Raises:
        InvalidValueError: one of the two is no number, or out of its range.
    """
    if type(offset) is not int or offset < 1:
        raise InvalidValueError("offset", offset, "a line, counted from 1")
    if type(limit) is not int or not 1 <= limit <= MAX_PAGE_LINES:
        raise InvalidValueError("limit", limit, f"from 1 to {MAX_PAGE_LINES}")
    found: list[str] = []
    total = 0
    for start, end in _lines_of(text):
        total += 1
        if offset <= total < offset + limit:
            found.append(text[start:end])
    return ManagedPage(tuple(found), offset, total)


def _lines_of(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each line begins and ends; long ones are broken."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        for at in range(start, max(end, start + 1), _LINE):
            yield at, min(at + _LINE, end)
        start = end + 1


def _next_line(before: str) -> int:
    """Return the number of the line in which a text goes on after its beginning."""
    count = room = 0
    for start, end in _lines_of(before):
        count, room = count + 1, _LINE - (end - start)
    return count if room and not before.endswith("\n") else count + 1
