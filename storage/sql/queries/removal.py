"""Statements of what is deleted of a removed session."""

from peewee import SQL

from ..rendering import Statement, slot
from ..tables import (
    Admission,
    Aggregate,
    Approval,
    Epoch,
    Event,
    Hold,
    Input,
    Job,
    Message,
    Request,
    Session,
    SetAside,
    Work,
)

# What others would find it by goes at once; there is little of it.
HIDE_SESSION = tuple(
    Statement(table.delete().where(SQL("aggregate") == slot("aggregate")), "aggregate")
    for table in (Session, Work, Request, Job, Epoch)
)
SESSION_APPROVALS = Statement(
    Approval.select(Approval.id).where(
        Approval.session_id == slot("session_id"),
        Approval.scope == SQL("'session'"),
    ),
    "session_id",
)
TO_ERASE = Statement(
    Aggregate.select(Aggregate.session_id)
    .where(Aggregate.removed == SQL("1"))
    .order_by(Aggregate.id)
)
ERASE_SOME = tuple(
    Statement(
        table.delete().where(
            SQL("aggregate") == slot("aggregate"),
            key.in_(
                table.select(key)
                .where(SQL("aggregate") == slot("aggregate"))
                .limit(slot("limit"))
            ),
        ),
        "aggregate",
        "aggregate",
        "limit",
    )
    for table, key in (
        (Message, Message.seq),
        (Input, Input.id),
        (Admission, Admission.key),
        (SetAside, SetAside.number),
    )
)
SOME_HOLDS = Statement(
    Hold.select(Hold.seq)
    .distinct()
    .where(Hold.aggregate == slot("aggregate"))
    .limit(slot("limit")),
    "aggregate",
    "limit",
)
# What stands past the end as well: it came there from elsewhere.
ERASE_EVENTS = Statement(
    Event.delete().where(
        Event.position.in_(
            Event.select(Event.position)
            .where(Event.aggregate == slot("aggregate"), Event.seq != slot("last"))
            .limit(slot("limit"))
        )
    ),
    "aggregate",
    "last",
    "limit",
)
