"""Executions: whether one runs, and how the last one ended."""

from ...values import events as e
from .target import Projectors, Target


def _execution_started(to: Target, event: e.ExecutionStarted) -> None:
    to.change(event, status="running")


def _execution_ended(to: Target, event: e.ExecutionEnded) -> None:
    to.change(
        event,
        status="idle",
        outcome=event.status,
        reason_code=event.reason.code if event.reason else None,
        reason_message=event.reason.message if event.reason else None,
        ended_seq=event.seq,
    )


PROJECTORS: Projectors = {
    e.ExecutionStarted: _execution_started,
    e.ExecutionEnded: _execution_ended,
}
