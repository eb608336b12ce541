"""Fallen back: which model goes on in the place of another, as a fold of events.

Owns which models were given up in the work that goes on, and which is asked instead.
Knows nothing of why one is given up.
"""

from ..values import events as e
from ..values.ids import MessageId

_HEARD = frozenset(
    (
        e.FallbackSet,
        e.SessionCreated,
        e.ModelSwitched,
        e.PromptPromoted,
        e.ExecutionEnded,
        e.ModelFellBack,
    )
)


class Fallen:
    """The models of one session that did not answer."""

    def __init__(self) -> None:
        self.session: tuple[str, ...] | None = None
        """Which models the session says go on; None: the configured ones."""
        self._begin()

    def _begin(self) -> None:
        self.current: str | None = None
        """The model that goes on; None: the session's own is asked."""
        self.tried: tuple[str, ...] = ()
        """Those that were given up, in order."""
        self.message_id: MessageId | None = None
        """The message that the last of them left empty."""

    def apply(self, event: e.Event, *, here: bool, hidden: bool) -> None:
        """Take in one event; ``hidden`` from the model, it tells of a setting alone."""
        if type(event) not in _HEARD:
            return
        if isinstance(event, e.FallbackSet):
            self.session = event.models
            self._begin()
        elif isinstance(event, e.SessionCreated):
            if event.forked_from is None:
                # A fork has what the session said that it shares the past of.
                self.session = event.fallback
        elif isinstance(event, e.ModelSwitched | e.PromptPromoted | e.ExecutionEnded):
            self._begin()
        elif isinstance(event, e.ModelFellBack) and here and not hidden:
            self.current = event.next
            self.tried = (*self.tried, event.model)
            self.message_id = event.message_id

    def cross(self) -> None:
        """Go on in a fork, in which nothing was given up."""
        self._begin()
