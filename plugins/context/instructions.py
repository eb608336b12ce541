"""The source ``core/instructions``: the ``AGENTS.md`` files that hold for a Location.

First comes the person's own, in the folder of their configuration. Then they are looked
for from the Location's directory upwards: to the root of its git checkout; without one
to the home directory, or the root of the file system. The outermost is told first, so
that the innermost has the last word. ``CLAUDE.md`` stands in where a folder has no
``AGENTS.md`` that says anything. What a file imports by ``@path`` is told after it.

The files are other people's data. What is left out, and why, is told to the model, so
that nobody wonders why an instruction has no effect:

1. a link or an import that leads out of the checkout (without one: out of its own
   folder), into ``.git``, or to a file that may not be read without a question, because
   a downloaded tree could show any file of this machine to a provider in that way; and
   what a rule says may not be read at all;
2. above the Location, a file that belongs to another user, because in a folder that
   everybody may write to (``/tmp``) anybody could give orders;
3. what is not a regular file, what is not text, and what is beyond the limits.

The person's own files may import whatever no rule denies.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from anyio import to_thread
from attrs import frozen
from dovetail.kernel import (
    ContextSource,
    ContextUnavailableError,
    Location,
    Observation,
)

from .instruction_files import (
    KEY,
    MAX_FILE as MAX_FILE,
    MAX_TOTAL as MAX_TOTAL,
    Bounds,
    Found,
    Reading,
    ShownFile,
    allow,
)

_HEADING = re.compile(
    r"^(?=[ \t]*(?:From .*:|Instruction files that were left out:|"
    r"The instructions in .*)[ \t]*$)",
    re.M,
)
HEAD = (
    "Instructions for this directory, from the outermost folder to the innermost; "
    "where they differ, the later ones count."
)
LEFT_OUT = "left out"
MAX_NAMED = 50
"""Files that are named as left out."""


@frozen
class Instructions:
    """What was found for one directory."""

    files: tuple[tuple[Path, str], ...] = ()
    """Path and text, outermost first."""
    left_out: tuple[tuple[Path, str], ...] = ()
    """Path and why."""


def instructions_source(
    directory: Path,
    home: Path | None,
    reading: Reading = allow,
    own: Path | None = None,
) -> ContextSource:
    """Return the source for a directory. ``home`` is where the search ends at the
    latest when the directory is below it and in no checkout; ``reading`` says what
    the rules are; ``own`` is the folder of the person's own instructions."""

    def look() -> Observation:
        found = search(directory, home, reading, own)
        told = found.shown()
        return rendered(HEAD, told, found)

    async def observe() -> Observation:
        return await to_thread.run_sync(look, abandon_on_cancel=True)

    return ContextSource(KEY, observe)


def find_instructions(
    directory: Path,
    home: Path | None = None,
    reading: Reading = allow,
    own: Path | None = None,
) -> Instructions:
    """Read the instruction files that hold for a directory.

    Raises:
        ContextUnavailableError: a file is there and cannot be read now.
    """
    found = search(directory, home, reading, own)
    told = found.shown()
    return Instructions(
        tuple((one.path, one.text) for one in told), tuple(sorted(found.left_out))
    )


def search(
    directory: Path, home: Path | None, reading: Reading, own: Path | None
) -> Found:
    """Return what holds for a directory.

    Raises:
        ContextUnavailableError: a file is there and cannot be read now.
    """
    found = Found(bounds_of(Location(str(directory)), reading))
    if own is not None:
        found.in_folder(own, own=True)
    checkout = found.bounds.checkout
    for folder in _folders(directory, checkout or home):
        found.looks.at(folder / ".git")
        found.in_folder(folder)
    return found


def bounds_of(location: Location, reading: Reading) -> Bounds:
    """Return what may be read for a Location.

    Raises:
        ContextUnavailableError: it is not there now.
    """
    try:
        owners = location.owners()
    except OSError as error:
        raise ContextUnavailableError(KEY, f"{location.directory}: {error}") from error
    return Bounds(location, location.checkout(), owners, reading)


def _folders(directory: Path, top: Path | None) -> list[Path]:
    """Return the folders to look in, outermost first."""
    upwards = [directory, *directory.parents]
    if top in upwards:
        upwards = upwards[: upwards.index(top) + 1]
    return upwards[::-1]


def rendered(head: str, told: Sequence[ShownFile], found: Found) -> Observation:
    """Return what a model is told of files: each for itself, so that one that changed
    does not repeat the others, and one that several sources find is told once."""
    parts = {str(one.path): _part(one) for one in told}
    if found.left_out:
        parts[LEFT_OUT] = _left_out(found.left_out)
    return Observation(head, parts=parts, holds=found.hold)


def _part(one: ShownFile) -> Observation:
    # A line of a file that looks like the heading of another is marked, so that no
    # file can speak in the name of one that the user wrote.
    text = _HEADING.sub("> ", one.text)
    path = visible(one.path)
    by = f" (imported by {visible(one.by)})" if one.by else ""
    return Observation(
        f"From {path}{by}:\n\n{text}",
        f"The instructions in {path} are now, in place of what it said before:\n\n"
        f"{text}",
        value=text,  # whoever imports it
        removal=f"The instructions in {path} no longer apply.",
        common=True,
    )


def _left_out(left_out: Iterable[tuple[Path, str]]) -> Observation:
    every = sorted(left_out)
    lines = [f"- {visible(path)}: {why}" for path, why in every[:MAX_NAMED]]
    if len(every) > MAX_NAMED:
        lines.append(f"- and {len(every) - MAX_NAMED} more")
    return Observation(
        "Instruction files that were left out:\n" + "\n".join(lines),
        removal="No instruction file is left out any more.",
    )


def visible(path: Path) -> str:
    """Return a path on one line, whatever its name is made of."""
    text = str(path)
    return text if text.isprintable() else repr(text)
