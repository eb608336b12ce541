"""The event log: appending, reading in order, and what was taken out of it.

Owns the tables ``event`` and ``set_aside``, and of each aggregate where its log ends,
who may replay into it, and what came from elsewhere. Knows nothing of what an event
says.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from dovetail.kernel.ports import EventRecord, Head, SettledRow, StoredFact
from dovetail.kernel.values.codec import dumps, loads
from dovetail.kernel.values.errors import (
    EventAggregateError,
    EventDivergedError,
    EventGapError,
    StoreDamagedError,
)
from dovetail.kernel.values.shortcut import maker

from .aggregates import AggregateReads, AggregateWrites
from .blobs import hold, keep, kept, let_go
from .checks import event_checksum
from .large_values import is_shrunk, restore, shrink
from .view import MAX_INTEGER, TakenError, bounded

_head = maker(Head)

CHANGED = "what is stored of it is not what was written"


class LogReads(AggregateReads):
    """Reading the log; see ``ports.LogReader``."""

    def head(self, session_id: str) -> Head | None:
        found = self.aggregate_row(session_id)
        if found is None:
            return None
        # A row without events and without an owner only keeps the session's key.
        if found.seq < 0 and found.owner is None:
            return None
        return _head(
            found.seq,
            found.hash,
            found.owner,
            _runs(found.imported),
            found.damaged,
            found.removed is not None,
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
        rows = self.all(self.sql.EVENTS, values)
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
        return [self._fact(session_id, row) for row in self.all(self.sql.FACTS, values)]

    def settled(
        self, since: int, after: tuple[int, int] = (-1, -1), limit: int = 512
    ) -> Sequence[SettledRow]:
        position, seq = map(bounded, after)
        times = (bounded(since), bounded(since))
        values = (position, position, seq, *times, max(0, bounded(limit)))
        found = []
        for place, seq, session_id, directory, *events in self.all(
            self.sql.SETTLED, values
        ):
            first, last = (
                None if problem else data
                for data, problem in (
                    self._data(session_id, one, one[5])
                    for one in (events[:6], events[6:])
                )
            )
            told = (place, seq, session_id, directory, events[9])
            found.append(SettledRow(*told, first, last))
        return found

    def kinds(self, session_id: str) -> Mapping[str, int]:
        return dict(self.all(self.sql.KINDS, (session_id, session_id)))

    def all_events(self, after: int = -1, limit: int = 512) -> Sequence[EventRecord]:
        values = (bounded(after), max(0, bounded(limit)))
        return [
            self._record(session_id, row)
            for session_id, *row in self.all(self.sql.ALL_EVENTS, values)
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
        found = self.all(self.sql.SET_ASIDE, (session_id,))
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
        found = self.all(self.sql.LOGS, (bounded(after), max(0, bounded(limit))))
        return [(place, session_id) for place, session_id in found]


class LogWrites(AggregateWrites, LogReads):
    """Appending to the log, and what else may happen to it: see ``ports.LogWriter``."""

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
        found = self.aggregate_row(session_id)
        _check_numbers(records, session_id, found.seq + 1 if found else 0)
        last = records[-1]
        if found is None:
            aggregate = self.add_aggregate(session_id, last.seq, last.hash)
        else:
            aggregate = found.id
            self.change_head(session_id, last.seq, last.hash)
        first = self.next_position()
        for number, record in enumerate(records):
            self._add(aggregate, record, None if first is None else first + number)

    def set_owner(self, session_id: str, owner: str | None) -> None:
        """See ``Transaction.set_owner``. A log can be claimed while it is empty."""
        if owner is None and self.known(session_id) is None:
            return
        self.aggregate(session_id)
        self.change_aggregate(session_id, owner=owner)

    def set_imported(
        self, session_id: str, imported: Sequence[tuple[int, int]]
    ) -> None:
        """See ``Transaction.set_imported``."""
        self.aggregate(session_id)
        text = dumps([list(run) for run in imported]).decode() if imported else None
        self.change_aggregate(session_id, imported=text)

    def remove_data(self, records: Sequence[EventRecord]) -> int:
        """See ``Transaction.remove_data``."""
        freed = 0
        for record in records:
            aggregate = self.known(record.session_id)
            before = self.one(self.sql.OCCUPANT, (aggregate, record.seq))
            if before is None:
                continue
            seq, kind, version, created, data, _ = before
            sum = event_checksum(
                record.session_id, seq, kind, version, created, record.data
            )
            values = (record.data, record.digest, sum, aggregate, record.seq)
            self.write(self.sql.REMOVE_DATA, values)
            freed += len(data) - len(record.data)
            freed += let_go(self, aggregate, record.seq)
        return freed

    def set_damaged(self, session_id: str, seq: int | None) -> None:
        """See ``Transaction.set_damaged``."""
        self.change_aggregate(session_id, damaged=seq)

    def set_aside(self, records: Sequence[EventRecord]) -> None:
        """See ``Transaction.set_aside``."""
        if not records:
            return
        session_id, first = records[0].session_id, records[0].seq
        _check_numbers(records, session_id, first)
        found = self.aggregate_row(session_id)
        aggregate = found.id if found else None
        before = self.one(self.sql.LAST_BEFORE, (aggregate, first))
        count = -1 if before is None or before[0] is None else before[0]
        if found is None or count + 1 != first:
            raise EventGapError(session_id, first, f"the log has {count + 1} events")
        self.write(self.sql.KEEP_ASIDE, (aggregate, first))
        self.write(self.sql.TAKE_OUT, (aggregate, first))
        for position, record in enumerate(records, self._unused_position()):
            self._add(aggregate, record, position)
        self.change_head(session_id, records[-1].seq, records[-1].hash)

    def _add(
        self, aggregate: int | None, record: EventRecord, position: int | None
    ) -> None:
        parts: list[str] = []
        data = shrink(record.data, partial(self._keep, parts))
        said = (record.seq, record.kind, record.version, record.created)
        values: tuple[object, ...]
        values = (aggregate, *said, self.octets(data), self.octets(record.hash))
        if position is None and record.digest is None:
            # The usual one: the database numbers it, and nothing was taken out of it.
            sql = self.sql.APPEND_EVENT
        else:
            sql, values = self.sql.ADD_EVENT, (position, *values, record.digest)
        values = (*values, _sum(record, data))
        try:
            self.add(sql, values)
        except TakenError as error:
            if error.key:
                raise self.spoil(
                    StoreDamagedError(self._medium.name, str(error))
                ) from error
            if not self._clear(aggregate, record):
                # Part of this append may be written: the transaction must not go on.
                raise self.spoil(
                    EventDivergedError(
                        record.session_id,
                        record.seq,
                        "it is stored already, past the head",
                    )
                ) from error
            self.write(sql, values)
        for digest in parts:
            hold(self, record.session_id, aggregate, record.seq, digest)

    def _clear(self, aggregate: int | None, record: EventRecord) -> bool:
        """Set aside what is no event of this log from where one goes; say if it was."""
        place = (aggregate, record.seq)
        found = self.one(self.sql.OCCUPANT, place)
        if found is None or self._data(record.session_id, found, found[5])[1] is None:
            return False
        self.write(self.sql.ONE_ASIDE, place)
        self.write(self.sql.TAKE_ONE_OUT, place)
        return True

    def _keep(self, parts: list[str], data: bytes) -> str:
        digest = keep(self, data)
        parts.append(digest)
        return digest

    def next_position(self) -> int | None:
        """Return the place in the commit order that the next event gets, or None:
        the database gives out the largest there is and one, by itself."""
        return self._unused_position()

    def _unused_position(self) -> int:
        given = [position or 0 for (position,) in self.all(self.sql.LAST_POSITIONS, ())]
        return max(given) + 1


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
