"""The event log and the heads of the aggregates in it.

Owns the tables ``aggregate``, ``event`` and ``set_aside``: appending, reading in order,
who may replay, what was taken out. Knows nothing of what an event says.
"""

import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from dovetail.kernel.ports import EventRecord, Head, StoredFact
from dovetail.kernel.values.errors import (
    EventAggregateError,
    EventDivergedError,
    EventGapError,
)
from dovetail.kernel.values.events import NO_HASH
from peewee import SQL, fn

from .blobs import hold, keep, kept, let_go
from .database import MAX_INTEGER, Medium, View, bounded
from .large_values import is_shrunk, restore, shrink
from .tables import Aggregate, Event, SetAside, insertion, render, slot, slots

AGGREGATE_OF = Aggregate.select(Aggregate.id).where(
    Aggregate.session_id == slot("session_id")
)
"""For other modules: the key of a session, as a part of a larger query."""

_CONTENT = (
    Event.seq,
    Event.kind,
    Event.version,
    Event.created,
    Event.data,
    Event.hash,
    Event.digest,
    Event.position,
)

_PLACE = render(
    Aggregate.select(*slots(Aggregate, "session_id")).where(
        Aggregate.session_id == slot("session_id")
    ),
    "session_id",
)
_EVENTS = render(
    Event.select(*_CONTENT)
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
_FACTS = render(
    Event.select(Event.seq, Event.kind, Event.version, Event.created, Event.data)
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
_ALL_EVENTS = render(
    Event.select(Aggregate.session_id, *_CONTENT)
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
_KEEP_ASIDE = render(
    SetAside.insert_from(
        Event.select(Event.aggregate, *_CONTENT).where(_DAMAGED).order_by(Event.seq),
        (
            SetAside.aggregate,
            SetAside.seq,
            SetAside.kind,
            SetAside.version,
            SetAside.created,
            SetAside.data,
            SetAside.hash,
            SetAside.digest,
            SetAside.position,
        ),
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
_DATA_SIZE = render(
    Event.select(fn.LENGTH(Event.data)).where(
        Event.aggregate == slot("aggregate"), Event.seq == slot("seq")
    ),
    "aggregate",
    "seq",
)
_REMOVE_DATA = render(
    Event.update({Event.data: slot("data"), Event.digest: slot("digest")}).where(
        Event.aggregate == slot("aggregate"), Event.seq == slot("seq")
    ),
    "data",
    "digest",
    "aggregate",
    "seq",
)
_ADD_AGGREGATE = insertion(Aggregate, "id", "owner", "worker", "fence", "expires")
_ADD_EVENT = insertion(Event)
_LAST_POSITIONS = render(
    Event.select(fn.MAX(Event.position)).union_all(
        SetAside.select(fn.MAX(SetAside.position))
    )
)
_MOVE_HEAD = render(
    Aggregate.update({Aggregate.seq: slot("seq"), Aggregate.hash: slot("hash")}).where(
        Aggregate.id == slot("id")
    ),
    "seq",
    "hash",
    "id",
)
_SET_OWNER = render(
    Aggregate.update({Aggregate.owner: slot("owner")}).where(
        Aggregate.id == slot("id")
    ),
    "owner",
    "id",
)


class Place(NamedTuple):
    """What is written of a session with every commit: its key, its head, its lease."""

    id: int
    seq: int
    hash: bytes
    owner: str | None = None
    worker: str | None = None
    fence: int | None = None
    expires: int = 0


class EventReads(View):
    """Reading the log."""

    def place(self, session_id: str) -> Place | None:
        """Return the place of a session, or None where it has none yet."""
        found = self.one(_PLACE, (session_id,))
        return None if found is None else Place._make(found)

    def head(self, session_id: str) -> Head | None:
        found = self.place(session_id)
        if found is None:
            return None
        # A row without events and without an owner only keeps the session's place.
        if found.seq < 0 and found.owner is None:
            return None
        return Head(found.seq, found.hash, found.owner)

    def events(
        self,
        session_id: str,
        after: int = -1,
        limit: int = 512,
        upto: int | None = None,
    ) -> Sequence[EventRecord]:
        last = MAX_INTEGER if upto is None else bounded(upto)
        values = (session_id, bounded(after), last, max(0, bounded(limit)))
        rows = self._whole(self.all(_EVENTS, values), 4)
        return [EventRecord(session_id, *row) for row in rows]

    def facts(
        self,
        session_id: str,
        after: int = -1,
        limit: int = 512,
        upto: int | None = None,
    ) -> Sequence[StoredFact]:
        last = MAX_INTEGER if upto is None else bounded(upto)
        values = (session_id, bounded(after), last, max(0, bounded(limit)))
        facts: Sequence[Any] = self._whole(self.all(_FACTS, values), 4)
        return facts

    def all_events(self, after: int = -1, limit: int = 512) -> Sequence[EventRecord]:
        values = (bounded(after), max(0, bounded(limit)))
        rows = self._whole(self.all(_ALL_EVENTS, values), 5)
        return [EventRecord(*row) for row in rows]

    def _whole(
        self, rows: Sequence[tuple[Any, ...]], column: int
    ) -> Sequence[tuple[Any, ...]]:
        """Return rows with the long texts of their data put back."""
        if not any(is_shrunk(row[column]) for row in rows):
            return rows
        return [
            (
                *row[:column],
                restore(row[column], partial(kept, self)),
                *row[column + 1 :],
            )
            for row in rows
        ]

    def events_set_aside(self, session_id: str) -> Sequence[EventRecord]:
        found = self._whole(self.all(_SET_ASIDE, (session_id,)), 4)
        return [EventRecord(session_id, *row) for row in found]

    def logs(self, after: int = -1, limit: int = 512) -> Sequence[tuple[int, str]]:
        found = self.all(_LOGS, (bounded(after), max(0, bounded(limit))))
        return [(place, session_id) for place, session_id in found]


class EventWrites(EventReads):
    """Appending to the log, and the key of a session for all other writes."""

    def __init__(self, connection: sqlite3.Connection, medium: Medium) -> None:
        super().__init__(connection, medium)
        # Nobody else can write meanwhile, so what was read stays true.
        self._places: dict[str, Place] = {}

    def place(self, session_id: str) -> Place | None:
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
            self._move_head(found, last)
        for record in records:
            self._add(aggregate, record)

    def set_owner(self, session_id: str, owner: str | None) -> None:
        """See ``Transaction.set_owner``. A log can be claimed while it is empty."""
        if owner is None and self.known(session_id) is None:
            return
        self.write(_SET_OWNER, (owner, self.aggregate(session_id)))
        self.changed(session_id, owner=owner)

    def remove_data(self, records: Sequence[EventRecord]) -> int:
        """See ``Transaction.remove_data``."""
        freed = 0
        for record in records:
            aggregate = self.known(record.session_id)
            before = self.one(_DATA_SIZE, (aggregate, record.seq))
            if before is None:
                continue
            values = (record.data, record.digest, aggregate, record.seq)
            self.write(_REMOVE_DATA, values)
            freed += before[0] - len(record.data)
            freed += let_go(self, aggregate, record.seq)
        return freed

    def hold_blob(self, session_id: str, seq: int, digest: str) -> None:
        """See ``Transaction.hold_blob``."""
        hold(self, self.aggregate(session_id), seq, digest)

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
        self._move_head(found, records[-1])

    def known(self, session_id: str) -> int | None:
        """Return the key of a session, or None where it has none yet."""
        found = self.place(session_id)
        return None if found is None else found.id

    def aggregate(self, session_id: str) -> int:
        """Return the key of a session, giving it one where it has none yet."""
        found = self.known(session_id)
        return self._add_place(session_id, -1, NO_HASH) if found is None else found

    def _add_place(self, session_id: str, seq: int, hash: bytes) -> int:
        made = self.write(_ADD_AGGREGATE, (session_id, seq, hash)).lastrowid
        assert made is not None
        self._places[session_id] = Place(made, seq, hash)
        return made

    def changed(self, session_id: str, **columns: Any) -> None:
        """Remember what was written of a session's place, beside its key."""
        self._places[session_id] = self._places[session_id]._replace(**columns)

    def _move_head(self, place: Place, last: EventRecord) -> None:
        self.write(_MOVE_HEAD, (last.seq, last.hash, place.id))
        moved = Place(place.id, last.seq, last.hash, *place[3:])
        self._places[last.session_id] = moved

    def _add(
        self, aggregate: int | None, record: EventRecord, position: int | None = None
    ) -> None:
        parts: list[str] = []
        values = (
            position,
            aggregate,
            record.seq,
            record.kind,
            record.version,
            record.created,
            shrink(record.data, partial(self._keep, parts)),
            record.hash,
            record.digest,
        )
        try:
            self.write(_ADD_EVENT, values)
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_UNIQUE:
                raise
            # Part of this append may be written: the transaction must not go on.
            raise self.spoil(
                EventDivergedError(
                    record.session_id, record.seq, "it is stored already, past the head"
                )
            ) from error
        for digest in parts:
            hold(self, aggregate, record.seq, digest)

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
