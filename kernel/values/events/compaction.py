"""What the model is shown of older history: less of it, or a summary in its place."""

from typing import Literal

from attrs import field

from ..frozen import frozen
from ..ids import MessageId
from ..messages import Usage
from ..sent import AskedText, SentRequest
from ..tool import Failure
from .declaring import Event, event

CompactionReason = Literal["full", "asked", "overflow"]
"""``full``: the next request would not have fitted. ``asked``: somebody wanted it.
``overflow``: the provider refused a request because it was too long."""


@frozen
class UserWords:
    """Something that the user said, kept word for word beside a summary."""

    seq: int
    """Where it is in the transcript."""
    text: str
    """Its words; the middle of a long one is left out."""


@event("compaction.requested")
@frozen(kw_only=True)
class CompactionRequested(Event):
    """Somebody asked for a compaction. Input that was admitted later waits for it."""


@event("compaction.started", retention="transcript")
@frozen(kw_only=True)
class CompactionStarted(Event):
    """A summary of older history is being made. Nothing is replaced yet."""

    reason: CompactionReason
    """Why."""
    strategy: str
    """Who makes the summary."""
    model: str
    """Which model writes it, as ``provider/model``."""
    tokens: int
    """How many tokens the next request would have had, as far as that is known."""
    limit: int | None = None
    """How many it may have; None where nobody knows."""
    requested: int | None = None
    """The event that asked for it."""
    request: SentRequest | None = None
    """What was sent and refused as too long, where that is why."""
    usage: Usage = field(factory=Usage)
    """What that took, as far as the provider told before it refused."""
    cost: float | None = None
    """US dollars of that; None when no price is known, or nothing was told."""
    unpriced: int = 0
    """1 where tokens were used whose cost is not known, or not wholly; else 0."""


@event("compaction.ended", retention="transcript")
@frozen(kw_only=True)
class CompactionEnded(Event):
    """From here on the model is shown this text in the place of older history."""

    message_id: MessageId
    """The message that the model reads it in."""
    text: str
    """All that stands for what was replaced, word for word as the model reads it."""
    kept: int
    """The place in the transcript from which on messages stay as they are."""
    longest: int | None = None
    """Characters of one tool result in what stays; of a longer one only the beginning
    is shown. None: each is shown whole."""
    replaced: int
    """How many messages the text stands for."""
    tokens_before: int
    """How many tokens the next request would have had."""
    tokens_after: int
    """How many it has now, as far as that is known."""
    said: tuple[UserWords, ...] = ()
    """What the user said, as it stands in the text."""
    skills: tuple[str, ...] = ()
    """The skills that were loaded, as they stand in the text."""
    names: tuple[str, ...] = ()
    """Files, ids and other names that calls were about, as they stand in the text."""
    model: str
    """Which model wrote the summary."""
    usage: Usage = field(factory=Usage)
    """The tokens of writing it, as far as the provider told."""
    cost: float | None = None
    """US dollars; None when no price is known."""
    unpriced: int = 0
    """In how many requests of it tokens were used whose cost is not known, or not
    wholly: ``cost`` is the least that it was."""
    requested: int | None = None
    """The event that asked for it."""
    asked: tuple[AskedText, ...] = ()
    """The requests of writing it, in order."""


@event("compaction.failed", retention="transcript")
@frozen(kw_only=True)
class CompactionFailed(Event):
    """There is no summary, and nothing was replaced."""

    failure: Failure
    """Why."""
    usage: Usage = field(factory=Usage)
    """What trying took, as far as the provider told."""
    cost: float | None = None
    """US dollars; None when no price is known."""
    unpriced: int = 0
    """In how many requests of it tokens were used whose cost is not known, or not
    wholly: ``cost`` is the least that it was."""
    requested: int | None = None
    """The event that asked for it and has its end with this."""
    asked: tuple[AskedText, ...] = ()
    """The requests of trying, in order."""


@event("compaction.shortened")
@frozen(kw_only=True)
class OutputsShortened(Event):
    """From here on the model is shown only the beginning of old tool results."""

    before: int
    """The place in the transcript up to which."""
    longest: int
    """Characters of a result that stay."""
    spared: tuple[str, ...] = ()
    """Tools whose results stay whole."""
    results: int
    """How many results became shorter."""
    tokens_before: int
    """How many tokens the next request would have had."""
    tokens_after: int
    """How many it has now, as far as that is known."""
