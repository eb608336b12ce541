"""The source ``core/instructions``: the ``AGENTS.md`` files that hold for a Location.

They are looked for from the Location's directory upwards: to the root of its git
checkout; without one to the home directory, or the root of the file system. The
outermost is told first, so that the innermost has the last word. ``CLAUDE.md`` stands
in where a folder has no ``AGENTS.md`` that says anything.

The files are other people's data. What is left out, and why, is told to the model, so
that nobody wonders why an instruction has no effect:

1. a link that leads out of the checkout (without one: out of its own folder), into
   ``.git``, or to a file that may not be read without a question, because a downloaded
   tree could show any file of this machine to a provider in that way; and what a rule
   says may not be read at all;
2. above the Location, a file that belongs to another user, because in a folder that
   everybody may write to (``/tmp``) anybody could give orders;
3. what is not a regular file, what is not text, and what is beyond the limits.
"""

import codecs
import errno
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from anyio import to_thread
from attrs import frozen
from dovetail.kernel import (
    ContextSource,
    ContextUnavailableError,
    Location,
    Observation,
    RuleEffect,
    text_encoding,
)

Reading = Callable[[str], RuleEffect]
"""Tells whether a resource may be read."""

KEY = "core/instructions"
NAMES = ("AGENTS.md", "CLAUDE.md")
"""In each folder the first that says anything counts."""
MAX_FILE = 65_536
"""Bytes of one file that are told."""
MAX_TOTAL = 262_144
"""Bytes of all files together. The innermost are kept."""


_HEADING = re.compile(
    r"^(?=[ \t]*(?:From .*:|Instruction files that were left out:)[ \t]*$)", re.M
)


@frozen
class Instructions:
    """What was found for one directory."""

    files: tuple[tuple[Path, str], ...] = ()
    """Path and text, outermost first."""
    left_out: tuple[tuple[Path, str], ...] = ()
    """Path and why."""


@frozen
class _File:
    """A file that is to be read."""

    path: Path
    """Where it was looked for."""
    real: Path
    """Where its bytes are."""
    identity: tuple[int, int]
    """The same for every link to it."""


@frozen
class _Text:
    """What a file says, as far as it is told."""

    path: Path
    identity: tuple[int, int]
    data: bytes
    """Its beginning."""
    size: int
    """Of the whole."""
    encoding: str

    @property
    def shown(self) -> str:
        return self.until(MAX_FILE)

    def until(self, limit: int) -> str:
        cut = self.size > limit
        # Not final when cut: half a character at the end is no error of the file's.
        decoder = codecs.getincrementaldecoder(self.encoding)("replace")
        text = decoder.decode(self.data[:limit], final=not cut)
        text = (
            text.removeprefix("\ufeff")
            .replace("\r\n", "\n")
            .replace("\0", "\ufffd")
            .strip()
        )
        if cut:
            text += f"\n\n[cut: only {limit} of {self.size} bytes are shown]"
        return text


@frozen
class _Bounds:
    """What may be read."""

    location: Location
    checkout: Path | None
    owners: frozenset[int] | None
    """Whose files above the Location; None where files have no owner in this sense."""
    reading: Reading


def _allow(resource: str) -> RuleEffect:
    return "allow"


def instructions_source(
    directory: Path, home: Path | None, reading: Reading = _allow
) -> ContextSource:
    """Return the source for a directory. ``home`` is where the search ends at the
    latest when the directory is below it and in no checkout; ``reading`` says what
    the rules are."""

    async def observe() -> Observation | None:
        found = await to_thread.run_sync(
            find_instructions, directory, home, reading, abandon_on_cancel=True
        )
        return _rendered(found)

    return ContextSource(KEY, observe)


