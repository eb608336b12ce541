"""Going back: what files held that are restored, and the to-do list of that time."""

from ...values import events as e
from .target import Projectors, Target


def _turned(to: Target, event: e.SessionReverted | e.SessionUnreverted) -> None:
    to.hold(event, event.files)
    if event.todos is not None:
        to.change(event, todos_seq=event.seq)


PROJECTORS: Projectors = {
    e.SessionReverted: _turned,
    e.SessionUnreverted: _turned,
}
