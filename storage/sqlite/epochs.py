"""The current Context Epoch of each session: the projection ``epoch``."""

from dovetail.kernel.ports import EpochRow

from .checks import summed
from .event_store import EventReads, EventWrites
from .statements import EPOCH, PUT_EPOCH


class EpochReads(EventReads):
    """Reading epochs."""

    def epoch(self, session_id: str) -> EpochRow | None:
        found = self.checked("epoch", session_id, EPOCH, (session_id,))
        return EpochRow(session_id, *found) if found else None


class EpochWrites(EventWrites, EpochReads):
    """Writing epochs."""

    def put_epoch(self, row: EpochRow) -> None:
        values = summed(row.session_id, row.seq, row.updated_seq)
        self.write(PUT_EPOCH, (self.aggregate(row.session_id), *values))
