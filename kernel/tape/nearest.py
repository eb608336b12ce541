"""Nearest: of what is on a tape, what a request differs from the least, and in what.

Knows the requests of a tape, and nothing of where they are kept. For people: what it
returns is short, however long the requests are.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from ..values.frozen import frozen
from .lines import TapedRequest

MAX_COMPARED = 64
"""Requests that are compared part by part: those that are the most alike in size."""
MAX_TOLD = 4
"""Differences that are told."""
MAX_SHOWN = 60
"""Characters that are shown of each side of a difference."""


@frozen
class Difference:
    """How two requests differ."""

    at: int
    """Which of the recorded ones it is."""
    places: int
    """In how many places they differ."""
    told: tuple[str, ...]
    """The first of them, for people."""


def nearest(asked: TapedRequest, recorded: Sequence[TapedRequest]) -> Difference | None:
    """Return what the nearest one differs in; None where nothing is recorded."""

    def apart(at: int) -> tuple[bool, bool, int, int]:
        one = recorded[at]
        size = abs(len(one.body) - len(asked.body))
        return one.url != asked.url, one.method != asked.method, size, at

    likely = sorted(range(len(recorded)), key=apart)[:MAX_COMPARED]
    found = [_compared(at, asked, recorded[at]) for at in likely]
    return min(found, key=lambda one: one.places, default=None)


def _compared(at: int, asked: TapedRequest, recorded: TapedRequest) -> Difference:
    there, here = dict(_leaves(recorded)), dict(_leaves(asked))
    places = [
        name
        for name in dict.fromkeys((*there, *here))
        if there.get(name, _Missing) != here.get(name, _Missing)
    ]
    told = [
        _difference(name, there.get(name, _Missing), here.get(name, _Missing))
        for name in places[:MAX_TOLD]
    ]
    if len(places) > MAX_TOLD:
        told.append(f"and {len(places) - MAX_TOLD} more")
    if not places:
        # Equal as values: only how they are written differs.
        told = [_difference("body", recorded.body, asked.body)]
    return Difference(at, len(places), tuple(told))


class _Missing:
    """What one of two requests has not."""


def _leaves(request: TapedRequest) -> Iterator[tuple[str, Any]]:
    yield "method", request.method
    yield "url", request.url
    for name, value in sorted(request.headers.items()):
        yield f"header {name}", value
    try:
        body = orjson.loads(request.body)
    except (ValueError, RecursionError):
        if request.body:
            yield "body", request.body
        return
    yield from _within("body", body)


def _within(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from _within(f"{name}.{key}", one)
    elif isinstance(value, list) and value:
        for at, one in enumerate(value):
            yield from _within(f"{name}[{at}]", one)
    else:
        yield name, value


def _difference(name: str, there: Any, here: Any) -> str:
    if there is _Missing:
        return f"{name}: asked {_shown(here, 0)}, not recorded"
    if here is _Missing:
        return f"{name}: recorded {_shown(there, 0)}, not asked"
    first = 0
    if isinstance(there, str | bytes) and type(there) is type(here):
        both = zip(there, here, strict=False)
        first = next((at for at, (a, b) in enumerate(both) if a != b), None) or min(
            len(there), len(here)
        )
        if there[:1] != here[:1]:
            first = 0
    where = f" from {first}" if first > MAX_SHOWN // 2 else ""
    return (
        f"{name}{where}: recorded {_shown(there, first)}, asked {_shown(here, first)}"
    )


def _shown(value: Any, first: int) -> str:
    """Return a value, from a little before where it differs."""
    if not isinstance(value, str | bytes):
        value = str(value)
        return value if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}..."
    start = max(0, first - MAX_SHOWN // 3) if first > MAX_SHOWN // 2 else 0
    shown = value[start : start + MAX_SHOWN]
    tail = "..." if start + MAX_SHOWN < len(value) else ""
    return f"{'...' if start else ''}{shown!r}{tail}"
