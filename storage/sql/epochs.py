"""The current Context Epoch of each session: the projection ``epoch``."""

from dovetail.kernel.ports import EpochRow

from .aggregates import AggregateReads, AggregateWrites
from .checks import summed


class EpochReads(AggregateReads):
    """Reading epochs."""

    def epoch(self, session_id: str) -> EpochRow | None:
        found = self.checked("epoch", session_id, self.sql.EPOCH, (session_id,))
        return EpochRow(session_id, *found) if found else None


class EpochWrites(AggregateWrites, EpochReads):
    """Writing epochs."""

    def put_epoch(self, row: EpochRow) -> None:
        values = summed(row.session_id, row.seq, row.updated_seq)
        self.write(self.sql.PUT_EPOCH, (self.aggregate(row.session_id), *values))
