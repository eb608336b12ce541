"""The spending: what a session used up, before it was followed and since.

Owns the tokens and the cost, and that nothing is counted twice. Knows nothing of how
it is shown.
"""

from dovetail.kernel import LiveEvent, RetryScheduled, SessionInfo, StepEnded

from ..console.listing import Costs


class Spending:
    """What one session used up, as far as it is known."""

    def __init__(self) -> None:
        self.tokens = 0
        """Of all Steps, input and output together."""
        self._costs = Costs()
        self._cost: float | None = None
        """What it had cost before."""
        self._unpriced = 0
        """How many requests that leaves out."""

    def begin_with(self, info: SessionInfo) -> None:
        """Count from what is known of a session, whatever was taken so far."""
        self.tokens = (info.usage.input or 0) + (info.usage.output or 0)
        self._costs = Costs()
        self._cost, self._unpriced = info.cost, info.unpriced

    def take(self, event: LiveEvent) -> None:
        """Count what an event says was used."""
        self._costs.take(event)
        if isinstance(event, StepEnded | RetryScheduled):
            self.tokens += (event.usage.input or 0) + (event.usage.output or 0)

    def cost_text(self) -> str | None:
        """Return what it cost, as far as it is known."""
        return self._costs.text_with(self._cost, self._unpriced)
