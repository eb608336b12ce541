"""What the model is told of its world."""

from collections.abc import Mapping

from attrs import field

from ..frozen import frozen
from ..ids import MessageId
from .declaring import Event, event


@frozen
class LeftOut:
    """Why a Context Source could not be observed."""

    plugin: str | None
    """Whose source it is."""
    reason: str
    """What it said, or what became of it."""


@event("context.epoch_started", retention="transcript")
@frozen(kw_only=True)
class EpochStarted(Event):
    """A rendered Baseline is the prefix of every request from here on."""

    baseline: str
    """What every request of the epoch begins with."""
    sources: Mapping[str, str]
    """The digest of each value, by key: that of its source, or of one of several
    parts of it, ``source:part``."""
    cause: str = "first"
    """Why it began: ``first``, ``agent`` (another one, with other instructions),
    ``move``, ``compaction``, ``pruned`` or ``imported``."""
    left_out: Mapping[str, LeftOut] = field(factory=dict)
    """By key, what could not be observed and is told as soon as it can."""
    instructions: str = ""
    """Those of the agent: they follow the Baseline in every request of the epoch."""
    removals: Mapping[str, str] = field(factory=dict)
    """What is said of a value when it is gone, by key, where its source says."""


@event("context.availability_changed", retention="transcript")
@frozen(kw_only=True)
class AvailabilityChanged(Event):
    """Within an epoch, a Context Source cannot be observed any more, or can be again.

    The model is told nothing of it: what it was told still holds, as far as is known.
    """

    unavailable: Mapping[str, LeftOut] = field(factory=dict)
    """By key, what cannot be observed from here on, and why."""
    ended: tuple[str, ...] = ()
    """The keys of what could not be observed before this and now can, or is not offered
    any more."""


@event("context.updated", retention="transcript")
@frozen(kw_only=True)
class ContextUpdated(Event):
    """The model is told, between other messages, what is newly true."""

    message_id: MessageId
    """The message that the model reads it in."""
    text: str
    """What the model is told, word for word."""
    sources: Mapping[str, str | None]
    """The new digests by key; None for what was removed."""
    removals: Mapping[str, str] = field(factory=dict)
    """What is said of these when they are gone, by key, where their source says."""


@event("notice.added", retention="transcript")
@frozen(kw_only=True)
class NoticeAdded(Event):
    """The runtime tells the model something, such as that a run was interrupted."""

    message_id: MessageId
    """The message that the model reads it in."""
    text: str
    """What the model is told, word for word."""
    about: str | None = None
    """What it is about, where the runtime has to know: ``circles``."""
