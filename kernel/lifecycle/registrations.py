"""Registrations: what a Location offers, as a fold of who offers it now.

Owns a list of (owner, key, item) in a stable order. Knows nothing of what the items
are. Closing a registration removes exactly that one and reveals what it shadowed, by
construction: the offer is computed anew from the registrations that are left.
"""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from attrs import define, field

T = TypeVar("T")


@define(eq=False)
class Registration(Generic[T]):
    """One contribution of one owner."""

    owner: str
    key: str
    item: T
    rank: int
    """The owner's place in the order of owners."""
    active: bool = True
    """False once it was closed; whoever still holds it then holds something stale."""
    _removed: Callable[["Registration[T]"], None] = field(
        default=lambda _: None, repr=False, kw_only=True
    )

    def close(self) -> None:
        """Take the contribution back. Closing twice is harmless."""
        if self.active:
            self.active = False
            self._removed(self)


class Registrations(Generic[T]):
    """Contributions under keys; the one of the last owner in order is offered.

    Owners are ordered by the rank they register with, then by name, never by when
    they came (law plugins.5). ``generation`` grows with every change.
    """

    def __init__(self) -> None:
        self._all: list[Registration[T]] = []
        self._offer: dict[str, Registration[T]] | None = None
        self.generation = 0

    def add(self, owner: str, key: str, item: T, rank: int = 0) -> Registration[T]:
        """Add one contribution; it counts until its ``close``."""
        made = Registration(owner, key, item, rank, removed=self._drop)
        self._all.append(made)
        # Stable: of one owner's equal keys the later one wins.
        self._all.sort(key=lambda one: (one.rank, one.owner))
        self._changed()
        return made

    def offer(self) -> Mapping[str, Registration[T]]:
        """Return what is offered now, in key order. Never changed afterwards."""
        if self._offer is None:
            latest = {one.key: one for one in self._all}
            self._offer = dict(sorted(latest.items()))
        return self._offer

    def get(self, key: str) -> T | None:
        """Return what is offered under a key."""
        found = self.offer().get(key)
        return found.item if found else None

    def all(self) -> tuple[Registration[T], ...]:
        """Return every active registration in order, shadowed ones included."""
        return tuple(self._all)

    def _drop(self, one: Registration[T]) -> None:
        self._all.remove(one)
        self._changed()

    def _changed(self) -> None:
        self._offer = None
        self.generation += 1
