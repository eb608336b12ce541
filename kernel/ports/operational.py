"""The operational rows of a store: admissions, saved approvals and leases.

They follow from nothing: no replay makes them, and no rebuild touches them.
"""

from collections.abc import Sequence
from typing import Protocol

from .rows import AdmissionRow, ApprovalRow, LeaseRow


class OperationalReader(Protocol):
    """Reading operational rows."""

    def admission(self, session_id: str, key: str) -> AdmissionRow | None:
        """Return what was admitted under a key of this session, or None."""
        ...

    def approvals(self, directory: str) -> Sequence[ApprovalRow]:
        """Return the saved approvals of a directory in the order they were saved."""
        ...

    def approval_changes(self, directory: str) -> int | None:
        """Return a number that is another one after each change of a directory's saved
        approvals, found at once; None: it is not known."""
        ...

    def lease(self, session_id: str) -> LeaseRow | None:
        """Return the last lease, or None when nobody ever had one."""
        ...


class OperationalWriter(OperationalReader, Protocol):
    """Writing operational rows."""

    def put_admission(self, row: AdmissionRow) -> None:
        """Insert; there is no update and no delete.

        Raises:
            ConflictError: the key is taken; that admission stays, if it is sound.
        """
        ...

    def put_approval(self, row: ApprovalRow) -> None:
        """Insert or replace by id."""
        ...

    def delete_approval(self, approval_id: str) -> bool:
        """Delete, and say whether it was there."""
        ...

    def delete_approvals_of(self, session_id: str) -> None:
        """Delete those that hold for a session and nothing else."""
        ...

    def put_lease(self, row: LeaseRow) -> None:
        """Insert or replace.

        Raises:
            ValueError: the fence would go down.
        """
        ...
