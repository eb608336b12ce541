"""Spent: what a session, or the work on one prompt, has used of its budget.

Owns the counting and the question which limit is reached. Knows nothing of what happens
then: an execution asks at each boundary.
"""

from ..log.family import answered
from ..values import events as e
from ..values.money import dollars, picodollars
from ..values.prompt import Budget
from ..values.tool import Failure

UNTOLD = "the provider did not tell all tokens of an answer"
UNPRICED = "the price of an earlier answer is not known"


class Spent:
    """What work has used of its budget."""

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = budget
        self.steps = 0
        self.tokens = 0
        self.picodollars = 0
        self.untold = False
        """Whether an answer came whose tokens nobody told."""
        self.unpriced = False
        """Whether an answer came of which nobody knows what it cost."""

    def add(self, event: e.StepEnded | e.StepFailed | e.ChildSpent) -> None:
        """Count one Step, of the session or of one that works for it."""
        self.steps += event.steps if isinstance(event, e.ChildSpent) else 1
        self.add_request(event)

    def add_request(
        self,
        event: e.StepEnded
        | e.StepFailed
        | e.ChildSpent
        | e.RetryScheduled
        | e.CompactionStarted
        | e.CompactionEnded
        | e.CompactionFailed
        | e.SessionTitled
        | e.TitleFailed,
    ) -> None:
        """Count what was asked of a model, whether for a Step or besides.

        Of what failed only what was told counts: most of it took nothing.
        """
        if answered(event):
            usage = event.usage
            self.untold |= usage.input is None or usage.output is None
            self.unpriced |= event.cost is None
        self.tokens += (event.usage.input or 0) + (event.usage.output or 0)
        self.picodollars += picodollars(event.cost or 0.0)

    @property
    def cost(self) -> float:
        """US dollars."""
        return dollars(self.picodollars)

    def exceeded(self, seconds: float, *, priced: bool) -> Failure | None:
        """Return which limit is reached, or None.

        ``seconds`` is the age of the execution; ``priced`` whether the model's price
        is known. Without it a limit of money cannot be kept, nor any of tokens or money
        once an answer came that nobody can count: so it counts as reached.
        """
        budget = self.budget
        if budget is None:
            return None
        if budget.steps is not None and self.steps >= budget.steps:
            return Failure("budget.steps", f"all {budget.steps} Steps are used")
        if budget.tokens is not None:
            why = f"{self.tokens} of {budget.tokens} tokens are used"
            if self.tokens >= budget.tokens:
                return Failure("budget.tokens", why)
            if self.untold:
                return Failure("budget.tokens", f"{UNTOLD}; at least {why}")
        if budget.cost is not None:
            why = f"{self.cost:.4f} of {budget.cost:g} dollars are used"
            if not priced:
                return Failure("budget.cost", "the model's price is not known")
            if self.cost >= budget.cost:
                return Failure("budget.cost", why)
            if self.unpriced:
                said = UNTOLD if self.untold else UNPRICED
                return Failure("budget.cost", f"{said}; at least {why}")
        if budget.seconds is not None and seconds >= budget.seconds:
            return Failure("budget.seconds", f"{budget.seconds:g} seconds are over")
        return None
