"""Sessions: the projection ``session``, and the executions in the table ``work``.

Knows nothing of how a session's row follows from its events.
"""

from collections.abc import Sequence
from operator import attrgetter, itemgetter
from typing import Any

import attrs
from dovetail.kernel.ports import SessionRow

from .aggregates import AggregateReads, AggregateWrites
from .checks import Row, is_sound, summed
from .view import MAX_INTEGER, bounded
from .work import EXECUTION

_SESSION = tuple(one.name for one in attrs.fields(SessionRow))[1:-3]
_values = attrgetter(*_SESSION)
"""What is stored of a session's row beside its key, in the order of the columns."""
_unfixed = itemgetter(
    *[
        at
        for at, name in enumerate((*_SESSION, "folded", "checksum"))
        if name not in ("directory", "parent")
    ]
)
"""What of that, of the folded title and of the sum may change."""


class SessionReads(AggregateReads):
    """Reading sessions."""

    def session(self, session_id: str) -> SessionRow | None:
        found = self.one(self.sql.SESSION, (session_id,))
        return None if found is None else self._session(found)

    def sessions(
        self,
        *,
        directory: str | None = None,
        search: str | None = None,
        parent: str | None = None,
        roots: bool = False,
        before: int | None = None,
        after: int | None = None,
        oldest_first: bool = False,
        limit: int = 50,
    ) -> Sequence[SessionRow]:
        values: list[object] = [
            -1 if after is None else bounded(after),
            MAX_INTEGER if before is None else bounded(before),
        ]
        if directory is not None:
            values.append(directory)
        if search:
            values.append(search.casefold())
        if parent is not None:
            if roots:
                return []  # a child is no root
            values.append(parent)
        values.append(max(0, bounded(limit)))
        sql = self.sql.LISTINGS[
            directory is not None, bool(search), parent is not None, roots, oldest_first
        ]
        return [self._session(row) for row in self.all(sql, values)]

    def session_ids(self, beginning: str, limit: int) -> Sequence[str]:
        # Behind every character that an id may have.
        values = (beginning, f"{beginning}\x7f", max(0, bounded(limit)))
        return [name for (name,) in self.all(self.sql.SESSION_IDS, values)]

    def forks(self, session_id: str) -> Sequence[tuple[str, int]]:
        return [(name, seq) for name, seq in self.all(self.sql.FORKS, (session_id,))]

    def _session(self, row: Row) -> SessionRow:
        session_id, position, damaged, *values = row
        if not is_sound(session_id, tuple(values)):
            if self.has_sound_aggregate(session_id):
                raise self.damaged("session", session_id)
            return SessionRow.unsound(session_id, position)
        # Without what only the table has: the folded title, and the sum.
        fields: list[Any] = [session_id, *values[:-2], position, damaged]
        return SessionRow(*fields)

    def sessions_with_work(self) -> Sequence[str]:
        found = self.all(self.sql.ALL_WORK, ())
        if all(owner and is_sound(owner, tuple(row)) for owner, *row in found):
            working = dict.fromkeys(owner for owner, *_ in found)
            asked = [name for _, name in self.all(self.sql.ALL_COMPACTIONS, ())]
            if not asked:
                return list(working)
            wanted = {*working, *asked}
            every = self.all(self.sql.LOGS, (-1, MAX_INTEGER))
            return [name for _, name in every if name in wanted]
        # One is not where it was written, and nothing says whose it was.
        return [name for _, name in self.all(self.sql.LOGS, (-1, MAX_INTEGER))]


class SessionWrites(AggregateWrites, SessionReads):
    """Writing sessions."""

    def session(self, session_id: str) -> SessionRow | None:
        known = self.kept.sessions.get(session_id)
        if known is None:
            known = super().session(session_id)
            if known is not None:
                self.kept.sessions[session_id] = known
        return known

    def put_session(self, row: SessionRow) -> None:
        aggregate = self.aggregate(row.id)
        known = self.kept.sessions.pop(row.id, None)
        if known is not None and known.position != row.position:
            known = None  # made anew, by whoever does not know its place
        folded = None if row.title is None else row.title.casefold()
        sums = summed(row.id, *_values(row), folded)
        fixed = (aggregate, row.directory, row.parent)
        if self.put(self.sql.CHANGE_SESSION, (*_unfixed(sums), *fixed)) == 0:
            self.put(self.sql.PUT_SESSION, (aggregate, *sums))
        if known is None or known.status != row.status:
            self._put_execution(row, aggregate)
        if known is not None:
            self.kept.sessions[row.id] = row

    def _put_execution(self, row: SessionRow, aggregate: int) -> None:
        if row.status == "running":
            begun = summed(row.id, EXECUTION, "", "", -1, 0, None)
            self.put(self.sql.BEGIN_WORK, (aggregate, *begun))
        else:
            self.write(self.sql.END_WORK, (aggregate,))
