"""Operational rows in memory; see ``ports.operational``."""

from collections.abc import Sequence

from ...ports import (
    AdmissionRow,
    ApprovalRow,
    LeaseRow,
    OperationalReader,
    OperationalWriter,
)
from ...values.errors import ConflictError
from .state import MemoryChanges, MemoryView


class OperationalReads(MemoryView, OperationalReader):
    """Reading operational rows."""

    def admission(self, session_id: str, key: str) -> AdmissionRow | None:
        return self.now().admissions.get((session_id, key))

    def approvals(self, directory: str) -> Sequence[ApprovalRow]:
        rows = self.now().approvals.values()
        return [row for row in rows if row.directory == directory]

    def approval_changes(self, directory: str) -> int | None:
        return self.now().approval_changes.get(directory, 0)

    def lease(self, session_id: str) -> LeaseRow | None:
        return self.now().leases.get(session_id)


class OperationalWrites(MemoryChanges, OperationalReads, OperationalWriter):
    """Writing operational rows."""

    def put_admission(self, row: AdmissionRow) -> None:
        state = self.now()
        self.check(row)
        if (row.session_id, row.key) in state.admissions:
            raise ConflictError(
                f"key {row.key!r} of session {row.session_id!r} is already admitted"
            )
        self.enter(row.session_id)
        self.put(state.admissions, (row.session_id, row.key), row)

    def put_approval(self, row: ApprovalRow) -> None:
        state = self.now()
        self.check(row)
        self.put(state.approvals, row.id, row)
        self._count_change(row.directory)

    def delete_approval(self, approval_id: str) -> bool:
        state = self.now()
        row = state.approvals.get(approval_id)
        if row is not None:
            self._count_change(row.directory)
        return self.drop(state.approvals, approval_id)

    def delete_approvals_of(self, session_id: str) -> None:
        for row in list(self.now().approvals.values()):
            if row.scope == "session" and row.session_id == session_id:
                self.delete_approval(row.id)

    def _count_change(self, directory: str) -> None:
        changes = self.now().approval_changes
        self.put(changes, directory, changes.get(directory, 0) + 1)

    def put_lease(self, row: LeaseRow) -> None:
        state = self.now()
        current = state.leases.get(row.session_id)
        if current is not None and row.fence < current.fence:
            raise ValueError(
                f"the fence of session {row.session_id!r} is {current.fence} and "
                f"cannot go down to {row.fence}"
            )
        self.check(row)
        self.enter(row.session_id)
        self.put(state.leases, row.session_id, row)
