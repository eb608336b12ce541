"""The writer: one thread that owns the write connection, and group commit.

Owns the order of transactions, what shares a commit, who is told what when it is on
disk, and noticing commits of other processes. Knows nothing of rows: a transaction is
a function of whatever ``begin`` makes of the connection.

A commit costs a flush of the disk, however much is in it. So whatever waits when the
writer comes round shares one commit, in which each transaction can fail alone, and
everyone is told by one callback in the event loop.
"""

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import anyio
from anyio.lowlevel import checkpoint_if_cancelled
from dovetail.kernel.values.errors import StoreClosedError, StoreLockedError

from ..sql.fate import Fate, ThreadFate, loop_words
from ..sql.kept import Kept
from .database import DRIVER_ERRORS, Medium
from .view import SqliteView

T = TypeVar("T")

LARGEST_GROUP = 256
"""Transactions in one commit: enough to share a flush, few enough to answer soon."""

WATCH_INTERVAL = 0.25
"""Seconds between looks for commits of other processes, while somebody watches."""

_log = logging.getLogger("dovetail.storage")


class Operation:
    """One transaction on its way: what to run, its fate, and who waits for it."""

    __slots__ = ("error", "fate", "handed", "on_commit", "result", "work")

    def __init__(
        self,
        work: Callable[[Any], Any],
        on_commit: Callable[[Any], None] | None,
        fate: Fate,
    ) -> None:
        self.work = work
        self.on_commit = on_commit
        self.result: Any = None
        self.error: BaseException | None = None
        self.fate = fate
        self.handed = time.monotonic()


class Poke:
    """Asks the writer to look at its own state again."""


