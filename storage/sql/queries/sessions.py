"""Statements of sessions, and of their executions: ``session``, ``work``."""

from itertools import product
from typing import Any

from peewee import JOIN, SQL

from ..rendering import (
    Statement,
    addition,
    contains,
    same,
    slot,
    slots,
    unindexed,
    upsert,
)
from ..tables import Aggregate, Session, Work
from ..work import EXECUTION

_SESSIONS = Session.select(
    Aggregate.session_id,
    Session.aggregate,
    Aggregate.damaged,
    *slots(Session, "aggregate"),
).join(Aggregate, on=(Session.aggregate == Aggregate.id))
SESSION = Statement(
    _SESSIONS.where(Aggregate.session_id == slot("session_id")), "session_id"
)
_LISTING = _SESSIONS.where(
    Session.aggregate > slot("after"), Session.aggregate < slot("before")
).limit(slot("limit"))
_IN_DIRECTORY = Session.directory == slot("directory")
_CHILDREN = Session.parent == slot("parent")
_ROOTS = Session.parent.is_null()
_TITLED = contains(Session.folded, slot("search"))


def _listing(
    directory: bool, search: bool, parent: bool, roots: bool, oldest_first: bool
) -> Statement:
    """Return the listing that is narrowed by these, in one order or the other.

    Children of one session are few, whatever a planner takes them for.
    """
    asked: dict[str, Any] = {}
    if directory:
        asked["directory"] = unindexed(_IN_DIRECTORY) if parent else _IN_DIRECTORY
    if search:
        asked["search"] = _TITLED
    if parent:
        asked["parent"] = _CHILDREN
    place = Session.aggregate
    order = place.asc() if oldest_first else place.desc()
    query = _LISTING.where(*asked.values()).order_by(order)
    if roots:
        query = query.where(_ROOTS)
    return Statement(query, "after", "before", *asked, "limit")


LISTINGS = {
    asked: _listing(*asked)
    for asked in product((False, True), repeat=5)
    if asked[2:4] != (True, True)
}
SESSION_IDS = Statement(
    Session.select(Aggregate.session_id)
    .join(Aggregate, on=(Session.aggregate == Aggregate.id))
    .where(
        Aggregate.session_id >= slot("beginning"), Aggregate.session_id < slot("end")
    )
    .order_by(Aggregate.session_id)
    .limit(slot("limit")),
    "beginning",
    "end",
    "limit",
)
FORKS = Statement(
    Session.select(Aggregate.session_id, Session.forked_seq)
    .join(Aggregate, on=(Session.aggregate == Aggregate.id))
    .where(Session.forked_from == slot("session_id"))
    .order_by(Session.aggregate),
    "session_id",
)
SESSIONS_MISSING = Statement(
    Aggregate.select(Aggregate.session_id)
    .join(Session, JOIN.LEFT_OUTER, on=(Session.aggregate == Aggregate.id))
    .where(
        Session.aggregate.is_null(),
        Aggregate.seq >= SQL("0"),
        Aggregate.removed.is_null(),
    )
)
# With those that are nobody's.
ALL_WORK = Statement(
    Work.select(Aggregate.session_id, *slots(Work, "aggregate"))
    .join(Aggregate, JOIN.LEFT_OUTER, on=(Work.aggregate == Aggregate.id))
    .order_by(Work.aggregate)
)
ALL_COMPACTIONS = Statement(
    Session.select(Session.aggregate, Aggregate.session_id)
    .join(Aggregate, on=(Session.aggregate == Aggregate.id))
    .where(Session.compaction_due >= SQL("0"))
    .order_by(Session.compaction_due)
)
PUT_SESSION = upsert(Session, "aggregate")
# All but what is indexed, so that an index that stays the same is not written.
_CHANGED = slots(Session, "aggregate", "directory", "parent")
CHANGE_SESSION = Statement(
    Session.update(_CHANGED).where(
        Session.aggregate == slot("aggregate"),
        Session.directory == slot("directory"),
        same(Session.parent, slot("parent")),
    ),
    *[one.name for one in _CHANGED],
    "aggregate",
    "directory",
    "parent",
)
BEGIN_WORK = addition(Work)
END_WORK = Statement(
    Work.delete().where(
        Work.aggregate == slot("aggregate"), Work.what == SQL(f"'{EXECUTION}'")
    ),
    "aggregate",
)
