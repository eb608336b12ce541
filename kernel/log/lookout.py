"""The lookout: what this runtime has seen of the leases of others.

Owns the answer to one question: does somebody else still hold this session? It is
answered without the time of day, which is another one in every process and may jump by
any amount in either direction.

1. A lease says how long it lasts after each renewal, and how often it was renewed.
2. Whoever wants the session measures with a clock of its own that never jumps: the
   lease has run out when it was seen unrenewed for as long as it lasts. A live owner
   renews three times in that span, so nobody takes a session from one, whatever any
   clock says; and a lease can hold nobody up for longer than it lasts, since only
   somebody who lives can renew it.
3. Nobody waits for a process that has ended for certain, and a lease that was given
   back holds nobody up.

The other clocks that could decide have each a way to be wrong: the time of day of the
owner (30 days ahead, it holds a session for 30 days), the time of day of whoever looks
(it jumps, and a live owner loses its session), that of the store (for a file it is one
of those two). The price of this one is that a newcomer who can prove nothing waits for
as long as a lease lasts, also for an owner that was gone long before.
"""

from ..lifecycle.process import has_ended
from ..ports import LeaseRow
from ..values.clock import Clock
from ..values.frozen import frozen

LONGEST_LEASE_SECONDS = 3600.0
"""What a lease may last at most, whatever its row says."""
REMEMBERED = 10_000
"""Leases that are remembered, and more where they are needed: only one that ran out
long ago is forgotten. One that somebody waits for would never run out otherwise."""
LONG_AGO_SECONDS = 60.0


@frozen
class Held:
    """A lease that somebody else holds, as far as can be known."""

    sign: tuple[int, int]
    """Its fence and how often it was renewed: another one is a sign of life."""
    seconds: float
    """How long it lasts from now on, unless it is renewed."""
    until: int
    """Milliseconds since 1970 at which that is, as it was when this renewal was first
    seen: it changes only with another renewal. To be shown; it decides nothing."""


@frozen
class _Sighting:
    """One renewal, and when it was first seen."""

    owner: str | None
    fence: int
    renewals: int
    end: float
    """When it is over, by the clock that never jumps."""
    until: int


class Lookout:
    """Judges leases by what was seen of them. Any thread may ask.

    A ``row`` must have been read just before it is asked about, and not be kept from
    earlier.
    """

    def __init__(self, clock: Clock, owner: str = "") -> None:
        self._clock = clock
        self._owner = owner
        """Who looks: its own leases hold it up in nothing."""
        self._seen: dict[str, _Sighting] = {}
        self._crowded = 0
        """Up to how many it is not worth while to look for more to forget."""

    def held(self, row: LeaseRow | None) -> Held | None:
        """Return how long somebody else holds a lease, or None: it can be taken."""
        if row is None:
            return None
        if row.owner in (None, self._owner) or has_ended(row.process):
            self._seen.pop(row.session_id, None)
            return None
        now = self._clock.monotonic()
        seen = self._seen.get(row.session_id)
        sign = (row.owner, row.fence, row.renewals)
        if seen is None or (seen.owner, seen.fence, seen.renewals) != sign:
            lasts = min(max(0.0, row.lasts / 1000), LONGEST_LEASE_SECONDS)
            until = self._clock.now() + int(lasts * 1000)
            seen = self._seen[row.session_id] = _Sighting(*sign, now + lasts, until)
            self._forget(now)
        if seen.end <= now:
            return None
        return Held((row.fence, row.renewals), seen.end - now, seen.until)

    def _forget(self, now: float) -> None:
        """Forget what ran out long ago, where there is much."""
        if len(self._seen) <= max(REMEMBERED, self._crowded):
            return
        past = now - LONG_AGO_SECONDS
        for session_id, seen in tuple(self._seen.items()):
            if seen.end < past:
                self._seen.pop(session_id, None)
        self._crowded = len(self._seen) * 11 // 10

    def held_until(self, row: LeaseRow | None) -> int | None:
        """Return ``Held.until``, also of a lease of this runtime's own."""
        if row is not None and row.owner == self._owner:
            return row.renewed + row.lasts
        held = self.held(row)
        return None if held is None else held.until

    def seems_held(self, row: LeaseRow | None) -> bool:
        """Return whether anybody holds a lease, as far as one look can tell.

        To be shown. Here the time of day counts, too, for an owner that was gone
        before anybody looked.
        """
        if row is None or row.owner is None:
            return False
        if row.owner == self._owner:
            return True
        age = abs(self._clock.now() - row.renewed)
        return age < row.lasts and self.held(row) is not None
