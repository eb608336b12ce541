"""Database files that are ready: what most tests open, which are not about opening.

A file is brought to the schema once in a process that runs tests, by what opens every
file, and is copied from then on: to make the tables took as long as all else that a
runtime does to open. What is about opening and migrating takes a path with nothing.
"""

import os
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from dovetail.storage.sqlite.database import Medium
from dovetail.storage.sqlite.migrations import STEPS
from dovetail.storage.sqlite.opening import open_writer


def ready(path: Path) -> Path:
    """Put an empty database there, unless there is one or no folder for it."""
    if path.exists() or not path.parent.is_dir():
        return path
    # Whole as soon as it is there, and in place of no other: more than one may come.
    begun = path.with_name(f"{path.name}.{os.urandom(4).hex()}")
    descriptor = os.open(begun, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_empty())
    with suppress(FileExistsError):
        path.hardlink_to(begun)
    begun.unlink()
    return path


@cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "empty.db")
        medium = Medium(str(path), path, wait=30)
        connection = open_writer(medium, STEPS)
        # As the last one, which folds the log into the file.
        medium.let_go()
        connection.close()
        return path.read_bytes()
