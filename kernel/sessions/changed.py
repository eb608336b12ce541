"""Changed: what calls did to files since an event, of a session and of those below it.

Owns which events of the sessions that work for one, at any depth, are later than an
event of its own: those after the last Step that was passed on to it before that event.
What is not known to be earlier counts as later, so that it is restored, or named.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from heapq import merge

from attrs import evolve

from ..execution.restoring import Changes
from ..log.family import below
from ..log.reading import PAGE, event_from, events_between, readable
from ..ports import Reader, made_here
from ..values.events import ChildSpent, Event, StepEnded, StepFailed
from ..values.ids import SessionId

_SETTLED = (StepEnded.kind, StepFailed.kind)


def changes_since(
    rows: Reader,
    session_id: SessionId,
    first: int,
    at_work: Callable[[Reader, str], bool],
) -> Changes:
    """Return what became of files from an event on; ``at_work`` says whether somebody
    works on a session.

    Raises:
        EventDamagedError: an event of one of these sessions is not what was written.
    """
    changes = Changes(session_id)
    names = below(rows, session_id)
    heads = {name: rows.head(name) for name in (session_id, *names)}
    imported = {name: head.imported if head else () for name, head in heads.items()}
    logs = [events_between(rows, session_id, first - 1)]
    if names:
        settled = _passed_on(rows, session_id, first)
        logs += [
            events_between(rows, name, _settlement(rows, name, settled[name]))
            for name in names
        ]
    for event in merge(*logs, key=lambda one: one.created):
        here = made_here(imported[event.session_id], event.seq)
        changes.take(readable(event), here=here)
    working = {name for name in names if at_work(rows, name)}
    for path, sessions in changes.sessions.items():
        one = changes.files[path]
        if one.problem is None and not working.isdisjoint(sessions):
            name = min(working & sessions)
            problem = f"session {name!r} works for this one, and is not done"
            changes.files[path] = evolve(one, problem=problem)
    return changes


def _passed_on(rows: Reader, session_id: str, first: int) -> Counter[str]:
    """Return how many Steps of each session below were settled before an event."""
    found: Counter[str] = Counter()
    for event in _of_kinds(rows, session_id, (ChildSpent.kind,), first - 1):
        if isinstance(event, ChildSpent):
            found[event.child] += event.steps
    return found


def _settlement(rows: Reader, session_id: str, count: int) -> int:
    """Return where so many Steps of a session were settled; -1 where none is."""
    last = -1
    settled = _of_kinds(rows, session_id, _SETTLED, None)
    for event, _ in zip(settled, range(count), strict=False):
        last = event.seq
    return last


def _of_kinds(
    rows: Reader, session_id: str, kinds: tuple[str, ...], upto: int | None
) -> Iterator[Event]:
    after = -1
    while page := rows.facts(session_id, after=after, limit=PAGE, upto=upto):
        after = page[-1][0]
        yield from (event_from(session_id, one) for one in page if one[1] in kinds)
