"""What sessions that work for a session do, as far as it concerns this one."""

from attrs import field

from ..frozen import frozen
from ..ids import RequestId
from ..messages import Usage
from .declaring import Event, event


@event("child.spent")
@frozen(kw_only=True)
class ChildSpent(Event):
    """A session that works for this one settled a Step, had its history summed up, or
    lost an attempt that tokens were used for. Recorded in the same transaction as that;
    what it used counts here too."""

    child: str
    """The session that used it, at whatever depth below this one."""
    usage: Usage = field(factory=Usage)
    """The tokens of its request, as far as the provider told."""
    cost: float | None = None
    """US dollars; None when no price is known."""
    unpriced: int = 0
    """In how many requests of it tokens were used whose cost is not known, or not
    wholly: ``cost`` is the least that it was."""
    steps: int = 1
    """How many Steps that was; 0 for a summary, or for an attempt of a Step that goes
    on."""
    answered: bool = True
    """Whether a model answered: what it used is then unknown where it is not told."""


@event("child.asked")
@frozen(kw_only=True)
class ChildAsked(Event):
    """A session that works for this one asks a person something, and waits. Recorded in
    the same transaction; the question itself, and its answer, are in that one's log."""

    child: str
    """The session that asks, at whatever depth below this one."""
    request_id: RequestId
    """What it is answered by, together with that session."""
    what: str
    """The kind of request: ``permission``, for example."""
    agent: str
    """Whose call it is."""
