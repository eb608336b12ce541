"""The event log and the heads of the aggregates in it.

Owns the tables ``aggregate``, ``event`` and ``set_aside``: appending, reading in order,
who may replay, what was taken out. Knows nothing of what an event says.
"""

import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from dovetail.kernel.ports import EventRecord, Head, StoredFact
from dovetail.kernel.values.codec import dumps, loads
from dovetail.kernel.values.errors import (
    EventAggregateError,
    EventDivergedError,
    EventGapError,
    RowDamagedError,
)
from dovetail.kernel.values.events import NO_HASH
from peewee import SQL, fn

from .blobs import hold, keep, kept, let_go
from .checks import checksum, event_checksum, one_byte_off
from .database import MAX_INTEGER, Medium, View, bounded
from .large_values import is_shrunk, restore, shrink
from .tables import Aggregate, Event, SetAside, insertion, render, slot, slots

CHANGED = "what is stored of it is not what was written"

AGGREGATE_OF = Aggregate.select(Aggregate.id).where(
    Aggregate.session_id == slot("session_id")
)
"""For other modules: the key of a session, as a part of a larger query."""

_FACT = (Event.seq, Event.kind, Event.version, Event.created, Event.data)
_CONTENT = (*_FACT, Event.hash, Event.digest, Event.position)
_HEAD_OF = Aggregate.select(Aggregate.seq).where(
    Aggregate.session_id == slot("session_id")
)

_PLACE = render(
    Aggregate.select(*slots(Aggregate, "session_id")).where(
        Aggregate.session_id == slot("session_id")
    ),
    "session_id",
)
_EVENTS = render(
    Event.select(*_CONTENT, Event.checksum)
    .where(
        Event.aggregate == AGGREGATE_OF,
        Event.seq > slot("after"),
        Event.seq <= slot("upto"),
    )
    .order_by(Event.seq)
    .limit(slot("limit")),
    "session_id",
    "after",
    "upto",
    "limit",
)
# What stands past the end of a log is not of it: it came there from elsewhere.
_FACTS = render(
    Event.select(*_FACT, Event.checksum)
    .where(
        Event.aggregate == AGGREGATE_OF,
        Event.seq > slot("after"),
        Event.seq <= slot("upto"),
        Event.seq <= _HEAD_OF,
    )
    .order_by(Event.seq)
    .limit(slot("limit")),
    "session_id",
    "after",
    "upto",
    "session_id",
    "limit",
)
_ALL_EVENTS = render(
    Event.select(Aggregate.session_id, *_CONTENT, Event.checksum)
    .join(Aggregate, on=(Event.aggregate == Aggregate.id))
    .where(Event.position > slot("after"))
    .order_by(Event.position)
    .limit(slot("limit")),
    "after",
    "limit",
)
_LOGS = render(
    Aggregate.select(Aggregate.id, Aggregate.session_id)
    .where(Aggregate.id > slot("after"))
    .order_by(Aggregate.id)
    .limit(slot("limit")),
    "after",
    "limit",
)
_SET_ASIDE = render(
    SetAside.select(
        SetAside.seq,
        SetAside.kind,
        SetAside.version,
        SetAside.created,
        SetAside.data,
        SetAside.hash,
        SetAside.digest,
        SetAside.position,
    )
    .where(SetAside.aggregate == AGGREGATE_OF)
    .order_by(SetAside.number),
    "session_id",
)
# A number below 0 is damage too: it is in nobody's way, and belongs to what is moved.
_DAMAGED = (Event.aggregate == slot("aggregate")) & (
    (Event.seq >= slot("first")) | (Event.seq < SQL("0"))
)
_ASIDE = (
    SetAside.aggregate,
    SetAside.seq,
    SetAside.kind,
    SetAside.version,
    SetAside.created,
    SetAside.data,
    SetAside.hash,
    SetAside.digest,
    SetAside.position,
)
_KEEP_ASIDE = render(
    SetAside.insert_from(
        Event.select(Event.aggregate, *_CONTENT).where(_DAMAGED).order_by(Event.seq),
        _ASIDE,
    ),
    "aggregate",
    "first",
)
_TAKE_OUT = render(Event.delete().where(_DAMAGED), "aggregate", "first")
_LAST_BEFORE = render(
    Event.select(fn.MAX(Event.seq)).where(
        Event.aggregate == slot("aggregate"),
        Event.seq >= SQL("0"),
        Event.seq < slot("first"),
    ),
    "aggregate",
    "first",
)
_REMOVE_DATA = render(
    Event.update(
        {
            Event.data: slot("data"),
            Event.digest: slot("digest"),
            Event.checksum: slot("checksum"),
        }
    ).where(Event.aggregate == slot("aggregate"), Event.seq == slot("seq")),
    "data",
    "digest",
    "checksum",
    "aggregate",
    "seq",
)
_LAST_AGGREGATE = render(Aggregate.select(fn.MAX(Aggregate.id)))
_ADD_AGGREGATE = insertion(Aggregate)
_ADD_EVENT = insertion(Event)
_LAST_POSITIONS = render(
    Event.select(fn.MAX(Event.position)).union_all(
        SetAside.select(fn.MAX(SetAside.position))
    )
)
_PLACED = slots(Aggregate, "id", "session_id")
_PUT_PLACE = render(
    Aggregate.update(_PLACED).where(Aggregate.id == slot("id")),
    *[one.name for one in _PLACED],
    "id",
)
_NUMBER_PLACE = render(
    Aggregate.update({Aggregate.id: slot("new")}).where(Aggregate.id == slot("id")),
    "new",
    "id",
)
# Numbers that events have and no session.
_ORPHANS = render(
    Event.select(Event.aggregate)
    .distinct()
    .where(Event.aggregate.not_in(Aggregate.select(Aggregate.id)))
)
# Who stands where the next event goes came from elsewhere, if it is not sound.
_OCCUPANT = render(
    Event.select(*_FACT, Event.checksum).where(
        Event.aggregate == slot("aggregate"), Event.seq == slot("seq")
    ),
    "aggregate",
    "seq",
)
_ONE_ASIDE = render(
    SetAside.insert_from(
        Event.select(Event.aggregate, *_CONTENT).where(
            Event.aggregate == slot("aggregate"), Event.seq == slot("seq")
        ),
        _ASIDE,
    ),
    "aggregate",
    "seq",
)
_TAKE_ONE_OUT = render(
    Event.delete().where(
        Event.aggregate == slot("aggregate"), Event.seq == slot("seq")
    ),
    "aggregate",
    "seq",
)


