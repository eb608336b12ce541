"""The source ``core/instructions``: the ``AGENTS.md`` files that hold for a Location.

They are looked for from the Location's directory upwards: to the root of its git
checkout; without one to the home directory, or the root of the file system. The
outermost is told first, so that the innermost has the last word. ``CLAUDE.md`` stands
in where a folder has no ``AGENTS.md``.

The files are other people's data. What is left out, and why, is told to the model, so
that nobody wonders why an instruction has no effect:

1. a link that leads out of the checkout (without one: out of its own folder), because
   a downloaded tree could show any file of this machine to a provider in that way;
2. above the Location, a file that belongs to another user, because in a folder that
   everybody may write to (``/tmp``) anybody could give orders;
3. what is not a regular file, and what is beyond the limits.
"""

import codecs
import errno
import os
import stat
from pathlib import Path

from anyio import to_thread
from attrs import frozen
from dovetail.kernel import ContextSource, ContextUnavailableError, Observation

from .checkout import checkout_root

KEY = "core/instructions"
NAMES = ("AGENTS.md", "CLAUDE.md")
"""In each folder the first that exists counts."""
MAX_FILE = 65_536
"""Bytes of one file that are told."""
MAX_TOTAL = 262_144
"""Bytes of all files together. The innermost are kept."""


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
class _Bounds:
    """What may be read."""

    checkout: Path | None
    location: Path
    owners: frozenset[int] | None
    """Whose files above the Location; None where files have no owner in this sense."""


def instructions_source(directory: Path, home: Path | None) -> ContextSource:
    """Return the source for a directory. ``home`` is where the search ends at the
    latest when the directory is below it and in no checkout."""

    async def observe() -> Observation | None:
        found = await to_thread.run_sync(
            find_instructions, directory, home, abandon_on_cancel=True
        )
        return _rendered(found)

    return ContextSource(KEY, observe)


def find_instructions(directory: Path, home: Path | None = None) -> Instructions:
    """Read the instruction files that hold for a directory.

    Raises:
        ContextUnavailableError: a file is there and cannot be read now.
    """
    checkout = checkout_root(directory)
    bounds = _Bounds(checkout, directory, _trusted_owners(directory))
    files: dict[tuple[int, int], _File] = {}
    left_out: list[tuple[Path, str]] = []
    for folder in _folders(directory, checkout or home):
        path = next((folder / name for name in NAMES if _exists(folder / name)), None)
        if path is None:
            continue
        found = _examine(path, bounds)
        if isinstance(found, _File):
            files.setdefault(found.identity, found)  # a twin is told once
        else:
            left_out.append((path, found))
    return _read_all(list(files.values()), left_out)


def _folders(directory: Path, top: Path | None) -> list[Path]:
    """Return the folders to look in, outermost first."""
    upwards = [directory, *directory.parents]
    if top in upwards:
        upwards = upwards[: upwards.index(top) + 1]
    return upwards[::-1]


def _trusted_owners(directory: Path) -> frozenset[int] | None:
    """Return whose files above the Location are read, or None where files have no
    owner in this sense."""
    getuid = getattr(os, "getuid", None)
    if getuid is None:
        return None
    # Whoever owns the Location may be another user than this process, in a container.
    try:
        owner = directory.stat().st_uid
    except OSError as error:
        raise ContextUnavailableError(KEY, f"{directory}: {error}") from error
    return frozenset((0, getuid(), owner))


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
    if not stat.S_ISREG(status.st_mode):
        return "it is not a regular file"
    above = path.parent != bounds.location
    if above and bounds.owners is not None and status.st_uid not in bounds.owners:
        return "it belongs to another user"
    return _File(path, real, (status.st_dev, status.st_ino))


def _read_all(files: list[_File], left_out: list[tuple[Path, str]]) -> Instructions:
    texts: list[tuple[Path, str]] = []
    budget = MAX_TOTAL
    for one in reversed(files):  # the innermost first: they matter most
        if budget <= 0:
            why = f"all files together are over {MAX_TOTAL} bytes"
            left_out.append((one.path, why))
            continue
        text, size = _read(one, min(MAX_FILE, budget))
        budget -= size
        if text:
            texts.append((one.path, text))
    return Instructions(tuple(reversed(texts)), tuple(sorted(left_out)))


def _read(one: _File, limit: int) -> tuple[str, int]:
    """Return the text of a file, cut at the limit, and how many bytes it cost."""
    try:
        # The identity was checked: no link is followed any more, and a file that
        # became a pipe since does not block.
        flags = (
            os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        )
        with open(os.open(one.real, flags), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(limit)
    except OSError as error:
        raise ContextUnavailableError(KEY, f"{one.path}: {error}") from error
    cut = size > limit
    # Not final when cut: half a character at the end is no error of the file's.
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data, final=not cut).removeprefix("\ufeff")
    text = text.replace("\r\n", "\n").replace("\0", "\ufffd").strip()
    if cut:
        text += f"\n\n[cut: only {limit} of {size} bytes are shown]"
    return text, len(data)


def _rendered(found: Instructions) -> Observation | None:
    parts = [f"From {path}:\n\n{text}" for path, text in found.files]
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
