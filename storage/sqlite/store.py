"""The SQLite store: the rooms of this folder put together as the kernel's ``Store``.

Owns nothing but their order: open the file, then write and read, then close. Start
reading at ``sql.tables`` for the rows, at ``writer`` for how a commit happens.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from anyio import CancelScope, to_thread
from dovetail.kernel.ports import Reader, Store, Transaction
from dovetail.kernel.values.errors import StoreError

from ..sql.kept import Kept
from ..sql.transaction import SqlReader, SqlTransaction
from .database import Medium
from .migrations import STEPS, Migration
from .opening import open_writer
from .readers import Readers, open_near
from .view import SqliteView
from .writer import Writer

T = TypeVar("T")


class SqliteReader(SqliteView, SqlReader):
    """A consistent view: see ``ports.Reader``."""


class SqliteTransaction(SqliteView, SqlTransaction):
    """A transaction: see ``ports.Transaction``."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        medium: Medium,
        writing: sqlite3.Cursor | None = None,
        kept: Kept | None = None,
    ) -> None:
        super().__init__(connection, medium)
        # The writer's, for all transactions: nothing that writes leaves rows to fetch.
        self._writing = connection.cursor() if writing is None else writing
        self.kept = Kept() if kept is None else kept

    def next_position(self) -> int | None:
        """See ``LogWrites.next_position``: the key of ``event`` is SQLite's own rowid.

        Not AUTOINCREMENT, whose counter is one more page in every commit: SQLite gives
        out the largest position and one, and ``set_aside``, which alone removes events,
        gives their places away for good.
        """
        return None

    def read(self, work: Callable[[Reader], T]) -> T:
        """Run a read inside this transaction, without the means to write."""
        reader = SqliteReader(self._connection, self._medium)
        try:
            return work(reader)
        finally:
            reader.end()


class SqliteStore(Store):
    """A store in one SQLite file, or in memory; see ``ports.Store``."""

    def __init__(self, medium: Medium, writer: Writer, readers: Readers | None) -> None:
        self._name = medium.name
        self._medium = medium
        self._writer = writer
        self._readers = readers

    @property
    def name(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"<SqliteStore {self.name}>"

    async def transact(
        self,
        work: Callable[[Transaction], T],
        on_commit: Callable[[T], None] | None = None,
    ) -> T:
        return await self._writer.transact(work, on_commit)

    def transact_in_thread(self, work: Callable[[Transaction], T]) -> T:
        return self._writer.transact_in_thread(work)

    async def read(self, work: Callable[[Reader], T]) -> T:
        if self._readers is not None:
            return await self._readers.read(work)
        # A database in memory has one connection, and commits that take no time: the
        # read goes between two of them.
        return await self._writer.transact(lambda transaction: transaction.read(work))

    def watch(self, notify: Callable[[], None]) -> Callable[[], None]:
        return self._writer.watch(notify)

    async def size(self) -> int:
        return self._medium.size()

    async def compact(self) -> None:
        if self._medium.path is None:
            return
        await to_thread.run_sync(self._medium.compact)

    async def aclose(self) -> None:
        # The writer last: whoever closes the last connection folds the log into the
        # file and removes it, and only the writer may write.
        if self._readers is not None:
            await self._readers.aclose()
        await self._writer.aclose()


@asynccontextmanager
async def open_sqlite(
    path: str | Path | None,
    *,
    busy_timeout: float = 5.0,
    steps: Sequence[Migration] = STEPS,
) -> AsyncIterator[SqliteStore]:
    """Open the store in this file, created if absent; None for one in memory.

    ``busy_timeout`` is how many seconds a lock of another process is waited for.
    ``steps`` are the migrations that bring the file to the schema.

    Raises:
        StoreError: it cannot be opened; see ``opening.open_writer``.
    """
    medium = Medium(
        name="sqlite://" if path is None else str(path),
        path=None if path is None else Path(path),
        wait=busy_timeout,
    )
    connection, near = await to_thread.run_sync(_connected, medium, steps)
    readers = None if near is None else Readers(near, medium, SqliteReader)
    kept = Kept()
    begin = partial(SqliteTransaction, kept=kept)
    writer = Writer(connection, medium, begin, kept)
    store = SqliteStore(medium, writer, readers)
    try:
        yield store
    finally:
        with CancelScope(shield=True):
            await store.aclose()


def _connected(
    medium: Medium, steps: Sequence[Migration]
) -> tuple[sqlite3.Connection, sqlite3.Connection | None]:
    """Return the connection that writes, and that of reads in the loop."""
    writing = open_writer(medium, steps)
    if medium.path is None:
        return writing, None
    try:
        return writing, open_near(medium)
    except StoreError:
        medium.let_go()
        writing.close()
        raise
