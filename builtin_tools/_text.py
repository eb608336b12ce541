"""Text of files: lines, line endings, damaged bytes, and what is not text at all.

Pure functions and one reader of pages. Knows nothing of paths or permissions.
"""

import codecs
from collections.abc import Callable, Iterator
from typing import Literal

from attrs import field, frozen

BOM = "\ufeff"
BOM_BYTES = b"\xef\xbb\xbf"
MAX_LINES = 2000
MAX_BYTES = 51_200
MAX_LINE = 2000
_CHUNK = 65_536
_MARK = "... (line cut)"
_RESERVED = 1024
"""Bytes of a page that are kept free for the notes below it."""

LineEnding = Literal["lf", "crlf", "mixed", "none"]

_OTHERS = {
    b"%PDF-": "a PDF document",
    b"PK\x03\x04": "a ZIP archive (or an office document, a JAR, a wheel)",
    b"\x1f\x8b": "gzip data",
    b"BZh": "bzip2 data",
    b"\xfd7zXZ\x00": "xz data",
    b"\x28\xb5\x2f\xfd": "zstd data",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x7fELF": "an ELF program or library",
    b"SQLite format 3\x00": "an SQLite database",
    b"\x00asm": "a WebAssembly module",
    b"II*\x00": "a TIFF image (convert it to PNG)",
    b"MM\x00*": "a TIFF image (convert it to PNG)",
    b"8BPS\x00": "a Photoshop image (convert it to PNG)",
    b"\x00\x00\x01\x00": "an icon (convert it to PNG)",
    b"\x00\x00\x00\x0cJXL ": "a JPEG XL image (convert it to PNG)",
    b"\x00\x00\x00\x0cjP  ": "a JPEG 2000 image (convert it to PNG)",
    b"\xff\xfe": "UTF-16 text (convert it, for example with iconv)",
    b"\xfe\xff": "UTF-16 text (convert it, for example with iconv)",
}
_BRANDS = {
    b"heic": "a HEIC",
    b"heix": "a HEIC",
    b"mif1": "a HEIF",
    b"msf1": "a HEIF",
    b"avif": "an AVIF",
    b"avis": "an AVIF",
}
"""What a file of the kind of MP4 (ISO/IEC 14496-12) says it is, if it is an image."""


def binary_type(head: bytes) -> str | None:
    """Return what a file is if its first bytes say that it is not text, or None."""
    for magic, name in _OTHERS.items():
        if head.startswith(magic):
            return name
    if head[4:8] == b"ftyp":
        brand = _BRANDS.get(head[8:12])
        return f"{brand} image (convert it to PNG)" if brand else "audio or video"
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "a BMP image (convert it to PNG)"
    return "binary data" if b"\0" in head else None


def wide_encoding(head: bytes) -> str | None:
    """Return the name of an encoding that a file is marked as, or None for UTF-8."""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "UTF-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    return None


def line_ending(text: str) -> LineEnding:
    """Return which line ending a text uses."""
    newlines = text.count("\n")
    if not newlines:
        return "none"
    pairs = text.count("\r\n")
    return "lf" if not pairs else "crlf" if pairs == newlines else "mixed"


def usual_ending(data: bytes) -> LineEnding:
    """Return the line ending that most lines of a file have; ``none`` for a tie, for a
    file without lines and for one that is no text."""
    pairs = data.count(b"\r\n")
    alone = data.count(b"\n") - pairs
    if b"\0" in data or pairs == alone:
        return "none"
    return "crlf" if pairs > alone else "lf"


def with_ending(text: str, ending: LineEnding) -> str:
    """Return the text with the line ending of a file; unchanged for a mixed one."""
    if ending in ("mixed", "none"):
        return text
    text = text.replace("\r\n", "\n")
    return text if ending == "lf" else text.replace("\n", "\r\n")


