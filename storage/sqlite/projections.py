"""The projections: sessions, messages and permission requests.

Owns the tables ``session``, ``message`` and ``permission``, the executions in the table
``work``, and what it means to clear every projection of a session. Knows nothing of how
rows follow from events.
"""

from collections.abc import Sequence
from operator import attrgetter

import attrs
from dovetail.kernel.ports import MessageRow, PermissionRow, SessionRow
from peewee import JOIN, SQL, fn

from .database import MAX_INTEGER, bounded
from .event_store import AGGREGATE_OF, EventReads, EventWrites
from .tables import (
    PROJECTIONS,
    Aggregate,
    Event,
    Message,
    Permission,
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

_OWN = list(slots(Session, "aggregate", "folded"))
_SESSIONS = Session.select(Aggregate.session_id, *_OWN, Session.aggregate).join(
    Aggregate, on=(Session.aggregate == Aggregate.id)
)
_SESSION = render(
    _SESSIONS.where(Aggregate.session_id == slot("session_id")), "session_id"
)
_LISTING = (
    _SESSIONS.where(Session.aggregate < slot("before"))
    .order_by(Session.aggregate.desc())
    .limit(slot("limit"))
)
_IN_DIRECTORY = Session.directory == slot("directory")
# Not LIKE: that folds only ASCII, and would need its wildcards escaped.
_TITLED = fn.INSTR(Session.folded, slot("search")) > SQL("0")
_LISTINGS = {
    (False, False): render(_LISTING, "before", "limit"),
    (True, False): render(
        _LISTING.where(_IN_DIRECTORY), "before", "directory", "limit"
    ),
    (False, True): render(_LISTING.where(_TITLED), "before", "search", "limit"),
    (True, True): render(
        _LISTING.where(_IN_DIRECTORY).where(_TITLED),
        "before",
        "directory",
        "search",
        "limit",
    ),
}
_WITH_WORK = render(
    Aggregate.select(Aggregate.session_id)
    .where(Aggregate.id.in_(Work.select(Work.aggregate)))
    .order_by(Aggregate.id)
)
_PUT_SESSION = upsert(Session, "aggregate")
# All but what is indexed, so that an index that stays the same is not written.
_CHANGED = slots(Session, "aggregate", "directory")
_CHANGE_SESSION = render(
    Session.update(_CHANGED).where(
        Session.aggregate == slot("aggregate"), Session.directory == slot("directory")
    ),
    *[one.name for one in _CHANGED],
    "aggregate",
    "directory",
)
_values = attrgetter(*[one.name for one in attrs.fields(SessionRow)][1:-1])
"""What is stored of a session's row beside its key, in the order of the columns."""

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
    Message.update({Message.end_seq: slot("end_seq")}).where(
        Message.aggregate == slot("aggregate"),
        Message.seq == slot("seq"),
        Message.id == slot("id"),
        Message.type == slot("type"),
        Message.body_seq == slot("body_seq"),
    ),
    "end_seq",
    "aggregate",
    "seq",
    "id",
    "type",
    "body_seq",
)

# --- permission requests ----------------------------------------------------------

_PERMISSIONS = Permission.select(
    Aggregate.session_id,
    Permission.id,
    Permission.seq,
    Permission.directory,
    Permission.answered_seq,
).join(Aggregate, on=(Permission.aggregate == Aggregate.id))
# A request that waits goes before an answered one of the same id elsewhere.
_PERMISSION = render(
    _PERMISSIONS.where(Permission.id == slot("id"))
    .order_by(Permission.answered_seq.is_null(False), Permission.aggregate)
    .limit(SQL("1")),
    "id",
)
# By the place of the request in the commit order, which a rebuild does not change.
_PENDING = (
    _PERMISSIONS.join(
        Event,
        JOIN.LEFT_OUTER,
        on=(Event.aggregate == Permission.aggregate) & (Event.seq == Permission.seq),
    )
    .where(Permission.answered_seq.is_null())
    .order_by(Event.position, Permission.aggregate, Permission.seq, Permission.id)
)
_PENDINGS = {
    (False, False): render(_PENDING),
    (True, False): render(
        _PENDING.where(Permission.directory == slot("directory")), "directory"
    ),
    (False, True): render(
        _PENDING.where(Permission.aggregate == AGGREGATE_OF), "session_id"
    ),
    (True, True): render(
        _PENDING.where(
            Permission.directory == slot("directory"),
            Permission.aggregate == AGGREGATE_OF,
        ),
        "directory",
        "session_id",
    ),
}
_PUT_PERMISSION = upsert(Permission, "id", "aggregate")

