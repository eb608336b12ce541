"""Looks: how files looked when something was made of them.

Owns the question whether they are as they were then, which costs one look at each and
reads nothing. Sources use it to say by ``Observation.holds`` that nothing moved. Knows
nothing of what was made of the files. Looks at the disk: use it in a thread.
"""

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

GRAIN = 100_000_000
"""Nanoseconds within which a file can be written twice and show one time."""
COARSE = 2_000_000_000
"""The same where a file system counts in seconds."""
LONG = 0.002
"""Seconds. A look at many files that takes longer is not taken each time."""
SHARE = 20
"""How many times as long as such a look took nobody looks again."""

_SECOND = 1_000_000_000


class Looks:
    """How some paths look, each as it was first looked at.

    Where there are so many that one look takes long, they are looked at less often, so
    that looking takes a twentieth of the time at the most.
    """

    def __init__(self, now: Callable[[], int] = time.time_ns) -> None:
        self._now = now
        self._seen: dict[tuple[str, bool], tuple[int, ...] | None] = {}
        self._settled = True
        self._again = 0.0

    def at(self, path: str | Path, *, entries: bool = False) -> None:
        """Look at a path, whether something is there or not.

        ``entries``: of a folder, also whether something in it came or went.
        """
        path = os.fspath(path)
        if (path, entries) in self._seen:
            return
        look = self._seen[path, entries] = _look(path, entries)
        # What was changed just now may change again without a sign of it; what is to
        # be changed in the future, by a clock that jumped, shows nothing either.
        for moment in (look or ())[-2:]:
            grain = GRAIN if moment % _SECOND else COARSE
            if moment and self._now() - moment < grain:
                self._settled = False

    def hold(self) -> bool:
        """Return whether all paths look the same, as far as that can be told."""
        began = time.monotonic()
        if not self._settled:
            return False
        if began < self._again:
            return True
        held = self._look_again()
        took = time.monotonic() - began
        self._again = began + SHARE * took if took > LONG else 0.0
        return held

    def _look_again(self) -> bool:
        for (path, entries), look in self._seen.items():
            if look is None and not _is_there(path):
                continue  # as most of them are
            if _look(path, entries) != look:
                return False
        return True


def _is_there(path: str) -> bool:
    try:
        return os.access(path, os.F_OK)
    except ValueError:
        return False  # no path at all


def _look(path: str, entries: bool) -> tuple[int, ...] | None:
    try:
        # Most are of what is not there, and an error costs ten times as much.
        if not _is_there(path):
            return None
        found = os.stat(path)
    except OSError:
        return None
    what = (found.st_mode, found.st_dev, found.st_ino, found.st_uid)
    if not stat.S_ISDIR(found.st_mode):
        return (*what, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    # Otherwise what is made or removed in a folder is no matter.
    return (*what, found.st_mtime_ns, found.st_ctime_ns) if entries else (*what, 0, 0)
