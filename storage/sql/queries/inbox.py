"""Statements of inputs and admissions: ``input``, ``admission``, and what waits."""

from peewee import SQL

from ..rendering import Statement, insertion, slot, slots, upsert
from ..tables import Admission, Input, Work
from ..work import INPUT
from .aggregates import AGGREGATE_OF

_WAITING = Work.select(*slots(Work, "aggregate")).where(
    Work.aggregate == AGGREGATE_OF, Work.what == SQL(f"'{INPUT}'")
)
# By both, so that the key leads there: each is one look.
_DELIVERED = Work.delivery.in_([SQL("'steer'"), SQL("'queue'")])
WAITING_INPUT = Statement(
    _WAITING.where(_DELIVERED, Work.id == slot("id")), "session_id", "id"
)
# Of one whose delivery is damaged, which is nowhere else either.
HIDDEN_INPUT = Statement(_WAITING.where(Work.id == slot("id")), "session_id", "id")
SETTLED_INPUT = Statement(
    Input.select(*slots(Input, "aggregate")).where(
        Input.aggregate == AGGREGATE_OF, Input.id == slot("id")
    ),
    "session_id",
    "id",
)
_IN_ORDER = _WAITING.order_by(Work.seq, Work.id).limit(slot("limit"))
_FIRST_PENDING = Statement(_IN_ORDER, "session_id", "limit")
_PENDING_STEERS = Statement(
    _IN_ORDER.where(Work.delivery == SQL("'steer'")), "session_id", "limit"
)
_QUEUED = Statement(
    _IN_ORDER.where(Work.delivery == SQL("'queue'")), "session_id", "limit"
)
ANY_PENDING = Statement(
    _WAITING.where(Work.seq > slot("after")).limit(SQL("1")), "session_id", "after"
)
PUT_WAITING = upsert(Work, "aggregate", "what", "delivery", "id")
END_WAITING = Statement(
    Work.delete().where(
        Work.aggregate == slot("aggregate"),
        Work.what == SQL(f"'{INPUT}'"),
        _DELIVERED,
        Work.id == slot("id"),
    ),
    "aggregate",
    "id",
)
# By name and not by a slot: that an index is of one of them alone makes a planner ask
# again with every other value of a slot.
END_OTHERWISE = {
    delivery: Statement(
        Work.delete().where(
            Work.aggregate == slot("aggregate"),
            Work.what == SQL(f"'{INPUT}'"),
            Work.delivery == SQL(f"'{other}'"),
            Work.id == slot("id"),
        ),
        "aggregate",
        "id",
    )
    for delivery, other in (("steer", "queue"), ("queue", "steer"))
}
PENDING_INPUTS = {None: _FIRST_PENDING, "steer": _PENDING_STEERS, "queue": _QUEUED}
PUT_INPUT = upsert(Input, "aggregate", "id")
ADMISSION = Statement(
    Admission.select(*slots(Admission, "aggregate")).where(
        Admission.aggregate == AGGREGATE_OF, Admission.key == slot("key")
    ),
    "session_id",
    "key",
)
ADD_ADMISSION = insertion(Admission)
MEND_ADMISSION = upsert(Admission, "aggregate", "key")
ADMISSIONS = Statement(
    Admission.select(*slots(Admission, "aggregate")).where(
        Admission.aggregate == AGGREGATE_OF
    ),
    "session_id",
)
