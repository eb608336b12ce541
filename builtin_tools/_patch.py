"""The patch format of ``apply_patch``: from its text to what is to be done.

Owns the grammar, and errors that name a line of the patch and what was expected there.
Knows nothing of files: where a hunk goes is found by ``_hunks``. Pure functions.

The format is that of OpenAI's Codex command line (``codex-rs/apply-patch``, Apache-2.0:
its grammar file and its parser), which its models were trained on. Where this one is
stricter or wider on purpose is said in ``docs/apply-patch.md``.
"""

import re
from typing import Literal, NoReturn

from attrs import field, frozen
from dovetail.kernel import ToolFailure

from ._text import cut

MAX_PATCH = 500_000
"""Characters of one patch. With it a question stays below what a person can be asked
at once, so that the whole of it is always shown."""
MAX_SECTIONS = 100
"""Files that one patch names with a header."""

BEGIN, END = "*** Begin Patch", "*** End Patch"
ADD, DELETE, UPDATE = "*** Add File:", "*** Delete File:", "*** Update File:"
MOVE, AT_END = "*** Move to:", "*** End of File"

_HEREDOC = re.compile(r"(?:(?:apply_patch|cat)\s+)?<<-?\s*(['\"]?)(\w+)\1")
_HEADERS = f"{ADD!r}, {DELETE!r} or {UPDATE!r} with a path"
_SHOWN = 120
"""Characters of a line that an error shows."""

Sign = Literal[" ", "-", "+"]


@frozen
class HunkLine:
    """One line of a hunk."""

    sign: Sign
    text: str
    number: int
    """Its line in the patch."""
    bare: bool = False
    """An empty line without a sign, taken for an empty line of the file."""


@frozen
class Hunk:
    """One change of a file: lines that are there, and what becomes of them."""

    number: int
    """Its first line in the patch."""
    anchors: tuple[str, ...] = ()
    """Lines of the file above the change, each after the one before."""
    lines: tuple[HunkLine, ...] = ()
    at_end: bool = False
    """Its lines are the last ones of the file."""

    @property
    def old(self) -> tuple[str, ...]:
        """The lines that must be there."""
        return tuple(line.text for line in self.lines if line.sign != "+")


