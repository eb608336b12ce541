"""Limits: how long a history may be for one model.

Owns the numbers. Knows nothing of messages, nor of what is done at a limit.
"""

from ..configuration.compaction import KEEP, RESERVE, CompactionSettings
from ..values.frozen import frozen
from ..values.request import ModelInfo

LARGEST_SUMMARY = 32_000
"""Tokens of a summary, however large the window is."""
LEAST_SUMMARY = 500
LEAST_CARRIED = 300
"""What is asked for at least, however little room there is: less would say nothing."""
LEAST_FREE = 2 * (LEAST_SUMMARY + LEAST_CARRIED)
"""Where all messages together may have less than this, a summary and what is carried
besides would take most of it, again at every Step."""
LEAST_SHARE = 4
"""A reserve takes at most a quarter of a window."""


@frozen
class Limits:
    """What holds for the requests to one model."""

    window: int | None
    """Tokens that fit, the answer included; None where nobody knows."""
    limit: int | None
    """Tokens that a request may have."""
    besides: int
    """Tokens of every request that are no message: the system text and the tools."""
    _keep: int

    @classmethod
    def of(
        cls, info: ModelInfo | None, settings: CompactionSettings, besides: int
    ) -> "Limits":
        """Return the limits of a model.

        The reserve is what the model can write, where that is known to be less than
        the configured one.
        """
        window = (info.context if info else None) or settings.window
        keep = settings.keep or KEEP
        if window is None:
            return cls(None, None, besides, keep)
        reserve = settings.reserve or min(
            (info.output if info else None) or RESERVE, RESERVE
        )
        return cls(window, window - min(reserve, window // LEAST_SHARE), besides, keep)

    def below(self, tokens: int) -> "Limits":
        """Return the limits where a request of so many tokens was refused as too
        long."""
        most = tokens - tokens // LEAST_SHARE
        limit = most if self.limit is None else min(self.limit, most)
        return Limits(self.window, limit, self.besides, self._keep)

    @property
    def free(self) -> int:
        """Tokens that all messages together may have."""
        limit = 8 * self._keep if self.limit is None else self.limit
        return max(0, limit - self.besides)

    @property
    def cramped(self) -> bool:
        """Whether what is no message takes so much that no summary could help."""
        return self.limit is not None and self.free < LEAST_FREE

    @property
    def keep(self) -> int:
        """Tokens of recent history that stay word for word."""
        return min(self._keep, self.free // 3)

    @property
    def summary(self) -> int:
        """Tokens of a summary."""
        return min(LARGEST_SUMMARY, max(LEAST_SUMMARY, self.free // 4))

    @property
    def carried(self) -> int:
        """Tokens of what is told besides it."""
        return max(LEAST_CARRIED, min(self._keep, self.free // 8))

    @property
    def step(self) -> int:
        """Tokens by which a history must have grown before it is tried again to make
        it smaller, and that it must at least lose by it."""
        return max(1, self.free // 10)