class Writer:
    """Runs transactions one after another, and answers in the event loop.

    Made in the event loop that it answers in. ``begin`` makes what a transaction's
    function is handed, ``kept`` is what transactions know from earlier ones.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        medium: Medium,
        begin: Callable[[sqlite3.Connection, Medium, sqlite3.Cursor], SqliteView],
        kept: Kept,
    ) -> None:
        self._connection = connection
        # One for all: making it for every BEGIN and COMMIT takes as long as running it.
        self._cursor = connection.cursor()
        self._execute = self._cursor.execute
        self._kept = kept
        self._medium = medium
        self._begin = begin
        self._queue: SimpleQueue[Operation | Poke] = SimpleQueue()
        self._watchers: dict[object, Callable[[], None]] = {}
        # Since opening, so that a watch misses nothing from its first instant on.
        self._seen = self._known = self._version()
        self._next_look = 0.0
        self._closing = False
        self._closed = anyio.Event()
        self._new_fate, self._call_in_loop = loop_words()
        # A daemon: a runtime that was never closed must not keep the process alive.
        # What it confirmed is on disk by then.
        self._thread = threading.Thread(
            target=self._run, name=f"dovetail-writer {medium.name}", daemon=True
        )
        self._thread.start()

    # --- in the event loop --------------------------------------------------------

    async def transact(
        self, work: Callable[[Any], T], on_commit: Callable[[T], None] | None = None
    ) -> T:
        """See ``Store.transact``."""
        await checkpoint_if_cancelled()
        if self._closing:
            raise StoreClosedError(self._medium.name)
        operation = Operation(work, on_commit, self._new_fate())
        self._queue.put(operation)
        await operation.fate.outlast()
        if operation.error is not None:
            try:
                raise operation.error
            finally:
                del operation  # else the error and this frame would hold each other
        result: T = operation.result
        return result

    def transact_in_thread(self, work: Callable[[Any], T]) -> T:
        """See ``Store.transact_in_thread``."""
        if self._closing:
            raise StoreClosedError(self._medium.name)
        fate = ThreadFate()
        operation = Operation(work, None, fate)
        self._queue.put(operation)
        # Handed over as the writer ended: nobody will come for it.
        while not fate.settled(within=1.0):
            if not self._thread.is_alive() and not fate.settled(within=0):
                raise StoreClosedError(self._medium.name)
        if operation.error is not None:
            try:
                raise operation.error
            finally:
                del operation  # else the error and this frame would hold each other
        result: T = operation.result
        return result

    def watch(self, notify: Callable[[], None]) -> Callable[[], None]:
        """See ``Store.watch``."""
        key = object()
        if self._medium.path is not None:  # nobody else can reach one in memory
            self._watchers[key] = notify
        self._queue.put(Poke())

        def end() -> None:
            self._watchers.pop(key, None)

        return end

    async def aclose(self) -> None:
        """Finish what was handed over, then close the connection and the thread."""
        if not self._closing:
            self._closing = True
            self._watchers.clear()
            self._queue.put(Poke())
        with anyio.CancelScope(shield=True):
            await self._closed.wait()
        # It says so as its last act, so this waits for no more than a return.
        self._thread.join()

    def _deliver(self, group: Sequence[Operation]) -> None:
        for operation in group:
            if operation.error is None and operation.on_commit is not None:
                try:
                    operation.on_commit(operation.result)
                except BaseException as error:
                    # Its own caller is told; the neighbours and the loop go on.
                    error.add_note("raised by on_commit; the transaction is durable")
                    operation.error = error
        for operation in group:
            operation.fate.settle()

    def _notify(self) -> None:
        for notify in list(self._watchers.values()):
            try:
                notify()
            except Exception:
                _log.exception("a watcher of %s failed", self._medium.name)

    # --- in the thread ------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._serve():
                pass
        finally:
            self._medium.let_go()
            # One whose last statement failed would keep the file open.
            self._cursor.close()
            self._connection.close()
            self._tell(self._closed.set)

    def _serve(self) -> bool:
        """Commit one group of what waits; return whether to go on."""
        group = [one for one in self._take() if isinstance(one, Operation)]
        if group:
            try:
                self._settle(group)
            except BaseException as error:
                # A defect of the writer itself must not leave anybody waiting.
                self._kept.forget()
                for operation in group:
                    operation.error = operation.error or error
            self._settled(group)
        if self._watchers and time.monotonic() >= self._next_look:
            self._look()
        return not (self._closing and self._queue.empty())

    def _settled(self, group: list[Operation]) -> None:
        """Let everyone who waits go on: threads at once, tasks in the event loop."""
        # By its type: isinstance looks all of a protocol over, for every commit.
        in_loop = [one for one in group if type(one.fate) is not ThreadFate]
        if in_loop:
            self._tell(self._deliver, in_loop)
        if len(in_loop) < len(group):
            for operation in group:
                if type(operation.fate) is ThreadFate:
                    operation.fate.settle()

    def _take(self) -> list[Operation | Poke]:
        """Wait for something to do, and return all of it, up to the largest group."""
        wait = None
        if self._watchers:
            wait = max(0.0, self._next_look - time.monotonic())
        try:
            taken = [self._queue.get(timeout=wait)]
        except Empty:
            return []
        # Nobody else takes anything from it.
        while len(taken) < LARGEST_GROUP and not self._queue.empty():
            taken.append(self._queue.get_nowait())
        return taken

    def _settle(self, group: list[Operation]) -> None:
        """Give every operation its fate."""
        if not self._commit(group):
            # The medium refused the group as a whole. One of them may be to blame, by
            # its size: each gets its own chance, so that none falls with a neighbour.
            for operation in group:
                self._commit([operation])

    def _commit(self, group: list[Operation]) -> bool:
        """Run a group in one commit. False: it was lost, and more than one was in it.

        Nothing escapes from here but through the operations.

        1. The file was removed or replaced: all are refused.
        2. Another process has its turn for too long, or SQLite does not let it begin:
           all are told so, and none has run.
        3. All of them work: one commit.
        4. One of them fails: all are undone, and run once more, each in a savepoint, so
           that it fails alone.
        5. SQLite gives up a transaction of several, then or as it commits: False.
        6. It gives up one that is alone: that is its failure.
        7. It was committed, and the file is not in its place by then: as in 1.
        """
        alone = len(group) == 1
        if self._medium.gone:
            self._refuse(group)
            return True
        if not self._medium.begin_turn(self._left(group)):
            for operation in group:
                operation.error = StoreLockedError(self._medium.name, self._medium.wait)
            return True
        try:
            return self._commit_in_turn(group, alone=alone)
        finally:
            self._medium.end_turn()

    def _commit_in_turn(self, group: list[Operation], *, alone: bool) -> bool:
        if not self._begin_immediate(group):
            return True
        try:
            if not self._perform_all(group):
                if alone:
                    return True
                # What failed has written among the others, and was undone with them:
                # once more, so that each can fail alone.
                if not self._begin_immediate(group):
                    return True
                if not self._perform_each(group):
                    return False
            self._execute("COMMIT")
        except DRIVER_ERRORS as error:
            self._kept.forget()
            self._roll_back()
            self._fail(group, error)
            return alone
        # After the commit, so that whatever is confirmed is in the file of that name.
        if not self._medium.is_in_place():
            self._refuse(group)
        return True

    def _perform_all(self, group: list[Operation]) -> bool:
        """Run operations as one; False: one of them failed, and all were undone.

        Nearly always none fails, and a savepoint for each costs as much as a statement
        of its work.
        """
        for operation in group:
            self._perform(operation)
            if operation.error is not None:
                # SQLite may have given up the transaction: the disk is full, say.
                if self._connection.in_transaction:
                    self._execute("ROLLBACK")
                return False
        return True

    def _perform_each(self, group: list[Operation]) -> bool:
        """Run operations each in a savepoint; False: SQLite gave up all of them."""
        connection = self._connection
        for operation in group:
            self._execute("SAVEPOINT one")
            self._perform(operation)
            if not connection.in_transaction:
                return False
            if operation.error is not None:
                self._execute("ROLLBACK TO one")
            self._execute("RELEASE one")
        return True

    def _begin_immediate(self, group: list[Operation]) -> bool:
        """Begin, waiting for other processes no longer than the newest caller may.

        What stands behind a group that waited in vain has waited too: nobody waits for
        a lock more than twice the limit, however long the queue is. False: it failed,
        which is nobody's fault in particular, and all were told; a second try would
        double a long wait.
        """
        left = self._left(group)
        try:
            if left > self._medium.wait * 0.9:
                self._execute("BEGIN IMMEDIATE")
            else:
                try:
                    self._wait_for(left)
                    self._execute("BEGIN IMMEDIATE")
                finally:
                    self._wait_for(self._medium.wait)
        except DRIVER_ERRORS as error:
            self._fail(group, error)
            return False
        self._forget_what_changed()
        return True

    def _left(self, group: list[Operation]) -> float:
        """Return how long a group may wait for other processes."""
        return max(0.0, self._medium.wait - (time.monotonic() - group[-1].handed))

    def _wait_for(self, seconds: float) -> None:
        self._execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")

    def _refuse(self, group: list[Operation]) -> None:
        for operation in group:
            operation.error = self._medium.refuse()

    def _fail(self, group: list[Operation], error: Exception) -> None:
        for operation in group:
            # One each: an exception carries the traceback of whoever raises it.
            operation.error = self._medium.failure(error)
            operation.error.__cause__ = error

    def _perform(self, operation: Operation) -> None:
        operation.result = operation.error = None
        view = self._begin(self._connection, self._medium, self._cursor)
        try:
            operation.result = operation.work(view)
        except sqlite3.Error as error:
            operation.error = view.failure or self._medium.failure(error)
            operation.error.__cause__ = error
        except BaseException as error:
            operation.error = error
        else:
            operation.error = view.failure
        finally:
            if operation.error is not None:
                # What it wrote is undone, and so is what it knows of that.
                self._kept.forget()
            view.end()

    def _forget_what_changed(self) -> None:
        """Keep nothing that another connection may have written, since it committed."""
        version = self._version()
        if version is None or version != self._known:
            self._known = version
            self._kept.forget()
        else:
            self._kept.bound()

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._execute("ROLLBACK")
        except DRIVER_ERRORS:
            # The failure before it is the one to tell. If the transaction is still
            # open, the next BEGIN fails and says so.
            _log.exception("rolling back %s failed", self._medium.name)

    def _look(self) -> None:
        """Tell the watchers when another connection committed since the last look."""
        self._next_look = time.monotonic() + WATCH_INTERVAL
        seen = self._version()
        if seen != self._seen:
            self._seen = seen
            self._tell(self._notify)

    def _version(self) -> int | None:
        """Return a number that changes by commits of other connections only, and all
        commits of this store are made on this one."""
        try:
            found = self._execute("PRAGMA data_version").fetchone()
        except DRIVER_ERRORS:
            # The watchers are told, they read, and the read says what is wrong.
            return None
        return int(found[0])

    def _tell(self, callback: Callable[..., object], *arguments: Any) -> None:
        # RuntimeError: the loop is gone, and with it everyone who could be told.
        with contextlib.suppress(RuntimeError):
            self._call_in_loop(callback, *arguments)
