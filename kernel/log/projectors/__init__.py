"""Projectors: which rows follow from which event, a subject in each module.

Owns the mapping from event kinds to projection rows. Each projector is a synchronous
function inside the event's own transaction (law events.2), sees only rows and the
event, and would give the same rows when the log is replayed (law events.4). Nothing
here rewrites a row that grows: a message's row says where its events are.

No subject knows another one; a kind of event belongs to one of them.
"""

from ...values import events as e
from . import (
    calls,
    compaction,
    context,
    execution,
    inbox,
    jobs,
    requests,
    session,
    steps,
    todos,
    travel,
)
from .target import Projectors, Target

SUBJECTS = (
    session,
    inbox,
    execution,
    context,
    compaction,
    steps,
    calls,
    requests,
    jobs,
    todos,
    travel,
)

_PROJECTORS: Projectors = {
    kind: project
    for subject in SUBJECTS
    for kind, project in subject.PROJECTORS.items()
}


class Projection(Target):
    """Applies events to the rows of one transaction."""

    def apply(self, event: e.Event) -> None:
        """Project one committed-to-be event."""
        project = _PROJECTORS.get(type(event))
        if project is not None:
            project(self, event)
