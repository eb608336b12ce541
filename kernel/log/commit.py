"""The event log: the one place where facts become durable.

Owns the commit: stamp, hash, store, project, then tell. Knows the store only by its
port and sessions only by their events. Neighbours: ``projectors`` below, ``tail`` and
``live`` beside, every room that records something above.

A decision is a synchronous function. It runs on the store's writer inside the
transaction that its events will be part of, so what it read is still true when its
events are written; if it raises, no sequence number is consumed and nobody is told
(law events.2).
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar
from weakref import WeakSet, WeakValueDictionary, finalize

from ..ports import (
    EventRecord,
    Head,
    Reader,
    SessionRow,
    Store,
    Transaction,
)
from ..values.clock import Clock
from ..values.errors import (
    EventDamagedError,
    EventOwnerError,
    RowDamagedError,
    RuntimeClosedError,
    SessionBusyError,
    SessionRemovedError,
    StoreError,
)
from ..values.events import (
    NO_HASH,
    Event,
    SessionRemoved,
    chain_hash,
    payload_digest,
    written_event,
)
from ..values.frozen import frozen
from ..values.shortcut import maker
from .bell import Bell
from .completeness import is_complete
from .live import LiveFeed
from .lookout import Lookout
from .mending import mend
from .patience import Patience
from .projectors import Projection
from .reading import check_readable, damaged
from .sharing import Shared

T = TypeVar("T")

logger = logging.getLogger(__name__)

REMEMBERED = 100_000
"""Sessions that are known to have all their rows; beyond, they are looked at again."""


@frozen
class _Committed(Generic[T]):
    result: T
    events: tuple[Event, ...]
    imported: bool


_committed = maker(_Committed)
_event_record = maker(EventRecord)
_head = maker(Head)


class LogTransaction:
    """What a decision may use: rows to read, operational rows to write, ``append``."""

    def __init__(
        self, rows: Transaction, clock: Clock, lookout: Lookout | None = None
    ) -> None:
        self.rows = rows
        self.now = clock.now()
        self._lookout = lookout or Lookout(clock)
        self._heads: dict[str, Head] = {}
        self._projection = Projection(rows)
        self._failure: BaseException | None = None
        self.appended: list[Event] = []
        self.imported = False
        """Whether what it appended came from another store."""

    def session(self, session_id: str) -> SessionRow:
        """Return the session's row as it is now, within this transaction.

        Raises:
            SessionNotFoundError: there is no such session.
        """
        return self._projection.session(session_id)

    def append(self, *events: Event) -> list[Event]:
        """Append events of one session, in this order, and return them stamped.

        Raises:
            SessionRemovedError: the session was removed.
            EventOwnerError: the log is a replica that somebody else writes.
            EventDamagedError: the log is not what was written; repair it first.
            EventUnwritableError: one of them could not be read again.
            EventLogError: a projector refused one; the whole transaction is lost then,
                also when the decision goes on.
        """
        if not events:
            return []
        session_id = events[0].session_id
        head = self.head(session_id)
        if head.removed:
            raise SessionRemovedError(session_id)
        if head.owner is not None:
            raise _replica(session_id, head)
        if head.damaged is not None:
            raise damaged(session_id, head.damaged)
        records, made = self._stamped(head, events)
        self.accept(records, made)
        return made

    def remove(self, event: SessionRemoved) -> None:
        """Append the last event of a session, and have it found no more.

        Also of a log that is damaged, where it ends.

        Raises:
            EventOwnerError: the log is a replica that somebody else writes.
            RowDamagedError: where it ends is not known; repair it first.
        """
        session_id = event.session_id
        head = self.head(session_id)
        if head.owner is not None:
            raise _replica(session_id, head)
        records, made = self._stamped(head, (event,))
        # Nothing follows from it but that there are no rows.
        self._projection.flush()
        self.rows.append(records)
        self.rows.delete_approvals_of(session_id)
        self.rows.set_removed(session_id)
        self._projection = Projection(self.rows)
        self._heads.pop(session_id, None)
        self.appended += made

    def _stamped(
        self, head: Head, events: Sequence[Event]
    ) -> tuple[list[EventRecord], list[Event]]:
        session_id = events[0].session_id
        seq, previous = head.seq, head.hash
        made: list[Event] = []
        records: list[EventRecord] = []
        for event in events:
            assert event.session_id == session_id, "one append is of one session"
            seq += 1
            data, whole = written_event(event, seq, self.now)
            previous = chain_hash(
                previous,
                session_id,
                seq,
                event.kind,
                event.version,
                self.now,
                payload_digest(data),
            )
            made.append(whole)
            records.append(
                _event_record(
                    session_id,
                    seq,
                    event.kind,
                    event.version,
                    self.now,
                    data,
                    previous,
                )
            )
        return records, made

    def accept(self, records: Sequence[EventRecord], events: Sequence[Event]) -> None:
        """Append records that are stamped and chained already, and project them.

        ``events`` are what the records say. Whoever calls this answers for both, and
        for what of it was made elsewhere (``imported``).
        """
        try:
            self.rows.append(records)
            for event in events:
                self._projection.apply(event)
        except BaseException as error:
            # An event without its projection must never be committed (law events.2),
            # even when the decision caught this and went on.
            self._failure = error
            raise
        last = records[-1]
        owner = self.head(last.session_id).owner
        self._heads[last.session_id] = _head(last.seq, last.hash, owner)
        self.appended += events

    def imports(self, session_id: str, first: int, last: int) -> None:
        """Say that these events, which were accepted, came from another store."""
        head = self.rows.head(session_id)
        known = list(head.imported) if head is not None else []
        if known and known[-1][1] == first - 1:
            first = known.pop()[0]
        self.rows.set_imported(session_id, (*known, (first, last)))
        self.imported = True

    def head(self, session_id: str) -> Head:
        """Return where the session's log ends by now; at -1 when there is none."""
        known = self._heads.get(session_id)
        if known is None:
            known = self.rows.head(session_id) or Head(-1, NO_HASH)
            self._heads[session_id] = known
        return known

    def check_idle(self, session_id: str) -> None:
        """Refuse what may only be done to a session that nobody executes.

        Raises:
            SessionBusyError: a worker of some process holds its lease.
        """
        held = self._lookout.held(self.rows.lease(session_id))
        if held is not None:
            raise SessionBusyError(session_id, held.seconds)

    def finish(self) -> None:
        """Write what was kept back until the end of the transaction."""
        if self._failure is not None:
            raise self._failure
        self._projection.flush()


