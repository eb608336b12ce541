"""Availability: which Context Sources a session cannot observe, as its log names them.

Owns when that is worth an event: once when one becomes Unavailable within an epoch,
whatever it says later of why, and once when that is over. What was Unavailable when the
epoch began is named in the beginning of the epoch. The model is told none of it (law
context.2). Knows nothing of stores and never waits.
"""

from collections import Counter
from collections.abc import Callable, Mapping

from ..values.events import AvailabilityChanged, EpochStarted, LeftOut
from ..values.ids import SessionId
from .algebra import Snapshot, Unavailable

LONGEST_REASON = 1_000
"""Characters of a reason that are recorded."""

MAX_PATIENCE = 64
"""Boundaries in a row at which a source must have answered, at the most."""


class Availability:
    """Which sources cannot be observed, by what was recorded and what was seen since.

    A source that comes and goes all the time would be named at every Step. So it must
    have answered at one boundary after it was named for the first time in an epoch,
    then at two in a row, four and so on; until then it counts as Unavailable.
    """

    def __init__(self) -> None:
        self.unavailable: Mapping[str, LeftOut] = {}
        """By key, as recorded."""
        self._named: Counter[str] = Counter()
        self._answered: Counter[str] = Counter()

    def apply(self, event: EpochStarted | AvailabilityChanged) -> None:
        """Take in what was recorded."""
        if isinstance(event, EpochStarted):
            self.unavailable = dict(event.left_out)
            self._named = Counter(self.unavailable.keys())
            self._answered.clear()
            return
        left = {**self.unavailable, **event.unavailable}
        self.unavailable = {k: why for k, why in left.items() if k not in event.ended}
        self._named.update(event.unavailable.keys())
        for key in (*event.unavailable, *event.ended):
            self._answered.pop(key, None)

    def see(self, snapshot: Snapshot) -> None:
        """Take in the sample of a boundary, each once."""
        for key in self.unavailable:
            if key in snapshot.unavailable:
                self._answered.pop(key, None)
            else:
                self._answered[key] += 1

    def due(
        self,
        snapshot: Snapshot,
        session_id: SessionId,
        redact: Callable[[str], str] = str,
    ) -> AvailabilityChanged | None:
        """Return what is to be recorded at this boundary, within an epoch."""
        away = snapshot.unavailable
        if not away and not self.unavailable:
            return None
        new = {
            key: left_out(one, redact)
            for key, one in away.items()
            if key not in self.unavailable
        }
        ended = tuple(
            key
            for key in sorted(self.unavailable)
            if key not in away and self._is_over(key, snapshot)
        )
        if not new and not ended:
            return None
        return AvailabilityChanged(session_id=session_id, unavailable=new, ended=ended)

    def _is_over(self, key: str, snapshot: Snapshot) -> bool:
        if key not in snapshot.results:
            return True  # nobody offers it any more
        patience = min(1 << max(0, self._named[key] - 1), MAX_PATIENCE)
        return self._answered[key] >= patience


def left_out(one: Unavailable, redact: Callable[[str], str] = str) -> LeftOut:
    """Return why a source cannot be observed, as it is recorded: without keys and
    bounded, since a stranger said it."""
    reason = redact(one.reason)
    if len(reason) > LONGEST_REASON:
        reason = f"{reason[: LONGEST_REASON - 3]}..."
    return LeftOut(one.plugin, reason)
