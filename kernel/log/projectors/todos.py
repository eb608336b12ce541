"""Where the session's to-do list stands in its log."""

from ...values import events as e
from .target import Projectors, Target


def _replaced(to: Target, event: e.TodosReplaced) -> None:
    to.change(event, todos_seq=event.seq)


PROJECTORS: Projectors = {e.TodosReplaced: _replaced}
