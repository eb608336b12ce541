"""Ports: what the kernel asks of a store, and with which guarantees.

A store keeps four kinds of things: the event log (facts), projections (rows derived
from events, disposable), operational rows (admissions, approvals, leases: not derived
and never rebuilt) and blobs (large values, by content). Who writes which row, and
when, is decided by the kernel; a store knows nothing of sessions beyond these rows.

Guarantees that every store gives (the contract suite in ``testing`` checks them):

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
from typing import Literal, Protocol, TypeVar

from .values.frozen import frozen
from .values.prompt import Delivery, InputState

T = TypeVar("T")


# --- rows -------------------------------------------------------------------------


@frozen
class EventRecord:
    """One event as it is stored."""

    session_id: str
    seq: int
    kind: str
    version: int
    created: int
    data: bytes
    """JSON of the event's own fields, or what retention left of it."""
    hash: bytes
    """32 bytes: see ``values.events.chain_hash``."""
    digest: bytes | None = None
    """None while the data is whole; else SHA-256 of the removed data, then of what is
    left."""
    position: int = -1
    """The place in the commit order of the whole store; given by the store."""
    problem: str | None = None
    """Given by the store: why what it found is not what was written, or None. Then it
    may be of any type and value, whatever the fields promise."""


StoredFact = tuple[int, str, int, int, bytes, str | None]
"""What a stored event says: its seq, kind, version, created and data, and why it cannot
be believed, as in ``EventRecord.problem``."""


def took(imported: Sequence[tuple[int, int]], seq: int) -> bool:
    """Return whether an event is in none of the runs of those that came from another
    store."""
    return not any(first <= seq <= last for first, last in imported)


@frozen
class Head:
    """Where a session's log ends."""

    seq: int
    hash: bytes
    owner: str | None = None
    """Who may replay into this log; None for a log that is written here."""
    imported: tuple[tuple[int, int], ...] = ()
    """Which events came from another store: from the first to the last of each run.
    What they say is data; it decides nothing here (law access.12)."""

    damaged: int | None = None
    """The first event that was found not to be what was written; nothing is appended
    behind it. None as far as anybody knows."""

    def took(self, seq: int) -> bool:
        """Return whether an event was made in this store."""
        return took(self.imported, seq)


@frozen
class SessionRow:
    """Projection: one session. Totals are of all settled Steps."""

    id: str
    directory: str
    workspace: str | None
    title: str | None
    agent: str | None
    model: str | None
    parent: str | None
    """Whose child it is."""
    forked_from: str | None
    """Whose past it shares."""
    forked_seq: int | None
    """The last event of that past."""
    created: int
    updated: int
    status: str = "idle"
    """``running`` between execution.started and execution.ended, else ``idle``."""
    outcome: str | None = None
    """The status of the last execution.ended."""
    reason_code: str | None = None
    reason_message: str | None = None
    ended_seq: int = -1
    """The last execution.ended; -1 before the first."""
    steps: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    position: int = -1
    """Creation order over the whole store; given by the store, kept by a rebuild."""
    damaged: int | None = None
    """Given by the store: see ``Head.damaged``."""
    sound: bool = True
    """Given by the store: False in a listing for a session that cannot be looked up,
    because what it is found by was changed. Then nothing else is known of it."""

    @classmethod
    def unsound(cls, id: str, position: int) -> "SessionRow":
        """Return what stands in a listing for a session that cannot be looked up."""
        return cls(
            id=id,
            directory="",
            workspace=None,
            title=None,
            agent=None,
            model=None,
            parent=None,
            forked_from=None,
            forked_seq=None,
            created=0,
            updated=0,
            position=position,
            sound=False,
        )


@frozen
class InputRow:
    """Projection: one admitted input. Its prompt is in the event at ``seq``."""

    session_id: str
    id: str
    seq: int
    delivery: Delivery
    state: InputState
    settled_seq: int | None
    """Where it was promoted or withdrawn; None while it is pending."""
    created: int
    key: str | None


@frozen
class MessageRow:
    """Projection: where one message is in the log. Its content is in the events.

    The message's own events lie between ``body_seq`` and ``end_seq``; a row is written
    when the message appears and once more when it ends, never per part.
    """

    session_id: str
    seq: int
    """The event that made it visible."""
    id: str
    type: str
    body_seq: int
    end_seq: int | None
    """None while the Step of an assistant message runs."""


@frozen
class RequestRow:
    """Projection: one request to a person. Its content is in the event at ``seq``."""

    session_id: str
    id: str
    what: str
    """What kind of request it is: ``permission``, for example."""
    seq: int
    directory: str
    answered_seq: int | None