def cut(line: str, limit: int = MAX_LINE) -> str:
    """Return a line of at most ``limit`` characters; a cut is marked."""
    return line if len(line) <= limit else line[:limit] + _MARK


def plural(count: int, noun: str) -> str:
    """Return ``1 line``, ``2 lines``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


@frozen
class Line:
    """One line of a page, without its ending."""

    number: int
    text: str
    damaged: bool
    """Bytes that are not UTF-8 were replaced by U+FFFD."""
    crlf: bool
    shortened: bool


@frozen
class TextPage:
    """Some lines of a file."""

    lines: tuple[Line, ...]
    total: int | None
    """The number of lines, when the end was reached."""
    bom: bool
    binary: bool = False
    """A NUL byte was met: this is no text."""
    _more: bool = field(default=False, alias="more")

    @property
    def next(self) -> int | None:
        """The number of the first line after the page, or None at the end."""
        return self.lines[-1].number + 1 if self._more and self.lines else None


def read_page(
    read: Callable[[int], bytes], offset: int, limit: int, alive: Callable[[], None]
) -> TextPage:
    """Read lines ``offset`` (from 1) and on, at most ``limit`` and about 50 KiB.

    Memory is bounded by the page, whatever the size of the file or of a line. Bytes
    that are not UTF-8 become U+FFFD, one per maximal part of a sequence. ``alive`` is
    called between chunks and may raise.
    """
    source = _Lines(read, alive)
    lines: list[Line] = []
    budget = MAX_BYTES - _RESERVED
    number = 0
    more = False
    for number, raw, crlf, longer in source:
        if source.binary:
            break
        if number < offset:
            continue
        if len(lines) == limit:
            more = True
            break
        text, damaged = _decoded(raw)
        shortened = longer or len(text) > MAX_LINE
        if shortened:
            text = text[:MAX_LINE] + _MARK
        cost = len(text.encode()) + len(str(number)) + 2
        if lines and cost > budget:
            more = True
            break
        budget -= cost
        lines.append(Line(number, text, damaged, crlf, shortened))
    return TextPage(
        lines=tuple(lines),
        total=None if more else number,
        bom=source.bom,
        binary=source.binary,
        more=more,
    )


def _decoded(raw: bytes) -> tuple[str, bool]:
    try:
        return raw.decode(), False
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace"), True


class _Lines:
    """Splits a byte source into lines; keeps at most what can be shown of each."""

    # Four bytes a character at most, and a character more to see that it is longer.
    _KEEP = 4 * (MAX_LINE + 1)

    def __init__(self, read: Callable[[int], bytes], alive: Callable[[], None]) -> None:
        self._read = read
        self._alive = alive
        self.bom = False
        self.binary = False

    def __iter__(self) -> Iterator[tuple[int, bytes, bool, bool]]:
        """Yield number, bytes, whether it ended in CRLF, whether it is longer."""
        number, held, last, longer = 1, bytearray(), b"", False
        first, open_line = True, False
        while True:
            self._alive()
            chunk = self._read(_CHUNK)
            if not chunk:
                break
            if first:
                first = False
                if chunk.startswith(BOM_BYTES):
                    self.bom = True
                    chunk = chunk[3:]
            if b"\0" in chunk:
                self.binary = True
                yield number, b"", False, False
                return
            start = 0
            while True:
                end = chunk.find(b"\n", start)
                stop = len(chunk) if end < 0 else end
                if stop > start:
                    free = self._KEEP - len(held)
                    held += chunk[start : min(stop, start + free)]
                    longer = longer or stop - start > free
                    last = chunk[stop - 1 : stop]
                    open_line = True
                if end < 0:
                    break
                crlf = last == b"\r"
                if crlf and not longer:
                    del held[-1:]
                yield number, bytes(held), crlf, longer
                number, held, last, longer = number + 1, bytearray(), b"", False
                open_line = False
                start = end + 1
        if open_line:
            yield number, bytes(held), False, longer
