"""The current epoch: what the model of a session was told of its world, as a fold.

Owns the current Context Epoch, what its updates added, and why a new one must begin.
The fold of the messages is in ``fold``. Knows nothing of what is so now.
"""

from collections.abc import Mapping

from ..context.algebra import digests_after, source_of
from ..context.availability import Availability
from ..values import events as e

_HEARD = frozenset(
    (
        e.EpochStarted,
        e.ContextUpdated,
        e.AvailabilityChanged,
        e.SessionInstructed,
        e.SessionPruned,
    )
)


class EpochFold:
    """What a model was told of its world so far."""

    def __init__(self) -> None:
        self.baseline: str | None = None
        """The rendered Baseline of the current Context Epoch."""
        self.instructions = ""
        """Those of the agent, which follow the Baseline in every request."""
        self.sources: Mapping[str, str] = {}
        """What was told under each key, by digest."""
        self.removals: Mapping[str, str] = {}
        """What is to be said of what is gone, by key, where the source said."""
        self.left_out: set[str] = set()
        """The Context Sources that the Baseline lacks, and nothing has told since."""
        self.availability = Availability()
        """Which sources cannot be observed now."""
        self.updated = False
        """Whether an update was told in this epoch."""
        self.instructed: str | None = None
        """What the caller said that is to be kept to."""
        self.due: str | None = None
        """Why a new epoch must begin at the next boundary, if one must."""

    def begin_anew(self, cause: str) -> None:
        """Have a new epoch begin at the next boundary, for this reason. The first
        reason stands."""
        if self.baseline is not None and self.due is None:
            self.due = cause

    def apply(self, event: e.Event, *, here: bool) -> None:
        """Take in one event. ``here``: it is of this store, and not of another one,
        whose model was told of another machine."""
        if type(event) not in _HEARD:
            return
        if isinstance(event, e.EpochStarted):
            if here:
                self._begin(event)
            else:
                self.due = "imported"
        elif isinstance(event, e.ContextUpdated) and here:
            self.sources = digests_after(self.sources, event.sources)
            kept = {**self.removals, **event.removals}
            self.removals = {key: kept[key] for key in self.sources if key in kept}
            self.left_out -= {source_of(key) for key in event.sources}
            self.updated = True
        elif isinstance(event, e.AvailabilityChanged) and here:
            self.availability.apply(event)
            # What answers again and has nothing to say is not left out either.
            self.left_out.difference_update(event.ended)
        elif isinstance(event, e.SessionInstructed):
            self.instructed = event.instructions
        elif (
            isinstance(event, e.SessionPruned)
            and self.updated
            and "transcript" in event.classes
        ):
            # A Baseline stays whole, but what was told since may be gone.
            self.begin_anew("pruned")

    def _begin(self, event: e.EpochStarted) -> None:
        self.baseline = event.baseline
        self.instructions = event.instructions
        self.sources = dict(event.sources)
        self.removals = dict(event.removals)
        self.left_out = set(event.left_out)
        self.availability.apply(event)
        self.updated = False
        self.due = None

    def cause(self, instructions: str) -> str | None:
        """Return why a new epoch must begin for an agent with these instructions; None
        when this one goes on."""
        if self.baseline is None:
            return self.due or "first"
        if self.due is None and instructions != self.instructions:
            return "agent"
        return self.due
