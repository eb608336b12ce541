"""How long complete outputs of calls are kept, and how much of them."""

from typing import Any

from .errors import InvalidValueError
from .frozen import frozen

DAY_MS = 24 * 3600 * 1000


@frozen
class OutputPolicy:
    """Which complete outputs are cleaned up: what is too old, and then the oldest ones
    until the rest is not too much. None is no bound."""

    days: float | None = 30
    """Since an output was left, more than 0."""
    bytes: int | None = 1024**3
    """Of all outputs of a store together, each text counted once; from 0."""

    def __attrs_post_init__(self) -> None:
        if not _is_number(self.days) or (self.days is not None and self.days <= 0):
            raise InvalidValueError(
                "days of outputs", self.days, "more than 0, or None"
            )
        if not _is_number(self.bytes) or (self.bytes is not None and self.bytes < 0):
            raise InvalidValueError("bytes of outputs", self.bytes, "from 0, or None")

    def too_old(self, now: int) -> int | None:
        """Return before which time an output is too old, in milliseconds since 1970."""
        return None if self.days is None else now - int(self.days * DAY_MS)


@frozen
class CleanedOutputs:
    """What one cleaning did."""

    outputs: int = 0
    """How many outputs were cleaned up."""
    bytes: int = 0
    """How much was freed: a text that somebody else still keeps frees nothing."""
    left: int = 0
    """Bytes of all outputs that stay."""


def _is_number(value: Any) -> bool:
    if value is None:
        return True
    return type(value) in (int, float) and value - value == 0
