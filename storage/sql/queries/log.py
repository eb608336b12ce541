"""Statements of the log: ``event``, ``set_aside``."""

from peewee import SQL, fn

from ..rendering import Statement, insertion, slot
from ..tables import Aggregate, Event, SetAside
from .aggregates import AGGREGATE_OF

_FACT = (Event.seq, Event.kind, Event.version, Event.created, Event.data)
_CONTENT = (*_FACT, Event.hash, Event.digest, Event.position)
_HEAD_OF = Aggregate.select(Aggregate.seq).where(
    Aggregate.session_id == slot("session_id")
)
EVENTS = Statement(
    Event.select(*_CONTENT, Event.checksum)
    .where(
        Event.aggregate == AGGREGATE_OF,
        Event.seq > slot("after"),
        Event.seq <= slot("upto"),
    )
    .order_by(Event.seq)
    .limit(slot("limit")),
    "session_id",
    "after",
    "upto",
    "limit",
)
# What stands past the end of a log is not of it: it came there from elsewhere.
FACTS = Statement(
    Event.select(*_FACT, Event.checksum)
    .where(
        Event.aggregate == AGGREGATE_OF,
        Event.seq > slot("after"),
        Event.seq <= slot("upto"),
        Event.seq <= _HEAD_OF,
    )
    .order_by(Event.seq)
    .limit(slot("limit")),
    "session_id",
    "after",
    "upto",
    "session_id",
    "limit",
)
KINDS = Statement(
    Event.select(Event.kind, fn.COUNT(SQL("*")))
    .where(Event.aggregate == AGGREGATE_OF, Event.seq <= _HEAD_OF)
    .group_by(Event.kind),
    "session_id",
    "session_id",
)
ALL_EVENTS = Statement(
    Event.select(Aggregate.session_id, *_CONTENT, Event.checksum)
    .join(Aggregate, on=(Event.aggregate == Aggregate.id))
    # Of a removed session only its last one, which says so.
    .where(
        Event.position > slot("after"),
        Aggregate.removed.is_null() | (Event.seq == Aggregate.seq),
    )
    .order_by(Event.position)
    .limit(slot("limit")),
    "after",
    "limit",
)
LOGS = Statement(
    Aggregate.select(Aggregate.id, Aggregate.session_id)
    .where(Aggregate.id > slot("after"))
    .order_by(Aggregate.id)
    .limit(slot("limit")),
    "after",
    "limit",
)
SET_ASIDE = Statement(
    SetAside.select(
        SetAside.seq,
        SetAside.kind,
        SetAside.version,
        SetAside.created,
        SetAside.data,
        SetAside.hash,
        SetAside.digest,
        SetAside.position,
    )
    .where(SetAside.aggregate == AGGREGATE_OF)
    .order_by(SetAside.number),
    "session_id",
)
# A number below 0 is damage too: it is in nobody's way, and belongs to what is moved.
_DAMAGED = (Event.aggregate == slot("aggregate")) & (
    (Event.seq >= slot("first")) | (Event.seq < SQL("0"))
)
_ASIDE = (
    SetAside.aggregate,
    SetAside.seq,
    SetAside.kind,
    SetAside.version,
    SetAside.created,
    SetAside.data,
    SetAside.hash,
    SetAside.digest,
    SetAside.position,
)
KEEP_ASIDE = Statement(
    SetAside.insert_from(
        Event.select(Event.aggregate, *_CONTENT).where(_DAMAGED).order_by(Event.seq),
        _ASIDE,
    ),
    "aggregate",
    "first",
)
TAKE_OUT = Statement(Event.delete().where(_DAMAGED), "aggregate", "first")
LAST_BEFORE = Statement(
    Event.select(fn.MAX(Event.seq)).where(
        Event.aggregate == slot("aggregate"),
        Event.seq >= SQL("0"),
        Event.seq < slot("first"),
    ),
    "aggregate",
    "first",
)
REMOVE_DATA = Statement(
    Event.update(
        {
            Event.data: slot("data"),
            Event.digest: slot("digest"),
            Event.checksum: slot("checksum"),
        }
    ).where(Event.aggregate == slot("aggregate"), Event.seq == slot("seq")),
    "data",
    "digest",
    "checksum",
    "aggregate",
    "seq",
)
ADD_EVENT = insertion(Event)
APPEND_EVENT = insertion(Event, "position", "digest")
LAST_POSITIONS = Statement(
    Event.select(fn.MAX(Event.position)).union_all(
        SetAside.select(fn.MAX(SetAside.position))
    )
)
# Who stands where the next event goes came from elsewhere, if it is not sound.
OCCUPANT = Statement(
    Event.select(*_FACT, Event.checksum).where(
        Event.aggregate == slot("aggregate"), Event.seq == slot("seq")
    ),
    "aggregate",
    "seq",
)
ONE_ASIDE = Statement(
    SetAside.insert_from(
        Event.select(Event.aggregate, *_CONTENT).where(
            Event.aggregate == slot("aggregate"), Event.seq == slot("seq")
        ),
        _ASIDE,
    ),
    "aggregate",
    "seq",
)
TAKE_ONE_OUT = Statement(
    Event.delete().where(
        Event.aggregate == slot("aggregate"), Event.seq == slot("seq")
    ),
    "aggregate",
    "seq",
)
