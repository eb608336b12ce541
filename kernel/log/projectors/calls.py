"""Calls: the complete outputs that settlements hold."""

from ...values import events as e
from .target import Projectors, Target


def _call_settled(to: Target, event: e.ToolSucceeded | e.ToolFailed) -> None:
    if event.managed is not None:
        to.rows.hold_blob(event.session_id, event.seq, event.managed)


PROJECTORS: Projectors = {
    e.ToolSucceeded: _call_settled,
    e.ToolFailed: _call_settled,
}
