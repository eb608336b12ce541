"""Statements of inputs and admissions: ``input``, ``admission``, and what waits."""

from peewee import SQL

from ..tables import (
    Admission,
    Input,
    Work,
    insertion,
    render,
    replacement,
    slot,
    slots,
    upsert,
)
from ..work import INPUT
from .events import AGGREGATE_OF

_WAITING = Work.select(*slots(Work, "aggregate")).where(
    Work.aggregate == AGGREGATE_OF, Work.what == SQL(f"'{INPUT}'")
)
# By both, so that the key leads there: each is one look.
_DELIVERED = Work.delivery.in_([SQL("'steer'"), SQL("'queue'")])
WAITING_INPUT = render(
    _WAITING.where(_DELIVERED, Work.id == slot("id")), "session_id", "id"
)
# Of one whose delivery is damaged, which is nowhere else either.
HIDDEN_INPUT = render(_WAITING.where(Work.id == slot("id")), "session_id", "id")
SETTLED_INPUT = render(
    Input.select(*slots(Input, "aggregate")).where(
        Input.aggregate == AGGREGATE_OF, Input.id == slot("id")
    ),
    "session_id",
    "id",
)
_IN_ORDER = _WAITING.order_by(Work.seq, Work.id).limit(slot("limit"))
_FIRST_PENDING = render(_IN_ORDER, "session_id", "limit")
_PENDING_STEERS = render(
    _IN_ORDER.where(Work.delivery == SQL("'steer'")), "session_id", "limit"
)
_QUEUED = render(
    _IN_ORDER.where(Work.delivery == SQL("'queue'")), "session_id", "limit"
)
ANY_PENDING = render(
    _WAITING.where(Work.seq > slot("after")).limit(SQL("1")), "session_id", "after"
)
PUT_WAITING = upsert(Work, "aggregate", "what", "delivery", "id")
END_WAITING = render(
    Work.delete().where(
        Work.aggregate == slot("aggregate"),
        Work.what == SQL(f"'{INPUT}'"),
        _DELIVERED,
        Work.id == slot("id"),
    ),
    "aggregate",
    "id",
)
END_OTHERWISE = render(
    Work.delete().where(
        Work.aggregate == slot("aggregate"),
        Work.what == SQL(f"'{INPUT}'"),
        Work.delivery == slot("delivery"),
        Work.id == slot("id"),
    ),
    "aggregate",
    "delivery",
    "id",
)
PENDING_INPUTS = {None: _FIRST_PENDING, "steer": _PENDING_STEERS, "queue": _QUEUED}
PUT_INPUT = upsert(Input, "aggregate", "id")

ADMISSION = render(
    Admission.select(*slots(Admission, "aggregate")).where(
        Admission.aggregate == AGGREGATE_OF, Admission.key == slot("key")
    ),
    "session_id",
    "key",
)
ADD_ADMISSION = insertion(Admission)
MEND_ADMISSION = replacement(Admission)
