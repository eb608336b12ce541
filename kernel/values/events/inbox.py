"""What callers say, until the model sees it."""

from attrs import frozen

from ..ids import MessageId
from ..prompt import Budget, Delivery, Prompt
from .declaring import Event, event


@event("prompt.admitted", retention="transcript")
@frozen(kw_only=True)
class PromptAdmitted(Event):
    """A prompt was accepted. It is not visible to the model yet."""

    input_id: MessageId
    prompt: Prompt
    delivery: Delivery
    key: str | None = None
    budget: Budget | None = None
    """For the work that it begins, until other input with a budget comes."""


@event("prompt.promoted")
@frozen(kw_only=True)
class PromptPromoted(Event):
    """The admitted prompt is a user message now, under the id of its input."""

    input_id: MessageId


@event("prompt.withdrawn")
@frozen(kw_only=True)
class PromptWithdrawn(Event):
    """The caller took a pending prompt back."""

    input_id: MessageId


@event("prompt.redelivered")
@frozen(kw_only=True)
class PromptRedelivered(Event):
    """The caller changed how a pending prompt is delivered."""

    input_id: MessageId
    delivery: Delivery
