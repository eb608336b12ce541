"""The memory store: the reference model of the ``Store`` port, in plain dictionaries.

Owns what every store must do, written as simply as it can be said; the contract suite
and the state machines compare others with it. Durable as long as its state is kept:
several stores may be opened on one state, one after another or side by side, as several
processes would on one file. Not for production: nothing survives the process.
"""

import hashlib
import threading
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, TypeVar

import attrs
from anyio.lowlevel import (
    cancel_shielded_checkpoint,
    checkpoint,
    checkpoint_if_cancelled,
)

from ..hookspecs import hookimpl
from ..lifecycle.loop import CallInLoop, loop_caller
from ..ports import (
    AdmissionRow,
    ApprovalRow,
    EpochRow,
    EventRecord,
    Head,
    InputRow,
    LeaseRow,
    MessageRow,
    Reader,
    RequestRow,
    RowCounts,
    SessionRow,
    Store,
    Transaction,
)
from ..values.errors import (
    ConflictError,
    DovetailError,
    EventAggregateError,
    EventGapError,
    InvalidValueError,
    StoreClosedError,
)
from ..values.events import NO_HASH
from ..values.prompt import Delivery

T = TypeVar("T")

Pair = tuple[str, str]

MAX_INTEGER = 2**63 - 1

_LOCK = threading.RLock()
"""Held by whoever looks or writes, in whatever state: not all do it in one thread."""


class MemoryState:
    """What a memory store holds. Give it to the next store to open it again."""

    def __init__(self) -> None:
        self.heads: dict[str, Head] = {}
        """In creation order, which is a session's position; never removed."""
        self.log: list[EventRecord] = []
        """In commit order."""
        self.events: dict[str, list[EventRecord]] = {}
        self.aside: dict[str, list[EventRecord]] = {}
        self.sessions: dict[str, SessionRow] = {}
        self.inputs: dict[Pair, InputRow] = {}
        self.messages: dict[Pair, MessageRow] = {}
        self.requests: dict[Pair, RequestRow] = {}
        self.epochs: dict[str, EpochRow] = {}
        self.admissions: dict[Pair, AdmissionRow] = {}
        self.approvals: dict[str, ApprovalRow] = {}
        self.approval_changes: dict[str, int] = {}
        self.leases: dict[str, LeaseRow] = {}
        self.blobs: dict[str, bytes] = {}
        self.holds: dict[tuple[str, int, str], bool] = {}
        self.positions: dict[str, int] = {}
        self.placed = 0
        """The last place in the commit order that was given out; never given again."""
        self.watchers: dict[object, tuple[object, Callable[[], None], CallInLoop]] = {}