def find_instructions(
    directory: Path, home: Path | None = None, reading: Reading = _allow
) -> Instructions:
    """Read the instruction files that hold for a directory.

    Raises:
        ContextUnavailableError: a file is there and cannot be read now.
    """
    location = Location(str(directory))
    checkout = location.checkout()
    try:
        owners = location.owners()
    except OSError as error:
        raise ContextUnavailableError(KEY, f"{directory}: {error}") from error
    bounds = _Bounds(location, checkout, owners, reading)
    told: dict[tuple[int, int], _Text] = {}
    left_out: list[tuple[Path, str]] = []
    for folder in _folders(directory, checkout or home):
        for name in NAMES:
            path = folder / name
            if not _exists(path):
                continue
            found = _examine(path, bounds)
            if isinstance(found, _File) and found.identity in told:
                break  # a twin is told once
            text = _read(found) if isinstance(found, _File) else found
            if isinstance(text, str):
                left_out.append((path, text))
            elif text.shown:
                told[text.identity] = text
                break
    return _bounded(list(told.values()), left_out)


def _folders(directory: Path, top: Path | None) -> list[Path]:
    """Return the folders to look in, outermost first."""
    upwards = [directory, *directory.parents]
    if top in upwards:
        upwards = upwards[: upwards.index(top) + 1]
    return upwards[::-1]


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ContextUnavailableError(KEY, f"{path}: {error}") from error
    return True


def _examine(path: Path, bounds: _Bounds) -> _File | str:
    """Return the file to read, or why it is left out."""
    try:
        status = path.stat()
        real = path.resolve(strict=True)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return "it leads to nothing"
        raise ContextUnavailableError(KEY, f"{path}: {error}") from error
    if not real.is_relative_to((bounds.checkout or path.parent).resolve()):
        return "it leads outside of where it belongs"
    refused = _refused(path, real, bounds)
    if refused is not None:
        return refused
    if not stat.S_ISREG(status.st_mode):
        return "it is not a regular file"
    above = path.parent != bounds.location.path
    if above and bounds.owners is not None and status.st_uid not in bounds.owners:
        return "it belongs to another user"
    return _File(path, real, (status.st_dev, status.st_ino))


def _refused(path: Path, real: Path, bounds: _Bounds) -> str | None:
    """Return why the rules leave a file out."""
    effect = bounds.reading(bounds.location.resource(real))
    if effect == "deny":
        return "reading it is denied"
    if real == path:
        # Its own name says what it is for, so nobody needs to be asked.
        return None
    if ".git" in real.parts:
        return "it leads into .git"
    if effect == "ask":
        return "it leads to a file that may not be read without a question"
    return None


def _read(one: _File) -> _Text | str:
    """Return what a file says, or why it is left out."""
    try:
        # The identity was checked: no link is followed any more, and a file that
        # became a pipe since does not block.
        flags = (
            os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        )
        with open(os.open(one.real, flags), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(MAX_FILE)
    except OSError as error:
        raise ContextUnavailableError(KEY, f"{one.path}: {error}") from error
    encoding = text_encoding(data)
    if encoding is None:
        return "it is not text, or UTF-16 without a byte order mark"
    return _Text(one.path, one.identity, data, size, encoding)


def _bounded(texts: list[_Text], left_out: list[tuple[Path, str]]) -> Instructions:
    kept: list[tuple[Path, str]] = []
    budget = MAX_TOTAL
    for one in reversed(texts):  # the innermost first: they matter most
        if budget <= 0:
            why = f"all files together are over {MAX_TOTAL} bytes"
            left_out.append((one.path, why))
            continue
        limit = min(MAX_FILE, budget)
        budget -= min(len(one.data), limit)
        kept.append((one.path, one.until(limit)))
    return Instructions(tuple(reversed(kept)), tuple(sorted(left_out)))


def _rendered(found: Instructions) -> Observation | None:
    # A line of a file that looks like the heading of another is marked, so that no
    # file can speak in the name of one that the user wrote.
    parts = [
        f"From {path}:\n\n{_HEADING.sub('> ', text)}" for path, text in found.files
    ]
    if found.left_out:
        lines = [f"- {path}: {why}" for path, why in found.left_out]
        parts.append("Instruction files that were left out:\n" + "\n".join(lines))
    if not parts:
        return None
    text = "\n\n".join(parts)
    return Observation(
        "Instructions for this directory, from the outermost folder to the innermost; "
        f"where they differ, the later ones count.\n\n{text}",
        f"The instructions for this directory are now, all of them:\n\n{text}",
    )
