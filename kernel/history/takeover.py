"""Takeover: what is known of an execution to whoever goes on with it.

Owns which events tell of that, and which are only what callers say about a session
while, or after, somebody works on it. Knows nothing of reports and acceptance, which
``execution`` makes of it.
"""

from ..values import events as e
from ..values.errors import CONTINUATION_UNACCEPTED

# What callers say about a session, and what ends beside it, is no part of what its
# execution did.
SAID = frozenset(
    (
        e.PromptAdmitted,
        e.PromptWithdrawn,
        e.PromptRedelivered,
        e.RequestAnswered,
        e.JobEnded,
        e.JobWanted,
        e.ChildSpent,
        e.ChildAsked,
        e.SessionTitled,
        e.TitleFailed,
        e.CompactionRequested,
        e.ModelSwitched,
        e.FallbackSet,
        e.AgentSwitched,
        e.SessionPruned,
        e.SessionRepaired,
        e.EventSetAside,
    )
)
_HEARD = frozenset(
    (
        e.ContinuationReported,
        e.ContinuationAccepted,
        e.ExecutionEnded,
        e.ExecutionStarted,
        e.PromptPromoted,
        e.PromptWithdrawn,
        e.StepEnded,
    )
)


class LastExecution:
    """What an execution has done, as far as whoever takes it over must know."""

    def __init__(self) -> None:
        self.owner: str | None = None
        """Who ran it last."""
        self.running = False
        """Whether it has no durable end."""
        self.unaccepted = False
        """Whether its end was a report that nobody has accepted yet."""
        self.since = 0
        """The sequence number of its beginning."""
        self.trusted = -1
        """The last event before anything that was only said about it."""
        self.imported = False
        """Whether that was made in another store."""
        self.promoted: list[str] = []
        self.withdrawn: list[str] = []
        self.reported: str | None = None
        """The digest of the last report."""
        self.attempts = 0
        """How often it was continued by itself since a Step last ended."""

    def apply(self, event: e.Event, *, here: bool) -> None:
        """Take in one event; ``here`` says whether it was made in this store."""
        kind = type(event)
        if kind in _HEARD and not self._trusts(event, here=here):
            return
        if kind not in SAID:
            self.trusted = event.seq
            self.imported = not here

    def _trusts(self, event: e.Event, *, here: bool) -> bool:
        """Take in an event of an execution, and say whether it is one to go on from."""
        if isinstance(event, e.ContinuationReported):
            self.reported = event.digest if here else None
            return False
        if isinstance(event, e.ContinuationAccepted):
            # Who accepted it elsewhere did not accept it here.
            if here:
                self.unaccepted = False
                self.attempts = event.attempt
            return False
        if isinstance(event, e.ExecutionEnded):
            self.running = False
            if (
                event.reason is not None
                and event.reason.code == CONTINUATION_UNACCEPTED
            ):
                self.unaccepted = True
                return False
        elif isinstance(event, e.ExecutionStarted):
            self.owner, self.running, self.since = event.owner, True, event.seq
            self.unaccepted = False
            self.promoted, self.withdrawn = [], []
        elif isinstance(event, e.PromptPromoted):
            self.promoted.append(event.input_id)
        elif isinstance(event, e.PromptWithdrawn):
            self.withdrawn.append(event.input_id)
        elif isinstance(event, e.StepEnded):
            self.attempts = 0
        return True