@frozen
class EpochRow:
    """Projection: the current Context Epoch of a session."""

    session_id: str
    seq: int
    """The event that holds the Baseline."""
    updated_seq: int
    """The last event that changed what the model was told."""


@frozen
class AdmissionRow:
    """Operational: one keyed admission, for ever (laws inbox.3 and storage.3)."""

    session_id: str
    key: str
    digest: str
    """Of the encoded prompt."""
    delivery: Delivery
    receipt: bytes
    """JSON of the AdmittedPrompt as it was first returned."""


@frozen
class ApprovalRow:
    """Operational: one saved approval (law access.4)."""

    id: str
    directory: str
    workspace: str | None
    agent: str
    action: str
    kind: Literal["exact", "glob"]
    pattern: str
    author: str
    created: int
    expires: int | None
    folder: str | None = None
    """The one folder that it is for, as a resource; None: wherever in the Location."""


@frozen
class LeaseRow:
    """Operational: who executes a session. The fence only grows (law execution.2)."""

    session_id: str
    owner: str | None
    """Whose it is; None once it was given back."""
    fence: int
    renewals: int = 0
    """How often it was renewed under this fence."""
    lasts: int = 0
    """Milliseconds that it lasts after it was taken or renewed, by the clock of
    whoever saw that."""
    renewed: int = 0
    """When that was, in milliseconds since 1970 by its owner's clock. To be shown: it
    decides nothing."""
    process: str | None = None
    """The owner's process, where it has a name; see ``lifecycle.process``."""


@frozen
class RowCounts:
    """How many rows a session has."""

    messages: int
    pending: int
    """Inputs that wait."""
    settled: int
    """Inputs that were promoted or withdrawn."""
    admissions: int
    """Keyed admissions, as far as they are what was written."""


# --- reading ----------------------------------------------------------------------


class Reader(Protocol):
    """A consistent view of the store. Methods are synchronous and never wait."""

    def head(self, session_id: str) -> Head | None:
        """Return where the log ends, or None when there is no such session."""
        ...

    def events(
        self,
        session_id: str,
        after: int = -1,
        limit: int = 512,
        upto: int | None = None,
    ) -> Sequence[EventRecord]:
        """Return events with ``after < seq <= upto`` in order, at most ``limit``."""
        ...

    def facts(
        self,
        session_id: str,
        after: int = -1,
        limit: int = 512,
        upto: int | None = None,
    ) -> Sequence[StoredFact]:
        """Return what ``events`` would, without what only proves it.

        Most reads are of this kind, and long: a store may have a shorter way.
        """
        return [
            (one.seq, one.kind, one.version, one.created, one.data, one.problem)
            for one in self.events(session_id, after, limit, upto)
        ]

    def all_events(self, after: int = -1, limit: int = 512) -> Sequence[EventRecord]:
        """Return events of all sessions with ``position > after`` in commit order."""
        ...

    def events_set_aside(self, session_id: str) -> Sequence[EventRecord]:
        """Return what ``set_aside`` took out of the log, in the order it was taken."""
        ...

    def logs(self, after: int = -1, limit: int = 512) -> Sequence[tuple[int, str]]:
        """Return places and ids of all sessions that rows were ever written for.

        In creation order, from those after a place on. Projections do not matter.
        """
        ...

    def counts(self, session_id: str) -> RowCounts:
        """Return how many rows there are: one that is missing cannot be unsound."""
        ...

    def session(self, session_id: str) -> SessionRow | None: ...

    def sessions(
        self,
        *,
        directory: str | None = None,
        search: str | None = None,
        parent: str | None = None,
        roots: bool = False,
        before: int | None = None,
        limit: int = 50,
    ) -> Sequence[SessionRow]:
        """Return sessions, newest first by position, older than ``before``.

        ``search`` is plain text looked for in titles without regard to case.
        ``parent`` leaves only its children, ``roots`` only those that are nobody's.
        A page of them is found at once, however many others there are.
        """
        ...

    def sessions_with_work(self) -> Sequence[str]:
        """Return ids of sessions with pending input or an unended execution."""
        ...

    def input(self, session_id: str, input_id: str) -> InputRow | None: ...

    def pending_inputs(
        self,
        session_id: str,
        delivery: Delivery | None = None,
        limit: int | None = None,
    ) -> Sequence[InputRow]:
        """Return pending inputs in admission order, at most ``limit``.

        The first queued ones are found at once, however many wait.
        """
        ...

    def has_pending_input(self, session_id: str, after: int = -1) -> bool:
        """Whether an input waits that was admitted after an event. At once, for -1."""
        ...

    def admission(self, session_id: str, key: str) -> AdmissionRow | None: ...

    def message(self, session_id: str, message_id: str) -> MessageRow | None: ...

    def messages(
        self,
        session_id: str,
        *,
        after: int | None = None,
        before: int | None = None,
        newest_first: bool = False,
        limit: int = 50,
    ) -> Sequence[MessageRow]:
        """Return messages with ``after < seq < before``, ordered by seq."""
        ...

    def open_messages(self, session_id: str) -> Sequence[MessageRow]:
        """Return messages whose Step is not settled, in order."""
        ...

    def request(self, session_id: str, request_id: str) -> RequestRow | None: ...

    def pending_requests(
        self,
        *,
        directory: str | None = None,
        session_id: str | None = None,
        id: str | None = None,
    ) -> Sequence[RequestRow]:
        """Return unanswered requests, oldest first, narrowed by what is given."""
        ...

    def epoch(self, session_id: str) -> EpochRow | None: ...

    def approvals(self, directory: str) -> Sequence[ApprovalRow]:
        """Return the saved approvals of a directory in the order they were saved."""
        ...

    def approval_changes(self, directory: str) -> int | None:
        """Return a number that is another one after each change of a directory's saved
        approvals, found at once; None: it is not known."""
        ...

    def lease(self, session_id: str) -> LeaseRow | None: ...

    def blob(self, digest: str) -> bytes | None:
        """Return a large value by the SHA-256 (hex) of its bytes."""
        ...


