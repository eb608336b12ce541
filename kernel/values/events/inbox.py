"""What is said to the model, until it sees it."""

from ..frozen import frozen
from ..generation import Generation
from ..ids import JobId, MessageId
from ..output import Output
from ..prompt import Budget, Delivery, Prompt
from .declaring import Event, event


@event("prompt.admitted", retention="transcript")
@frozen(kw_only=True)
class PromptAdmitted(Event):
    """Input was accepted. It is not visible to the model yet."""

    input_id: MessageId
    """Which input it is; that is also the id of the message that it becomes."""
    prompt: Prompt
    """What was said."""
    delivery: Delivery
    """Whether it joins the running work or waits for its end."""
    key: str | None = None
    """The caller's own name for it, if there was one."""
    budget: Budget | None = None
    """For the work that it begins or joins, until that ends or other input brings
    another one."""
    job_id: JobId | None = None
    """The job whose end it tells: then nobody said it, and the runtime wrote it."""
    generation: Generation | None = None
    """How answers to it are generated; what it says nothing of is the session's."""
    output: Output | None = None
    """The value that is wanted for an answer; None for text."""


@event("prompt.promoted")
@frozen(kw_only=True)
class PromptPromoted(Event):
    """The admitted prompt is a user message now, under the id of its input."""

    input_id: MessageId
    """Which input it is; that is also the id of the message that it becomes."""


@event("prompt.withdrawn")
@frozen(kw_only=True)
class PromptWithdrawn(Event):
    """The caller took a pending prompt back."""

    input_id: MessageId
    """Which input it is; that is also the id of the message that it becomes."""


@event("prompt.redelivered")
@frozen(kw_only=True)
class PromptRedelivered(Event):
    """The caller changed how a pending prompt is delivered."""

    input_id: MessageId
    """Which input it is; that is also the id of the message that it becomes."""
    delivery: Delivery
    """How it is delivered from now on."""
