"""Statements of Context Epochs: ``epoch``."""

from ..rendering import Statement, upsert
from ..tables import Epoch
from .aggregates import AGGREGATE_OF

EPOCH = Statement(
    Epoch.select(Epoch.seq, Epoch.updated_seq, Epoch.checksum).where(
        Epoch.aggregate == AGGREGATE_OF
    ),
    "session_id",
)
PUT_EPOCH = upsert(Epoch, "aggregate")