@frozen
class Section:
    """What a patch does with one file."""

    kind: Literal["add", "delete", "update"]
    path: str
    number: int
    """The line of its header in the patch."""
    content: str = field(default="", repr=False)
    """Of a file that is added: all of it, each line with its newline."""
    move: str | None = None
    """Of an update: the path that the file goes to."""
    hunks: tuple[Hunk, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that it names."""
        return (self.path,) if self.move is None else (self.path, self.move)


def parse_patch(text: str) -> tuple[Section, ...]:
    """Return the sections of a patch, in their order; at least one.

    Blanks around the whole, the wrapper of a heredoc, and blanks around its markers are
    ignored; line endings of the patch itself say nothing.

    Raises:
        ToolFailure: it is not such a patch, or too large; names the line.
    """
    if len(text) > MAX_PATCH:
        why = f"it has {len(text):,} characters, over {MAX_PATCH:,}"
        raise ToolFailure(f"the patch is too large: {why}; make several smaller ones")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        number = text.count("\n", 0, error.start) + 1
        _refuse(number, "text that has UTF-8", "a lone surrogate")
    # Not splitlines: a form feed or U+2028 is part of a line.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return _Parser(lines).sections()


def _refuse(number: int, expected: str, found: str) -> NoReturn:
    raise ToolFailure(
        f"line {number} of the patch: expected {expected}, found {found}; "
        "nothing was changed"
    )


def shown(line: str) -> str:
    """Return a line of a patch or a file as an error shows it."""
    return repr(cut(line, _SHOWN))


class _Parser:
    """Reads the lines of one patch from the first to the last."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 0
        self._stop = len(lines)

    @property
    def _number(self) -> int:
        return self._at + 1

    @property
    def _line(self) -> str:
        return self._lines[self._at]

    @property
    def _open(self) -> bool:
        return self._at < self._stop

    def _expect(self, expected: str) -> NoReturn:
        found = shown(self._lines[self._at]) if self._open else self._after()
        _refuse(min(self._number, len(self._lines)), expected, found)

    def _after(self) -> str:
        return shown(END) if self._stop < len(self._lines) else "the end of the patch"

    def sections(self) -> tuple[Section, ...]:
        self._unwrap()
        sections: list[Section] = []
        while self._open:
            if not self._line.strip():
                self._at += 1
                continue
            if len(sections) == MAX_SECTIONS:
                self._expect(
                    f"the end after {MAX_SECTIONS} files (use several patches)"
                )
            sections.append(self._section())
        if not sections:
            self._expect(_HEADERS)
        return tuple(sections)

    def _unwrap(self) -> None:
        """Go to the first line of the body, and find where it stops."""
        self._skip_blank()
        heredoc = _HEREDOC.fullmatch(self._line.strip()) if self._open else None
        if heredoc is not None:
            self._close(heredoc[2], f"the end of the heredoc, {heredoc[2]!r}")
            self._at += 1
            self._skip_blank()
        if not self._open or self._line.strip() != BEGIN:
            self._expect(f"{BEGIN!r}")
        self._close(END, f"{END!r} as the last line")
        self._at += 1

    def _skip_blank(self) -> None:
        while self._open and not self._line.strip():
            self._at += 1

    def _close(self, word: str, expected: str) -> None:
        """Take the last line, which must be this one, off."""
        while self._stop > self._at + 1 and not self._lines[self._stop - 1].strip():
            self._stop -= 1
        last = self._stop - 1
        if last <= self._at or self._lines[last].strip() != word:
            _refuse(last + 1, expected, shown(self._lines[last]))
        self._stop = last

    def _section(self) -> Section:
        header, number = self._line.strip(), self._number
        for prefix in (ADD, DELETE, UPDATE):
            if header.startswith(prefix):
                path = self._path(prefix)
                break
        else:
            self._expect(_HEADERS)
        if prefix == ADD:
            return Section("add", path, number, content=self._content())
        if prefix == DELETE:
            return Section("delete", path, number)
        move = None
        if self._open and self._line.strip().startswith(MOVE):
            move = self._path(MOVE)
        hunks = self._hunks()
        if not hunks and move is None:
            self._expect("a hunk, that begins with '@@'")
        return Section("update", path, number, move=move, hunks=hunks)

    def _path(self, prefix: str) -> str:
        path = self._line.strip().removeprefix(prefix).strip()
        if not path:
            self._expect(f"a path after {prefix!r}")
        self._at += 1
        return path

    def _content(self) -> str:
        added: list[str] = []
        while self._open and self._line.startswith("+"):
            added.append(self._line[1:] + "\n")
            self._at += 1
        if self._open and self._line.strip() and not self._header():
            self._expect("a line of the new file, that begins with '+', or a header")
        return "".join(added)

    def _header(self) -> bool:
        return self._line.strip().startswith("***")

    def _hunks(self) -> tuple[Hunk, ...]:
        hunks: list[Hunk] = []
        while True:
            self._skip_blank()
            if not self._open or self._line.startswith("***"):
                return tuple(hunks)
            if not self._line.startswith("@@"):
                if hunks:
                    self._expect("a hunk, that begins with '@@', or a header")
                if self._header():
                    return ()
                # The first one may go without '@@'.
            hunks.append(self._hunk())

    def _hunk(self) -> Hunk:
        number = self._number
        anchors: list[str] = []
        while self._open and self._line.startswith("@@"):
            anchors += self._anchor()
            self._at += 1
        lines: list[HunkLine] = []
        at_end = False
        while self._open:
            line = self._line
            if line.rstrip() == AT_END:
                at_end = True
                self._at += 1
                break
            if line[:1] in ("@", "*"):
                break
            if line[:1] in (" ", "-", "+"):
                sign: Sign = line[0]  # type: ignore[assignment]  # one of the three
                lines.append(HunkLine(sign, line[1:], self._number))
            elif not line:
                lines.append(HunkLine(" ", "", self._number, bare=True))
            else:
                self._expect("a line that begins with ' ', '-' or '+'")
            self._at += 1
        if all(line.bare or line.sign == "+" for line in lines):
            # Then empty lines at the end only set the hunk apart from what follows.
            while lines and lines[-1].bare:
                del lines[-1]
        if not lines:
            self._at -= at_end
            self._expect("a line that begins with ' ', '-' or '+'")
        return Hunk(number, tuple(anchors), tuple(lines), at_end)

    def _anchor(self) -> list[str]:
        """Return the line of the file that a line with ``@@`` names, if it does."""
        text = self._line[2:]
        if not text.strip():
            return []
        if not text.startswith(" "):
            self._expect("'@@', or '@@ ' and a line of the file")
        return [text[1:]]
