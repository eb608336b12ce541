"""Leases: the operational table ``lease``, whose fences only grow."""

from dovetail.kernel.ports import LeaseRow

from .event_store import AGGREGATE_OF, EventReads, EventWrites
from .tables import Lease, render, upsert

_LEASE = render(
    Lease.select(Lease.owner, Lease.fence, Lease.expires).where(
        Lease.aggregate == AGGREGATE_OF
    ),
    "session_id",
)
_PUT_LEASE = upsert(Lease, "aggregate")


class LeaseReads(EventReads):
    """Reading leases."""

    def lease(self, session_id: str) -> LeaseRow | None:
        found = self.one(_LEASE, (session_id,))
        return LeaseRow(session_id, *found) if found else None


class LeaseWrites(EventWrites, LeaseReads):
    """Writing leases."""

    def put_lease(self, row: LeaseRow) -> None:
        current = self.lease(row.session_id)
        if current is not None and row.fence < current.fence:
            raise ValueError(
                f"the fence of session {row.session_id!r} is {current.fence} and "
                f"cannot go down to {row.fence}"
            )
        values = (self.aggregate(row.session_id), row.owner, row.fence, row.expires)
        self.write(_PUT_LEASE, values)
