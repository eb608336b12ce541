"""Opening the file: finding it, creating it, and bringing it to the current schema.

Owns the order of these steps and the lock around them. Synchronous: it is run on a
worker thread. Knows nothing of what the tables hold.
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from pathlib import Path

from dovetail.kernel.values.errors import (
    StoreError,
    StoreLockedError,
    StoreReadOnlyError,
)

from .database import DRIVER_ERRORS, LOG_SIZE, PAGE_SIZE, Medium, look
from .migrations import STEPS, Migration, check, migrate, pending


def open_writer(medium: Medium, steps: Sequence[Migration]) -> sqlite3.Connection:
    """Return a connection to the database at the current schema, created if absent.

    Processes that open one file at once run each step once (law storage.2). The lock is
    a file of its own beside the database, held only while something is created or
    migrated.

    Raises:
        StoreForeignError: the file belongs to another program; it was not touched.
        StoreNewerError: a newer release wrote it.
        StoreMigrationError: a step failed; the file is as it was.
        StoreReadOnlyError: the file or its folder cannot be written.
        StoreLockedError: another process kept it locked for too long.
        StoreDamagedError, StoreFullError, StoreError: as their names say.
    """
    if medium.path is None:
        return _open_memory(medium, steps)
    connection = _open_file(medium, steps)
    try:
        (page,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_SIZE // page}")
    except DRIVER_ERRORS as error:
        medium.let_go()
        connection.close()
        raise medium.failure(error) from error
    return connection


def _open_memory(medium: Medium, steps: Sequence[Migration]) -> sqlite3.Connection:
    # Not every SQLite is built with that; and steps that are not ours are to be run.
    if steps is not STEPS or not hasattr(sqlite3.Connection, "deserialize"):
        return _finished(medium.connect(), medium, steps)
    image = _ready_image()
    connection = medium.connect()
    try:
        # Copied, and not taken as it is: what was deserialised may only grow so far.
        with closing(sqlite3.connect(":memory:")) as ready:
            ready.deserialize(image)
            connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
            ready.backup(connection)
    except DRIVER_ERRORS as error:
        connection.close()
        raise medium.failure(error) from error
    return connection


@cache
def _ready_image() -> bytes:
    """Return a database that has had our steps: to copy it takes a tenth of that."""
    medium = Medium("sqlite://", None, 0)
    with closing(_finished(medium.connect(), medium, STEPS)) as connection:
        return connection.serialize()


def _open_file(medium: Medium, steps: Sequence[Migration]) -> sqlite3.Connection:
    if look(medium):
        _check_writable(medium)
        connection = medium.connect()
        if _is_current(connection, medium, steps):
            medium.remember()
            return connection
        connection.close()
    return _open_locked(medium, steps)


def _is_current(
    connection: sqlite3.Connection, medium: Medium, steps: Sequence[Migration]
) -> bool:
    try:
        if pending(connection, medium, steps):
            return False
        check(connection, medium, steps)
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    except DRIVER_ERRORS as error:
        connection.close()
        raise medium.failure(error) from error
    except StoreError:
        connection.close()
        raise
    return bool(mode == "wal")


def _open_locked(medium: Medium, steps: Sequence[Migration]) -> sqlite3.Connection:
    # Here, because a file that is there and current is opened without it.
    from filelock import FileLock, Timeout

    path = medium.path
    assert path is not None
    try:
        _make_private(path.parent)
        with FileLock(f"{path}.lock", timeout=medium.wait, mode=0o600):
            # Again: another process may have been here while this one waited.
            created = not look(medium) and _create(medium)
            try:
                _check_writable(medium)
                connection = _finished(medium.connect(), medium, steps)
            except BaseException:
                if created:
                    path.unlink(missing_ok=True)
                raise
            medium.remember()
            return connection
    except Timeout as error:
        if not os.path.lexists(f"{path}.lock"):
            # Nobody holds what is not there: this folder takes no new files.
            problem = f"no file {path.name}.lock can be made beside it"
            raise StoreError(medium.name, problem) from error
        raise StoreLockedError(medium.name, medium.wait) from error
    except OSError as error:
        raise medium.system_failure(error) from error


def _make_private(folder: Path) -> None:
    """Make a folder, and those that it is in, for its owner alone.

    One that is there stays as it is.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)


def _create(medium: Medium) -> bool:
    """Create the file and say whether it was absent.

    What it will hold is private, so only its owner may read it; SQLite gives the files
    beside it the same permissions.
    """
    assert medium.path is not None
    try:
        descriptor = os.open(medium.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return False
    os.close(descriptor)
    return True


def _check_writable(medium: Medium) -> None:
    """Raise when nothing can be written, before SQLite answers with riddles."""
    path = medium.path
    assert path is not None
    for place, what in ((path, "the file"), (path.parent, "its folder")):
        if not os.access(place, os.W_OK):
            raise StoreReadOnlyError(medium.name, f"{what} cannot be written")


def _finished(
    connection: sqlite3.Connection, medium: Medium, steps: Sequence[Migration]
) -> sqlite3.Connection:
    """Migrate, and only then change to the write-ahead log, which outlives a rollback:
    a file whose first migration failed stays empty."""
    try:
        # Only heeded where the file is still empty.
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        migrate(connection, medium, steps)
        if medium.path is not None:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise StoreError(
                    medium.name, "this file system cannot keep a write-ahead log"
                )
            # The log is there from the first read on.
            connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    except DRIVER_ERRORS as error:
        connection.close()
        raise medium.failure(error) from error
    except BaseException:
        connection.close()
        raise
    return connection