class AggregateRow(NamedTuple):
    """What is written of a session with every commit: its key, its head, its lease."""

    id: int
    seq: int
    hash: bytes
    owner: str | None = None
    worker: str | None = None
    fence: int | None = None
    renewals: int | None = None
    lasts: int | None = None
    renewed: int | None = None
    process: str | None = None
    imported: str | None = None
    damaged: int | None = None


LEASE = ("worker", "fence", "renewals", "lasts", "renewed", "process")
"""What of a place is its lease."""


class EventReads(View):
    """Reading the log."""

    def place(self, session_id: str) -> AggregateRow | None:
        """Return the place of a session, or None where it has none yet.

        Raises:
            RowDamagedError: what is stored of it is not what was written.
        """
        found = self.checked("aggregate", session_id, _PLACE, (session_id,))
        return None if found is None else AggregateRow._make(found)

    def has_sound_place(self, session_id: str) -> bool:
        """Return whether the session can be found at all by this id."""
        try:
            return self.place(session_id) is not None
        except RowDamagedError:
            return False

    def head(self, session_id: str) -> Head | None:
        found = self.place(session_id)
        if found is None:
            return None
        # A row without events and without an owner only keeps the session's place.
        if found.seq < 0 and found.owner is None:
            return None
        return Head(
            found.seq, found.hash, found.owner, _runs(found.imported), found.damaged
        )

    def events(
        self,
        session_id: str,
        after: int = -1,
        limit: int = 512,
        upto: int | None = None,
    ) -> Sequence[EventRecord]:
        last = MAX_INTEGER if upto is None else bounded(upto)
        values = (session_id, bounded(after), last, max(0, bounded(limit)))
        rows = self.all(_EVENTS, values)
        return [self._record(session_id, row) for row in rows]

    def facts(
        self,
        session_id: str,
        after: int = -1,
        limit: int = 512,
        upto: int | None = None,
    ) -> Sequence[StoredFact]:
        last = MAX_INTEGER if upto is None else bounded(upto)
        values = (session_id, bounded(after), last, session_id, max(0, bounded(limit)))
        return [self._fact(session_id, row) for row in self.all(_FACTS, values)]

    def all_events(self, after: int = -1, limit: int = 512) -> Sequence[EventRecord]:
        values = (bounded(after), max(0, bounded(limit)))
        return [
            self._record(session_id, row)
            for session_id, *row in self.all(_ALL_EVENTS, values)
        ]

    def _fact(self, session_id: str, row: Sequence[Any]) -> StoredFact:
        """Return what an event says, with the long texts of its data put back."""
        seq, kind, version, created = row[:4]
        return (seq, kind, version, created, *self._data(session_id, row, row[5]))

    def _data(
        self, session_id: str, row: Sequence[Any], checksum: object
    ) -> tuple[bytes, str | None]:
        seq, kind, version, created, data = row[:5]
        try:
            found = event_checksum(session_id, seq, kind, version, created, data)
        except TypeError:
            return b"", CHANGED
        if found != checksum:
            return data, CHANGED
        # Where a text of it is lost, what is left is no JSON, and told as such.
        return self._restored(data), None

    def _record(self, session_id: str, row: Sequence[Any]) -> EventRecord:
        seq, kind, version, created, _, hash, digest, position, checksum = row
        data, problem = self._data(session_id, row, checksum)
        if not isinstance(hash, bytes) or not isinstance(digest, bytes | None):
            hash, digest, problem = b"", None, problem or CHANGED
        return EventRecord(
            session_id,
            seq,
            kind,
            version,
            created,
            data,
            hash,
            digest,
            position,
            problem,
        )

    def events_set_aside(self, session_id: str) -> Sequence[EventRecord]:
        found = self.all(_SET_ASIDE, (session_id,))
        return [
            EventRecord(
                session_id,
                seq,
                kind,
                version,
                created,
                self._restored(data),
                hash,
                digest,
                position,
            )
            for seq, kind, version, created, data, hash, digest, position in found
        ]

    def _restored(self, data: bytes) -> bytes:
        return restore(data, partial(kept, self)) if is_shrunk(data) else data

    def logs(self, after: int = -1, limit: int = 512) -> Sequence[tuple[int, str]]:
        found = self.all(_LOGS, (bounded(after), max(0, bounded(limit))))
        return [(place, session_id) for place, session_id in found]


