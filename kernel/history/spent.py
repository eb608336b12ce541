"""Spent: what a session, or the work on one prompt, has used of its budget.

Owns the counting and the question which limit is reached. Knows nothing of what happens
then: an execution asks at each boundary.
"""

from ..values import events as e
from ..values.money import dollars, picodollars
from ..values.prompt import Budget
from ..values.tool import Failure


class Spent:
    """What work has used of its budget."""

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = budget
        self.steps = 0
        self.tokens = 0
        self.picodollars = 0

    def add(self, event: e.StepEnded | e.StepFailed | e.ChildSpent) -> None:
        """Count one Step, of the session or of one that works for it."""
        self.steps += event.steps if isinstance(event, e.ChildSpent) else 1
        self.add_request(event)

    def add_request(
        self,
        event: e.StepEnded
        | e.StepFailed
        | e.ChildSpent
        | e.CompactionEnded
        | e.CompactionFailed
        | e.SessionTitled,
    ) -> None:
        """Count what was asked of a model, whether for a Step or besides."""
        self.tokens += (event.usage.input or 0) + (event.usage.output or 0)
        self.picodollars += picodollars(event.cost or 0.0)

    @property
    def cost(self) -> float:
        """US dollars."""
        return dollars(self.picodollars)

    def exceeded(self, seconds: float, *, priced: bool) -> Failure | None:
        """Return which limit is reached, or None.

        ``seconds`` is the age of the execution; ``priced`` whether the model's price
        is known: without it a limit of money cannot be kept, so it counts as reached.
        """
        budget = self.budget
        if budget is None:
            return None
        if budget.steps is not None and self.steps >= budget.steps:
            return Failure("budget.steps", f"all {budget.steps} Steps are used")
        if budget.tokens is not None and self.tokens >= budget.tokens:
            return Failure(
                "budget.tokens", f"{self.tokens} of {budget.tokens} tokens are used"
            )
        if budget.cost is not None and (not priced or self.cost >= budget.cost):
            why = f"{self.cost:.4f} of {budget.cost:g} dollars are used"
            return Failure(
                "budget.cost", why if priced else "the model's price is not known"
            )
        if budget.seconds is not None and seconds >= budget.seconds:
            return Failure("budget.seconds", f"{budget.seconds:g} seconds are over")
        return None
