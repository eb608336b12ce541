"""Logs as nobody writes them: exports of sessions, changed in ways of all kinds."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from attrs import evolve
from dovetail.kernel import ExportedEvent

ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    2**53,
    2**63 - 1,
    1e308,
    -0.5,
    "",
    " ",
    "x",
    "\0",
    "../..",
    "é\u2028\u202e",
    "x" * 500,
    "{}",
    "[removed]",
    [],
    {},
    [None],
    {"": None},
    {"type": "text"},
    [[[[]]]],
)


def mutated(log: Sequence[ExportedEvent], random: Random) -> list[ExportedEvent]:
    """Return a log with one to three changes, and without hashes, as a forger would."""
    events = [
        evolve(one, hash=None, data=json.loads(json.dumps(one.data))) for one in log
    ]
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        random.choice(CHANGES)(events, random)
    # Numbered again, so that it is not refused for that alone.
    return [evolve(one, seq=seq) for seq, one in enumerate(events)]


def _drop(events: list[ExportedEvent], random: Random) -> None:
    if len(events) > 1:
        del events[random.randrange(len(events))]


def _repeat(events: list[ExportedEvent], random: Random) -> None:
    events.insert(random.randrange(len(events) + 1), random.choice(events))


def _swap(events: list[ExportedEvent], random: Random) -> None:
    one, other = random.randrange(len(events)), random.randrange(len(events))
    events[one], events[other] = events[other], events[one]


def _cut(events: list[ExportedEvent], random: Random) -> None:
    del events[random.randrange(1, len(events) + 1) :]


def _envelope(events: list[ExportedEvent], random: Random) -> None:
    at = random.randrange(len(events))
    field = random.choice(("created", "kind", "version"))
    other = random.choice(events)
    value = random.choice((getattr(other, field), getattr(other, field), -1, 2**62))
    events[at] = evolve(events[at], **{field: value})


def _field(events: list[ExportedEvent], random: Random) -> None:
    """Change one value somewhere in an event: to an odd one, or to that of another."""
    at = random.randrange(len(events))
    data = json.loads(json.dumps(events[at].data))
    places = list(_places(data))
    if not places:
        return
    holder, key = random.choice(places)
    action = random.random()
    if action < 0.15:
        del holder[key]
    elif action < 0.3 and isinstance(holder, dict):
        holder[random.choice(("x", "", *holder))] = random.choice(ODD)
    elif action < 0.6:
        pool = [value for one in events for value in _values(one.data, key)]
        holder[key] = random.choice(pool or ODD)
    else:
        holder[key] = random.choice(ODD)
    events[at] = evolve(events[at], data=data)


def _places(value: Any) -> Any:
    items = ()
    if isinstance(value, dict):
        items = tuple(value.items())
    elif isinstance(value, list):
        items = tuple(enumerate(value))
    for key, inner in items:
        yield value, key
        yield from _places(inner)


def _values(value: Any, wanted: Any) -> Any:
    for holder, key in _places(value):
        if key == wanted:
            yield holder[key]


CHANGES = (_drop, _repeat, _swap, _cut, _envelope, _field, _field, _field, _field)
