"""The projections: sessions, messages and requests to a person.

Owns the tables ``session``, ``message`` and ``request``, the executions in the table
``work``, and what it means to clear every projection of a session. Knows nothing of how
rows follow from events.
"""

from collections.abc import Sequence
from operator import attrgetter, itemgetter
from typing import Any

import attrs
from dovetail.kernel.ports import MessageRow, RequestRow, RowCounts, SessionRow

from .checks import Row, is_sound, summed
from .database import MAX_INTEGER, bounded
from .event_store import EventReads, EventWrites
from .statements import (
    ADMISSIONS,
    BEGIN_WORK,
    CHANGE_SESSION,
    CLEAR_PROJECTIONS,
    END_MESSAGE,
    END_WORK,
    LISTINGS,
    MESSAGE,
    NEWEST_FIRST,
    OLDEST_FIRST,
    OPEN_MESSAGES,
    PENDING_REQUESTS,
    PUT_MESSAGE,
    PUT_REQUEST,
    PUT_SESSION,
    REQUEST,
    ROW_COUNTS,
    SESSION,
    WITH_WORK,
)
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


class ProjectionReads(EventReads):
    """Reading projections."""

    def counts(self, session_id: str) -> RowCounts:
        found = [self.one(sql, (session_id,)) for sql in ROW_COUNTS]
        messages, pending, settled = [row[0] if row else 0 for row in found]
        admissions = self.all(ADMISSIONS, (session_id,))
        sound = sum(is_sound(session_id, row) for row in admissions)
        return RowCounts(messages, pending, settled, sound)

    def session(self, session_id: str) -> SessionRow | None:
        found = self.one(SESSION, (session_id,))
        return None if found is None else self._session(found)

    def sessions(
        self,
        *,
        directory: str | None = None,
        search: str | None = None,
        parent: str | None = None,
        roots: bool = False,
        before: int | None = None,
        limit: int = 50,
    ) -> Sequence[SessionRow]:
        values: list[object] = [MAX_INTEGER if before is None else bounded(before)]
        if directory is not None:
            values.append(directory)
        if search:
            values.append(search.casefold())
        if parent is not None:
            if roots:
                return []  # a child is no root
            values.append(parent)
        values.append(max(0, bounded(limit)))
        sql = LISTINGS[directory is not None, bool(search), parent is not None, roots]
        return [self._session(row) for row in self.all(sql, values)]

    def _session(self, row: Row) -> SessionRow:
        session_id, position, damaged, *values = row
        if not is_sound(session_id, tuple(values)):
            if self.has_sound_place(session_id):
                raise self.damaged("session", session_id)
            return SessionRow.unsound(session_id, position)
        # Without what only the table has: the folded title, and the sum.
        fields: list[Any] = [session_id, *values[:-2], position, damaged]
        return SessionRow(*fields)

    def sessions_with_work(self) -> Sequence[str]:
        return [row[0] for row in self.all(WITH_WORK, ())]

    def message(self, session_id: str, message_id: str) -> MessageRow | None:
        found = self.checked("message", session_id, MESSAGE, (session_id, message_id))
        return MessageRow(session_id, *found) if found else None

    def messages(
        self,
        session_id: str,
        *,
        after: int | None = None,
        before: int | None = None,
        newest_first: bool = False,
        limit: int = 50,
    ) -> Sequence[MessageRow]:
        values = (
            session_id,
            -1 if after is None else bounded(after),
            MAX_INTEGER if before is None else bounded(before),
            max(0, bounded(limit)),
        )
        sql = NEWEST_FIRST if newest_first else OLDEST_FIRST
        found = self.all_checked("message", session_id, sql, values)
        return [MessageRow(session_id, *row) for row in found]

    def open_messages(self, session_id: str) -> Sequence[MessageRow]:
        values = (session_id,)
        found = self.all_checked("message", session_id, OPEN_MESSAGES, values)
        return [MessageRow(session_id, *row) for row in found]

    def request(self, session_id: str, request_id: str) -> RequestRow | None:
        found = self._requests(self.all(REQUEST, (session_id, request_id)))
        return found[0] if found else None

    def pending_requests(
        self,
        *,
        directory: str | None = None,
        session_id: str | None = None,
        id: str | None = None,
    ) -> Sequence[RequestRow]:
        asked = {"directory": directory, "session_id": session_id, "id": id}
        given = {name: value for name, value in asked.items() if value is not None}
        return self._requests(
            self.all(PENDING_REQUESTS[tuple(given)], tuple(given.values()))
        )

    def _requests(self, rows: Sequence[Row]) -> list[RequestRow]:
        """Return rows of several sessions, without those of one that is not found."""
        made: list[RequestRow] = []
        for session_id, *values in rows:
            if is_sound(session_id, tuple(values)):
                made.append(RequestRow(session_id, *values[:-1]))
            elif self.has_sound_place(session_id):
                raise self.damaged("request", session_id)
        return made


class ProjectionWrites(EventWrites, ProjectionReads):
    """Writing projections."""

    def put_session(self, row: SessionRow) -> None:
        aggregate = self.aggregate(row.id)
        folded = None if row.title is None else row.title.casefold()
        sums = summed(row.id, *_values(row), folded)
        same = (aggregate, row.directory, row.parent)
        if self.write(CHANGE_SESSION, (*_unfixed(sums), *same)).rowcount == 0:
            self.write(PUT_SESSION, (aggregate, *sums))
        if row.status == "running":
            begun = summed(row.id, EXECUTION, "", "", -1, 0, None)
            self.write(BEGIN_WORK, (aggregate, *begun))
        else:
            self.write(END_WORK, (aggregate,))

    def put_message(self, row: MessageRow) -> None:
        aggregate, end = self.aggregate(row.session_id), row.end_seq
        same = (row.seq, row.id, row.type, row.body_seq)
        sums = summed(row.session_id, *same, end)
        # A Step that ends was written when it began, with this one difference.
        ends = row.type == "assistant" and end is not None
        changes = (end, sums[-1], aggregate, *same)
        if not ends or self.write(END_MESSAGE, changes).rowcount == 0:
            self.write(PUT_MESSAGE, (aggregate, *sums))

    def put_request(self, row: RequestRow) -> None:
        values = (row.id, row.what, row.seq, row.directory, row.answered_seq)
        sums = summed(row.session_id, *values)
        self.write(PUT_REQUEST, (self.aggregate(row.session_id), *sums))

    def clear_projections(self, session_id: str) -> None:
        known = self.known(session_id)
        if known is not None:
            for sql in CLEAR_PROJECTIONS:
                self.write(sql, (known,))
