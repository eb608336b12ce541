"""Executions, their Steps, and what models answer."""

from collections.abc import Mapping
from typing import Literal

from attrs import field

from ..frozen import frozen
from ..ids import MessageId
from ..messages import Citation, Usage
from ..sent import SentRequest
from ..tool import Failure, Json
from .declaring import Event, event

OutcomeStatus = Literal["succeeded", "failed", "interrupted", "paused"]


@event("execution.started")
@frozen(kw_only=True)
class ExecutionStarted(Event):
    """A worker began to work on the session."""

    owner: str
    """Which worker: opaque, different for every opened runtime."""


@event("execution.ended")
@frozen(kw_only=True)
class ExecutionEnded(Event):
    """The worker stopped, and why (law execution.7)."""

    status: OutcomeStatus
    """How it ended."""
    reason: Failure | None = None
    """Why, unless it succeeded."""


@event("facts.recorded")
@frozen(kw_only=True)
class FactsRecorded(Event):
    """What the Steps from here on rest on. Recorded when any of it changed.

    Compared one by one when another process takes over (law recovery.5).
    """

    agent: str
    """The name of the agent profile."""
    model: str
    """``provider/model``."""
    tools: Mapping[str, str]
    """The digest of each advertised definition, by name."""
    rules: str
    """The digest of the agent's permission rules."""
    approvals: tuple[str, ...] = ()
    """The ids of the saved approvals."""
    plugins: Mapping[str, str] = field(factory=dict)
    """The version of each plugin of the Location, by name."""
    policy: str | None = None
    """The SHA-256 of the permission rules themselves, which the calls of these Steps
    are held to, also after the rules have changed."""


@event("continuation.reported")
@frozen(kw_only=True)
class ContinuationReported(Event):
    """What was trusted and what had moved when a worker took the session over."""

    digest: str
    """Names exactly this report."""
    report: Json
    """A ContinuationReport as JSON."""


@event("continuation.accepted")
@frozen(kw_only=True)
class ContinuationAccepted(Event):
    """Execution may continue from this report (law recovery.4)."""

    digest: str
    """Names the report that was accepted."""
    by: str
    """``person``: the report was accepted by its digest. ``prompt``: by a new prompt.
    ``clean``: nothing was unknown and nothing had moved. ``policy``: by
    ``resume="always"``. ``revert``: by a revert, or its undoing: what was left is
    settled, and nothing goes on."""
    attempt: int = 0
    """How many times in a row it went on by itself, this one included."""


@event("step.started")
@frozen(kw_only=True)
class StepStarted(Event):
    """A request is about to be sent; its answer is this message."""

    message_id: MessageId
    """The assistant message that it writes."""
    agent: str
    """The name of the agent profile."""
    model: str
    """``provider/model``."""


@event("retry.scheduled", retention="trace")
@frozen(kw_only=True)
class RetryScheduled(Event):
    """The request failed before it brought anything and will be sent again."""

    message_id: MessageId
    """The assistant message that it belongs to."""
    attempt: int
    """The number of the attempt that comes, from 2."""
    delay_ms: int
    """Milliseconds from now to the next attempt."""
    failure: Failure
    """Why the attempt before it failed."""
    request: SentRequest | None = None
    """What the attempt before it had sent; None where it came to nothing."""
    usage: Usage = field(factory=Usage)
    """The tokens of the attempt before it, as far as the provider told of them before
    it failed. They are in no later event of the Step."""
    cost: float | None = None
    """US dollars of those; None when no price is known, or nothing was told."""
    unpriced: int = 0
    """1 where tokens were used whose cost is not known, or not wholly; else 0."""


@event("model.fell_back", retention="trace")
@frozen(kw_only=True)
class ModelFellBack(Event):
    """A model did not answer, and another one goes on, until the next input."""

    model: str
    """The one that is given up, as ``provider/model``."""
    next: str
    """The one that is asked from here on."""
    failure: Failure
    """Why there is no answer of the first."""
    message_id: MessageId | None = None
    """The message that stays without an answer; None where nothing could be asked."""


@event("step.ended", retention="transcript")
@frozen(kw_only=True)
class StepEnded(Event):
    """The Step is settled: its answer is whole and all its calls have results."""

    message_id: MessageId
    """The assistant message that it belongs to."""
    finish: str
    """Why the model stopped: a FinishReason."""
    usage: Usage = field(factory=Usage)
    """The tokens of its request, as far as the provider told."""
    cost: float | None = None
    """US dollars; None when no price is known, or not all tokens were told."""
    unpriced: int = 0
    """1 where tokens were used whose cost is not known, or not wholly; else 0."""
    broke_off: Failure | None = None
    """Why the answer broke off after calls of it had begun. They were run, so the Step
    counts, and the next one goes on from their results."""
    request: SentRequest | None = None
    """What was sent, unless an earlier event of the attempt says it, or nobody that
    lived to tell knew."""


@event("step.failed", retention="transcript")
@frozen(kw_only=True)
class StepFailed(Event):
    """The Step is settled without a whole answer; what had come is kept."""

    message_id: MessageId
    """The assistant message that it belongs to."""
    failure: Failure
    """Why there is no answer."""
    usage: Usage = field(factory=Usage)
    """The tokens of its request, as far as the provider told."""
    cost: float | None = None
    """US dollars, where the provider told of its usage before it failed."""
    unpriced: int = 0
    """1 where tokens were used whose cost is not known, or not wholly; else 0."""
    request: SentRequest | None = None
    """What was sent, unless an earlier event of the attempt says it, or nobody that
    lived to tell knew."""


@event("text.ended", retention="transcript")
@frozen(kw_only=True)
class TextEnded(Event):
    """A text part, whole."""

    message_id: MessageId
    """The assistant message that it belongs to."""
    text: str
    """All of it."""
    metadata: Mapping[str, Json] = field(factory=dict)
    """What the provider attached to it; only the model that wrote it is sent it
    again."""
    citations: tuple[Citation, ...] = ()
    """What it rests on, as far as the provider said."""


@event("reasoning.ended", retention="transcript")
@frozen(kw_only=True)
class ReasoningEnded(Event):
    """A reasoning part, whole."""

    message_id: MessageId
    """The assistant message that it belongs to."""
    text: str
    """All of it."""
    metadata: Mapping[str, Json] = field(factory=dict)
    """What the provider attached to it; only the model that wrote it is sent it
    again."""
