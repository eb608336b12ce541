"""Requests to a person and their ends."""

from collections.abc import Mapping
from typing import Literal

from attrs import field

from ..frozen import frozen
from ..ids import MessageId, RequestId
from ..tool import Json
from .declaring import Event, event

PermissionReply = Literal["once", "always", "reject"]
"""What a person says to a permission request."""


RequestOutcome = Literal["answered", "withdrawn", "expired"]
"""``answered``: somebody said something. ``withdrawn``: whoever asked does not want to
know any more. ``expired``: nobody said anything in time."""


@event("request.asked", retention="transcript")
@frozen(kw_only=True)
class RequestAsked(Event):
    """A call waits for a person.

    Once more, under the same id, when another worker goes on with the call and waits.
    """

    request_id: RequestId
    """Unique in its session."""
    what: str
    """The kind of request: ``permission``, for example."""
    agent: str
    """Whose call it is."""
    body: Mapping[str, Json]
    """What is asked, in the shape of its kind."""
    message_id: MessageId | None = None
    """The message of the call; None where no call asks."""
    call_id: str | None = None
    """The call, as its provider named it; None where no call asks."""
    begun: bool = False
    """Whether the call may have had an effect before it asked (law recovery.3)."""
    expires: int | None = None
    """Milliseconds since 1970 from which on no answer counts any more."""
    shown: str | None = None
    """Names exactly what is to be done or answered, of this request of this session:
    an answer to anything else is none to this."""


@event("request.answered", retention="transcript")
@frozen(kw_only=True)
class RequestAnswered(Event):
    """A request came to its end, exactly once (law access.5)."""

    request_id: RequestId
    """Which request it is."""
    outcome: RequestOutcome
    """How it ended: answered, withdrawn, or expired."""
    by: str
    """Who: ``person``, ``policy``, ``interrupt``, a name given by whoever answered, or
    the id of the request whose answer decided this one too."""
    answer: Mapping[str, Json] = field(factory=dict)
    """What was said, in the shape of its kind. Empty unless it was answered."""
    shown: str | None = None
    """What the answer is to: the ``shown`` of the request as it was then."""
