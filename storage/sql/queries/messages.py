"""Statements of where messages are: ``message``."""

from ..rendering import Statement, slot, upsert
from ..tables import Message
from .places import AGGREGATE_OF

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
OPEN_MESSAGES = Statement(
    Message.select(*_MESSAGE_ROW)
    .where(Message.aggregate == AGGREGATE_OF, Message.end_seq.is_null())
    .order_by(Message.seq),
    "session_id",
)
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
