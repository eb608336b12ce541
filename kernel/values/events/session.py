"""What happens to a session as a whole."""

from attrs import field

from ..frozen import frozen
from ..generation import Generation
from ..messages import Usage
from ..prompt import Budget
from ..sent import AskedText
from ..tool import Failure
from .declaring import Event, Retention, event

LOST_POLICY = "0" * 64
"""Stands for a policy of which nothing is known: one that allows nothing."""


@event("session.created", retention="transcript")
@frozen(kw_only=True)
class SessionCreated(Event):
    """A session exists. Always the first event; only its title may ever be removed."""

    directory: str
    """The directory of its Location."""
    workspace: str | None = None
    """Tells Locations in one directory apart."""
    title: str | None = None
    """What a person would call it."""
    agent: str | None = None
    """Its own agent; None for the configured one."""
    model: str | None = None
    """Its own model, as ``provider/model``; None for the configured one."""
    fallback: tuple[str, ...] | None = None
    """The models that go on where that does not answer; None for the configured
    ones."""
    parent: str | None = None
    """Whose child it is: the session that it works for."""
    forked_from: str | None = None
    """Whose past it shares; not the same as being its child."""
    forked_seq: int | None = None
    """The last event of that past; there is one where ``forked_from`` is."""
    forked_hash: str | None = None
    """The hash of that event, in hexadecimal: it stands for all of that past."""
    budget: Budget | None = None
    """For all the work of the session."""
    within: str | None = None
    """The SHA-256 of the policy that bounds it, whatever its own agent may do: that of
    the Step whose call began it. None: it is bounded by nothing else."""
    generation: Generation | None = None
    """How its answers are generated, where neither a prompt nor its agent says more."""


@event("session.model_switched")
@frozen(kw_only=True)
class ModelSwitched(Event):
    """The session's model changed; Steps use it from the next boundary on."""

    model: str | None
    """The new model, as ``provider/model``; None for the configured one."""


@event("session.fallback_set")
@frozen(kw_only=True)
class FallbackSet(Event):
    """Other models go on where the session's does not answer; from now on."""

    models: tuple[str, ...] | None
    """In the order in which they are tried, as ``provider/model``; None for the
    configured ones."""


@event("session.agent_switched")
@frozen(kw_only=True)
class AgentSwitched(Event):
    """The session's agent changed; Steps use it from the next boundary on."""

    agent: str | None
    """The new agent; None for the configured one."""


@event("session.moved")
@frozen(kw_only=True)
class SessionMoved(Event):
    """The session works in another Location; from the next boundary on."""

    directory: str
    """The directory of its new Location."""
    workspace: str | None = None
    """Tells Locations in one directory apart."""


@event("session.titled", retention="transcript")
@frozen(kw_only=True)
class SessionTitled(Event):
    """The session has a new title."""

    title: str | None
    """What a person would call it; None for nothing any more."""
    usage: Usage = field(factory=Usage)
    """What it took to ask a model for one; it may be that nothing came of it, and the
    title is the one before."""
    cost: float | None = None
    """The same in US dollars; None where no price is known, or no model was asked."""
    unpriced: int = 0
    """In how many requests of it tokens were used whose cost is not known, or not
    wholly: ``cost`` is the least that it was."""
    asked: tuple[AskedText, ...] = ()
    """The requests that asked a model for one, in order."""


@event("session.title_failed", retention="transcript")
@frozen(kw_only=True)
class TitleFailed(Event):
    """A model was asked for a title and none came of it; the session keeps its own."""

    failure: Failure
    """Why."""
    usage: Usage = field(factory=Usage)
    """The tokens of asking, as far as the provider told."""
    cost: float | None = None
    """The same in US dollars; None where no price is known."""
    unpriced: int = 0
    """In how many requests of it tokens were used whose cost is not known, or not
    wholly: ``cost`` is the least that it was."""
    asked: tuple[AskedText, ...] = ()
    """The requests that asked for one, in order."""


@event("session.budgeted")
@frozen(kw_only=True)
class SessionBudgeted(Event):
    """The session has another budget; what was used before counts."""

    budget: Budget | None
    """For all the work of the session; None for no bound."""


@event("session.generation_set")
@frozen(kw_only=True)
class GenerationSet(Event):
    """Answers are generated differently; from the next boundary on."""

    generation: Generation | None
    """In place of what the session said before."""


@event("session.instructed", retention="transcript")
@frozen(kw_only=True)
class SessionInstructed(Event):
    """The caller said what the session is to keep to, from its next Step on."""

    instructions: str | None
    """In place of what was said before; None for nothing any more."""


@event("session.pruned")
@frozen(kw_only=True)
class SessionPruned(Event):
    """Content of earlier events was removed; what is left of them says so."""

    classes: tuple[Retention, ...]
    """What kinds of content were removed."""
    events: int
    """How many events lost theirs."""
    bytes: int
    """How much that was."""
    title: bool = False
    """Whether the title that the session had is among it."""


@event("session.removed")
@frozen(kw_only=True)
class SessionRemoved(Event):
    """The session was removed, for good: the last event of its log, and in the end the
    only one that is left. No other session ever has its id (law storage.12)."""

    cause: str | None = None
    """The session that it was removed with: one that it worked for, or whose past it
    shared. None: it was asked for itself."""


@event("session.repaired")
@frozen(kw_only=True)
class SessionRepaired(Event):
    """The log was damaged from ``first`` on. What was stored there was set aside, and
    the session went on from the last sound event."""

    first: int
    """The first event that was set aside."""
    last: int
    """The last one."""
    failure: Failure
    """What was wrong."""


@event("event.set_aside")
@frozen(kw_only=True)
class EventSetAside(Event):
    """Stands for one event that was set aside, so that no sequence number is ever
    given out twice (law storage.3)."""
