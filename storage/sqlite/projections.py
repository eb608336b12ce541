"""The projections: sessions, messages and requests to a person.

Owns the tables ``session``, ``message`` and ``request``, the executions in the table
``work``, and what it means to clear every projection of a session. Knows nothing of how
rows follow from events.
"""

from collections.abc import Sequence
from itertools import combinations, product
from operator import attrgetter, itemgetter
from typing import Any

import attrs
from dovetail.kernel.ports import MessageRow, RequestRow, RowCounts, SessionRow
from peewee import JOIN, OP, SQL, Expression, NodeList, fn

from .checks import Row, is_sound, summed
from .database import MAX_INTEGER, bounded
from .event_store import AGGREGATE_OF, EventReads, EventWrites
from .tables import (
    PROJECTIONS,
    Admission,
    Aggregate,
    Event,
    Input,
    Message,
    Request,
    Session,
    Work,
    addition,
    render,
    replacement,
    slot,
    slots,
    upsert,
)

# --- sessions ---------------------------------------------------------------------

_SESSIONS = Session.select(
    Aggregate.session_id,
    Session.aggregate,
    Aggregate.damaged,
    *slots(Session, "aggregate"),
).join(Aggregate, on=(Session.aggregate == Aggregate.id))
_SESSION = render(
    _SESSIONS.where(Aggregate.session_id == slot("session_id")), "session_id"
)
_LISTING = (
    _SESSIONS.where(Session.aggregate < slot("before"))
    .order_by(Session.aggregate.desc())
    .limit(slot("limit"))
)
_IN_DIRECTORY = Session.directory == slot("directory")
_CHILDREN = Session.parent == slot("parent")
_ROOTS = Session.parent.is_null()
# Not LIKE: that folds only ASCII, and would need its wildcards escaped.
_TITLED = fn.INSTR(Session.folded, slot("search")) > SQL("0")


def _listing(directory: bool, search: bool, parent: bool, roots: bool) -> str:
    """Return the listing that is narrowed by these."""
    asked: dict[str, Any] = {}
    if directory:
        asked["directory"] = _unindexed(_IN_DIRECTORY) if parent else _IN_DIRECTORY
    if search:
        asked["search"] = _TITLED
    if parent:
        asked["parent"] = _CHILDREN
    query = _LISTING.where(*asked.values())
    if roots:
        query = query.where(_unindexed(_ROOTS) if directory else _ROOTS)
    return render(query, "before", *asked, "limit")


def _unindexed(condition: Any) -> Expression:
    """Return a condition that no index is looked for: another one leaves fewer rows.

    Children are few, and roots are not, whatever SQLite takes them for.
    """
    column = NodeList((SQL("+"), condition.lhs), glue="")
    return Expression(column, condition.op, condition.rhs)


_LISTINGS = {
    asked: _listing(*asked)
    for asked in product((False, True), repeat=4)
    if asked[2:] != (True, True)
}
_WITH_WORK = render(
    Aggregate.select(Aggregate.session_id)
    .where(Aggregate.id.in_(Work.select(Work.aggregate)))
    .order_by(Aggregate.id)
)
_PUT_SESSION = upsert(Session, "aggregate")
# All but what is indexed, so that an index that stays the same is not written.
_CHANGED = slots(Session, "aggregate", "directory", "parent")
_CHANGE_SESSION = render(
    Session.update(_CHANGED).where(
        Session.aggregate == slot("aggregate"),
        Session.directory == slot("directory"),
        Expression(Session.parent, OP.IS, slot("parent")),
    ),
    *[one.name for one in _CHANGED],
    "aggregate",
    "directory",
    "parent",
)
_values = attrgetter(*[one.name for one in attrs.fields(SessionRow)][1:-3])
"""What is stored of a session's row beside its key, in the order of the columns."""
_unfixed = itemgetter(
    *[
        at
        for at, one in enumerate(slots(Session, "aggregate"))
        if one.name not in ("directory", "parent")
    ]
)
"""What of that may change."""

EXECUTION = "execution"
"""What an execution that has not ended is in the table of work."""

_BEGIN_WORK = addition(Work)
_END_WORK = render(
    Work.delete().where(
        Work.aggregate == slot("aggregate"), Work.what == SQL(f"'{EXECUTION}'")
    ),
    "aggregate",
)

# --- messages ---------------------------------------------------------------------

_MESSAGE_ROW = (
    Message.seq,
    Message.id,
    Message.type,
    Message.body_seq,
    Message.end_seq,
    Message.checksum,
)
_MESSAGE = render(
    Message.select(*_MESSAGE_ROW).where(
        Message.aggregate == AGGREGATE_OF, Message.id == slot("id")
    ),
    "session_id",
    "id",
)
_MESSAGES = Message.select(*_MESSAGE_ROW).where(
    Message.aggregate == AGGREGATE_OF,
    Message.seq > slot("after"),
    Message.seq < slot("before"),
)
_OLDEST_FIRST = render(
    _MESSAGES.order_by(Message.seq).limit(slot("limit")),
    "session_id",
    "after",
    "before",
    "limit",
)
_NEWEST_FIRST = render(
    _MESSAGES.order_by(Message.seq.desc()).limit(slot("limit")),
    "session_id",
    "after",
    "before",
    "limit",
)
_OPEN_MESSAGES = render(
    Message.select(*_MESSAGE_ROW)
    .where(Message.aggregate == AGGREGATE_OF, Message.end_seq.is_null())
    .order_by(Message.seq),
    "session_id",
)
# In place of whatever it conflicts with: an id is one message, and so is a seq.
_PUT_MESSAGE = replacement(Message)
_END_MESSAGE = render(
    Message.update(
        {Message.end_seq: slot("end_seq"), Message.checksum: slot("checksum")}
    ).where(
        Message.aggregate == slot("aggregate"),
        Message.seq == slot("seq"),
        Message.id == slot("id"),
        Message.type == slot("type"),
        Message.body_seq == slot("body_seq"),
    ),
    "end_seq",
    "checksum",
    "aggregate",
    "seq",
    "id",
    "type",
    "body_seq",
)

