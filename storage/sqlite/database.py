"""The database file: opening connections to it, and what its failures mean.

Owns the settings of a connection and the translation of the driver's errors. Knows
nothing of rows or threads.
"""

import contextlib
import errno
import os
import sqlite3
import stat
import time
from collections.abc import Sequence
from pathlib import Path

from dovetail.kernel.values.errors import (
    StoreDamagedError,
    StoreError,
    StoreForeignError,
    StoreFullError,
    StoreLockedError,
    StoreReadOnlyError,
)

from ..sql.view import Medium as AnyMedium
from .hold import Hold

APPLICATION_ID = 0x64766574
"""Marks our files: ``dvet``, in the header at byte 68."""

PAGE_SIZE = 512
"""Bytes of a page in new files. A commit writes every page that it touches as a whole,
and touches five to ten for a few hundred bytes of facts: of SQLite's usual 4,096 bytes
nearly all would be what was there before. Values of many kilobytes pay for it with
about three times their reading, which is still well under a millisecond."""

FREED = 2_000
"""Pages that are given back in one commit: a hundredth of a second, or a few."""

LOG_SIZE = 4 * 1024 * 1024
"""Bytes of the write-ahead log after which it is folded into the file: what is written
again and again is folded in once."""

FOLD_WAIT = 0.05
"""Seconds that writers may wait while the log is folded."""

FOLD_ATTEMPTS = 20

