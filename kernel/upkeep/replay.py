"""Replay: carrying a session's log to another store, event by event.

Owns the form in which an event travels, and what a foreign log must keep to be written
here (law events.7). Everything is checked before anything is written, and one replay is
one transaction: refused means that nothing has changed. What is stored already is
compared and skipped, so that repeating a replay is harmless.

Ownership: the first replay that names an owner makes the log its replica. From then on
only that owner may replay into it, and nothing here may append to it: two writers of
one log would part at the next event, and a replica that executed would repeat what its
origin does. ``release`` makes it an ordinary log, which is how a session moves.

What is replayed is data. It brings no authority: an answer, an acceptance, a budget, a
Baseline or a process that another store recorded decides nothing here, and what waits
for a person there is asked again here when its call goes on (law access.12). The store
remembers which events those are.

Travelling with a log: prompts under a key are known at the other end as well, with the
same receipt (law inbox.3), and, where that is asked for, the complete outputs behind
``managed``, each checked by its size and hash (``outputs``). Not travelling: leases and
saved approvals.
"""

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from ..log.chain import Chain, payload_of
from ..log.commit import EventLog, LogTransaction
from ..log.grammar import Grammar
from ..log.mending import remember
from ..log.reading import PAGE, existing_head
from ..log.reduction import is_reduced, seal
from ..log.tail import Following
from ..ports import EventRecord, Reader
from ..values.codec import check_depth, dumps, from_json, loads, to_json
from ..values.errors import (
    EventAggregateError,
    EventDamagedError,
    EventDivergedError,
    EventGapError,
    EventOwnerError,
    SessionRemovedError,
    UndecodableError,
)
from ..values.events import (
    NO_HASH,
    Event,
    PromptAdmitted,
    SessionCreated,
    SessionPruned,
    chain_hash,
    decode_event,
    encode_event,
)
from ..values.frozen import frozen
from ..values.ids import check_caller_id
from ..values.tool import Json
from .outputs import LARGEST_TOGETHER, ExportedOutput, bring, checked as checked_output

ENVELOPE = ("session_id", "seq", "kind", "version", "created")
OWN = ("data", "hash", "digest")
OUTPUT = {"session_id", "seq", "key", "size", "text"}
AROUND = 16
"""Levels of an event around the JSON data of others that it holds."""


@frozen
class ExportedEvent:
    """One event as it travels. As JSON, the same names."""

    session_id: str
    """The session that it belongs to."""
    seq: int
    """Its number in the log of its session: from 0, without gaps."""
    kind: str
    """What kind of event it is."""
    version: int
    """The version of its kind that ``data`` is of."""
    created: int
    """Milliseconds since 1970."""
    data: Json
    """The event's own fields, as they are stored."""
    hash: str | None = None
    """The event's place in the hash chain, in hexadecimal. None when it is not known,
    as in the lines of ``log --json``: then it is computed, and vouches for nothing."""
    digest: str | None = None
    """SHA-256 of the data that retention removed, in hexadecimal."""

    @classmethod
    def from_line(cls, line: str | bytes) -> "ExportedEvent":
        """Return the event that one line of JSON says.

        Lines of an export are read, and those of ``log --json``.

        Raises:
            UndecodableError: it is neither.
            EventKindError, EventVersionError, EventDamagedError: it is a line of
                ``log --json`` that this release cannot read.
        """
        return cls.from_data(loads(line))

    @classmethod
    def from_data(cls, found: Json) -> "ExportedEvent":
        """Return the event that such a line's JSON data says. Raises the same."""
        check_depth("exported event", found, AROUND)
        if not isinstance(found, dict):
            raise UndecodableError("exported event", ["$: expected an object"])
        if "data" in found and found.keys() <= {*ENVELOPE, *OWN}:
            return from_json(found, cls, "exported event")
        return _from_shown(found)

    def to_line(self) -> str:
        """Return the event as one line of JSON, without its end."""
        return dumps(to_json(self)).decode()


