"""Leases: who executes a session, with fences that only grow.

Owns six columns of the table ``aggregate``. Operational: nothing derives them.
"""

from dovetail.kernel.ports import LeaseRow

from .aggregates import AggregateReads, AggregateWrites


class LeaseReads(AggregateReads):
    """Reading leases."""

    def lease(self, session_id: str) -> LeaseRow | None:
        found = self.aggregate_row(session_id)
        if found is None or found.fence is None:
            return None
        return LeaseRow(
            session_id,
            found.worker,
            found.fence,
            found.renewals or 0,
            found.lasts or 0,
            found.renewed or 0,
            found.process,
        )


class LeaseWrites(AggregateWrites, LeaseReads):
    """Writing leases."""

    def put_lease(self, row: LeaseRow) -> None:
        current = self.lease(row.session_id)
        if current is not None and row.fence < current.fence:
            raise ValueError(
                f"the fence of session {row.session_id!r} is {current.fence} and "
                f"cannot go down to {row.fence}"
            )
        self.aggregate(row.session_id)
        self.change_lease(
            row.session_id,
            row.owner,
            row.fence,
            row.renewals,
            row.lasts,
            row.renewed,
            row.process,
        )
