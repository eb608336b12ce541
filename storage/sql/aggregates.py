"""Aggregates: the row of the table ``aggregate`` that a session has.

Owns the key that stands for a session in every other table, what is written of one with
every commit, and mending it. Knows nothing of events.
"""

from typing import Any

from dovetail.kernel.values.codec import dumps
from dovetail.kernel.values.errors import RowDamagedError
from dovetail.kernel.values.events import NO_HASH

from .checks import checksum, one_byte_off
from .kept import AggregateRow, Kept
from .view import View

HEAD = ("seq", "hash")
"""What of a row is where its log ends."""
LEASE = ("worker", "fence", "renewals", "lasts", "renewed", "process")
"""What of a row is its lease."""


class AggregateReads(View):
    """Finding the rows of sessions."""

    def aggregate_row(self, session_id: str) -> AggregateRow | None:
        """Return the row of a session, or None where it has none yet.

        Raises:
            RowDamagedError: what is stored of it is not what was written.
        """
        found = self.checked("aggregate", session_id, self.sql.AGGREGATE, (session_id,))
        return None if found is None else AggregateRow._make(found)

    def has_sound_aggregate(self, session_id: str) -> bool:
        """Return whether the session can be found at all by this id."""
        try:
            return self.aggregate_row(session_id) is not None
        except RowDamagedError:
            return False


class AggregateWrites(AggregateReads):
    """Giving sessions their rows, and changing them."""

    kept: Kept
    """Given by each store. Nobody else can write meanwhile, so that what was read stays
    true; for how much longer it does, the store knows."""
    _heads_before: dict[str, int] | None = None
    """Where the logs ended that this transaction has appended to."""

    def is_new(self, session_id: str, seq: int) -> bool:
        """Return whether an event was appended in this transaction."""
        before = self._heads_before
        return before is not None and seq > before.get(session_id, seq)

    def forget_projections(self, session_id: str) -> None:
        """Rely on nothing that was read of what follows from a session's log: it is
        written in another way."""
        self.kept.forget_projections(session_id)

    def aggregate_row(self, session_id: str) -> AggregateRow | None:
        known = self.kept.aggregates.get(session_id)
        if known is None:
            known = super().aggregate_row(session_id)
            if known is not None:
                self.kept.aggregates[session_id] = known
        return known

    def known(self, session_id: str) -> int | None:
        """Return the key of a session, or None where it has none yet."""
        found = self.aggregate_row(session_id)
        return None if found is None else found.id

    def aggregate(self, session_id: str) -> int:
        """Return the key of a session, giving it one where it has none yet."""
        found = self.known(session_id)
        return self.add_aggregate(session_id, -1, NO_HASH) if found is None else found

    def add_aggregate(self, session_id: str, seq: int, hash: bytes) -> int:
        """Give a session its row, and return its key."""
        # Numbered here, because the number is part of what is summed.
        last = self.one(self.sql.LAST_AGGREGATE, ())
        row = AggregateRow(((last and last[0]) or 0) + 1, seq, hash)
        values = (row.id, session_id, *row[1:], _aggregate_sum(session_id, row))
        self.write(self.sql.ADD_AGGREGATE, values)
        self.kept.aggregates[session_id] = row
        return row.id

    def change_aggregate(self, session_id: str, **columns: Any) -> None:
        """Write something of a session's row, beside its key."""
        self._put_aggregate(session_id, self._changed(session_id, columns))

    def change_head(self, session_id: str, seq: int, hash: bytes) -> None:
        """Write where a session's log ends."""
        before = self.aggregate_row(session_id)
        assert before is not None
        if self._heads_before is None:
            self._heads_before = {}
        self._heads_before.setdefault(session_id, before.seq)
        # Not ``_replace``, which takes longer, on the path of every commit.
        row = AggregateRow(before.id, seq, hash, *before[3:])
        values = (seq, self.octets(hash), _aggregate_sum(session_id, row), row.id)
        self.write(self.sql.PUT_HEAD, values)
        self.kept.aggregates[session_id] = row

    def change_lease(self, session_id: str, *lease: Any) -> None:
        """Write a session's lease, in the order of its columns."""
        row = self._changed(session_id, dict(zip(LEASE, lease, strict=True)))
        self._put(self.sql.PUT_LEASE, lease, session_id, row)

    def _changed(self, session_id: str, columns: dict[str, Any]) -> AggregateRow:
        found = self.aggregate_row(session_id)
        assert found is not None
        return found._replace(**columns)

    def _put_aggregate(self, session_id: str, row: AggregateRow) -> None:
        # Its key and its damage are told with the session's row.
        self.kept.sessions.pop(session_id, None)
        self._put(self.sql.PUT_AGGREGATE, row[1:], session_id, row)

    def _put(
        self, sql: str, values: tuple[Any, ...], session_id: str, row: AggregateRow
    ) -> None:
        self.put(sql, (*values, _aggregate_sum(session_id, row), row.id))
        self.kept.aggregates[session_id] = row

    def mend_head(self, session_id: str, seq: int, hash: bytes) -> None:
        """See ``Transaction.mend_head``."""
        found = self.one(self.sql.AGGREGATE, (session_id,))
        if found is None:
            self.add_aggregate(session_id, seq, hash)
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
            self.write(self.sql.NUMBER_AGGREGATE, (fits.id, raw.id))
        fence = raw.fence
        fence = fence + 1 if isinstance(fence, int) and 0 <= fence < 2**62 else 1
        self._put_aggregate(
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
        """Return what a damaged row was, where that can be told by its sum.

        Or where nothing that counts was damaged: the sum itself, or the lease.
        """
        orphans = [one[0] for one in self.all(self.sql.ORPHANS, ())]
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
            row = raw._replace(**columns)
            if _aggregate_sum(session_id, row) == checksum:
                return row
        return (
            raw if checksum in one_byte_off(_aggregate_sum(session_id, raw)) else None
        )


def _aggregate_sum(session_id: str, row: AggregateRow) -> int:
    return checksum((session_id, *row))
