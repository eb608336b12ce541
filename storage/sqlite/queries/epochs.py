"""Statements of Context Epochs: ``epoch``."""

from ..tables import Epoch, render, upsert
from .events import AGGREGATE_OF

EPOCH = render(
    Epoch.select(Epoch.seq, Epoch.updated_seq, Epoch.checksum).where(
        Epoch.aggregate == AGGREGATE_OF
    ),
    "session_id",
)
PUT_EPOCH = upsert(Epoch, "aggregate")
