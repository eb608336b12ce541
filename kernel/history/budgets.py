"""Budgets: what a session, and the work that goes on in it, used of what they may.

Owns which work an input begins or joins, and which budget that lifts. The counting is
in ``spent``. Knows nothing of what happens where a limit is reached.
"""

from collections.abc import Sequence

from ..ports import made_here
from ..values import events as e
from ..values.prompt import Budget
from ..values.tool import Failure
from .spent import Spent

Imported = Sequence[tuple[int, int]]
"""Which events of a log came from another store: the first and the last of each run."""


class Budgets:
    """The budget of one session and that of its work."""

    def __init__(self) -> None:
        self.session = Spent()
        self.work = Spent()
        """What goes on, since input began it or brought a budget to it."""
        self._ended: int | None = None
        """The end of the last execution, while nothing was begun after it."""
        self._here = False
        """Whether the session's budget was said in this store."""

    def limit(self, budget: Budget | None, *, here: bool) -> None:
        """Take a budget of the session; one from elsewhere lifts none of here."""
        if here or not self._here:
            self.session.budget = budget
            self._here = here

    def begins(self, admitted: e.PromptAdmitted) -> bool:
        """Whether an input begins work of its own when it is promoted now."""
        return _begins(admitted, self._ended)

    def promote(self, admitted: e.PromptAdmitted, imported: Imported) -> None:
        """Take in that an input is promoted."""
        self.work, self._ended = _joined(self.work, self._ended, admitted, imported)

    def step(self) -> None:
        """A Step begins: what follows is work again."""
        self._ended = None

    def end(self, seq: int) -> None:
        """An execution ended, with the event of that number."""
        self._ended = seq

    def add(self, event: e.StepEnded | e.StepFailed | e.ChildSpent) -> None:
        """Count one Step, of the session or of one that works for it."""
        self.session.add(event)
        self.work.add(event)

    def add_request(
        self,
        event: e.RetryScheduled
        | e.CompactionStarted
        | e.CompactionEnded
        | e.CompactionFailed,
    ) -> None:
        """Count what was asked of a model besides what settles a Step."""
        self.session.add_request(event)
        self.work.add_request(event)

    def exceeded(
        self,
        inputs: Sequence[e.PromptAdmitted],
        imported: Imported,
        seconds: float,
        *,
        priced: bool,
    ) -> Failure | None:
        """Return which limit is reached once these inputs are promoted, or None; see
        ``Spent.exceeded``."""
        work, ended = self.work, self._ended
        for admitted in inputs:
            work, ended = _joined(work, ended, admitted, imported)
        return work.exceeded(seconds, priced=priced) or self.session.exceeded(
            seconds, priced=priced
        )


def _joined(
    work: Spent, ended: int | None, admitted: e.PromptAdmitted, imported: Imported
) -> tuple[Spent, int | None]:
    """Return which work an input belongs to, and the end that nothing follows yet.

    Input begins work of its own when it waited until the session would be idle, or was
    said after an execution had ended. Whatever joins work that goes on, and what nobody
    said, lifts no limit of it; nor does input from elsewhere.
    """
    begins = _begins(admitted, ended)
    here = made_here(imported, admitted.seq) or work.budget is None
    if here and (begins or admitted.budget is not None):
        work = Spent(admitted.budget)
    return work, None if begins else ended


def _begins(admitted: e.PromptAdmitted, ended: int | None) -> bool:
    """Whether an input begins work of its own, after an end that nothing follows."""
    return admitted.job_id is None and (
        admitted.delivery == "queue" or (ended is not None and admitted.seq > ended)
    )
