"""Inputs: what waits to be told to the model, as a fold of a session's events.

Owns which input waits, in which order, what of it the next boundary promotes, and the
compaction that was asked for, which takes its turn among it. It is what this process
knows: the rows of the inbox decide. Knows nothing of messages.
"""

from collections.abc import Sequence

from attrs import evolve

from ..values import events as e
from ..values.errors import EventDamagedError


class Inputs:
    """The input of one session that waits."""

    def __init__(self) -> None:
        self.asked_for: int | None = None
        """The compaction.requested that waits for its turn."""
        self._prompts: dict[str, e.PromptAdmitted] = {}
        self._steers: set[str] = set()
        """Those of them that join the work that goes on."""

    def admit(self, event: e.PromptAdmitted) -> None:
        """Take in an input that waits from here on."""
        self._prompts[event.input_id] = event
        if event.delivery == "steer":
            self._steers.add(event.input_id)

    def promote(self, event: e.PromptPromoted) -> e.PromptAdmitted:
        """Return how an input was admitted that waits no more.

        Raises:
            EventDamagedError: it does not wait.
        """
        admitted = self._prompts.pop(event.input_id, None)
        self._steers.discard(event.input_id)
        if admitted is None:
            problem = f"it promotes input {event.input_id!r}, which does not wait"
            raise EventDamagedError(event.session_id, event.seq, problem)
        return admitted

    def withdraw(self, event: e.PromptWithdrawn) -> None:
        """Forget an input that was taken back."""
        self._prompts.pop(event.input_id, None)
        self._steers.discard(event.input_id)

    def redeliver(self, event: e.PromptRedelivered) -> None:
        """Take in that an input is delivered in another way."""
        if event.input_id in self._prompts:
            self._prompts[event.input_id] = evolve(
                self._prompts[event.input_id], delivery=event.delivery
            )
            steers = event.delivery == "steer"
            (self._steers.add if steers else self._steers.discard)(event.input_id)

    def compacted(self, event: e.CompactionEnded | e.CompactionFailed) -> None:
        """Take in that a compaction is over, which may be the one asked for."""
        if event.requested is not None and event.requested == self.asked_for:
            self.asked_for = None

    @property
    def all(self) -> Sequence[e.PromptAdmitted]:
        """The input that waits, in the order of its admission."""
        return tuple(self._prompts.values())

    @property
    def any(self) -> bool:
        """Whether input waits, or a compaction that was asked for."""
        return bool(self._prompts) or self.asked_for is not None

    def coming(self, *, idle: bool) -> Sequence[e.PromptAdmitted]:
        """Return the input that the next boundary promotes: what steers, or where the
        session would be ``idle`` the first that waits for that; what was admitted after
        a compaction was asked for waits for it."""

        def before(one: e.PromptAdmitted) -> bool:
            return self.asked_for is None or one.seq < self.asked_for

        due = [one for key in self._steers if before(one := self._prompts[key])]
        if not due and idle:
            first = next(iter(self._prompts.values()), None)
            due = [first] if first is not None and before(first) else []
        return due

    def get(self, input_id: str) -> e.PromptAdmitted | None:
        """Return how an input was admitted that waits."""
        return self._prompts.get(input_id)
