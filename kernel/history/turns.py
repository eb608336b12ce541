"""Turns: what a session's reverts hide from its model, as its events say.

Owns which events are hidden, until when that can be undone, and that a new prompt, a
Step or a summary ends that: what is hidden then stays hidden (law travel.4). The log
and the transcript stay whole; only the fold that a model is shown asks.
"""

from ..values import events as e

_GOES_ON = (e.PromptPromoted, e.StepStarted, e.CompactionEnded)
"""A summary, too: it knows nothing of what was hidden when it was made, and stands for
all that came before it."""


class Turns:
    """What is hidden in one log."""

    def __init__(self) -> None:
        self.seen = -1
        """The last event that was heard of which turned anything."""
        self._went_on = -1
        """The last event with which the model went on, hidden or not."""
        self._ranges: list[tuple[int, int]] = []

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """What is hidden: the first and the last event of each run."""
        return tuple(self._ranges)

    @property
    def open(self) -> tuple[tuple[int, int], ...]:
        """Those of them that can be seen again."""
        return tuple(one for one in self._ranges if one[1] > self._went_on)

    def turn(self, event: e.SessionReverted | e.SessionUnreverted) -> bool:
        """Take in an event that hides others or ends that; False: it is known."""
        if event.seq <= self.seen:
            return False
        self.seen = event.seq
        if isinstance(event, e.SessionReverted):
            self._ranges.append((event.first, event.seq))
        else:
            self._ranges = [one for one in self._ranges if one[1] <= self._went_on]
        return True

    def hides(self, event: e.Event) -> bool:
        """Return whether an event is hidden."""
        if isinstance(event, _GOES_ON):
            self._went_on = max(self._went_on, event.seq)
        if isinstance(event, e.SessionReverted | e.SessionUnreverted):
            return False
        return any(first <= event.seq <= last for first, last in self._ranges)
