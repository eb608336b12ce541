"""The store: its four kinds of things put together, in transactions.

Guarantees that every store gives (the contract in ``testing.contracts`` checks them):

1. ``transact`` runs one synchronous function, alone, in a transaction that sees all
   earlier commits. Either everything it wrote is durable when the call returns, or
   nothing exists. Functions run in the order in which ``transact`` was called, whatever
   runs in between: a second call may rely on what the first will have written.
2. A function that raises takes only its own writes with it, never a neighbour's, and
   the exception reaches its caller unchanged.
3. ``on_commit`` runs in the event-loop thread, after the commit is on disk, in commit
   order, before the caller goes on, also when the caller was cancelled meanwhile.
4. ``(session_id, seq)`` is unique, and a head never goes back.
5. Failures of the medium are ``StoreError`` with a stable code, never the driver's.
6. What is handed out is what was written. A row that was changed since, behind the
   store's back, is an event with a ``problem``, or raises ``RowDamagedError`` with its
   session, and nobody else's rows are touched by that; a saved approval or a large
   value that was changed is none.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from .blobs import BlobReader, BlobWriter
from .log import LogReader, LogWriter
from .operational import OperationalReader, OperationalWriter
from .projections import ProjectionReader, ProjectionWriter
from .rows import RowCounts

T = TypeVar("T")


class Reader(LogReader, ProjectionReader, OperationalReader, BlobReader, Protocol):
    """A consistent view of the store. Methods are synchronous and never wait."""

    def counts(self, session_id: str) -> RowCounts:
        """Return how many rows there are: one that is missing cannot be unsound."""
        ...

    def sessions_missing(self) -> Sequence[str]:
        """Return ids of sessions that have events and no row of their own."""
        ...


class Transaction(
    Reader, LogWriter, ProjectionWriter, OperationalWriter, BlobWriter, Protocol
):
    """A Reader that also sees and makes this transaction's own writes."""


class Store(Protocol):
    """A durable store. Opened by a plugin's ``dovetail_open_store``."""

    @property
    def name(self) -> str:
        """The URL or path for messages, without credentials."""
        ...

    async def transact(
        self,
        work: Callable[[Transaction], T],
        on_commit: Callable[[T], None] | None = None,
    ) -> T:
        """Run ``work`` in a transaction and return its result once that is durable.

        ``work`` runs on another thread; it must not wait, and must not keep the
        transaction. It may run more than once when the medium asks for a repeat, so it
        must be free of effects outside the store. Cancelling the caller does not undo
        a transaction that was handed over: the call ends when its fate is known.

        Raises:
            StoreError: the medium failed; see its subclasses. Nothing was written.
        """
        ...

    def transact_in_thread(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in a transaction, from a thread that is not the event loop's.

        As ``transact``, but that the calling thread waits, and that nothing of it
        needs the event loop: it ends also while that is held up. Nothing that readers
        are told of is written like this.

        Raises:
            StoreClosedError: it was closed.
            StoreError: the medium failed; see its subclasses. Nothing was written.
        """
        ...

    async def read(self, work: Callable[[Reader], T]) -> T:
        """Run ``work`` on a consistent view and return its result.

        It sees everything that was confirmed to any caller before it was called, and
        does not wait for writers.
        ``work`` may run on another thread, and more than once, so it must be free of
        effects; it must not wait, and must not keep the view.
        """
        ...

    def watch(self, notify: Callable[[], None]) -> Callable[[], None]:
        """Call ``notify`` in the event-loop thread, within a second, after another
        process committed. Returns a function that ends the watch."""
        ...

    async def size(self) -> int:
        """Return how many bytes it takes where it is kept; 0 if that means nothing."""
        return 0

    async def compact(self) -> None:
        """Give back to the system what is taken and holds nothing any more.

        Others read and write meanwhile, and wait for no more than a moment. What a
        reader still needs stays until a later time.

        Raises:
            StoreError: the medium failed; nothing that was confirmed is lost.
        """
        return

    async def aclose(self) -> None:
        """Finish what was handed over, then close. Closing twice is harmless."""
        ...
