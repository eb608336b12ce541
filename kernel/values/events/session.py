"""What happens to a session as a whole."""

from attrs import frozen

from ..prompt import Budget
from ..tool import Failure
from .declaring import Event, Retention, event


@event("session.created")
@frozen(kw_only=True)
class SessionCreated(Event):
    """A session exists. Always the first event."""

    directory: str
    workspace: str | None = None
    title: str | None = None
    agent: str | None = None
    model: str | None = None
    parent: str | None = None
    """The session this one was forked from."""
    budget: Budget | None = None
    """For all the work of the session."""


@event("session.model_switched")
@frozen(kw_only=True)
class ModelSwitched(Event):
    """The session's model changed; Steps use it from the next boundary on."""

    model: str | None


@event("session.agent_switched")
@frozen(kw_only=True)
class AgentSwitched(Event):
    """The session's agent changed; Steps use it from the next boundary on."""

    agent: str | None


@event("session.titled")
@frozen(kw_only=True)
class SessionTitled(Event):
    """The session has a new title."""

    title: str


@event("session.budgeted")
@frozen(kw_only=True)
class SessionBudgeted(Event):
    """The session has another budget; what was used before counts."""

    budget: Budget | None


@event("session.pruned")
@frozen(kw_only=True)
class SessionPruned(Event):
    """Content of earlier events was removed; what is left of them says so."""

    classes: tuple[Retention, ...]
    events: int
    bytes: int


@event("session.repaired")
@frozen(kw_only=True)
class SessionRepaired(Event):
    """The log was damaged from ``first`` on. What was stored there was set aside, and
    the session went on from the last sound event."""

    first: int
    last: int
    failure: Failure


@event("event.set_aside")
@frozen(kw_only=True)
class EventSetAside(Event):
    """Stands for one event that was set aside, so that no sequence number is ever
    given out twice (law storage.3)."""
