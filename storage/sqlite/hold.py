"""The hold: a lock of our own on an open database, which nothing else takes away.

Owns the bytes that are locked and how. SQLite itself says with such locks that somebody
has the file open: whoever closes it and finds nobody else folds the write-ahead log
into the file and removes it. But its locks are POSIX's, which a process loses as soon
as it closes any descriptor of the file: when it copies it, searches it, or opens it a
second time. Another process would then remove a log that is still written to, and all
that is confirmed from there on would be gone with this process.

So the same bytes are locked once more, by a lock that belongs to its own descriptor.
It is for reading, as SQLite's are, and is in nobody's way but of those who remove.

In the same way a process may lose the lock under which it writes, in the middle of a
commit; and two that write at once destroy the file. So there is a turn besides, which
only one process has, around everything that writes.
"""

import errno
import logging
import os
import struct
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from weakref import WeakSet

if sys.platform == "linux":
    import fcntl

# https://www.sqlite.org/src/file/src/os.h (SHARED_FIRST, SHARED_SIZE): held by
# everybody who has the database open.
_DATABASE = (0x40000000 + 2, 510)
# https://www.sqlite.org/src/file/src/os_unix.c (UNIX_SHM_DMS): held by everybody who
# has the index of the log open; who finds it free makes the index anew.
_INDEX = (128, 1)

# Of the database, behind all that SQLite locks there: of whoever writes.
_TURN = (0x40000000 + 1024, 1)
LONGEST_PAUSE = 0.01
"""Seconds between two looks whether another process is done."""

_FLOCK = "hhqqi0q"
"""``struct flock`` of Linux: type, whence, start, length, process."""


_HELD: WeakSet["Hold"] = WeakSet()
_WARNED: set[str] = set()
MAX_WARNED = 1024
"""Files of which it is remembered that it was said."""

_log = logging.getLogger("dovetail.storage")


class Hold:
    """Locks on a database and the index of its log, until it is let go."""

    def __init__(self, path: Path) -> None:
        """Take it. The database is open, with its log.

        Where there are no such locks, or not for this file system, nothing is held, and
        that is said once for each file.
        """
        _HELD.add(self)
        self._descriptors: list[int] = []
        self._turns = 0
        self._turning = threading.Lock()
        for suffix, place in (("", _DATABASE), ("-shm", _INDEX)):
            try:
                self._take(Path(f"{path}{suffix}"), place)
            except OSError as error:
                _warn(path, error.strerror or str(error))
        if sys.platform != "linux":
            _warn(path, f"{sys.platform} has none")

    def _take(self, path: Path, place: Sequence[int]) -> None:
        if sys.platform == "linux":
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            # Before it is locked: closing it would take SQLite's own locks away.
            self._descriptors.append(descriptor)
            _ask(descriptor, _lock(fcntl.F_RDLCK, place))

    def begin_turn(self, wait: float) -> bool:
        """Wait until no other process writes, and say if that came in as many seconds.

        Threads of this process have their turns together: among them SQLite needs no
        locks of files.
        """
        end, pause = time.monotonic() + wait, 0.0005
        while not self._try_turn():
            left = end - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE)
        return True

    def end_turn(self) -> None:
        """Let others write."""
        with self._turning:
            self._turns -= 1
            if sys.platform == "linux" and self._turns == 0 and self._descriptors:
                try:
                    _ask(self._descriptors[0], _END_TURN)
                except OSError:
                    # There are no such locks here.
                    return

    def _try_turn(self) -> bool:
        with self._turning:
            if sys.platform == "linux" and self._turns == 0 and self._descriptors:
                try:
                    _ask(self._descriptors[0], _TAKE_TURN)
                except OSError as error:
                    if error.errno in (errno.EAGAIN, errno.EACCES):
                        return False
                    # There are no such locks here.
            self._turns += 1
            return True

    def let_go(self) -> None:
        """Give them back, just before the last connection is closed. Twice is once.

        SQLite's own, of all connections of this process, go with them.
        """
        while self._descriptors:
            os.close(self._descriptors.pop())


def _warn(path: Path, why: str) -> None:
    """Say what is at risk without these locks, once for each file."""
    name = str(path)
    if name in _WARNED:
        return
    if len(_WARNED) < MAX_WARNED:
        _WARNED.add(name)
    _log.warning(
        "%s: no open-file-description lock can be had (%s), so that nothing protects "
        "it but SQLite's own locks: a process that copies, searches or opens the file "
        "a second time while it has it open loses those, and two that write at once "
        "can then destroy it; let one process use it at a time, or keep it on a local "
        "file system of Linux",
        name,
        why,
    )


def _leave_to_parent() -> None:
    """Give up what a forked process got by being forked: these locks last for as long
    as anybody has their descriptors, and the process that took them may die."""
    for hold in tuple(_HELD):
        hold.let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


if sys.platform == "linux":

    def _lock(kind: int, place: Sequence[int]) -> bytes:
        return struct.pack(_FLOCK, kind, os.SEEK_SET, *place, 0)

    def _ask(descriptor: int, lock: bytes) -> None:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)

    # Asked for around every commit.
    _TAKE_TURN = _lock(fcntl.F_WRLCK, _TURN)
    _END_TURN = _lock(fcntl.F_UNLCK, _TURN)