class EventWrites(EventReads):
    """Appending to the log, and the key of a session for all other writes."""

    def __init__(self, connection: sqlite3.Connection, medium: Medium) -> None:
        super().__init__(connection, medium)
        # Nobody else can write meanwhile, so what was read stays true.
        self._places: dict[str, AggregateRow] = {}

    def place(self, session_id: str) -> AggregateRow | None:
        known = self._places.get(session_id)
        if known is None:
            known = super().place(session_id)
            if known is not None:
                self._places[session_id] = known
        return known

    def append(self, records: Sequence[EventRecord]) -> None:
        """See ``Transaction.append``.

        Raises:
            EventGapError: the records do not follow the head, one by one.
            EventAggregateError: they are of more than one session.
            EventDivergedError: the log goes on after its head: it was changed from
                outside.
        """
        if not records:
            return
        session_id = records[0].session_id
        found = self.place(session_id)
        _check_numbers(records, session_id, found.seq + 1 if found else 0)
        last = records[-1]
        if found is None:
            aggregate = self._add_place(session_id, last.seq, last.hash)
        else:
            aggregate = found.id
            self.change_place(session_id, seq=last.seq, hash=last.hash)
        for record in records:
            self._add(aggregate, record)

    def set_owner(self, session_id: str, owner: str | None) -> None:
        """See ``Transaction.set_owner``. A log can be claimed while it is empty."""
        if owner is None and self.known(session_id) is None:
            return
        self.aggregate(session_id)
        self.change_place(session_id, owner=owner)

    def set_imported(
        self, session_id: str, imported: Sequence[tuple[int, int]]
    ) -> None:
        """See ``Transaction.set_imported``."""
        self.aggregate(session_id)
        text = dumps([list(run) for run in imported]).decode() if imported else None
        self.change_place(session_id, imported=text)

    def remove_data(self, records: Sequence[EventRecord]) -> int:
        """See ``Transaction.remove_data``."""
        freed = 0
        for record in records:
            aggregate = self.known(record.session_id)
            before = self.one(_OCCUPANT, (aggregate, record.seq))
            if before is None:
                continue
            seq, kind, version, created, data, _ = before
            sum = event_checksum(
                record.session_id, seq, kind, version, created, record.data
            )
            values = (record.data, record.digest, sum, aggregate, record.seq)
            self.write(_REMOVE_DATA, values)
            freed += len(data) - len(record.data)
            freed += let_go(self, aggregate, record.seq)
        return freed

    def hold_blob(self, session_id: str, seq: int, digest: str) -> None:
        """See ``Transaction.hold_blob``."""
        hold(self, session_id, self.aggregate(session_id), seq, digest)

    def set_damaged(self, session_id: str, seq: int | None) -> None:
        """See ``Transaction.set_damaged``."""
        self.change_place(session_id, damaged=seq)

    def mend_head(self, session_id: str, seq: int, hash: bytes) -> None:
        """See ``Transaction.mend_head``."""
        found = self.one(_PLACE, (session_id,))
        if found is None:
            self._add_place(session_id, seq, hash)
            return
        *columns, checksum = found
        raw = AggregateRow(*columns)
        fits = self._what_it_was(session_id, raw, seq, hash, checksum)
        if fits is None:
            # Of what cannot be told apart, whatever allows less.
            owner = raw.owner if isinstance(raw.owner, str) else None
            everything = dumps([[0, max(seq, 0)]]).decode()
            fits = raw._replace(owner=owner, imported=everything)
        if fits.id != raw.id:
            self.write(_NUMBER_PLACE, (fits.id, raw.id))
        fence = raw.fence
        fence = fence + 1 if isinstance(fence, int) and 0 <= fence < 2**62 else 1
        self._put_place(
            session_id,
            fits._replace(
                seq=seq,
                hash=hash,
                fence=fence,
                worker=None,
                renewals=0,
                lasts=0,
                renewed=0,
                process=None,
                damaged=None,
            ),
        )

    def _what_it_was(
        self,
        session_id: str,
        raw: AggregateRow,
        seq: int,
        hash: bytes,
        checksum: object,
    ) -> AggregateRow | None:
        """Return what a damaged place was, where that can be told by its sum.

        Or where nothing that counts was damaged: the sum itself, or the lease.
        """
        orphans = [row[0] for row in self.all(_ORPHANS, ())]
        tried: list[dict[str, Any]] = [
            {"seq": seq, "hash": hash},
            *({"id": id} for id in orphans),
            *({name: None} for name in ("owner", "imported", "damaged", *LEASE)),
            *(
                {name: other}
                for name in LEASE
                for other in one_byte_off(getattr(raw, name))
            ),
        ]
        for columns in tried:
            place = raw._replace(**columns)
            if _place_sum(session_id, place) == checksum:
                return place
        return raw if checksum in one_byte_off(_place_sum(session_id, raw)) else None

    def set_aside(self, records: Sequence[EventRecord]) -> None:
        """See ``Transaction.set_aside``."""
        if not records:
            return
        session_id, first = records[0].session_id, records[0].seq
        _check_numbers(records, session_id, first)
        found = self.place(session_id)
        aggregate = found.id if found else None
        before = self.one(_LAST_BEFORE, (aggregate, first))
        count = -1 if before is None or before[0] is None else before[0]
        if found is None or count + 1 != first:
            raise EventGapError(session_id, first, f"the log has {count + 1} events")
        self.write(_KEEP_ASIDE, (aggregate, first))
        self.write(_TAKE_OUT, (aggregate, first))
        given = [position or 0 for (position,) in self.all(_LAST_POSITIONS, ())]
        for position, record in enumerate(records, max(given) + 1):
            self._add(aggregate, record, position)
        self.change_place(session_id, seq=records[-1].seq, hash=records[-1].hash)

    def known(self, session_id: str) -> int | None:
        """Return the key of a session, or None where it has none yet."""
        found = self.place(session_id)
        return None if found is None else found.id

    def aggregate(self, session_id: str) -> int:
        """Return the key of a session, giving it one where it has none yet."""
        found = self.known(session_id)
        return self._add_place(session_id, -1, NO_HASH) if found is None else found

    def _add_place(self, session_id: str, seq: int, hash: bytes) -> int:
        # As SQLite would number it; the number is part of what is summed.
        last = self.one(_LAST_AGGREGATE, ())
        place = AggregateRow(((last and last[0]) or 0) + 1, seq, hash)
        values = (place.id, session_id, *place[1:], _place_sum(session_id, place))
        self.write(_ADD_AGGREGATE, values)
        self._places[session_id] = place
        return place.id

    def change_place(self, session_id: str, **columns: Any) -> None:
        """Write something of a session's place, beside its key."""
        found = self.place(session_id)
        assert found is not None
        self._put_place(session_id, found._replace(**columns))

    def _put_place(self, session_id: str, place: AggregateRow) -> None:
        self.write(_PUT_PLACE, (*place[1:], _place_sum(session_id, place), place.id))
        self._places[session_id] = place

    def _add(
        self, aggregate: int | None, record: EventRecord, position: int | None = None
    ) -> None:
        parts: list[str] = []
        data = shrink(record.data, partial(self._keep, parts))
        values = (
            position,
            aggregate,
            record.seq,
            record.kind,
            record.version,
            record.created,
            data,
            record.hash,
            record.digest,
            _sum(record, data),
        )
        try:
            self.write(_ADD_EVENT, values)
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_UNIQUE:
                raise
            if not self._clear(aggregate, record):
                # Part of this append may be written: the transaction must not go on.
                raise self.spoil(
                    EventDivergedError(
                        record.session_id,
                        record.seq,
                        "it is stored already, past the head",
                    )
                ) from error
            self.write(_ADD_EVENT, values)
        for digest in parts:
            hold(self, record.session_id, aggregate, record.seq, digest)

    def _clear(self, aggregate: int | None, record: EventRecord) -> bool:
        """Set aside what is no event of this log from where one goes; say if it was."""
        place = (aggregate, record.seq)
        found = self.one(_OCCUPANT, place)
        if found is None or self._data(record.session_id, found, found[5])[1] is None:
            return False
        self.write(_ONE_ASIDE, place)
        self.write(_TAKE_ONE_OUT, place)
        return True

    def _keep(self, parts: list[str], data: bytes) -> str:
        digest = keep(self, data)
        parts.append(digest)
        return digest


def _check_numbers(records: Sequence[EventRecord], session_id: str, first: int) -> None:
    for number, record in enumerate(records, first):
        if record.session_id != session_id:
            raise EventAggregateError(
                record.session_id, record.seq, f"appended with {session_id!r}"
            )
        if record.seq != number:
            raise EventGapError(session_id, record.seq, f"the next event is {number}")


def _runs(text: str | None) -> tuple[tuple[int, int], ...]:
    return tuple((first, last) for first, last in loads(text)) if text else ()


def _sum(record: EventRecord, data: bytes) -> int:
    return event_checksum(
        record.session_id, record.seq, record.kind, record.version, record.created, data
    )


def _place_sum(session_id: str, place: AggregateRow) -> int:
    return checksum((session_id, *place))
