"""Routes: which endpoint is meant by a method and a path.

A path is found part by part, so that it costs the same however many there are; a plain
part comes before one with a name in that place.
"""

from collections.abc import Mapping
from typing import Generic, TypeVar

from attrs import define, field

T = TypeVar("T")


@define
class _Part(Generic[T]):
    """What may follow a part of a path."""

    plain: dict[str, "_Part[T]"] = field(factory=dict)
    named: dict[str, "_Part[T]"] = field(factory=dict)
    rest: dict[str, "_Part[T]"] = field(factory=dict)
    """Under a name that takes all that follows, slashes and all."""
    endpoints: dict[str, T] = field(factory=dict)
    """What is here, by method."""


class Routes(Generic[T]):
    """What is asked for where."""

    def __init__(self) -> None:
        self._root: _Part[T] = _Part()

    def add(self, method: str, path: str, endpoint: T) -> None:
        """Put an endpoint at a path, whose parts are plain, ``{name}``, or as the last
        one ``{name:path}``."""
        at = self._root
        for part in path.split("/"):
            if part.endswith(":path}"):
                at = at.rest.setdefault(part[1:-6], _Part())
            elif part.startswith("{"):
                at = at.named.setdefault(part[1:-1], _Part())
            else:
                at = at.plain.setdefault(part, _Part())
        at.endpoints[method] = endpoint

    def find(self, path: str) -> tuple[Mapping[str, T], dict[str, str]] | None:
        """Return what is at a path, by method, and the parts that have names; None
        where there is nothing."""
        found = _find(self._root, path.split("/"), 0)
        return None if found is None else (found[0].endpoints, found[1])


def _find(
    at: _Part[T], parts: list[str], number: int
) -> tuple[_Part[T], dict[str, str]] | None:
    if number == len(parts):
        return (at, {}) if at.endpoints else None
    part = parts[number]
    if (plain := at.plain.get(part)) and (found := _find(plain, parts, number + 1)):
        return found
    for name, after in at.named.items():
        if part and (found := _find(after, parts, number + 1)):
            found[1][name] = part
            return found
    for name, after in at.rest.items():
        return after, {name: "/".join(parts[number:])}
    return None
