"""The memory store put together: who looks and writes when, and who is told of it."""

import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TypeVar

from anyio.lowlevel import (
    cancel_shielded_checkpoint,
    checkpoint,
    checkpoint_if_cancelled,
)

from ...hookspecs import hookimpl
from ...lifecycle.loop import loop_caller
from ...ports import Reader, RowCounts, Store, Transaction
from ...values.errors import StoreClosedError
from .blobs import BlobReads, BlobWrites
from .log import LogReads, LogWrites
from .operational import OperationalReads, OperationalWrites
from .projections import ProjectionReads, ProjectionWrites
from .removal import RemovalWrites
from .state import LOCK, MemoryState

T = TypeVar("T")


class MemoryReader(LogReads, ProjectionReads, OperationalReads, BlobReads, Reader):
    """A view of the state; see ``ports.Reader``."""

    def counts(self, session_id: str) -> RowCounts:
        inputs = [
            row for row in self.now().inputs.values() if row.session_id == session_id
        ]
        pending = sum(row.state == "pending" for row in inputs)
        messages = len(self._messages_of(session_id))
        admissions = sum(key[0] == session_id for key in self.now().admissions)
        keyed = sum(row.key is not None for row in inputs)
        return RowCounts(messages, pending, len(inputs) - pending, admissions, keyed)

    def sessions_missing(self) -> Sequence[str]:
        state = self.now()
        return [
            session_id
            for session_id, head in state.heads.items()
            if head.seq >= 0 and not head.removed and session_id not in state.sessions
        ]


class MemoryTransaction(
    LogWrites,
    ProjectionWrites,
    OperationalWrites,
    BlobWrites,
    RemovalWrites,
    MemoryReader,
    Transaction,
):
    """A transaction that can be taken back; see ``ports.Transaction``."""


class MemoryStore(Store):
    """A store in dictionaries; see ``ports.Store``.

    Transactions run in the thread of whoever makes them, one whole one after another.
    """

    def __init__(
        self, state: MemoryState | None = None, *, name: str = "memory://"
    ) -> None:
        self.state = MemoryState() if state is None else state
        self._name = name
        self._closed = False
        self._thread = threading.get_ident()

    @property
    def name(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"<MemoryStore {self._name}: {len(self.state.log)} events>"

    async def transact(
        self,
        work: Callable[[Transaction], T],
        on_commit: Callable[[T], None] | None = None,
    ) -> T:
        # No other pause before it ran: calls run in the order in which they were made.
        await checkpoint_if_cancelled()
        result, changed = self._transacted(work)
        try:
            if on_commit is not None:
                on_commit(result)
        finally:
            if changed:
                self._tell_others()
            # From here on it is done, so cancellation must wait for the next call.
            await cancel_shielded_checkpoint()
        return result

    def transact_in_thread(self, work: Callable[[Transaction], T]) -> T:
        result, changed = self._transacted(work)
        if changed:
            self._tell_others()
        return result

    def _transacted(self, work: Callable[[Transaction], T]) -> tuple[T, bool]:
        """Return what a transaction made, and whether it wrote anything."""
        with LOCK:
            self._check_open()
            transaction = MemoryTransaction(self.state, self._name)
            try:
                result = work(transaction)
                if transaction.failure is not None:
                    raise transaction.failure
            except BaseException:
                transaction.roll_back()
                raise
            finally:
                transaction.end()
            return result, transaction.changed

    async def read(self, work: Callable[[Reader], T]) -> T:
        await checkpoint()
        with LOCK:
            self._check_open()
            reader = MemoryReader(self.state, self._name)
            try:
                return work(reader)
            finally:
                reader.end()

    def watch(self, notify: Callable[[], None]) -> Callable[[], None]:
        key = object()
        self.state.watchers[key] = (self, notify, loop_caller())

        def end() -> None:
            self.state.watchers.pop(key, None)

        return end

    async def aclose(self) -> None:
        self._closed = True
        watchers = self.state.watchers
        for key in [key for key, (owner, *_) in watchers.items() if owner is self]:
            del watchers[key]
        await cancel_shielded_checkpoint()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError(self._name)

    def _tell_others(self) -> None:
        here = threading.get_ident()
        for owner, notify, call in list(self.state.watchers.values()):
            if owner is self:
                continue
            if here == self._thread:
                notify()
            else:
                # A loop that has ended has nobody left to tell.
                with suppress(RuntimeError):
                    call(notify)


@asynccontextmanager
async def open_memory_store(
    state: MemoryState | None = None, *, name: str = "memory://"
) -> AsyncIterator[MemoryStore]:
    """Open a memory store, on a state of its own or on one that was used before."""
    store = MemoryStore(state, name=name)
    try:
        yield store
    finally:
        await store.aclose()


class MemoryStorePlugin:
    """Opens ``memory://NAME``; a name opened again has its contents again.

    Names belong to this plugin object. ``memory://`` without a name is new each time.
    """

    def __init__(self) -> None:
        self.states: dict[str, MemoryState] = {}

    @hookimpl
    def dovetail_open_store(
        self, url: str
    ) -> AbstractAsyncContextManager[Store] | None:
        """Open the state of this name."""
        if not url.startswith("memory://"):
            return None
        name = url.removeprefix("memory://")
        state = self.states.setdefault(name, MemoryState()) if name else None
        return open_memory_store(state, name=url)
