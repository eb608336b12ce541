"""The terminal: where text goes, how it is styled, and what may never reach it.

Owns standard output and error of one command, styles, and the cleaning of other
people's text: a model, a tool or a file must not move the cursor, hide a part of a
command, or change what is on the screen already.
"""

import os
import re
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TextIO
from unicodedata import category

from anyio import to_thread
from attrs import frozen
from dovetail.kernel import clean_text

from . import spinner

# Controls except newline and tab, and what reorders the text around it.
_HOSTILE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
# Besides those: what takes no room or shows nothing, or would begin a line of its own.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# In prose: what takes no room, but for the two signs that join letters and emoji.
_WEIGHTLESS = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
# What programs colour their output with.
_COLOURS = re.compile("\x1b\\[[0-9;:]{0,64}m")
MOST_MARKS = 4
"""Signs that may stand above and below one letter; no script needs more."""
TAB = 4
_USUAL_WIDTH = 80
"""Of a terminal that does not say."""
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def plain(text: str) -> str:
    """Return text of any origin without what a terminal would obey.

    Newlines and tabs stay. Removing is done character by character, so text may be
    cleaned in whatever pieces it comes.
    """
    return _HOSTILE.sub("", clean_text(text))


def visible(text: str) -> str:
    """Return text on one line, in which everything that is there can be seen."""
    return _fewer_marks(_UNSEEN.sub(_escaped, clean_text(text)))


def drawable(text: str) -> str:
    """Return whole text of any origin for a screen whose cells are counted: every sign
    has the room that it seems to have, and none moves, colours or covers another.

    Newlines stay; tabs are spaces. What programs colour their output with is left out
    as a whole.
    """
    cleaned = plain(without_colours(text.replace("\r\n", "\n")))
    if "\t" in cleaned:
        cleaned = "\n".join(line.expandtabs(TAB) for line in cleaned.split("\n"))
    return _fewer_marks(_WEIGHTLESS.sub("", cleaned))


def without_colours(text: str) -> str:
    """Return text without what programs colour their output with."""
    return _COLOURS.sub("", text)


def _fewer_marks(text: str) -> str:
    """Leave out of a flood of combining signs what no script needs."""
    if text.isascii():
        return text
    kept = []
    marks = 0
    for sign in text:
        marks = marks + 1 if category(sign) in ("Mn", "Me") else 0
        if marks <= MOST_MARKS:
            kept.append(sign)
    return "".join(kept)


def typeable(text: str) -> str:
    """Return text as a pattern: ``?`` for each character that a person cannot type."""
    return _UNSEEN.sub("?", clean_text(text))


def _escaped(match: re.Match[str]) -> str:
    sign = match.group()
    code = ord(sign)
    if sign in _SHORT:
        return _SHORT[sign]
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def short(text: str, limit: int) -> str:
    """Return text on one line of at most ``limit`` characters."""
    # Cut first: what is far behind the limit is not worth looking at.
    shown = visible(text[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def counted(number: int, noun: str) -> str:
    """Return a number and what it counts: ``1 session``, ``2 sessions``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def first_line(text: str) -> str:
    """Return the first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


@frozen
class Style:
    """How things look. All of it is plain when ``on`` is False."""

    on: bool = False

    def dim(self, text: str) -> str:
        """For what is beside the point."""
        return self._sgr("2", text)

    def strong(self, text: str) -> str:
        """For what is asked."""
        return self._sgr("1", text)

    def good(self, text: str) -> str:
        """For what succeeded."""
        return self._sgr("32", text)

    def bad(self, text: str) -> str:
        """For what failed."""
        return self._sgr("31", text)

    def _sgr(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.on and text else text


class OutputError(Exception):
    """Standard output takes nothing more, as on a full disk."""


class Terminal:
    """Standard output and error of this process."""

    def __init__(
        self,
        out: TextIO | None = None,
        err: TextIO | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._environment = os.environ if environment is None else environment
        self.interactive = self._out.isatty()
        """Whether a person sees the output as it comes."""
        self.errors_interactive = self._err.isatty()
        """The same of standard error."""
        self.style = Style(self._coloured(self._out))
        self.error_style = Style(self._coloured(self._err))

    def _coloured(self, stream: TextIO) -> bool:
        return (
            stream.isatty()
            and not self._environment.get("NO_COLOR")
            and self._environment.get("TERM") != "dumb"
        )

    @property
    def width(self) -> int:
        """Columns to fill; where nobody looks, as many as anybody wants."""
        return shutil.get_terminal_size().columns if self.interactive else 1000

    @property
    def error_width(self) -> int:
        """The same of standard error, which may be another terminal or none."""
        with suppress(OSError, ValueError):
            return os.get_terminal_size(self._err.fileno()).columns or _USUAL_WIDTH
        return 1000

    def write(self, text: str) -> None:
        """Write to standard output, at once. The text is clean already."""
        if text:
            spinner.erase()
            try:
                self._out.write(text)
                self._out.flush()
            except BrokenPipeError:
                # Whoever read it has enough.
                raise
            except OSError as error:
                raise OutputError(
                    f"the output cannot be written: {error.strerror}"
                ) from error

    async def show(self, text: str) -> None:
        """Write to standard output without holding anybody up.

        A pager or a pipe takes as long as it likes; sessions go on meanwhile.
        """
        if text:
            await to_thread.run_sync(self.write, text)

    async def show_beside(self, text: str) -> None:
        """Write to standard error without holding anybody up."""
        await to_thread.run_sync(self.tell, text, "")

    def tell(self, text: str, end: str = "\n") -> None:
        """Write a line to standard error. The text is clean already."""
        # Where nobody can be told, as on a full disk, the work goes on all the same.
        with suppress(OSError):
            spinner.erase()
            self._err.write(text + end)
            self._err.flush()


def tell_error(terminal: Terminal, message: str, code: str) -> None:
    """Tell an error on one line."""
    style = terminal.error_style
    terminal.tell(f"{style.bad('error:')} {visible(message)} [{code}]")