# --- requests to a person ---------------------------------------------------------

_REQUESTS = Request.select(
    Aggregate.session_id,
    Request.id,
    Request.what,
    Request.seq,
    Request.directory,
    Request.answered_seq,
    Request.checksum,
).join(Aggregate, on=(Request.aggregate == Aggregate.id))
_REQUEST = render(
    _REQUESTS.where(Request.aggregate == AGGREGATE_OF, Request.id == slot("id")),
    "session_id",
    "id",
)
# By the place of the request in the commit order, which a rebuild does not change.
_PENDING = (
    _REQUESTS.join(
        Event,
        JOIN.LEFT_OUTER,
        on=(Event.aggregate == Request.aggregate) & (Event.seq == Request.seq),
    )
    .where(Request.answered_seq.is_null())
    .order_by(Event.position, Request.aggregate, Request.seq, Request.id)
)
_NARROWED = {
    "directory": Request.directory == slot("directory"),
    "session_id": Request.aggregate == AGGREGATE_OF,
    "id": Request.id == slot("id"),
}
_PENDINGS = {
    names: render(_PENDING.where(*(_NARROWED[name] for name in names)), *names)
    if names
    else render(_PENDING)
    for count in range(len(_NARROWED) + 1)
    for names in combinations(_NARROWED, count)
}
_PUT_REQUEST = upsert(Request, "aggregate", "id")

_CLEAR = tuple(
    render(table.delete().where(SQL("aggregate") == slot("aggregate")), "aggregate")
    for table in PROJECTIONS
)


_COUNTS = tuple(
    render(
        table.select(fn.COUNT(SQL("*"))).where(
            table.aggregate == AGGREGATE_OF, *narrowed
        ),
        "session_id",
    )
    for table, narrowed in (
        (Message, ()),
        (Work, (Work.what == SQL("'input'"),)),
        (Input, ()),
    )
)

_ADMISSIONS = render(
    Admission.select(*slots(Admission, "aggregate")).where(
        Admission.aggregate == AGGREGATE_OF
    ),
    "session_id",
)


class ProjectionReads(EventReads):
    """Reading projections."""

    def counts(self, session_id: str) -> RowCounts:
        found = [self.one(sql, (session_id,)) for sql in _COUNTS]
        messages, pending, settled = [row[0] if row else 0 for row in found]
        admissions = self.all(_ADMISSIONS, (session_id,))
        sound = sum(is_sound(session_id, row) for row in admissions)
        return RowCounts(messages, pending, settled, sound)

    def session(self, session_id: str) -> SessionRow | None:
        found = self.one(_SESSION, (session_id,))
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
        sql = _LISTINGS[directory is not None, bool(search), parent is not None, roots]
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
        return [row[0] for row in self.all(_WITH_WORK, ())]

    def message(self, session_id: str, message_id: str) -> MessageRow | None:
        found = self.checked("message", session_id, _MESSAGE, (session_id, message_id))
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
        sql = _NEWEST_FIRST if newest_first else _OLDEST_FIRST
        found = self.all_checked("message", session_id, sql, values)
        return [MessageRow(session_id, *row) for row in found]

    def open_messages(self, session_id: str) -> Sequence[MessageRow]:
        values = (session_id,)
        found = self.all_checked("message", session_id, _OPEN_MESSAGES, values)
        return [MessageRow(session_id, *row) for row in found]

    def request(self, session_id: str, request_id: str) -> RequestRow | None:
        found = self._requests(self.all(_REQUEST, (session_id, request_id)))
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
        return self._requests(self.all(_PENDINGS[tuple(given)], tuple(given.values())))

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
        if self.write(_CHANGE_SESSION, (*_unfixed(sums), *same)).rowcount == 0:
            self.write(_PUT_SESSION, (aggregate, *sums))
        if row.status == "running":
            begun = summed(row.id, EXECUTION, "", "", -1, 0, None)
            self.write(_BEGIN_WORK, (aggregate, *begun))
        else:
            self.write(_END_WORK, (aggregate,))

    def put_message(self, row: MessageRow) -> None:
        aggregate, end = self.aggregate(row.session_id), row.end_seq
        same = (row.seq, row.id, row.type, row.body_seq)
        sums = summed(row.session_id, *same, end)
        # A Step that ends was written when it began, with this one difference.
        ends = row.type == "assistant" and end is not None
        changes = (end, sums[-1], aggregate, *same)
        if not ends or self.write(_END_MESSAGE, changes).rowcount == 0:
            self.write(_PUT_MESSAGE, (aggregate, *sums))

    def put_request(self, row: RequestRow) -> None:
        values = (row.id, row.what, row.seq, row.directory, row.answered_seq)
        sums = summed(row.session_id, *values)
        self.write(_PUT_REQUEST, (self.aggregate(row.session_id), *sums))

    def clear_projections(self, session_id: str) -> None:
        known = self.known(session_id)
        if known is not None:
            for sql in _CLEAR:
                self.write(sql, (known,))