class MemoryReader(Reader):
    """A view of the state; see ``ports.Reader``."""

    def __init__(self, state: MemoryState, name: str = "memory://") -> None:
        self._state = state
        self._name = name
        self._refusal: DovetailError | None = None

    def end(self) -> None:
        """Refuse whatever comes later: the transaction is over."""
        self._refusal = StoreClosedError(f"{self._name} (a past transaction)")

    def _now(self) -> MemoryState:
        if self._refusal is not None:
            raise self._refusal
        return self._state

    def head(self, session_id: str) -> Head | None:
        found = self._now().heads.get(session_id)
        if found is None or (found.seq < 0 and found.owner is None):
            return None
        return found

    def events(
        self,
        session_id: str,
        after: int = -1,
        limit: int = 512,
        upto: int | None = None,
    ) -> Sequence[EventRecord]:
        log = self._now().events.get(session_id, [])
        last = len(log) if upto is None else upto + 1
        first = max(after, -1) + 1
        return log[first : max(0, min(last, first + max(limit, 0)))]

    def all_events(self, after: int = -1, limit: int = 512) -> Sequence[EventRecord]:
        log = self._now().log
        first = bisect_right(log, after, key=_position)
        return log[first : first + max(limit, 0)]

    def events_set_aside(self, session_id: str) -> Sequence[EventRecord]:
        return list(self._now().aside.get(session_id, []))

    def logs(self, after: int = -1, limit: int = 512) -> Sequence[tuple[int, str]]:
        state = self._now()
        found = sorted(
            (place, session_id)
            for session_id, place in state.positions.items()
            if place > after
        )
        return found[: max(limit, 0)]

    def counts(self, session_id: str) -> RowCounts:
        inputs = [
            row for row in self._now().inputs.values() if row.session_id == session_id
        ]
        pending = sum(row.state == "pending" for row in inputs)
        messages = len(self._messages_of(session_id))
        admissions = sum(key[0] == session_id for key in self._now().admissions)
        return RowCounts(messages, pending, len(inputs) - pending, admissions)

    def session(self, session_id: str) -> SessionRow | None:
        return self._now().sessions.get(session_id)

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
        found = [
            row
            for row in self._now().sessions.values()
            if (directory is None or row.directory == directory)
            and (parent is None or row.parent == parent)
            and not (roots and row.parent is not None)
            and (before is None or row.position < before)
            and (not search or search.casefold() in (row.title or "").casefold())
        ]
        found.sort(key=lambda row: row.position, reverse=True)
        return found[: max(limit, 0)]

    def sessions_with_work(self) -> Sequence[str]:
        state = self._now()
        working = {row.id for row in state.sessions.values() if row.status == "running"}
        working |= {
            row.session_id for row in state.inputs.values() if row.state == "pending"
        }
        return sorted(working, key=state.positions.__getitem__)

    def input(self, session_id: str, input_id: str) -> InputRow | None:
        return self._now().inputs.get((session_id, input_id))

    def pending_inputs(
        self,
        session_id: str,
        delivery: Delivery | None = None,
        limit: int | None = None,
    ) -> Sequence[InputRow]:
        found = [
            row
            for row in self._now().inputs.values()
            if row.session_id == session_id
            and row.state == "pending"
            and delivery in (None, row.delivery)
        ]
        return sorted(found, key=lambda row: (row.seq, row.id))[:limit]

    def has_pending_input(self, session_id: str, after: int = -1) -> bool:
        return any(row.seq > after for row in self.pending_inputs(session_id))

    def admission(self, session_id: str, key: str) -> AdmissionRow | None:
        return self._now().admissions.get((session_id, key))

    def message(self, session_id: str, message_id: str) -> MessageRow | None:
        return self._now().messages.get((session_id, message_id))

    def messages(
        self,
        session_id: str,
        *,
        after: int | None = None,
        before: int | None = None,
        newest_first: bool = False,
        limit: int = 50,
    ) -> Sequence[MessageRow]:
        found = [
            row
            for row in self._messages_of(session_id)
            if (after is None or row.seq > after)
            and (before is None or row.seq < before)
        ]
        if newest_first:
            found.reverse()
        return found[: max(limit, 0)]

    def open_messages(self, session_id: str) -> Sequence[MessageRow]:
        return [row for row in self._messages_of(session_id) if row.end_seq is None]

    def _messages_of(self, session_id: str) -> list[MessageRow]:
        rows = self._now().messages.values()
        mine = [row for row in rows if row.session_id == session_id]
        return sorted(mine, key=lambda row: row.seq)

    def request(self, session_id: str, request_id: str) -> RequestRow | None:
        return self._now().requests.get((session_id, request_id))

    def pending_requests(
        self,
        *,
        directory: str | None = None,
        session_id: str | None = None,
        id: str | None = None,
    ) -> Sequence[RequestRow]:
        state = self._now()

        def asked(row: RequestRow) -> tuple[int, int, int, str]:
            log = state.events.get(row.session_id, [])
            known = 0 <= row.seq < len(log)
            position = log[row.seq].position if known else -1
            return (position, state.positions[row.session_id], row.seq, row.id)

        found = [
            row
            for row in state.requests.values()
            if row.answered_seq is None
            and directory in (None, row.directory)
            and session_id in (None, row.session_id)
            and id in (None, row.id)
        ]
        return sorted(found, key=asked)

    def epoch(self, session_id: str) -> EpochRow | None:
        return self._now().epochs.get(session_id)

    def approvals(self, directory: str) -> Sequence[ApprovalRow]:
        rows = self._now().approvals.values()
        return [row for row in rows if row.directory == directory]

    def approval_changes(self, directory: str) -> int | None:
        return self._now().approval_changes.get(directory, 0)

    def lease(self, session_id: str) -> LeaseRow | None:
        return self._now().leases.get(session_id)

    def blob(self, digest: str) -> bytes | None:
        return self._now().blobs.get(digest)


