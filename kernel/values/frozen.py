"""Frozen: the decorator of values, which is attrs' own but for three methods.

attrs writes and compiles a method for each class that compares, hashes or shows it:
hundreds of small programs in every process that starts, most of which never run. The
methods here are the same for all classes and read a class's fields on first use. What
they do is what those of attrs do.
"""

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    # Type checkers know that one.
    from attrs import frozen as frozen
else:

    def frozen(
        cls: type | None = None, *, eq: bool = True, repr: bool = True, **options: Any
    ) -> Any:
        """Make a class a frozen attrs class, as ``attrs.frozen`` does."""

        def made(declared: type) -> type:
            own = vars(declared)
            shared: dict[str, Any] = {}
            if eq and not {"__eq__", "__hash__"} & own.keys():
                shared |= {"__eq__": _equal, "__hash__": _hash}
            if repr and "__repr__" not in own:
                shared["__repr__"] = _shown
            built = attrs.frozen(
                declared,
                eq=eq and "__eq__" not in shared,
                repr=repr and "__repr__" not in shared,
                **options,
            )
            for name, method in shared.items():
                setattr(built, name, method)
            return built

        return made if cls is None else made(cls)


@cache
def _compared(cls: Any) -> Callable[[Any], Any]:
    names = [
        one.name for one in attrs.fields(cls) if one.eq is True and one.eq_key is None
    ]
    return attrgetter(*names) if names else _nothing


@cache
def _hashed(cls: Any) -> Callable[[Any], Any]:
    names = [
        one.name
        for one in attrs.fields(cls)
        if one.hash is True or (one.hash is None and one.eq)
    ]
    return attrgetter(*names) if names else _nothing


@cache
def _named(cls: Any) -> tuple[str, ...]:
    return tuple(one.name for one in attrs.fields(cls) if one.repr)


def _nothing(_: Any) -> tuple[()]:
    return ()


def _equal(self: Any, other: Any) -> Any:
    cls = self.__class__
    if other.__class__ is not cls:
        return NotImplemented
    values = _compared(cls)
    return values(self) == values(other)


def _hash(self: Any) -> int:
    cls = self.__class__
    return hash((cls, _hashed(cls)(self)))


@recursive_repr("...")
def _shown(self: Any) -> str:
    cls = self.__class__
    fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in _named(cls))
    return f"{cls.__qualname__.rsplit('>.', 1)[-1]}({fields})"
