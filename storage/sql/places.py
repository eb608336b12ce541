"""Places: the row of the table ``aggregate`` that a session has.

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
"""What of a place is where its log ends."""
LEASE = ("worker", "fence", "renewals", "lasts", "renewed", "process")
"""What of a place is its lease."""


class PlaceReads(View):
    """Finding the places of sessions."""

    def place(self, session_id: str) -> AggregateRow | None:
        """Return the place of a session, or None where it has none yet.

        Raises:
            RowDamagedError: what is stored of it is not what was written.
        """
        found = self.checked("aggregate", session_id, self.sql.PLACE, (session_id,))
        return None if found is None else AggregateRow._make(found)

    def has_sound_place(self, session_id: str) -> bool:
        """Return whether the session can be found at all by this id."""
        try:
            return self.place(session_id) is not None
        except RowDamagedError:
            return False


class PlaceWrites(PlaceReads):
    """Giving sessions their places, and changing them."""

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

    def place(self, session_id: str) -> AggregateRow | None:
        known = self.kept.places.get(session_id)
        if known is None:
            known = super().place(session_id)
            if known is not None:
                self.kept.places[session_id] = known
        return known

    def known(self, session_id: str) -> int | None:
        """Return the key of a session, or None where it has none yet."""
        found = self.place(session_id)
        return None if found is None else found.id

    def aggregate(self, session_id: str) -> int:
        """Return the key of a session, giving it one where it has none yet."""
        found = self.known(session_id)
        return self.add_place(session_id, -1, NO_HASH) if found is None else found

    def add_place(self, session_id: str, seq: int, hash: bytes) -> int:
        """Give a session its place, and return its key."""
        # Numbered here, because the number is part of what is summed.
        last = self.one(self.sql.LAST_AGGREGATE, ())
        place = AggregateRow(((last and last[0]) or 0) + 1, seq, hash)
        values = (place.id, session_id, *place[1:], _place_sum(session_id, place))
        self.write(self.sql.ADD_AGGREGATE, values)
        self.kept.places[session_id] = place
        return place.id

    def change_place(self, session_id: str, **columns: Any) -> None:
        """Write something of a session's place, beside its key."""
        self._put_place(session_id, self._changed(session_id, columns))

    def change_head(self, session_id: str, seq: int, hash: bytes) -> None:
        """Write where a session's log ends."""
        before = self.place(session_id)
        assert before is not None
        if self._heads_before is None:
            self._heads_before = {}
        self._heads_before.setdefault(session_id, before.seq)
        # Not ``_replace``, which takes longer, on the path of every commit.
        place = AggregateRow(before.id, seq, hash, *before[3:])
        values = (seq, self.octets(hash), _place_sum(session_id, place), place.id)
        self.write(self.sql.PUT_HEAD, values)
        self.kept.places[session_id] = place

    def change_lease(self, session_id: str, *lease: Any) -> None:
        """Write a session's lease, in the order of its columns."""
        place = self._changed(session_id, dict(zip(LEASE, lease, strict=True)))
        self._put(self.sql.PUT_LEASE, lease, session_id, place)

    def _changed(self, session_id: str, columns: dict[str, Any]) -> AggregateRow:
        found = self.place(session_id)
        assert found is not None
        return found._replace(**columns)

    def _put_place(self, session_id: str, place: AggregateRow) -> None:
        # Its key and its damage are told with the session's row.
        self.kept.sessions.pop(session_id, None)
        self._put(self.sql.PUT_PLACE, place[1:], session_id, place)

    def _put(
        self, sql: str, values: tuple[Any, ...], session_id: str, place: AggregateRow
    ) -> None:
        self.put(sql, (*values, _place_sum(session_id, place), place.id))
        self.kept.places[session_id] = place

    def mend_head(self, session_id: str, seq: int, hash: bytes) -> None:
        """See ``Transaction.mend_head``."""
        found = self.one(self.sql.PLACE, (session_id,))
        if found is None:
            self.add_place(session_id, seq, hash)
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
            self.write(self.sql.NUMBER_PLACE, (fits.id, raw.id))
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
        orphans = [row[0] for row in self.all(self.sql.ORPHANS, ())]
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


def _place_sum(session_id: str, place: AggregateRow) -> int:
    return checksum((session_id, *place))
