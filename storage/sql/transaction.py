"""All rooms together: what a store hands to whoever reads or writes.

A store adds its own view in front, which runs the statements.
"""

from collections.abc import Sequence

from dovetail.kernel.ports import Reader, RowCounts, Transaction

from .approvals import ApprovalReads, ApprovalWrites
from .blobs import BlobReads, BlobWrites
from .checks import is_sound
from .leases import LeaseReads, LeaseWrites
from .log import LogReads, LogWrites
from .projections import ProjectionReads, ProjectionWrites
from .removal import RemovalReads, RemovalWrites


class SqlReader(
    LogReads,
    ProjectionReads,
    ApprovalReads,
    LeaseReads,
    BlobReads,
    RemovalReads,
    Reader,
):
    """A consistent view: see ``ports.Reader``."""

    def counts(self, session_id: str) -> RowCounts:
        found = [self.one(sql, (session_id,)) for sql in self.sql.ROW_COUNTS]
        messages, pending, settled = [row[0] if row else 0 for row in found]
        keyed = sum(row[1] if row else 0 for row in found[1:])
        admissions = self.all(self.sql.ADMISSIONS, (session_id,))
        sound = sum(is_sound(session_id, row) for row in admissions)
        return RowCounts(messages, pending, settled, sound, keyed)

    def sessions_missing(self) -> Sequence[str]:
        return [row[0] for row in self.all(self.sql.SESSIONS_MISSING, ())]


class SqlTransaction(
    LogWrites,
    ProjectionWrites,
    ApprovalWrites,
    LeaseWrites,
    BlobWrites,
    RemovalWrites,
    SqlReader,
    Transaction,
):
    """A transaction: see ``ports.Transaction``."""
