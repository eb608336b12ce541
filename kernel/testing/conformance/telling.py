"""Telling: what the suites for Context Sources and skill sources have in common.

Both look at the world and tell a model of it, unasked, again and again. Owns the tries
that follow from this: the same words while nothing changed, other words when something
did, and no effect. Knows nothing of what is told.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .suite import Bench, Case, Host, NotShownError, Suite, pictures

Look = Callable[[Case[Any], Host], Awaitable[Mapping[str, str]]]
"""Returns what is told now, by name."""


class TellingSuite(Suite):
    """What a suite says of a plugin that tells what it sees."""

    def change(self, folder: Path) -> None:
        """Change something that is told of. Must be written, or its check exempted."""

    @classmethod
    def changes(cls) -> bool:
        """Whether the suite says how."""
        return cls.change is not TellingSuite.change


def restless(bench: Bench[Any], look: Look) -> Iterator[str]:
    """Yield what is told in other words though nothing changed."""

    async def thrice(case: Case[Any]) -> tuple[Mapping[str, str], ...]:
        async with case.host() as host:
            first, again = await look(case, host), await look(case, host)
        async with case.host() as host:
            return first, again, await look(case, host)

    first, again, later = bench.case(thrice)
    for name in _different(first, again):
        yield f"{name} is told in other words when asked again"
    for name in _different(first, later):
        if first.get(name) == again.get(name):
            yield f"{name} is told in other words after a restart"


def unchanged(bench: Bench[Any], look: Look) -> Iterator[str]:
    """Yield what is told in the same words though it changed."""
    if not bench.kind.changes():
        raise NotShownError("the suite does not say how to `change` what is told of")

    async def around(case: Case[Any], host: Host) -> tuple[Mapping[str, str], ...]:
        before = await look(case, host)
        case.suite.change(case.folder)
        return before, await look(case, host)

    before, after = bench.hosted(around)
    for name in before:
        if before[name] == after.get(name):
            yield f"{name} is told as before, after `change`"


def effects(bench: Bench[Any], look: Look) -> Iterator[str]:
    """Yield what looking changes."""

    async def around(case: Case[Any], host: Host) -> Iterator[str]:
        tree, world = pictures(case)
        await look(case, host)
        later, later_world = pictures(case)
        found = [f"looking changed {name}" for name in tree.changes(later)[:3]]
        if world != later_world:
            found.append("looking changed the world")
        return iter(found)

    yield from bench.hosted(around)


def _different(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    names = one.keys() | other.keys()
    return sorted(name for name in names if one.get(name) != other.get(name))