_CLEAR = tuple(
    render(table.delete().where(SQL("aggregate") == slot("aggregate")), "aggregate")
    for table in PROJECTIONS
)


class ProjectionReads(EventReads):
    """Reading projections."""

    def session(self, session_id: str) -> SessionRow | None:
        found = self.one(_SESSION, (session_id,))
        return SessionRow(*found) if found else None

    def sessions(
        self,
        *,
        directory: str | None = None,
        search: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Sequence[SessionRow]:
        values: list[object] = [MAX_INTEGER if before is None else bounded(before)]
        if directory is not None:
            values.append(directory)
        if search:
            values.append(search.casefold())
        values.append(max(0, bounded(limit)))
        sql = _LISTINGS[directory is not None, bool(search)]
        return [SessionRow(*row) for row in self.all(sql, values)]

    def sessions_with_work(self) -> Sequence[str]:
        return [row[0] for row in self.all(_WITH_WORK, ())]

    def message(self, session_id: str, message_id: str) -> MessageRow | None:
        found = self.one(_MESSAGE, (session_id, message_id))
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
        return [MessageRow(session_id, *row) for row in self.all(sql, values)]

    def open_messages(self, session_id: str) -> Sequence[MessageRow]:
        found = self.all(_OPEN_MESSAGES, (session_id,))
        return [MessageRow(session_id, *row) for row in found]

    def permission(self, request_id: str) -> PermissionRow | None:
        found = self.one(_PERMISSION, (request_id,))
        return PermissionRow(*found) if found else None

    def pending_permissions(
        self, *, directory: str | None = None, session_id: str | None = None
    ) -> Sequence[PermissionRow]:
        values = [value for value in (directory, session_id) if value is not None]
        sql = _PENDINGS[directory is not None, session_id is not None]
        return [PermissionRow(*row) for row in self.all(sql, values)]


class ProjectionWrites(EventWrites, ProjectionReads):
    """Writing projections."""

    def put_session(self, row: SessionRow) -> None:
        aggregate = self.aggregate(row.id)
        directory, *others = _values(row)
        folded = None if row.title is None else row.title.casefold()
        changes = (*others, folded, aggregate, directory)
        if self.write(_CHANGE_SESSION, changes).rowcount == 0:
            self.write(_PUT_SESSION, (aggregate, directory, *others, folded))
        if row.status == "running":
            self.write(_BEGIN_WORK, (aggregate, EXECUTION, "", -1, "", 0, None))
        else:
            self.write(_END_WORK, (aggregate,))

    def put_message(self, row: MessageRow) -> None:
        aggregate, end = self.aggregate(row.session_id), row.end_seq
        same = (aggregate, row.seq, row.id, row.type, row.body_seq)
        # A Step that ends was written when it began, with this one difference.
        ends = row.type == "assistant" and end is not None
        if not ends or self.write(_END_MESSAGE, (end, *same)).rowcount == 0:
            self.write(_PUT_MESSAGE, (*same, end))

    def put_permission(self, row: PermissionRow) -> None:
        values = (
            row.id,
            self.aggregate(row.session_id),
            row.seq,
            row.directory,
            row.answered_seq,
        )
        self.write(_PUT_PERMISSION, values)

    def clear_projections(self, session_id: str) -> None:
        known = self.known(session_id)
        if known is not None:
            for sql in _CLEAR:
                self.write(sql, (known,))
