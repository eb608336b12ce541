"""The source ``core/files``: which files changed since a call last read or wrote them.

They are named and not pasted. A file is compared by what it holds: one that was only
touched, or changed and changed back, is not told.
"""

import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from anyio import to_thread
from attrs import define
from dovetail.kernel import (
    Location,
    Looks,
    Observation,
    SessionSource,
    SessionView,
)

MAX_FILES = 100
"""Files that are looked at: those that were read or written last."""
MAX_NAMED = 50
"""Files that are named."""
MAX_BYTES = 16_777_216
"""A larger file is not read again."""
REMEMBERED = 2_048
"""Files of one Location whose digests are remembered."""
GONE = "gone"


@define
class _Known:
    looks: Looks
    digest: str | None


class Digests:
    """What files hold now, each read again only when it looks different."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def of(self, path: str) -> str | None:
        """Return the SHA-256 of a file, ``gone``, or None when that cannot be told."""
        known = self._known.get(path)
        if known is None or not known.looks.hold():
            looks = Looks()
            looks.at(path)
            known = self._known[path] = _Known(looks, _digest(path))
        self._known.move_to_end(path)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return known.digest


def _digest(path: str) -> str | None:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return GONE
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
        return None
    try:
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
        with open(os.open(path, flags), "rb") as file:
            return hashlib.sha256(file.read(MAX_BYTES + 1)).hexdigest()
    except OSError:
        return None


def changed_files_source(location: Location) -> SessionSource:
    """Return the source for a Location."""
    digests = Digests()

    def look(files: Mapping[str, str | None], looks: Looks) -> list[tuple[str, str]]:
        changed = []
        for path, known in files.items():
            looks.at(path)
            now = digests.of(path)
            if now is not None and now != (known or GONE):
                changed.append((path, now))
        return sorted(changed)

    async def observe(view: SessionView) -> Observation:
        files, looks = _latest(view), Looks()

        def holds(now: SessionView) -> bool:
            return _latest(now) == files and looks.hold()

        changed: list[tuple[str, str]] = []
        if files:
            changed = await to_thread.run_sync(
                look, files, looks, abandon_on_cancel=True
            )
        if not changed:
            return Observation("", holds=holds)
        lines = [f"- {_named(location, *one)}" for one in changed[:MAX_NAMED]]
        if len(changed) > MAX_NAMED:
            lines.append(f"- and {len(changed) - MAX_NAMED} more")
        return Observation(
            "Files that changed on disk since you last read or wrote them; read them "
            "again before you rely on what they held:\n" + "\n".join(lines),
            value=changed,
            removal="You have seen again every file that was named as changed.",
            holds=holds,
        )

    return SessionSource("core/files", observe)


def _latest(view: SessionView) -> dict[str, str | None]:
    latest = islice(reversed(view.files), MAX_FILES)
    return {path: view.files[path] for path in latest}


def _named(location: Location, path: str, now: str) -> str:
    name = location.resource(Path(path))
    shown = name if name.isprintable() else repr(name)
    return f"{shown} (it is gone)" if now == GONE else shown
