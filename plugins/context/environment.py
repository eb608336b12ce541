"""The sources ``core/environment``, ``core/git`` and ``core/date``: where and when the
model works.

They tell what a task needs and nothing else: no user name, no host name, no time of
day, no commit (law context.5).
"""

import os
import re
import stat
import sys
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

from anyio import to_thread
from dovetail.kernel import (
    ContextSource,
    ContextUnavailableError,
    Location,
    Looks,
    Observation,
)

_PLATFORMS = {"darwin": "macOS", "linux": "Linux", "win32": "Windows"}
_BRANCH = re.compile(r"ref: refs/heads/(\S{1,200})\n?\Z")
_GITDIR = re.compile(r"gitdir: ([^\n\0]{1,4096})\n?\Z")
MAX_HEAD = 8_192
"""Bytes of a file of git's that are read."""


def environment_source(location: Location) -> ContextSource:
    """Return the source that tells the directory, the platform and the checkout."""

    def look() -> Observation:
        looks = Looks()
        root = location.checkout()
        for folder in (location.path, *location.path.parents):
            looks.at(folder / ".git")
            if folder == root:
                break
        return Observation(
            "Environment:\n"
            f"- Working directory: {location.directory}\n"
            f"- Platform: {_PLATFORMS.get(sys.platform, sys.platform)}\n"
            f"- Inside a git checkout: {'yes' if root else 'no'}",
            value=[location.directory, sys.platform, root is not None],
            holds=looks.hold,
        )

    async def observe() -> Observation:
        return await to_thread.run_sync(look, abandon_on_cancel=True)

    return ContextSource("core/environment", observe)


def git_source(location: Location) -> ContextSource:
    """Return the source that tells the branch that is checked out."""

    async def observe() -> Observation:
        look = partial(_branch, location)
        return await to_thread.run_sync(look, abandon_on_cancel=True)

    return ContextSource("core/git", observe)


def _branch(location: Location) -> Observation:
    """Return what there is to say of the branch; nothing of what git would not write.

    The formats are those of gitrepository-layout(5). Where a checkout's own ``.git``
    leads is whatever its author wrote: of what lies there a branch is told or nothing.
    """
    looks = Looks()
    root = location.checkout()
    if root is None:
        for folder in (location.path, *location.path.parents):
            looks.at(folder / ".git")
        return Observation("", holds=looks.hold)
    folder = root / ".git"
    looks.at(folder)
    if not folder.is_dir():
        found = _GITDIR.match(_head(folder))
        folder = root / found[1] if found else folder
    looks.at(folder / "HEAD")
    found = _BRANCH.match(_head(folder / "HEAD"))
    if found is None or not found[1].isprintable():
        # A commit of no branch, which moves with every commit.
        return Observation("", holds=looks.hold)
    return Observation(
        f"Git branch: {found[1]}",
        f"The git branch is now: {found[1]}",
        value=found[1],
        removal="No git branch is checked out any more.",
        holds=looks.hold,
    )


def _head(path: Path) -> str:
    """Return the beginning of a small file; nothing of what is none."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return ""  # opening a device may have effects
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
        with open(os.open(path, flags), "rb") as file:
            return file.read(MAX_HEAD).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        raise ContextUnavailableError("core/git", f"{path}: {error}") from error


def date_source(now: Callable[[], int]) -> ContextSource:
    """Return the source that tells the local date. ``now`` is that of a Clock."""

    def today() -> date:
        return date.fromtimestamp(now() / 1000)

    async def observe() -> Observation:
        day = today()
        said = day.isoformat()
        return Observation(
            f"Today's date: {said}",
            f"Today's date is now: {said}",
            value=said,
            holds=lambda: today() == day,
        )

    return ContextSource("core/date", observe)