DRIVER_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What the driver raises. An error of SQLite's names what it is about, and where that
is a name from a damaged schema it may be no text: then the driver raises this."""


class Medium(AnyMedium):
    """Where a database is, and what an error of the driver says about it.

    ``name`` is for messages, ``path`` is None for a database in memory, and ``wait`` is
    how many seconds a lock of another process is waited for.
    """

    def __init__(self, name: str, path: Path | None, wait: float) -> None:
        super().__init__(name)
        # Absolute, because the working directory may change while it is open.
        self.path = None if path is None else path.absolute()
        self.wait = wait
        self.gone = False
        """Whether the file was removed or replaced since it was opened."""
        # As text: they are looked at after every commit.
        self._watched = tuple(str(file) for file in self.files()[:2])
        self._identity: tuple[tuple[int, int], ...] | None = None
        self._hold: Hold | None = None

    def connect(self, *, wait: float | None = None) -> sqlite3.Connection:
        """Return a configured connection. Use it from one thread at a time.

        Raises:
            StoreError: it cannot be opened; the subclass says why.
        """
        # mode=rw: creating the file is a step of its own, see `opening`.
        target = ":memory:" if self.path is None else f"{self.path.as_uri()}?mode=rw"
        try:
            connection = sqlite3.connect(
                target,
                uri=self.path is not None,
                timeout=self.wait if wait is None else wait,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
            )
        except DRIVER_ERRORS as error:
            raise self.failure(error) from error
        connection.text_factory = _text
        try:
            # FULL: a commit is on disk when it returns, also after a power failure.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            # The file may come from anywhere: nothing in its schema may run code.
            connection.execute("PRAGMA trusted_schema = OFF")
            # What is deleted is overwritten, also where SQLite was built without that:
            # its usual way is to leave it in the file until the place is needed.
            connection.execute("PRAGMA secure_delete = ON")
            # A log that grew large in a busy moment gives its space back. Memory
            # mapping stays off: a file truncated underneath would kill the process.
            connection.execute(f"PRAGMA journal_size_limit = {64 * 1024 * 1024}")
        except DRIVER_ERRORS as error:
            connection.close()
            raise self.failure(error) from error
        return connection

    def files(self) -> Sequence[Path]:
        """Return where it is kept: the database, its log, and what indexes that."""
        if self.path is None:
            return ()
        return [Path(f"{self.path}{suffix}") for suffix in ("", "-wal", "-shm")]

    def size(self) -> int:
        """Return how many bytes its files have."""
        found = 0
        for file in self.files():
            with contextlib.suppress(FileNotFoundError):
                found += file.stat().st_size
        return found

    def compact(self) -> None:
        """Give unused pages back, fold the log into the file, and cut off its end.

        Whoever writes meanwhile waits for no more than one commit of ``FREED`` pages,
        or ``FOLD_WAIT``. Where somebody reads what the log has to keep for them, it is
        tried again for a while; what is left then goes with a later commit.

        Raises:
            StoreError: it failed; nothing that was confirmed is lost.
        """
        connection = self.connect()
        try:
            self._give_back(connection)
            connection.execute(f"PRAGMA busy_timeout = {round(FOLD_WAIT * 1000)}")
            # Most of the work in a way that nobody waits for.
            self._folded(connection, "PASSIVE")
            for _ in range(FOLD_ATTEMPTS):
                if self._folded(connection, "TRUNCATE"):
                    return
                time.sleep(FOLD_WAIT)
        except DRIVER_ERRORS as error:
            failure = self.failure(error)
            # Whoever keeps it locked for so long needs it more.
            if not isinstance(failure, StoreLockedError):
                raise failure from error
        finally:
            connection.close()

    def _folded(self, connection: sqlite3.Connection, how: str) -> bool:
        if not self.begin_turn(FOLD_WAIT):
            return False
        try:
            found = connection.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
        finally:
            self.end_turn()
        return bool(found[0] == 0)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        unused = connection.execute("PRAGMA freelist_count")
        before, after = 0, unused.fetchone()[0]
        while after and after != before and self.begin_turn(self.wait):
            # A script: of a statement without columns the driver makes one step only,
            # and each page that is given back is one.
            try:
                connection.executescript(f"PRAGMA incremental_vacuum({FREED})")
            finally:
                self.end_turn()
            unused = connection.execute("PRAGMA freelist_count")
            before, after = after, unused.fetchone()[0]

    def remember(self) -> None:
        """Take the file that is there now, and its log, as ours. It is open."""
        self._identity = self._find()
        if self.path is not None:
            self._hold = Hold(self.path)

    def let_go(self) -> None:
        """Let others close the file as the last ones. Just before the last connection
        of this store is closed; twice is once.

        A file that is ``gone`` is held for ever, so that closing it does not fold a log
        that is nobody's any more into what others have written since.
        """
        if self._hold is not None and not self.gone:
            self._hold.let_go()

    def begin_turn(self, wait: float) -> bool:
        """Wait until no other process writes, and say if that came in as many seconds.

        Where it did, ``end_turn`` follows.
        """
        return self._hold is None or self._hold.begin_turn(wait)

    def end_turn(self) -> None:
        """Let others write."""
        if self._hold is not None:
            self._hold.end_turn()

    def is_in_place(self) -> bool:
        """Say whether the file and its log are still those that were opened; else, be
        ``gone``.

        A removed file goes on working for whoever has it open, and all that is written
        to it is lost with the last connection; SQLite does not notice.
        """
        if self._identity is not None and self._find() != self._identity:
            self.gone = True
        return not self.gone

    def refuse(self) -> StoreDamagedError:
        """Return what to tell those who come to a file that is gone."""
        return StoreDamagedError(
            self.name, "the file or its log was removed or replaced while it was open"
        )

    def _find(self) -> tuple[tuple[int, int], ...]:
        return tuple(map(_identity, self._watched))

    def failure(self, error: Exception) -> StoreError:
        """Return what an error of the driver means for a caller."""
        if isinstance(error, UnicodeDecodeError):
            told = error.object.decode(errors="replace")
            return StoreDamagedError(self.name, told)
        extended = getattr(error, "sqlite_errorcode", None) or 0
        text = str(error)
        match extended & 0xFF:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return StoreLockedError(self.name, self.wait)
            case sqlite3.SQLITE_FULL:
                return StoreFullError(self.name, "the disk is full")
            case sqlite3.SQLITE_IOERR if extended in _NO_ROOM:
                return StoreFullError(self.name, f"the disk is full ({text})")
            case sqlite3.SQLITE_READONLY:
                return StoreReadOnlyError(
                    self.name, f"the file or its folder cannot be written ({text})"
                )
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return StoreDamagedError(self.name, text)
            case sqlite3.SQLITE_CONSTRAINT:
                # Whoever wrote it had looked: rows or indexes contradict one another.
                return StoreDamagedError(self.name, text)
            case sqlite3.SQLITE_ERROR if text.startswith(
                ("no such table", "no such c")
            ):
                return StoreDamagedError(self.name, f"the schema is incomplete: {text}")
        return StoreError(self.name, text)

    def system_failure(self, error: OSError) -> StoreError:
        """Return what an error of the operating system means for a caller."""
        text = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StoreFullError(self.name, text)
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return StoreReadOnlyError(
                self.name, f"the file or its folder cannot be written ({text})"
            )
        return StoreError(self.name, text)


# Growing the shared memory of the log fails like this when there is no room for it.
_NO_ROOM = (sqlite3.SQLITE_IOERR_SHMSIZE,)


def _identity(file: str) -> tuple[int, int]:
    try:
        found = os.stat(file)
    except OSError:
        return (-1, -1)
    return (found.st_dev, found.st_ino)


def look(medium: Medium) -> bool:
    """Return whether the file is one of ours; False where it is absent or empty.

    Only reads, and without SQLite, which might recover or lock what is not ours.

    Raises:
        StoreForeignError: it belongs to another program; it was not touched.
        StoreError: it cannot be read, or is not a regular file.
    """
    assert medium.path is not None
    try:
        # First the kind of file: opening a pipe would wait for its other end.
        if not stat.S_ISREG(medium.path.stat().st_mode):
            raise StoreError(medium.name, "it is not a regular file")
        with medium.path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise medium.system_failure(error) from error
    if not header:
        return False
    if not header.startswith(b"SQLite format 3\0"):
        raise StoreForeignError(
            medium.name, "it is not an SQLite database; it was not touched"
        )
    if int.from_bytes(header[68:72]) != APPLICATION_ID:
        raise StoreForeignError(
            medium.name, "it is a database of another program; it was not touched"
        )
    return True


def _text(stored: bytes) -> str:
    """Return stored text. What is not UTF-8 was damaged, and must not make the rows
    beside it unreadable."""
    return stored.decode(errors="replace")