def exported_from_line(line: str | bytes) -> ExportedEvent | ExportedOutput:
    """Return what one line of an export with outputs says.

    Raises: as ``ExportedEvent.from_line``, and
        UndecodableError: it is an output whose text is not what its key and size say.
    """
    found = loads(line)
    if isinstance(found, dict) and found.keys() == OUTPUT:
        return ExportedOutput.from_json(found)
    return ExportedEvent.from_data(found)


def _from_shown(shown: dict[str, Any]) -> ExportedEvent:
    own = {name: value for name, value in shown.items() if name not in ENVELOPE}
    envelope = {name: shown.get(name) for name in ENVELOPE}
    made = from_json({**envelope, "data": {}}, ExportedEvent, "shown event")
    event = decode_event(
        made.kind, made.version, dumps(own), made.session_id, made.seq, made.created
    )
    if isinstance(event, SessionPruned):
        raise EventDamagedError(
            made.session_id,
            made.seq,
            "what was removed before it is only told by an export",
        )
    return ExportedEvent(
        session_id=made.session_id,
        seq=made.seq,
        kind=event.kind,
        version=event.version,
        created=made.created,
        data=loads(encode_event(event)),
    )


# --- export -----------------------------------------------------------------------


class Export(Following[EventRecord, ExportedEvent]):
    """A session's log as it travels, after a cursor, checked on the way.

    Raises (while iterating): as ``Tail``, and
        EventDamagedError: the log is damaged from this event on; see ``verify``.
    """

    def __init__(
        self, log: EventLog, session_id: str, after: int | None, *, follow: bool
    ) -> None:
        super().__init__(log, session_id, after, follow=follow)
        self._session_id = session_id
        self._chain: Chain | None = None

    def __repr__(self) -> str:
        return f"<Export of {self._session_id!r} after {self._cursor}>"

    def _read(self, rows: Reader) -> Sequence[EventRecord]:
        if self._chain is None:
            self._chain = _chain_at(rows, self._session_id, self._cursor)
        existing_head(rows, self._session_id)
        return rows.events(self._session_id, after=self._cursor, limit=PAGE)

    def _place(self, record: EventRecord) -> int:
        return record.seq

    def _shown(self, record: EventRecord) -> ExportedEvent:
        assert self._chain is not None
        problem = self._chain.problem(record)
        if problem is not None:
            # Whoever asks on is told again, not given what comes behind the damage.
            self._rewind(self._chain.seq)
            raise EventDamagedError(self._session_id, self._chain.seq + 1, problem)
        data = loads(record.data)
        if dumps(data) != record.data:
            self._rewind(self._chain.seq - 1)
            self._chain = None
            raise EventDamagedError(
                self._session_id, record.seq, "its JSON is not written as ours is"
            )
        return ExportedEvent(
            session_id=record.session_id,
            seq=record.seq,
            kind=record.kind,
            version=record.version,
            created=record.created,
            data=data,
            hash=record.hash.hex(),
            digest=record.digest[:32].hex() if record.digest else None,
        )


def _chain_at(rows: Reader, session_id: str, seq: int) -> Chain:
    """Return the chain as it is after a stored event, which is taken as sound."""
    found = (
        rows.events(session_id, after=seq - 1, limit=1, upto=seq) if seq >= 0 else ()
    )
    return Chain(session_id, seq, found[0].hash) if found else Chain(session_id, seq)


# --- replay -----------------------------------------------------------------------


@frozen
class Replayed:
    """What one replay came to."""

    session_id: str
    """Which session it is."""
    accepted: int
    """How many events were new."""
    seq: int
    """Where the log ends now."""
    outputs: int = 0
    """How many complete outputs were new."""