# --- writing ----------------------------------------------------------------------


class Transaction(Reader, Protocol):
    """A Reader that also sees and makes this transaction's own writes."""

    def append(self, records: Sequence[EventRecord]) -> None:
        """Add events of one session after its head, and move the head."""
        ...

    def set_owner(self, session_id: str, owner: str | None) -> None:
        """Record who may replay into this session's log."""
        ...

    def set_imported(
        self, session_id: str, imported: Sequence[tuple[int, int]]
    ) -> None:
        """Record which events of a log came from another store."""
        ...

    def remove_data(self, records: Sequence[EventRecord]) -> int:
        """Write the ``data`` and ``digest`` of stored events, and let go of the large
        values that they held; nothing else of them changes.

        Return how many bytes less are stored, those of large values that nothing holds
        any more included.
        """
        ...

    def set_damaged(self, session_id: str, seq: int | None) -> None:
        """Record from which event on a log is not what was written, or that it is."""
        ...

    def mend_head(self, session_id: str, seq: int, hash: bytes) -> None:
        """Say anew where a log ends, whatever is stored of that, which may be damaged.

        Who may replay into it and what was imported stay as far as that can be read;
        else, all of it counts as imported. The lease is given up, with a fence that is
        higher than the last one.
        """
        ...

    def set_aside(self, records: Sequence[EventRecord]) -> None:
        """Take the events of a session from the first record's number on out of the
        log, keep them elsewhere as they are, and put these records in their place.

        Raises:
            EventGapError: they are not numbered one by one from there.
        """
        ...

    def put_session(self, row: SessionRow) -> None:
        """Insert or replace; the position that the store gave is kept."""
        ...

    def put_input(self, row: InputRow) -> None:
        """Insert or replace."""
        ...

    def put_message(self, row: MessageRow) -> None:
        """Insert or replace."""
        ...

    def put_request(self, row: RequestRow) -> None:
        """Insert or replace."""
        ...

    def put_epoch(self, row: EpochRow) -> None:
        """Insert or replace."""
        ...

    def clear_projections(self, session_id: str) -> None:
        """Delete every projection row of the session, and nothing else."""
        ...

    def put_admission(self, row: AdmissionRow) -> None:
        """Insert; there is no update and no delete.

        Raises:
            ConflictError: the key is taken; that admission stays, if it is sound.
        """
        ...

    def put_approval(self, row: ApprovalRow) -> None:
        """Insert or replace by id."""
        ...

    def delete_approval(self, approval_id: str) -> bool:
        """Delete, and say whether it was there."""
        ...

    def put_lease(self, row: LeaseRow) -> None:
        """Insert or replace.

        Raises:
            ValueError: the fence would go down.
        """
        ...

    def put_blob(self, data: bytes) -> str:
        """Keep the bytes once and return their SHA-256 in hexadecimal."""
        ...

    def hold_blob(self, session_id: str, seq: int, digest: str) -> None:
        """Keep a large value for as long as an event has its data.

        A value that was held and is held no more is gone. Holding twice is holding
        once; the value need not be there.
        """
        ...


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
