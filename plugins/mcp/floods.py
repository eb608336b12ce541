"""Floods: how much of what nobody asked for a server may say.

Owns the measure of one connection. Whatever carries the messages asks it.
"""

import anyio
from mcp_types import JSONRPCNotification

PER_SECOND = 100
"""Log messages and the like that are heard, where a server floods us with them."""
BURST = 1_000


class Flood:
    """What one server says unasked."""

    def __init__(self) -> None:
        self._heard = 0.0
        self._heard_at = 0.0

    def is_too_much(self, message: object) -> bool:
        """Whether this is one more of what a server says too much of. What says that
        a list changed is never passed over: it is read again for it."""
        if not isinstance(message, JSONRPCNotification):
            return False
        if message.method.endswith("/list_changed"):
            return False
        now = anyio.current_time()
        self._heard = max(0.0, self._heard - (now - self._heard_at) * PER_SECOND) + 1
        self._heard_at = now
        return self._heard > BURST
