"""Calls: the complete outputs that settlements hold, and what files held; and the
files that models make."""

from ...values import events as e
from .target import Projectors, Target


def _call_settled(to: Target, event: e.ToolSucceeded | e.ToolFailed) -> None:
    if event.managed is not None:
        to.rows.keep_output(event.session_id, event.seq, event.managed, event.created)
    if event.changes:
        to.hold(event, event.changes)


def _file_made(to: Target, event: e.FileMade) -> None:
    if event.managed is not None:
        to.rows.keep_output(event.session_id, event.seq, event.managed, event.created)


PROJECTORS: Projectors = {
    e.FileMade: _file_made,
    e.ToolSucceeded: _call_settled,
    e.ToolFailed: _call_settled,
}
