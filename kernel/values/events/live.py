"""What is shown while it happens, and how events are shown as JSON."""

from typing import ClassVar, Literal

from ..codec import converter
from ..frozen import frozen
from ..ids import MessageId, SessionId
from ..tool import Json
from .declaring import Event


@frozen
class LiveDelta:
    """Something that is shown while it happens and never stored (law events.8).

    ``what`` says what ``text`` is more of: ``text``, ``reasoning``, ``tool_input`` or
    ``progress``; ``part`` tells the parts of one message apart.
    """

    session_id: SessionId
    """The session that it belongs to."""
    message_id: MessageId
    """The assistant message that is being written."""
    what: Literal["text", "reasoning", "tool_input", "progress"]
    """What ``text`` is more of."""
    part: str
    """Tells the parts of one message apart."""
    text: str
    """What is new."""
    kind: ClassVar[str] = "live.delta"
    """The same for all of them."""


LiveEvent = Event | LiveDelta


def event_to_json(item: LiveEvent) -> dict[str, Json]:
    """Return an event as every door shows it: the envelope, then its own fields."""
    own = converter.unstructure(item)
    shown = {"kind": item.kind, **own}
    if isinstance(item, Event):
        shown = {
            "seq": item.seq,
            "kind": item.kind,
            "version": item.version,
            **own,
        }
    return shown
