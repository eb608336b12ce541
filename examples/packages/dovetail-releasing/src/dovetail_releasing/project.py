"""The project of a directory: what its files say of its name and its releases.

Reads the file system; call it in a thread. The files are other people's data: what is
no plain file of the directory is not read, and of what is read only names and versions
are repeated, so that no file can give orders to a model.
"""

import os
import re
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

MAX_FILE = 262_144
"""Bytes. Of a changelog, this much of its beginning is looked at."""
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?\Z")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.!+_-]{0,62}\Z")
HEADING = re.compile(r"^## \[?([0-9A-Za-z][0-9A-Za-z.!+_-]{0,62})", re.M)


@frozen
class Project:
    name: str | None = None
    version: str | None = None
    newest: str | None = None
    """The newest heading of the changelog, such as a version or ``Unreleased``."""
    damaged: bool = False
    """Whether ``pyproject.toml`` is there and cannot be understood."""

    def lines(self) -> Iterator[str]:
        if self.damaged:
            yield "pyproject.toml is no TOML"
        else:
            yield f"name: {self.name or 'not given'}"
            yield f"version: {self.version or 'not given in pyproject.toml'}"
        if self.newest:
            yield f"newest heading of CHANGELOG.md: {self.newest}"


def look(directory: Path) -> Project | None:
    """Return the project of a directory; None when it is no Python project.

    Raises:
        OSError: a file is there and cannot be read.
    """
    text = read(directory / "pyproject.toml")
    if text is None:
        return None
    heading = HEADING.search(read(directory / "CHANGELOG.md") or "")
    newest = heading[1] if heading else None
    try:
        table = tomllib.loads(text).get("project")
    except (tomllib.TOMLDecodeError, RecursionError):
        return Project(newest=newest, damaged=True)
    if not isinstance(table, dict):
        return Project(newest=newest)
    return Project(
        _plain(table.get("name"), NAME), _plain(table.get("version"), VERSION), newest
    )


def _plain(value: Any, pattern: re.Pattern[str]) -> str | None:
    return value if isinstance(value, str) and pattern.match(value) else None


def read(path: Path) -> str | None:
    """Return the beginning of a plain file; None when there is none."""
    # No link is followed, and what is a pipe does not block.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        with open(os.open(path, flags), "rb") as file:
            return file.read(MAX_FILE).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
