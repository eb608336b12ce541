"""Registrations: what a Location offers, as a fold of who offers it now.

Owns a list of (owner, key, item) in a stable order. Knows nothing of what the items
are. Closing a registration removes exactly that one and reveals what it shadowed, by
construction: the offer is computed anew from the registrations that are left. Whoever
lets an item work says so, so that its owner can tell when it may take away what the
item works with.
"""

from bisect import insort_right
from collections.abc import Mapping
from typing import Generic, TypeVar

import anyio
from attrs import define, field

T = TypeVar("T")

Rank = int | tuple[int, tuple[str, ...]]
"""An owner's place in the order of owners: a level, and on one level a path of names.
A number alone is the level of an owner that goes by its own name."""


class Uses:
    """How many use something now; entered by each of them."""

    __slots__ = ("_count", "_none")

    def __init__(self) -> None:
        self._count = 0
        self._none: anyio.Event | None = None

    def __enter__(self) -> None:
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if not self._count and self._none is not None:
            self._none.set()

    async def over(self) -> None:
        """Return when nobody does."""
        while self._count:
            if self._none is None or self._none.is_set():
                self._none = anyio.Event()
            await self._none.wait()


@define(eq=False)
class Registration(Generic[T]):
    """One contribution of one owner."""

    owner: str
    key: str
    item: T
    rank: Rank
    """The owner's place in the order of owners."""
    active: bool = True
    """False once it was closed; whoever still holds it then holds something stale."""
    counts: bool = field(default=False, init=False, repr=False)
    """Whether it is in the collection now, and not suspended or closed."""
    _home: "Registrations[T] | None" = field(default=None, repr=False, kw_only=True)
    _uses: Uses = field(factory=Uses, init=False, repr=False)

    def busy(self) -> Uses:
        """Say that what is registered is at work for as long as this is entered."""
        return self._uses

    async def unused(self) -> None:
        """Return when it is not at work: after ``close`` it will never be again."""
        await self._uses.over()

    def close(self) -> None:
        """Take the contribution back. Closing twice is harmless."""
        if self.active:
            self.active = False
            if self._home is not None:
                self._home.drop(self)

    @property
    def offered(self) -> bool:
        """Whether it is what its key stands for now."""
        return self._home is not None and self._home.offer().get(self.key) is self

    def suspend(self) -> None:
        """Take it out of the offer without making it stale, until ``resume``.

        For trying out what would take its place: both belong in one piece of
        synchronous code, so that nobody ever sees the gap.
        """
        if self.active and self._home is not None:
            self._home.drop(self)

    def resume(self) -> None:
        """Put it back after ``suspend``; whoever holds it never held it in vain."""
        if self.active and self._home is not None:
            self._home.put_back(self)


class Registrations(Generic[T]):
    """Contributions under keys; the one of the last owner in order is offered.

    Owners are ordered by the rank they register with, then by name, never by when
    they came (law plugins.5). ``generation`` grows with every change.
    """

    def __init__(self) -> None:
        self._all: list[Registration[T]] = []
        self._offer: dict[str, Registration[T]] | None = None
        self.generation = 0

    def add(self, owner: str, key: str, item: T, rank: Rank = 0) -> Registration[T]:
        """Add one contribution; it counts until its ``close``."""
        made = Registration(owner, key, item, rank, home=self)
        self.put_back(made)
        return made

    def put_back(self, one: Registration[T]) -> None:
        """Count a registration of this collection again; see ``Registration``."""
        if one.counts:
            return
        one.counts = True
        # Behind its equals: of one owner's equal keys the later one wins.
        insort_right(self._all, one, key=_place)
        self._changed()

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

    def drop(self, one: Registration[T]) -> None:
        """Count a registration no more; see ``Registration.close``."""
        if one.counts:
            one.counts = False
            self._all.remove(one)
            self._changed()

    def _changed(self) -> None:
        self._offer = None
        self.generation += 1


def _place(one: Registration[T]) -> tuple[int, tuple[str, ...]]:
    return (one.rank, (one.owner,)) if isinstance(one.rank, int) else one.rank
