"""Statements of sessions, messages and requests, and of all projections at once."""

from itertools import combinations, product
from typing import Any

from peewee import JOIN, OP, SQL, Expression, NodeList, fn

from ..tables import (
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
from ..work import EXECUTION, INPUT
from .events import AGGREGATE_OF

# --- sessions ---------------------------------------------------------------------

_SESSIONS = Session.select(
    Aggregate.session_id,
    Session.aggregate,
    Aggregate.damaged,
    *slots(Session, "aggregate"),
).join(Aggregate, on=(Session.aggregate == Aggregate.id))
SESSION = render(
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


LISTINGS = {
    asked: _listing(*asked)
    for asked in product((False, True), repeat=4)
    if asked[2:] != (True, True)
}
WITH_WORK = render(
    Aggregate.select(Aggregate.session_id)
    .where(Aggregate.id.in_(Work.select(Work.aggregate)))
    .order_by(Aggregate.id)
)
PUT_SESSION = upsert(Session, "aggregate")
# All but what is indexed, so that an index that stays the same is not written.
_CHANGED = slots(Session, "aggregate", "directory", "parent")
CHANGE_SESSION = render(
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

BEGIN_WORK = addition(Work)
END_WORK = render(
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
MESSAGE = render(
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
OLDEST_FIRST = render(
    _MESSAGES.order_by(Message.seq).limit(slot("limit")),
    "session_id",
    "after",
    "before",
    "limit",
)
NEWEST_FIRST = render(
    _MESSAGES.order_by(Message.seq.desc()).limit(slot("limit")),
    "session_id",
    "after",
    "before",
    "limit",
)
OPEN_MESSAGES = render(
    Message.select(*_MESSAGE_ROW)
    .where(Message.aggregate == AGGREGATE_OF, Message.end_seq.is_null())
    .order_by(Message.seq),
    "session_id",
)
# In place of whatever it conflicts with: an id is one message, and so is a seq.
PUT_MESSAGE = replacement(Message)
END_MESSAGE = render(
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
REQUEST = render(
    _REQUESTS.where(Request.aggregate == AGGREGATE_OF, Request.id == slot("id")),
    "session_id",
    "id",
)
# By the place of the request in the commit order, which a rebuild does not change.
_WAITING = (
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
PENDING_REQUESTS = {
    names: render(_WAITING.where(*(_NARROWED[name] for name in names)), *names)
    if names
    else render(_WAITING)
    for count in range(len(_NARROWED) + 1)
    for names in combinations(_NARROWED, count)
}
PUT_REQUEST = upsert(Request, "aggregate", "id")

CLEAR_PROJECTIONS = tuple(
    render(table.delete().where(SQL("aggregate") == slot("aggregate")), "aggregate")
    for table in PROJECTIONS
)


ROW_COUNTS = tuple(
    render(
        table.select(fn.COUNT(SQL("*"))).where(
            table.aggregate == AGGREGATE_OF, *narrowed
        ),
        "session_id",
    )
    for table, narrowed in (
        (Message, ()),
        (Work, (Work.what == SQL(f"'{INPUT}'"),)),
        (Input, ()),
    )
)

ADMISSIONS = render(
    Admission.select(*slots(Admission, "aggregate")).where(
        Admission.aggregate == AGGREGATE_OF
    ),
    "session_id",
)
