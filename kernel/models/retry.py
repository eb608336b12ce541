"""Retry: how long to wait before a failed request is sent again.

Owns the arithmetic. When a retry is allowed at all is the Step's decision, and the
random number is the caller's, so that nothing here has state.
"""

from ..values.frozen import frozen

LONGEST_ADVICE = 900.0
"""A provider that asks for more than this is not waited for: the run fails and says
when it may be resumed."""


@frozen
class RetryPolicy:
    """Exponential backoff with jitter; the provider's own advice is honoured."""

    retries: int = 4
    """How often one request is sent again; 0 for never."""
    first: float = 2.0
    """Seconds before the first retry; each later one waits twice as long."""
    longest: float = 60.0
    """Seconds at most, where the provider does not ask for more."""
    jitter: float = 0.2
    """Up to this part of the delay is added, so that many sessions spread out."""

    def delay(self, attempt: int, advice: float | None, chance: float) -> float | None:
        """Return the seconds to wait after failed attempt ``attempt`` (from 1), or
        None when it is not to be repeated.

        ``advice`` is what the provider asked for, ``chance`` a random number in
        [0, 1).
        """
        if attempt > self.retries or (advice or 0) > LONGEST_ADVICE:
            return None
        own = min(self.first * 2.0 ** (attempt - 1), self.longest)
        wait: float = max(own, advice or 0.0) * (1 + self.jitter * chance)
        return wait