def _replica(session_id: str, head: Head) -> EventOwnerError:
    return EventOwnerError(
        session_id,
        head.seq + 1,
        f"the log is replayed from {head.owner!r} and is not written here; "
        "release it first",
    )


class EventLog:
    """Commits decisions and tells readers, in the order of the log."""

    def __init__(self, store: Store, clock: Clock, owner: str = "") -> None:
        """``owner`` is under which name this runtime takes leases."""
        self.store = store
        self.clock = clock
        self.live = LiveFeed()
        self.lookout = Lookout(clock, owner)
        self.patience = Patience(clock)
        """For what a session's work asks of the store, here and anywhere above."""
        # By session; those of all sessions are under None.
        self._bells: dict[str | None, WeakSet[Bell]] = {}
        # Whose bells were collected, by whatever thread collected them.
        self._dropped: deque[str | None] = deque()
        self._shared: WeakValueDictionary[tuple[str | None, object], Shared] = (
            WeakValueDictionary()
        )
        self._complete: set[str] = set()
        """Sessions that were found to have all their rows."""
        self._verified: dict[str, int] = {}
        """Up to which event the logs of sessions were found to be what was written."""
        self._listed = False
        """Whether all sessions were found to have a row."""
        self._observers: list[tuple[Callable[[Event], None], bool]] = []
        self._end_watch: Callable[[], None] | None = None
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<EventLog {state}: {self.readers} readers>"

    @property
    def readers(self) -> int:
        """How many bells are held by somebody."""
        return sum(len(bells) for bells in self._bells.values())

    def shared(self, topic: str | None, write: Callable[[Any], bytes]) -> Shared:
        """Return what all who read a session's log have written by this function, or
        all who read the logs of all; it is kept while somebody holds it."""
        found = self._shared.get((topic, write))
        if found is None:
            found = self._shared[topic, write] = Shared(write)
        return found

    # --- damage -------------------------------------------------------------------

    async def mark(self, error: EventDamagedError) -> None:
        """Remember, beyond this process, that a log is not what was written.

        From then on nothing is appended to it, and whoever asks is told, until it is
        repaired or found to be sound.
        """
        self._verified.pop(error.aggregate, None)
        await self._set_damaged(error.aggregate, error.seq)

    async def unmark(self, session_id: str, seq: int) -> None:
        """Remember that a log is what was written, up to an event that is its last."""
        if len(self._verified) >= REMEMBERED:
            self._verified.clear()
        self._verified[session_id] = seq
        await self._set_damaged(session_id, None)

    def verified(self, session_id: str) -> int | None:
        """Return up to which event a log was found here to be what was written."""
        return self._verified.get(session_id)

    async def _set_damaged(self, session_id: str, seq: int | None) -> None:
        def setting(rows: Transaction) -> None:
            head = rows.head(session_id)
            if head is not None and head.damaged != seq:
                rows.set_damaged(session_id, seq)

        try:
            await self.store.transact(setting)
        except (RowDamagedError, StoreError) as error:
            # It is found again by whoever reads it.
            logger.warning("damage of %s was not noted: %s", session_id, error)

    async def complete(self, session_id: str) -> None:
        """Make the rows of a session anew where some are missing: what is not there
        cannot be found to be damaged. Looked at once, before anything rests on it.

        A log that is damaged is found to be so by the way.

        Raises:
            RuntimeClosedError: the runtime was closed.
            StoreError: it cannot be read.
        """
        if session_id in self._complete:
            return
        if not await self.read(lambda rows: is_complete(rows, session_id)):
            try:
                await self.read(lambda rows: check_readable(rows, session_id))
            except EventDamagedError:
                # It is marked, and whoever builds on it is told. Its rows stay: they
                # are all that is left of what the log does not say any more.
                pass
            else:
                await self.mend(session_id)
        if len(self._complete) >= REMEMBERED:
            self._complete.clear()
        self._complete.add(session_id)

    async def complete_list(self) -> None:
        """Do so for the sessions that have no row, and so would be in no list."""
        if self._listed:
            return
        for session_id in await self.read(lambda rows: rows.sessions_missing()):
            await self.complete(session_id)
        self._listed = True

    async def mend(self, session_id: str) -> None:
        """Make the rows of a session anew that follow from its log."""
        await self._mend(RowDamagedError("message, input, work", session_id))

    async def _mend(self, error: RowDamagedError) -> bool:
        """Make the rows of a session anew, and say if that could be done."""
        logger.warning("%s; what follows from its log is made anew", error)
        try:
            await self.store.transact(partial(_mend_rows, error.session_id))
        except RowDamagedError:
            return False
        return True

    async def _mended(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Do something with the store, again where it met a row that was damaged."""
        met: set[str] = set()
        while True:
            try:
                return await attempt()
            except RowDamagedError as error:
                if error.session_id in met or not await self._mend(error):
                    raise
                met.add(error.session_id)

    async def commit(self, decide: Callable[[LogTransaction], T]) -> T:
        """Run a decision and return its result once its events are durable.

        Commits are handed to the store in the order of the calls. Readers are told
        after the commit and before this returns (law events.3). A caller that is
        cancelled meanwhile learns the outcome first.

        Raises:
            RuntimeClosedError: the runtime was closed.
            StoreError: nothing was written.
            Exception: whatever the decision raised; nothing was written.
        """

        if self._closed:
            raise RuntimeClosedError

        def work(rows: Transaction) -> _Committed[T]:
            tx = LogTransaction(rows, self.clock, self.lookout)
            result = decide(tx)
            tx.finish()
            return _committed(result, tuple(tx.appended), tx.imported)

        done = await self._mended(lambda: self.store.transact(work, self._tell))
        return done.result

    async def append(self, *events: Event) -> list[Event]:
        """Commit events whose truth depends on nothing that may change meanwhile."""
        return await self.commit(lambda tx: tx.append(*events))

    async def read(self, work: Callable[[Reader], T]) -> T:
        """Run a function on a consistent view of the store.

        Raises:
            RuntimeClosedError: the runtime was closed.
        """
        if self._closed:
            raise RuntimeClosedError
        try:
            return await self._mended(lambda: self.store.read(work))
        except EventDamagedError as error:
            await self.mark(error)
            raise

    def of_work(self, session_id: str) -> "WorkLog":
        """Return the log as the work of a session uses it, which nobody waits for."""
        return WorkLog(self, session_id)

    # --- telling ------------------------------------------------------------------

    def _tell(self, done: _Committed[T]) -> None:
        # Bells first: they only mark their readers, who run after this.
        if self._bells and done.events:
            for session_id in {event.session_id for event in done.events}:
                self._ring(session_id, done)
            self._ring(None)
        for event in done.events:
            self.live.publish(event)
            for observe, foreign in tuple(self._observers):
                if done.imported and not foreign:
                    continue
                try:
                    observe(event)
                except Exception:
                    # Boundary: the event is durable, so its committer must not be
                    # told otherwise, and the other observers are told all the same.
                    logger.exception("an observer of the log failed at %r", event)
        self._sweep()

    def observe(
        self, observer: Callable[[Event], None], *, foreign: bool = True
    ) -> Callable[[], None]:
        """Call a function with every committed event of this process, in log order.

        Without ``foreign``, not with those that were made in another store. It must be
        quick and must not raise. Returns a function that ends it.
        """
        entry = (observer, foreign)
        self._observers.append(entry)
        return lambda: self._observers.remove(entry)

    def bell(self, session_id: str | None, *, room: int = 0) -> Bell:
        """Return a bell that rings after commits to a session, or to any session.

        It is forgotten when nobody holds it any more. While there is one, commits by
        other processes ring it too. That of a session with ``room`` for events
        keeps those that this process makes, as whoever reads them will have them.

        Raises:
            RuntimeClosedError: the runtime was closed.
        """
        if self._closed:
            raise RuntimeClosedError
        self._sweep()
        bell = Bell(room)
        self._bells.setdefault(session_id, WeakSet()).add(bell)
        finalize(bell, self._dropped.append, session_id).atexit = False
        if self._end_watch is None:
            self._end_watch = self.store.watch(self._somebody_committed)
        return bell

    def forget_bell(self, session_id: str | None, bell: Bell) -> None:
        """Forget a bell now. Twice is once."""
        self._bells.get(session_id, WeakSet()).discard(bell)
        self._dropped.append(session_id)
        self._sweep()

    def _ring(
        self, session_id: str | None, done: _Committed[Any] | None = None
    ) -> None:
        bells = self._bells.get(session_id)
        if bells is not None:
            events = None
            if done is not None and not done.imported:
                events = [one for one in done.events if one.session_id == session_id]
            for bell in tuple(bells):
                bell.ring(events)

    def _sweep(self) -> None:
        """Forget where no bell is left, and stop watching when there is none at all.

        Here and not where a bell is collected, which may be in any thread.
        """
        while self._dropped:
            session_id = self._dropped.popleft()
            if not self._bells.get(session_id, True):
                del self._bells[session_id]
        if self._end_watch and not self._bells:
            self._end_watch()
            self._end_watch = None

    def _somebody_committed(self) -> None:
        # Who committed what is not known: every reader looks once.
        for session_id in tuple(self._bells):
            self._ring(session_id)
        self._sweep()

    def close(self) -> None:
        """Refuse commits and stop telling. The store is closed by whoever opened it."""
        self._closed = True
        self.patience.end()
        if self._end_watch:
            self._end_watch()
            self._end_watch = None
        self.live.close()
        for bells in tuple(self._bells.values()):
            for bell in tuple(bells):
                bell.close()
        self._bells.clear()


class WorkLog:
    """The log as the work of one session uses it: a store that refuses is asked again.

    So the work stands still for as long as a store is locked or full, and loses nothing
    of what it holds. Otherwise as ``EventLog``.
    """

    def __init__(self, log: EventLog, session_id: str) -> None:
        self._log = log
        self._session_id = session_id
        self.clock = log.clock
        self.live = log.live
        self.lookout = log.lookout

    async def commit(self, decide: Callable[[LogTransaction], T]) -> T:
        """As ``EventLog.commit``. What waits is in no order with what comes after it:
        whoever relies on one commit being there waits for it."""
        return await self._log.patience.outlast(
            self._session_id, lambda: self._log.commit(decide)
        )

    async def append(self, *events: Event) -> list[Event]:
        """As ``EventLog.append``."""
        return await self.commit(lambda tx: tx.append(*events))

    async def read(self, work: Callable[[Reader], T]) -> T:
        """As ``EventLog.read``."""
        return await self._log.patience.outlast(
            self._session_id, lambda: self._log.read(work)
        )


def _mend_rows(session_id: str, rows: Transaction) -> None:
    mend(rows, session_id)
