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

from .blobs import hold, keep, kept, let_go
from .checks import checksum, event_checksum, one_byte_off
from .database import MAX_INTEGER, Medium, View, bounded
from .large_values import is_shrunk, restore, shrink
from .statements import (
    ADD_AGGREGATE,
    ADD_EVENT,
    ALL_EVENTS,
    EVENTS,
    FACTS,
    KEEP_ASIDE,
    LAST_AGGREGATE,
    LAST_BEFORE,
    LAST_POSITIONS,
    LOGS,
    NUMBER_PLACE,
    OCCUPANT,
    ONE_ASIDE,
    ORPHANS,
    PLACE,
    PUT_PLACE,
    REMOVE_DATA,
    SET_ASIDE,
    TAKE_ONE_OUT,
    TAKE_OUT,
)

CHANGED = "what is stored of it is not what was written"


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
        found = self.checked("aggregate", session_id, PLACE, (session_id,))
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
        rows = self.all(EVENTS, values)
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
        return [self._fact(session_id, row) for row in self.all(FACTS, values)]

    def all_events(self, after: int = -1, limit: int = 512) -> Sequence[EventRecord]:
        values = (bounded(after), max(0, bounded(limit)))
        return [
            self._record(session_id, row)
            for session_id, *row in self.all(ALL_EVENTS, values)
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
        found = self.all(SET_ASIDE, (session_id,))
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
        found = self.all(LOGS, (bounded(after), max(0, bounded(limit))))
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
            before = self.one(OCCUPANT, (aggregate, record.seq))
            if before is None:
                continue
            seq, kind, version, created, data, _ = before
            sum = event_checksum(
                record.session_id, seq, kind, version, created, record.data
            )
            values = (record.data, record.digest, sum, aggregate, record.seq)
            self.write(REMOVE_DATA, values)
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
        found = self.one(PLACE, (session_id,))
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
            self.write(NUMBER_PLACE, (fits.id, raw.id))
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
        orphans = [row[0] for row in self.all(ORPHANS, ())]
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
        before = self.one(LAST_BEFORE, (aggregate, first))
        count = -1 if before is None or before[0] is None else before[0]
        if found is None or count + 1 != first:
            raise EventGapError(session_id, first, f"the log has {count + 1} events")
        self.write(KEEP_ASIDE, (aggregate, first))
        self.write(TAKE_OUT, (aggregate, first))
        given = [position or 0 for (position,) in self.all(LAST_POSITIONS, ())]
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
        last = self.one(LAST_AGGREGATE, ())
        place = AggregateRow(((last and last[0]) or 0) + 1, seq, hash)
        values = (place.id, session_id, *place[1:], _place_sum(session_id, place))
        self.write(ADD_AGGREGATE, values)
        self._places[session_id] = place
        return place.id

    def change_place(self, session_id: str, **columns: Any) -> None:
        """Write something of a session's place, beside its key."""
        found = self.place(session_id)
        assert found is not None
        self._put_place(session_id, found._replace(**columns))

    def _put_place(self, session_id: str, place: AggregateRow) -> None:
        self.write(PUT_PLACE, (*place[1:], _place_sum(session_id, place), place.id))
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
            self.write(ADD_EVENT, values)
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
            self.write(ADD_EVENT, values)
        for digest in parts:
            hold(self, record.session_id, aggregate, record.seq, digest)

    def _clear(self, aggregate: int | None, record: EventRecord) -> bool:
        """Set aside what is no event of this log from where one goes; say if it was."""
        place = (aggregate, record.seq)
        found = self.one(OCCUPANT, place)
        if found is None or self._data(record.session_id, found, found[5])[1] is None:
            return False
        self.write(ONE_ASIDE, place)
        self.write(TAKE_ONE_OUT, place)
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
