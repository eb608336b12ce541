"""Removal: what is deleted of a session that was removed.

Owns what goes at once, so that nobody finds it, and what goes later, a bounded part in
each transaction. The aggregate of the session stays, with its last event: the id is
never given out again, and whoever reads in commit order learns of it.
"""

from collections.abc import Sequence

from .aggregates import AggregateWrites
from .blobs import let_go
from .view import View

LEFT, ERASED = 1, 2
"""What the aggregate of a removed session says: whether something is left of it."""

AT_ONCE = 4 * 1024 * 1024
"""Bytes of large values after which the rest is left for the next transaction."""


class RemovalReads(View):
    """Reading which sessions something is left of."""

    def sessions_to_erase(self) -> Sequence[str]:
        """See ``Reader.sessions_to_erase``."""
        return [name for (name,) in self.all(self.sql.TO_ERASE, ())]


class RemovalWrites(AggregateWrites, RemovalReads):
    """Removing sessions: see ``ports.LogWriter``."""

    def set_removed(self, session_id: str) -> None:
        """See ``Transaction.set_removed``."""
        known = self.aggregate(session_id)
        for sql in self.sql.HIDE_SESSION:
            self.write(sql, (known,))
        self.forget_projections(session_id)
        self.change_aggregate(session_id, removed=LEFT, imported=None, damaged=None)

    def erase(self, session_id: str, limit: int) -> bool:
        """See ``Transaction.erase``."""
        found = self.aggregate_row(session_id)
        if found is None or found.removed != LEFT:
            return False
        deleted, freed, whole = 0, 0, True
        for (seq,) in self.all(self.sql.SOME_HOLDS, (found.id, limit)):
            freed += let_go(self, found.id, seq)
            deleted += 1
            if freed > AT_ONCE:
                whole = False
                break
        for sql in self.sql.ERASE_SOME:
            deleted += self.write(sql, (found.id, found.id, limit))
        # Last: they say what held the values.
        if whole:
            deleted += self.write(self.sql.ERASE_EVENTS, (found.id, found.seq, limit))
        if deleted == 0:
            self.change_aggregate(session_id, removed=ERASED)
        return deleted > 0
