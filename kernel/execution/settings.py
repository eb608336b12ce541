"""Settings: how a runtime executes its sessions."""

from attrs import field

from ..models.retry import RetryPolicy
from ..values.frozen import frozen
from .ownership import DEFAULT_LEASE_SECONDS

DEFAULT_BLOCKED_SECONDS = 300.0


@frozen
class ExecutionSettings:
    """How a runtime executes its sessions."""

    lease_seconds: float = DEFAULT_LEASE_SECONDS
    retry: RetryPolicy = field(factory=RetryPolicy)
    silence: float | None = None
    """Seconds without any event after which a stream counts as broken; None: as its
    provider says."""
    blocked_seconds: float = DEFAULT_BLOCKED_SECONDS
    """Seconds that the event loop may stand still before leases are renewed no more."""

    @property
    def lease_ms(self) -> int:
        """The lease in milliseconds."""
        return int(self.lease_seconds * 1000)