class Replay:
    """Foreign events of one log, in order, on their way into the store.

    Making one checks what can be checked without the store.

    Raises:
        EventAggregateError: they are of more than one session.
        EventGapError: they are not numbered one by one.
        EventKindError, EventVersionError: one is unknown to this release.
        EventDamagedError: one does not decode, or is not where its kind belongs.
        InvalidValueError: the session id or owner is not usable.
        UndecodableError: an event is not made as its type says.
    """

    def __init__(
        self,
        events: Sequence[ExportedEvent],
        owner: str | None = None,
        outputs: Sequence[ExportedOutput] = (),
    ) -> None:
        assert events
        if owner is not None:
            check_caller_id("owner", owner)
        first = _checked(events[0])
        self.session_id = check_caller_id("session id", first.session_id)
        self._owner = owner
        self._first = first.seq
        self._events: list[Event] = []
        self._records: list[EventRecord] = []
        for number, event in enumerate(events, self._first):
            self._take(_checked(event), number)
        self._outputs = [self._output(one) for one in outputs]
        if sum(one.size for one in self._outputs) > LARGEST_TOGETHER:
            problem = f"$.size: the outputs are over {LARGEST_TOGETHER} bytes together"
            raise UndecodableError("exported outputs", [problem])

    def _output(self, output: ExportedOutput) -> ExportedOutput:
        if output.session_id != self.session_id:
            raise EventAggregateError(
                output.session_id, output.seq, f"replayed with {self.session_id!r}"
            )
        return checked_output(output)

    def _take(self, event: ExportedEvent, number: int) -> None:
        if event.session_id != self.session_id:
            raise EventAggregateError(
                event.session_id, event.seq, f"replayed with {self.session_id!r}"
            )
        if event.seq != number or number < 0:
            raise EventGapError(
                self.session_id, event.seq, f"the next event of the replay is {number}"
            )
        data = dumps(event.data)
        decoded = decode_event(
            event.kind,
            event.version,
            data,
            event.session_id,
            event.seq,
            event.created,
        )
        if isinstance(decoded, SessionCreated) != (number == 0):
            raise EventDamagedError(
                self.session_id,
                number,
                "a log begins with session.created, and has no other",
            )
        record = EventRecord(
            session_id=event.session_id,
            seq=event.seq,
            kind=event.kind,
            version=event.version,
            created=event.created,
            data=data,
            hash=self._bytes(event, event.hash) if event.hash is not None else b"",
        )
        if event.digest is not None:
            digest = seal(self._bytes(event, event.digest), data)
            record = evolve(record, digest=digest)
            if not is_reduced(record):
                raise EventDamagedError(
                    self.session_id, number, "it is not what retention leaves"
                )
        self._events.append(decoded)
        self._records.append(record)

    def _bytes(self, event: ExportedEvent, text: str) -> bytes:
        try:
            found = bytes.fromhex(text)
        except ValueError:
            found = b""
        if len(found) != 32:
            raise EventDamagedError(
                event.session_id, event.seq, "a hash is 64 hexadecimal digits"
            )
        return found

    def commit(self, tx: LogTransaction) -> Replayed:
        """Write what is new of it, in a transaction.

        Raises:
            SessionRemovedError: the session was removed here.
            EventOwnerError: the log is another owner's replica.
            EventGapError: it begins after the end of what is stored.
            EventDivergedError: what is stored, or what it follows, is something else.
            EventDamagedError: it breaks its own hash chain, or an event of it does not
                follow from those before it or holds what none can, or left no output
                that came with it.
            SessionBusyError: the session is running here.
        """
        head = tx.head(self.session_id)
        if head.removed:
            raise SessionRemovedError(self.session_id)
        if head.owner not in (None, self._owner):
            raise EventOwnerError(
                self.session_id, self._first, f"the log is replayed by {head.owner!r}"
            )
        if self._first > head.seq + 1:
            raise EventGapError(
                self.session_id, self._first, f"the next event is {head.seq + 1}"
            )
        records = self._chained(tx.rows)
        self._compare(tx.rows, records, head.seq)
        known = head.seq + 1 - self._first
        fresh, events = records[known:], self._events[known:]
        if fresh:
            tx.check_idle(self.session_id)
            self._check_follows(tx.rows, events)
            tx.accept(fresh, events)
            tx.imports(self.session_id, fresh[0].seq, fresh[-1].seq)
            for event in events:
                if isinstance(event, PromptAdmitted):
                    remember(tx.rows, event)
            if self._owner is not None and head.owner is None:
                tx.rows.set_owner(self.session_id, self._owner)
        outputs = bring(tx, self.session_id, self._outputs)
        end = tx.head(self.session_id).seq
        return Replayed(self.session_id, len(fresh), end, outputs)

    def _check_follows(self, rows: Reader, events: Sequence[Event]) -> None:
        """Refuse what no log can hold in this place: every reader relies on it."""
        grammar = Grammar(rows, self.session_id)
        for event in events:
            problem = grammar.problem(event)
            if problem is not None:
                raise EventDamagedError(self.session_id, event.seq, problem)

    def _chained(self, rows: Reader) -> list[EventRecord]:
        """Return the records with their hashes, computed and compared."""
        previous = NO_HASH
        if self._first > 0:
            previous = _chain_at(rows, self.session_id, self._first - 1).hash
        made: list[EventRecord] = []
        for record in self._records:
            payload = payload_of(record)
            assert payload is not None
            found = chain_hash(
                previous,
                record.session_id,
                record.seq,
                record.kind,
                record.version,
                record.created,
                payload,
            )
            if record.hash and record.hash != found:
                if not made and record.seq > 0:
                    raise EventDivergedError(
                        self.session_id, record.seq, "it follows another event"
                    )
                raise EventDamagedError(
                    self.session_id, record.seq, "its hash is not that of its content"
                )
            previous = found
            made.append(evolve(record, hash=found))
        return made

    def _compare(self, rows: Reader, records: Sequence[EventRecord], upto: int) -> None:
        """Refuse what differs from what is stored under the same number."""
        after = self._first - 1
        while after < upto:
            page = rows.events(self.session_id, after=after, limit=PAGE, upto=upto)
            for stored in page:
                index = stored.seq - self._first
                if index >= len(records):
                    return
                if stored.hash != records[index].hash:
                    raise EventDivergedError(
                        self.session_id, stored.seq, "other content is stored here"
                    )
            if len(page) < PAGE:
                return
            after = page[-1].seq


