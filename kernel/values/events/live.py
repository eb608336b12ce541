"""What is shown while it happens, and how events are shown as JSON."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from ..codec import converter, dumps, from_json
from ..frozen import frozen
from ..ids import MessageId, SessionId
from ..tool import Json
from .declaring import ENVELOPE, Event
from .encoding import decode_event


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

_UNSTRUCTURE: dict[type[LiveEvent], Callable[[Any], dict[str, Json]]] = {}
"""What makes a dict of each, which the converter would look up for every event."""


def event_to_json(item: LiveEvent) -> dict[str, Json]:
    """Return an event as every door shows it: the envelope, then its own fields."""
    kind = type(item)
    unstructure = _UNSTRUCTURE.get(kind)
    if unstructure is None:
        unstructure = _UNSTRUCTURE[kind] = converter.get_unstructure_hook(kind)
    own = unstructure(item)
    if isinstance(item, Event):
        return {
            "seq": item.seq,
            "kind": item.kind,
            "version": item.version,
            **own,
        }
    return {"kind": item.kind, **own}


def event_from_json(shown: Mapping[str, Json]) -> LiveEvent:
    """Return the event that ``event_to_json`` showed, also of an earlier release.

    Raises:
        EventKindError, EventVersionError: it is unknown to this release.
        EventDamagedError: it is not made as its kind says.
        UndecodableError: it is no event at all, or its envelope is none.
    """
    kind = shown.get("kind")
    if kind == LiveDelta.kind:
        own = {name: value for name, value in shown.items() if name != "kind"}
        return from_json(own, LiveDelta, "delta")
    envelope = from_json(
        {name: shown.get(name) for name in (*ENVELOPE, "kind", "version")},
        _Envelope,
        "event",
    )
    outer = (*ENVELOPE, "kind", "version")
    own = {name: value for name, value in shown.items() if name not in outer}
    return decode_event(
        envelope.kind,
        envelope.version,
        dumps(own),
        envelope.session_id,
        envelope.seq,
        envelope.created,
    )


@frozen
class _Envelope:
    session_id: str
    seq: int
    created: int
    kind: str
    version: int
