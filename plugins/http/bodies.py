"""Bodies: what is brought to the door, as opencode's V2 surface has it.

The names and meanings are those of ``@opencode-ai/sdk`` 1.19.3 (``dist/v2``); what it
does not have is the kernel's own value under the kernel's name. Owns what may be asked
for; ``shapes`` is what is answered.
"""

from typing import Any, Literal

from attrs import field, frozen
from dovetail.kernel import Budget, Generation, Output, Rule, Saving

from .shapes import LocationRef, ModelRef, PromptShape


@frozen
class CreateBody:
    """A new session. ``id`` makes the call repeatable; one that is there is returned as
    it is, and all else counts for nothing."""

    id: str | None = None
    agent: str | None = None
    model: ModelRef | None = None
    location: LocationRef | None = None
    title: str | None = None
    budget: Budget | None = None
    parent: str | None = None
    instructions: str | None = None
    generation: Generation | None = None
    fallback: tuple[str, ...] | None = None


@frozen
class PromptBody:
    """A prompt. ``id`` names the message that it becomes, and makes the call
    repeatable; so does ``key``, or the header ``Idempotency-Key``."""

    prompt: PromptShape
    id: str | None = None
    delivery: Literal["steer", "queue"] | None = None
    resume: bool | None = None
    key: str | None = None
    budget: Budget | None = None
    instructions: str | None = None
    output: Output | None = None
    generation: Generation | None = None


@frozen
class TypedBody:
    """What a person typed."""

    prompt: PromptShape
    files: bool = False
    """Whether files that ``@path`` names are attached, too."""


@frozen
class AgentBody:
    """Another agent; null for the configured one."""

    agent: str | None


@frozen
class ModelBody:
    """Another model; null for the configured one."""

    model: ModelRef | None


@frozen
class ReplyBody:
    """What a person says to a permission request."""

    reply: Literal["once", "always", "reject"]
    """``always`` is remembered, ``reject`` denies."""
    message: str | None = None
    shown: str | None = None
    by: Literal["person", "policy"] = field(
        default="person",
        metadata={
            "description": "``policy``: it was decided before anybody asked, such as "
            "by an option of a command."
        },
    )
    saving: Saving | None = field(
        default=None,
        metadata={
            "description": "What ``always`` is to remember; without it what was "
            "offered, in the Location where it was asked."
        },
    )


@frozen
class RulesBody:
    """Rules of permissions, as somebody wrote them."""

    rules: tuple[Rule, ...]


@frozen
class AnswersBody:
    """The labels that were chosen, or one's own words, for each question in order."""

    answers: tuple[tuple[str, ...], ...]
    shown: str | None = None


@frozen
class RejectBody:
    """Why the questions are not answered; without a message the run stops."""

    message: str | None = None
    shown: str | None = None


@frozen
class StageBody:
    """The first message that is to be hidden."""

    messageID: str
    files: bool | None = None


@frozen
class ResumeBody:
    """The digest of the Continuation Report that is accepted."""

    accept: str | None = None
    """Left out: only what is clean goes on."""


@frozen
class InterruptBody:
    """Why it is stopped."""

    reason: str | None = None
    """Told to the model and to whoever looks later."""


@frozen
class DeliveryBody:
    """How a pending input is to be delivered."""

    delivery: Literal["steer", "queue"]


@frozen
class BudgetBody:
    """What all the work of the session may use; null for no limit."""

    budget: Budget | None


@frozen
class GenerationBody:
    """How the session's answers are generated; null for nothing any more."""

    generation: Generation | None


@frozen
class FallbackBody:
    """Models that go on where the session's does not answer, in this order; null for
    the configured ones."""

    models: tuple[str, ...] | None
    """Each as ``provider/model``; empty for none."""


@frozen
class InstructionsBody:
    """What the session is to keep to; null for nothing any more."""

    instructions: str | None


@frozen
class TitleBody:
    """What a person would call it."""

    title: str


@frozen
class ForkBody:
    """The last event, or message, that is shared; without it, all there is."""

    at: int | str | None = None
    """The number of an event, or the id of a message."""
    id: str | None = None
    title: str | None = None


@frozen
class MoveBody:
    """Where the session is to work."""

    location: LocationRef


@frozen
class MessageBody:
    """The last message that the model is to see."""

    messageID: str | None
    """Null: none that was said in the session itself."""


@frozen
class ExtendBody:
    """For how long a job may run from now on."""

    seconds: float


@frozen
class AnyReplyBody:
    """An answer of the request's own kind."""

    answer: Any
    """A word for a permission; for any other an object in the shape of its kind."""
    message: str | None = None
    session_id: str | None = None
    shown: str | None = None
    by: Literal["person", "policy"] = "person"
    """``policy``: it was decided before anybody asked."""
    saving: Saving | None = None
    """What ``always`` of a permission is to remember, in place of what was offered."""