def _checked(event: ExportedEvent) -> ExportedEvent:
    """Return an event that somebody made, when all of it is of the type it should be.

    Raises:
        UndecodableError: it is not.
    """
    for name, kinds in _TYPES.items():
        value = getattr(event, name)
        if type(value) not in kinds:
            problem = f"$.{name}: it is of type {type(value).__name__}"
            raise UndecodableError("exported event", [problem])
    check_depth("exported event", event.data, AROUND)
    return event


_TYPES: dict[str, tuple[type, ...]] = {
    "session_id": (str,),
    "seq": (int,),
    "kind": (str,),
    "version": (int,),
    "created": (int,),
    "hash": (str, type(None)),
    "digest": (str, type(None)),
}


# --- ownership --------------------------------------------------------------------


def claim(tx: LogTransaction, session_id: str, owner: str) -> None:
    """Make a log the replica of an owner. Twice is once.

    Raises:
        SessionNotFoundError: there is no such session.
        EventOwnerError: it is another owner's.
        SessionBusyError: the session is running here.
        InvalidValueError: the owner is not usable as an id.
    """
    check_caller_id("owner", owner)
    head = existing_head(tx.rows, session_id)
    if head.owner not in (None, owner):
        raise EventOwnerError(
            session_id, head.seq, f"the log is replayed by {head.owner!r}"
        )
    tx.check_idle(session_id)
    tx.rows.set_owner(session_id, owner)


def release(tx: LogTransaction, session_id: str) -> None:
    """Make a log an ordinary one, that is written here. Twice is once.

    Raises:
        SessionNotFoundError: there is no such session.
    """
    existing_head(tx.rows, session_id)
    tx.rows.set_owner(session_id, None)
