"""Files that a prompt may name: found, and offered by likeness.

Owns the list of a directory's files (what its ignore rules leave, so many at the most),
and how well a name fits what was typed. What a name means is the Location's.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

MOST_FILES = 20_000
MOST_OFFERED = 50
SECONDS = 5.0
"""How long listing may take; what came by then is what is offered."""
FRESH_SECONDS = 10.0
MOST_DEEP = 12

_NEVER = {"node_modules", "__pycache__", "venv", "build", "dist", "target"}


class Files:
    """The files of one directory, listed anew when the list is old."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._found: Sequence[str] = ()
        self._at = -FRESH_SECONDS

    def listed(self) -> Sequence[str]:
        """Return the paths, relative to the folder. May take seconds: for a thread."""
        if time.monotonic() - self._at > FRESH_SECONDS:
            self._found = list_files(self.folder)
            self._at = time.monotonic()
        return self._found

    def like(self, typed: str) -> list[str]:
        """Return the paths that fit best what was typed, the best first."""
        scored = [
            (score, len(path), path)
            for path in self.listed()
            if (score := likeness(typed, path)) is not None
        ]
        return [path for _, _, path in sorted(scored)[:MOST_OFFERED]]


def list_files(folder: Path) -> list[str]:
    """Return the files below a folder that its ignore rules leave."""
    for command in (
        ["rg", "--files", "--null", "--no-messages"],
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
    ):
        program = shutil.which(command[0])
        if program is not None:
            found = _listed_by([program, *command[1:]], folder)
            if found:
                return found
    return _walked(folder)


def _listed_by(command: Sequence[str], folder: Path) -> list[str]:
    """Return what a program lists, as far as it comes in time."""
    quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "RIPGREP_CONFIG_PATH": ""}
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=quiet,
    )
    try:
        data, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        data, _ = process.communicate()
    if process.returncode not in (0, 1):
        return []
    names = data.split(b"\0")[:-1]
    return _offered(map(os.fsdecode, names))


def _offered(names: Iterable[str]) -> list[str]:
    """Return what can be typed of names: some files have signs that nobody can see, and
    a quote would end a name before its end."""
    can = (name for name in names if name.isprintable() and '"' not in name)
    return list(islice(can, MOST_FILES))


def _walked(folder: Path) -> list[str]:
    """Return the files below a folder, but for hidden ones and what is never meant."""
    until = time.monotonic() + SECONDS
    found: list[str] = []
    for here, folders, names in os.walk(folder):
        below = os.path.relpath(here, folder)
        deep = 0 if below == "." else below.count(os.sep) + 1
        folders[:] = sorted(
            one for one in folders if not one.startswith(".") and one not in _NEVER
        )
        if deep >= MOST_DEEP:
            folders.clear()
        for name in sorted(names):
            if not name.startswith("."):
                path = name if below == "." else os.path.join(below, name)
                found.append(path)
        if len(found) > MOST_FILES or time.monotonic() > until:
            break
    return _offered(found)


def likeness(typed: str, path: str) -> int | None:
    """Return how far a path is from what was typed, less is nearer; None where not all
    that was typed is in it, in this order."""
    if not typed:
        return path.count("/")
    want, have = typed.lower(), path.lower()
    name = have.rpartition("/")[2]
    if name.startswith(want) or have.startswith(want):
        return 0
    if want in name:
        return 10 + name.index(want)
    if want in have:
        return 100 + have.index(want)
    at, gaps, start = -1, 0, None
    for sign in want:
        found = have.find(sign, at + 1)
        if found < 0:
            return None
        start = found if start is None else start
        gaps += found - at - 1 if at >= 0 else 0
        at = found
    return 1000 + gaps


def quoted(path: str) -> str:
    """Return how a path is named in a prompt."""
    return f'@"{path}"' if re.search(r"\s", path) else f"@{path}"


def typed_path(text: str) -> str | None:
    """Return what was typed of a path at the end of a text, or None."""
    found = re.search(r'(?:^|\s)@(?:"([^"\n]*)|([^\s"]*))\Z', text)
    if found is None:
        return None
    return found[1] if found[1] is not None else found[2]
