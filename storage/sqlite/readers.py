"""The readers: connections beside the writer, each with a consistent view.

Owns where a read runs. Knows nothing of rows.

A small read costs about as much as a hop to another thread and back costs several
times over, so every read is first tried right here, in the event loop's own thread,
under a limit of work. A read over the limit is broken off and run again on a worker
thread, where it may take its time: the loop is never held up for more than about a
millisecond. Nothing here waits for a lock in the loop either.
"""

import sqlite3
import threading
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

import anyio
from anyio import to_thread
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled
from dovetail.kernel.values.errors import StoreClosedError, StoreLockedError

from .database import DRIVER_ERRORS, Medium
from .view import SqliteView

T = TypeVar("T")

STEP = 500
"""Instructions of SQLite's machine between two looks at the limit."""

LIMIT = 8
"""Looks that a read in the loop may last: 4,000 instructions, about 300 rows."""

AT_ONCE = 0.001
"""Seconds of reads in the loop after which others have their turn."""

THREADS = 4
"""Worker threads, and connections, for large reads. More would only contend."""


class Readers:
    """Runs reads; use from one event loop."""

    def __init__(
        self,
        near: sqlite3.Connection,
        medium: Medium,
        begin: Callable[[sqlite3.Connection, Medium], SqliteView],
    ) -> None:
        """``near`` is the connection of reads in the loop, see ``open_near``."""
        self._medium = medium
        self._begin = begin
        self._limiter = anyio.CapacityLimiter(THREADS)
        self._running = 0
        self._idle = anyio.Event()
        self._closing = False
        self._lock = threading.Lock()
        self._spare: list[sqlite3.Connection] = []
        self._looks_left = -1
        self._broken_off = False
        self._held = 0.0
        """Seconds that reads took in the loop since others had their turn."""
        self._near = near
        self._near.set_progress_handler(self._is_over, STEP)

    async def read(self, work: Callable[..., T]) -> T:
        """See ``Store.read``."""
        if self._held < AT_ONCE:
            await checkpoint_if_cancelled()
        else:
            # Whoever reads page after page lets others have their turn in between.
            self._held = 0.0
            await checkpoint()
        if self._closing:
            raise StoreClosedError(self._medium.name)
        if self._medium.gone:
            # What is left holds writes that nobody was told of.
            raise self._medium.refuse()
        self._broken_off = False
        view = self._begin(self._near, self._medium)
        began = monotonic()
        try:
            return self._run(self._near, view, self._limited(work))
        except Exception:
            # Whatever the function made of it: it was broken off, or met a lock.
            if not self._broken_off and not isinstance(view.failure, StoreLockedError):
                raise
        finally:
            self._held += monotonic() - began
        self._running += 1
        try:
            return await to_thread.run_sync(self._far, work, limiter=self._limiter)
        finally:
            self._leave()

    async def aclose(self) -> None:
        """Wait for the reads that run, then close the connections."""
        if not self._closing:
            self._closing = True
            self._near.close()
        if self._running:
            with anyio.CancelScope(shield=True):
                await self._idle.wait()
        with self._lock:
            while self._spare:
                self._spare.pop().close()

    def _leave(self) -> None:
        self._running -= 1
        if self._closing and not self._running:
            self._idle.set()

    def _limited(self, work: Callable[..., T]) -> Callable[..., T]:
        def limited(view: SqliteView) -> T:
            self._looks_left = LIMIT
            try:
                return work(view)
            finally:
                # Not the end of the transaction, which would then stay open.
                self._looks_left = -1

        return limited

    def _is_over(self) -> bool:
        if self._looks_left > 0:
            self._looks_left -= 1
            self._broken_off = self._looks_left == 0
        return self._looks_left == 0

    def _far(self, work: Callable[..., T]) -> T:
        with self._lock:
            connection = self._spare.pop() if self._spare else None
        if connection is None:
            connection = _read_only(self._medium)
        try:
            return self._run(connection, self._begin(connection, self._medium), work)
        finally:
            with self._lock:
                # Only a caller that asyncio itself cancelled does not wait for this.
                if self._closing and not self._running:
                    connection.close()
                else:
                    self._spare.append(connection)

    def _run(
        self, connection: sqlite3.Connection, view: SqliteView, work: Callable[..., T]
    ) -> T:
        """Run a read in a transaction of its own, so that it sees one state."""
        try:
            connection.execute("BEGIN")
            try:
                result = work(view)
            finally:
                view.end()
                if connection.in_transaction:
                    connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._medium.failure(error) from error
        if view.failure is not None:
            raise view.failure
        return result


def open_near(medium: Medium) -> sqlite3.Connection:
    """Return a connection for reads in the loop. It is opened in a thread: that reads
    the file.

    Raises:
        StoreError: it cannot be opened.
    """
    # Zero: a lock is waited for on a worker thread.
    return _read_only(medium, wait=0)


def _read_only(medium: Medium, wait: float | None = None) -> sqlite3.Connection:
    connection = medium.connect(wait=wait)
    try:
        connection.execute("PRAGMA query_only = ON")
    except DRIVER_ERRORS as error:
        connection.close()
        raise medium.failure(error) from error
    return connection