class MemoryTransaction(MemoryReader, Transaction):
    """A transaction that can be taken back; see ``ports.Transaction``."""

    def __init__(self, state: MemoryState, name: str = "memory://") -> None:
        super().__init__(state, name)
        self._undo: list[Callable[[], object]] = []
        self.failure: DovetailError | None = None

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return bool(self._undo)

    def roll_back(self) -> None:
        """Take back everything that was written, last first."""
        while self._undo:
            self._undo.pop()()

    def append(self, records: Sequence[EventRecord]) -> None:
        state = self._now()
        if not records:
            return
        session_id = records[0].session_id
        held = state.heads.get(session_id)
        _check_numbers(records, session_id, held.seq + 1 if held else 0)
        for record in records:
            self._check(record)
        self._enter(session_id)
        for record in records:
            self._record(record)
        last = records[-1]
        head = attrs.evolve(state.heads[session_id], seq=last.seq, hash=last.hash)
        self._put(state.heads, session_id, head)

    def _record(self, record: EventRecord) -> None:
        state = self._state
        before = state.placed
        self._undo.append(lambda: setattr(state, "placed", before))
        state.placed += 1
        placed = attrs.evolve(record, position=state.placed)
        mine = state.events.setdefault(record.session_id, [])
        for log in (state.log, mine):
            log.append(placed)
            self._undo.append(log.pop)

    def set_owner(self, session_id: str, owner: str | None) -> None:
        heads = self._now().heads
        if owner is None and session_id not in heads:
            return
        self._check(session_id, owner)
        self._enter(session_id)
        head = attrs.evolve(heads[session_id], owner=owner)
        self._put(heads, session_id, head)

    def set_imported(
        self, session_id: str, imported: Sequence[tuple[int, int]]
    ) -> None:
        state = self._now()
        self._enter(session_id)
        head = attrs.evolve(state.heads[session_id], imported=tuple(imported))
        self._put(state.heads, session_id, head)

    def remove_data(self, records: Sequence[EventRecord]) -> int:
        state = self._now()
        freed = 0
        for record in records:
            self._check(record)
            mine = state.events.get(record.session_id, [])
            if 0 <= record.seq < len(mine):
                stored = mine[record.seq]
                changed = attrs.evolve(stored, data=record.data, digest=record.digest)
                place = bisect_left(state.log, stored.position, key=_position)
                self._exchange(mine, record.seq, changed)
                self._exchange(state.log, place, changed)
                freed += len(stored.data) - len(record.data)
                freed += self._let_go(record.session_id, record.seq)
        return freed

    def _let_go(self, session_id: str, seq: int) -> int:
        state = self._state
        freed = 0
        for key in [key for key in state.holds if key[:2] == (session_id, seq)]:
            self._drop(state.holds, key)
            if not any(digest == key[2] for _, _, digest in state.holds):
                freed += len(state.blobs.get(key[2], b""))
                self._drop(state.blobs, key[2])
        return freed

    def _exchange(
        self, log: list[EventRecord], index: int, record: EventRecord
    ) -> None:
        before = log[index]
        self._undo.append(lambda: log.__setitem__(index, before))
        log[index] = record

    def set_damaged(self, session_id: str, seq: int | None) -> None:
        state = self._now()
        head = attrs.evolve(state.heads[session_id], damaged=seq)
        self._put(state.heads, session_id, head)
        row = state.sessions.get(session_id)
        if row is not None:
            self._put(state.sessions, session_id, attrs.evolve(row, damaged=seq))

    def mend_head(self, session_id: str, seq: int, hash: bytes) -> None:
        state = self._now()
        self._enter(session_id)
        head = attrs.evolve(state.heads[session_id], seq=seq, hash=hash)
        self._put(state.heads, session_id, head)
        lease = state.leases.get(session_id)
        fence = 1 if lease is None else lease.fence + 1
        self._put(state.leases, session_id, LeaseRow(session_id, None, fence, 0))

    def set_aside(self, records: Sequence[EventRecord]) -> None:
        state = self._now()
        if not records:
            return
        session_id, first = records[0].session_id, records[0].seq
        mine = state.events.get(session_id, [])
        _check_numbers(records, session_id, first)
        if not 0 <= first <= len(mine):
            raise EventGapError(session_id, first, f"the log has {len(mine)} events")
        for record in records:
            self._check(record)
        self._enter(session_id)
        taken = mine[first:]
        places = {record.position for record in taken}
        kept = [record for record in state.log if record.position not in places]
        everything, state.log[:] = list(state.log), kept
        self._undo.append(lambda: state.log.__setitem__(slice(None), everything))
        self._put(state.events, session_id, mine[:first])
        aside = [*state.aside.get(session_id, []), *taken]
        self._put(state.aside, session_id, aside)
        for record in records:
            self._record(record)
        last = records[-1]
        head = attrs.evolve(state.heads[session_id], seq=last.seq, hash=last.hash)
        self._put(state.heads, session_id, head)

    def put_session(self, row: SessionRow) -> None:
        state = self._now()
        self._check(attrs.evolve(row, position=0))
        self._enter(row.id)
        placed = attrs.evolve(
            row,
            position=state.positions[row.id],
            damaged=state.heads[row.id].damaged,
        )
        self._put(state.sessions, row.id, placed)

    def put_input(self, row: InputRow) -> None:
        state = self._now()
        self._check(row)
        self._enter(row.session_id)
        self._put(state.inputs, (row.session_id, row.id), row)

    def put_message(self, row: MessageRow) -> None:
        state = self._now()
        self._check(row)
        self._enter(row.session_id)
        for other in self._messages_of(row.session_id):
            if other.seq == row.seq and other.id != row.id:
                self._drop(state.messages, (other.session_id, other.id))
        self._put(state.messages, (row.session_id, row.id), row)

    def put_request(self, row: RequestRow) -> None:
        state = self._now()
        self._check(row)
        self._enter(row.session_id)
        self._put(state.requests, (row.session_id, row.id), row)

    def put_epoch(self, row: EpochRow) -> None:
        state = self._now()
        self._check(row)
        self._enter(row.session_id)
        self._put(state.epochs, row.session_id, row)

    def clear_projections(self, session_id: str) -> None:
        state = self._now()
        self._drop(state.sessions, session_id)
        self._drop(state.epochs, session_id)
        paired: Iterable[dict[Pair, Any]] = (
            state.inputs,
            state.messages,
            state.requests,
        )
        for table in paired:
            for key in [key for key in table if key[0] == session_id]:
                self._drop(table, key)

    def put_admission(self, row: AdmissionRow) -> None:
        state = self._now()
        self._check(row)
        if (row.session_id, row.key) in state.admissions:
            raise ConflictError(
                f"key {row.key!r} of session {row.session_id!r} is already admitted"
            )
        self._enter(row.session_id)
        self._put(state.admissions, (row.session_id, row.key), row)

    def put_approval(self, row: ApprovalRow) -> None:
        state = self._now()
        self._check(row)
        self._put(state.approvals, row.id, row)
        self._count_change(row.directory)

    def delete_approval(self, approval_id: str) -> bool:
        state = self._now()
        row = state.approvals.get(approval_id)
        if row is not None:
            self._count_change(row.directory)
        return self._drop(state.approvals, approval_id)

    def _count_change(self, directory: str) -> None:
        changes = self._now().approval_changes
        self._put(changes, directory, changes.get(directory, 0) + 1)

    def put_lease(self, row: LeaseRow) -> None:
        state = self._now()
        current = state.leases.get(row.session_id)
        if current is not None and row.fence < current.fence:
            raise ValueError(
                f"the fence of session {row.session_id!r} is {current.fence} and "
                f"cannot go down to {row.fence}"
            )
        self._check(row)
        self._enter(row.session_id)
        self._put(state.leases, row.session_id, row)

    def put_blob(self, data: bytes) -> str:
        state = self._now()
        digest = hashlib.sha256(data).hexdigest()
        self._put(state.blobs, digest, data)
        return digest

    def hold_blob(self, session_id: str, seq: int, digest: str) -> None:
        state = self._now()
        self._check(session_id, digest)
        self._enter(session_id)
        self._put(state.holds, (session_id, seq, digest), True)

    def _enter(self, session_id: str) -> None:
        """Give a session its place when it is first named."""
        state = self._state
        if session_id not in state.positions:
            self._put(state.positions, session_id, len(state.positions) + 1)
            self._put(state.heads, session_id, Head(-1, NO_HASH))

    def _put(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        if key in table:
            before = table[key]
            self._undo.append(lambda: table.__setitem__(key, before))
        else:
            self._undo.append(lambda: table.pop(key))
        table[key] = value

    def _drop(self, table: dict[Any, Any], key: Any) -> bool:
        if key not in table:
            return False
        before = dict(table)

        def restore() -> None:
            # As a whole, because a key that is put back alone would come last.
            table.clear()
            table.update(before)

        self._undo.append(restore)
        del table[key]
        return True

    def _check(self, *values: Any) -> None:
        """Refuse what no store can hold; like every failed write, that ends it."""
        for value in values:
            is_row = attrs.has(type(value))
            for one in attrs.astuple(value, recurse=False) if is_row else (value,):
                try:
                    _storable(one)
                except InvalidValueError as error:
                    self.failure = self._refusal = error
                    raise


def _check_numbers(records: Sequence[EventRecord], session_id: str, first: int) -> None:
    for number, record in enumerate(records, first):
        if record.session_id != session_id:
            raise EventAggregateError(
                record.session_id, record.seq, f"appended with {session_id!r}"
            )
        if record.seq != number:
            raise EventGapError(session_id, record.seq, f"the next event is {number}")


def _position(record: EventRecord) -> int:
    return record.position


def _storable(value: object) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidValueError(
                "text", value, "a lone surrogate cannot be stored"
            ) from error
    if isinstance(value, int) and not -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
        raise InvalidValueError("number", value, "over 64 bits cannot be stored")


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
        with _LOCK:
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
        with _LOCK:
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
