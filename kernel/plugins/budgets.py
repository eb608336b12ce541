"""Budgets: what the hooks of one plugin may cost in one Location, and what they did.

Owns the limits and the count of the last calls of a hook. What happens to a plugin that
exceeds them is decided where it is called (``calling``).
"""

from collections import deque

from attrs import frozen


@frozen
class HookLimits:
    """What the hooks of one plugin may cost in one Location, before it is disabled.

    Where the system tells, as Linux does, the time of a call leaves out what its thread
    waited for a processor: a busy machine is no fault of a plugin.
    """

    call_seconds: float = 1.0
    """A call that takes longer counts as an error. It cannot be interrupted."""
    window: int = 100
    """How many of the last calls of one hook count."""
    errors: int = 10
    """How many of them may fail."""
    seconds: float = 10.0
    """How long they may take together."""
    open_seconds: float = 10.0
    """How long ``dovetail_open_location`` may take to open what it handed over."""
    close_seconds: float = 5.0
    """How long one plugin may take to close, and twice that all of a Location."""
    settle_seconds: float = 10.0
    """How long its calls and requests that run may go on after a plugin was replaced,
    removed or disabled, before what it opened is closed under them; and after the
    runtime was closed, before they are left behind."""


class Spending:
    """What the last calls of one hook cost."""

    def __init__(self, limits: HookLimits) -> None:
        self._limits = limits
        self._calls: deque[tuple[bool, float]] = deque()
        self._errors = 0
        self._seconds = 0.0

    def add(self, failed: bool, seconds: float) -> str | None:
        """Count one call, and return what is exceeded with it."""
        limits = self._limits
        self._calls.append((failed, seconds))
        self._errors += failed
        self._seconds += seconds
        if len(self._calls) > limits.window:
            past, before = self._calls.popleft()
            self._errors -= past
            self._seconds -= before
        if self._errors > limits.errors:
            return f"{self._errors} of its last {len(self._calls)} calls failed"
        if self._seconds > limits.seconds:
            return (
                f"its last {len(self._calls)} calls took {self._seconds:.3g} s, "
                f"and may take {limits.seconds:g} s"
            )
        return None
