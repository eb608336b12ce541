"""Statements of where messages are: ``message``."""

from peewee import SQL

from ..rendering import Statement, insertion, slot, upsert
from ..tables import Aggregate, Event, Message, Session
from .aggregates import AGGREGATE_OF

_MESSAGE_ROW = (
    Message.seq,
    Message.id,
    Message.type,
    Message.body_seq,
    Message.end_seq,
    Message.checksum,
)
MESSAGE = Statement(
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
OLDEST_FIRST = Statement(
    _MESSAGES.order_by(Message.seq).limit(slot("limit")),
    "session_id",
    "after",
    "before",
    "limit",
)
NEWEST_FIRST = Statement(
    _MESSAGES.order_by(Message.seq.desc()).limit(slot("limit")),
    "session_id",
    "after",
    "before",
    "limit",
)
_FIRST, _LAST = Event.alias("first"), Event.alias("last")
SETTLED = Statement(
    Message.select(
        Session.aggregate,
        Message.seq,
        Aggregate.session_id,
        Session.directory,
        *(
            column
            for event in (_FIRST, _LAST)
            for column in (
                event.seq,
                event.kind,
                event.version,
                event.created,
                event.data,
                event.checksum,
            )
        ),
    )
    .join(Session, on=(Session.aggregate == Message.aggregate))
    .join(Aggregate, on=(Aggregate.id == Message.aggregate))
    .join(
        _FIRST,
        on=(_FIRST.aggregate == Message.aggregate) & (_FIRST.seq == Message.body_seq),
    )
    .join(
        _LAST,
        on=(_LAST.aggregate == Message.aggregate) & (_LAST.seq == Message.end_seq),
    )
    .where(
        Message.aggregate >= slot("position"),
        (Message.aggregate > slot("position")) | (Message.seq > slot("seq")),
        Message.type.in_([SQL("'assistant'"), SQL("'summary'")]),
        Session.updated >= slot("since"),
        _LAST.created >= slot("since"),
    )
    .order_by(Message.aggregate, Message.seq)
    .limit(slot("limit")),
    "position",
    "position",
    "seq",
    "since",
    "since",
    "limit",
)
OPEN_MESSAGES = Statement(
    Message.select(*_MESSAGE_ROW)
    .where(Message.aggregate == AGGREGATE_OF, Message.end_seq.is_null())
    .order_by(Message.seq),
    "session_id",
)
ADD_MESSAGE = insertion(Message)
OPEN_MESSAGE = insertion(Message, "end_seq")
# An id is one message, and so is a seq.
TAKE_MESSAGE_AWAY = Statement(
    Message.delete().where(
        Message.aggregate == slot("aggregate"),
        Message.id == slot("id"),
        Message.seq != slot("seq"),
    ),
    "aggregate",
    "id",
    "seq",
)
PUT_MESSAGE = upsert(Message, "aggregate", "seq")
END_MESSAGE = Statement(
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
