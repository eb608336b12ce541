"""Looks: how files looked when something was made of them.

Owns the question whether they are as they were then, which costs one look at each and
reads nothing. Knows nothing of what was made of them. Looks at the disk: call it in a
thread.
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

_SECOND = 1_000_000_000


class Looks:
    """How some paths look, each as it was first looked at."""

    def __init__(self, now: Callable[[], int] = time.time_ns) -> None:
        self._now = now
        self._seen: dict[Path, tuple[int, ...] | None] = {}
        self._settled = True

    def at(self, path: Path) -> None:
        """Look at a path, whether something is there or not."""
        if path in self._seen:
            return
        look = self._seen[path] = _look(path)
        # What was changed just now may change again without a sign of it; what is to
        # be changed in the future, by a clock that jumped, shows nothing either.
        for moment in (look or ())[-2:]:
            grain = GRAIN if moment % _SECOND else COARSE
            if moment and self._now() - moment < grain:
                self._settled = False

    def hold(self) -> bool:
        """Whether all paths look the same, as far as that can be told."""
        return self._settled and all(
            _look(path) == look for path, look in self._seen.items()
        )


def _look(path: Path) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    what = (found.st_mode, found.st_dev, found.st_ino, found.st_uid)
    if stat.S_ISDIR(found.st_mode):
        # Whatever else is made or removed in a folder is no matter.
        return (*what, 0, 0)
    return (*what, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
