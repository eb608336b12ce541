"""The Context Epoch: the span in which one Baseline is the prefix of every request.

Owns the decision, at a Safe Step Boundary, whether an epoch begins, goes on, or goes
on with an update. Knows nothing of stores and never waits: a Step samples, asks here,
and commits what is returned.
"""

from collections.abc import Callable, Mapping

from attrs import field

from ..values.errors import ContextUnavailableError
from ..values.events import ContextUpdated, EpochStarted, LeftOut
from ..values.frozen import frozen
from ..values.ids import MessageId, SessionId
from .algebra import Snapshot, changes, render_baseline
from .availability import left_out


@frozen
class CurrentEpoch:
    """What the model was told in this epoch so far."""

    baseline: str
    """The stored text, sent byte for byte in every request (law context.1)."""
    sources: Mapping[str, str]
    """The digest of what was last told under each key."""
    removals: Mapping[str, str] = field(factory=dict)
    """What is said of what is gone, by key, where its source said."""


@frozen
class InitialiseEpoch:
    """An epoch begins: store this before the request is sent."""

    baseline: str
    sources: Mapping[str, str]
    cause: str
    left_out: Mapping[str, LeftOut] = field(factory=dict)
    instructions: str = ""
    removals: Mapping[str, str] = field(factory=dict)

    def event(self, session_id: SessionId) -> EpochStarted:
        """Return the event to commit."""
        return EpochStarted(
            session_id=session_id,
            baseline=self.baseline,
            sources=self.sources,
            cause=self.cause,
            left_out=self.left_out,
            instructions=self.instructions,
            removals=self.removals,
        )


@frozen
class NoChange:
    """The model knows everything already."""


@frozen
class UpdateEpoch:
    """Something is newly true: store this before it is sent (law context.3)."""

    text: str
    sources: Mapping[str, str | None]
    removals: Mapping[str, str] = field(factory=dict)

    def event(self, session_id: SessionId, message_id: MessageId) -> ContextUpdated:
        """Return the event to commit."""
        return ContextUpdated(
            session_id=session_id,
            message_id=message_id,
            text=self.text,
            sources=self.sources,
            removals=self.removals,
        )


Decision = InitialiseEpoch | NoChange | UpdateEpoch


def decide(
    epoch: CurrentEpoch | None,
    snapshot: Snapshot,
    *,
    cause: str = "first",
    instructions: str = "",
    redact: Callable[[str], str] = str,
) -> Decision:
    """Return what must be stored before the next request.

    Without an epoch one begins, with ``cause`` as its reason; pass None also to
    replace an epoch; what cannot be observed now is left out of its Baseline, by name.
    Within an epoch the Baseline stands, with the agent's ``instructions`` after it, and
    what changed becomes an update.

    Raises:
        ContextUnavailableError: an epoch must begin and a required source is
            unavailable. Its first request is never sent without what that says, and no
            input may be promoted for it (law context.4). It names the first such
            source, whose it is, and how to do without it.
    """
    if epoch is None:
        _require_required(snapshot)
        return InitialiseEpoch(
            render_baseline(snapshot),
            snapshot.digests,
            cause,
            {key: left_out(one, redact) for key, one in snapshot.unavailable.items()},
            instructions,
            snapshot.removals,
        )
    update = changes(epoch.sources, snapshot, epoch.removals)
    if update is None:
        return NoChange()
    return UpdateEpoch(update.text, update.sources, update.removals)


def _require_required(snapshot: Snapshot) -> None:
    missing = {key: one for key, one in snapshot.unavailable.items() if one.required}
    if not missing:
        return
    (key, first), *others = missing.items()
    problem = first.reason
    if others:
        problem += "; also unavailable: " + ", ".join(other for other, _ in others)
    raise ContextUnavailableError(key, problem, first.plugin) from first.error
