"""Shortcut: JSON to attrs values at the speed of code written by hand.

Owns functions made from a class's types that take right data and refuse everything
else without a word. The codec knows no more than they do and explains what is wrong;
whoever is refused here asks it, so what is taken, and what it becomes, is the same both
ways. Logs are read with this: tens of thousands of values, all of them right. And
functions made from a class's fields that copy its values, for the path of every commit.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MemberDescriptorType
from typing import Any, TypeVar, cast, get_args

import attrs
from attrs import NOTHING, Factory

from .codec import converter
from .shapes import (
    bare,
    is_attrs,
    is_literal,
    is_mapping,
    is_sequence,
    is_union,
    origin,
    typed_fields,
    union_shape,
)

T = TypeVar("T")

_ABSENT = object()
_INITS = ("", "pre_", "post_")
_SCALARS = (str, int, bool)


class RefusedError(Exception):
    """The data is wrong, or of a kind that only the codec knows."""


def shortcut(kind: type[T], *given: str) -> Callable[..., T]:
    """Return a function that makes a value of an attrs class from a dict.

    It is called with the dict, which the value may keep parts of, and the ``given``
    fields, which are taken as they are and must not be in the dict. It raises whatever
    it happens upon where the data is not exactly right.

    Raises:
        TypeError: the class has a type that JSON has no form for.
    """
    return _Maker(kind, given).function()


def copier(kind: type[T], *changed: str) -> Callable[..., T]:
    """Return a function that copies a value of an attrs class, as ``attrs.evolve``
    does: it is called with the value and what the ``changed`` fields become.

    Raises:
        TypeError: the class has no such field.
    """
    cls: Any = kind
    fields = [attribute.name for attribute in attrs.fields(cls)]
    if unknown := set(changed).difference(fields):
        raise TypeError(f"{kind.__name__} has no field {min(unknown)!r}")
    if not _is_plain(kind):
        return lambda value, *new: attrs.evolve(
            value, **dict(zip(changed, new, strict=True))
        )
    names: dict[str, Any] = {
        "new": object.__new__,
        "Unfrozen": _unfrozen(kind),
        "Kind": kind,
    }
    lines = [f"def copied(value, {', '.join(changed)}):", "    made = new(Unfrozen)"]
    for name in fields:
        source = name if name in changed else f"value.{name}"
        lines.append(f"    made.{name} = {source}")
    exec("\n".join([*lines, "    made.__class__ = Kind", "    return made"]), names)
    made: Callable[..., T] = names["copied"]
    return made


def maker(kind: type[T]) -> type[T]:
    """Return a function that is called as an attrs class is, and makes the same value
    in half the time. Of a class that does more than to keep its fields: the class.
    """
    fields = attrs.fields(cast("Any", kind))
    plain = all(not isinstance(one.default, cast("Any", Factory)) for one in fields)
    if not plain or not _is_plain(kind):
        return kind
    names: dict[str, Any] = {
        "new": object.__new__,
        "Unfrozen": _unfrozen(kind),
        "Kind": kind,
    }
    given: list[str] = []
    named: list[str] = []
    for number, one in enumerate(fields):
        names[f"d{number}"] = one.default
        default = "" if one.default is NOTHING else f"=d{number}"
        (named if one.kw_only else given).append(f"{one.alias}{default}")
    parameters = ", ".join([*given, "*", *named] if named else given)
    lines = [f"def made({parameters}):", "    made = new(Unfrozen)"]
    lines += [f"    made.{one.name} = {one.alias}" for one in fields]
    exec("\n".join([*lines, "    made.__class__ = Kind", "    return made"]), names)
    return cast("type[T]", names["made"])


_COPIERS: dict[tuple[object, ...], Callable[..., Any]] = {}


def changed(value: T, **changes: object) -> T:
    """Return a copy with some fields changed, as ``attrs.evolve`` does, by a function
    that is made once for these fields of this class.

    Raises:
        TypeError: the class has no such field.
    """
    key = (type(value), *changes)
    copied = _COPIERS.get(key)
    if copied is None:
        copied = _COPIERS[key] = copier(type(value), *changes)
    made: T = copied(value, *changes.values())
    return made


class _Maker:
    """Writes the function of one class."""

    def __init__(self, kind: Any, given: Sequence[str]) -> None:
        self._kind = kind
        self._given = given
        self._lines: list[str] = []
        self._names: dict[str, Any] = {"Refused": RefusedError, "ABSENT": _ABSENT}

    def function(self) -> Callable[..., Any]:
        """Return the function."""
        required = optional = 0
        for number, (attribute, hint) in enumerate(typed_fields(self._kind)):
            value, key = f"v{number}", attribute.name
            if key in self._given:
                continue
            if attribute.default is NOTHING:
                required += 1
                self._line(0, f"{value} = data[{key!r}]")
                self._check(0, value, hint)
                continue
            optional += 1
            self._line(0, f"{value} = get({key!r}, ABSENT)")
            self._line(0, f"if {value} is ABSENT:")
            self._line(1, f"{value} = {self._default(attribute.default)}")
            self._line(0, "else:")
            self._line(1, "count += 1")
            self._check(1, value, hint)
        head = [f"def made(data, {', '.join(self._parameters())}):"]
        if optional:
            head.append("    get = data.get")
        head.append(f"    count = {required}")
        # As many as were looked for: no other name is in it.
        self._line(0, "if len(data) != count: raise Refused")
        self._assemble()
        exec("\n".join([*head, *self._lines]), self._names)
        made: Callable[..., Any] = self._names["made"]
        return made

    def _assemble(self) -> None:
        """Write what makes the value of the parts."""
        kind = self._name(self._kind)
        fields = [attribute for attribute, _ in typed_fields(self._kind)]
        if _is_plain(self._kind):
            # What its own __init__ would do, without calling it.
            unfrozen = self._name(_unfrozen(self._kind))
            self._line(0, f"made = {self._name(object.__new__)}({unfrozen})")
            for number, one in enumerate(fields):
                self._line(0, f"made.{one.name} = v{number}")
            self._line(0, f"made.__class__ = {kind}")
            self._line(0, "return made")
        else:
            parts = [f"{one.alias}=v{number}" for number, one in enumerate(fields)]
            self._line(0, f"return {kind}({', '.join(parts)})")

    def _parameters(self) -> list[str]:
        numbers = {
            attribute.name: number
            for number, (attribute, _) in enumerate(typed_fields(self._kind))
        }
        return [f"v{numbers[name]}" for name in self._given]

    def _line(self, depth: int, text: str) -> None:
        self._lines.append("    " * (depth + 1) + text)

    def _name(self, value: Any) -> str:
        name = f"n{len(self._names)}"
        self._names[name] = value
        return name

    def _default(self, default: Any) -> str:
        if isinstance(default, Factory):  # type: ignore[arg-type]
            if default.takes_self:
                raise TypeError("a default that looks at the value itself")
            return f"{self._name(default.factory)}()"
        return self._name(default)

    def _check(self, depth: int, value: str, hint: Any) -> None:
        """Write what refuses a value, or makes it what the type says."""
        kind = bare(hint)
        if kind is Any:
            return
        if kind in _SCALARS:
            self._refuse(depth, f"type({value}) is not {kind.__name__}")
        elif is_literal(kind) and all(type(one) is str for one in get_args(kind)):
            allowed = self._name(frozenset(get_args(kind)))
            self._refuse(depth, f"type({value}) is not str or {value} not in {allowed}")
        elif is_attrs(kind):
            self._line(depth, f"{value} = {self._name(shortcut(kind))}({value})")
        elif is_union(kind):
            self._union(depth, value, kind)
        elif is_mapping(kind):
            self._mapping(depth, value, kind)
        elif is_sequence(kind):
            self._sequence(depth, value, kind)
        else:
            self._line(depth, f"{value} = {self._by_codec(kind)}({value})")

    def _refuse(self, depth: int, condition: str) -> None:
        self._line(depth, f"if {condition}: raise Refused")

    def _union(self, depth: int, value: str, kind: Any) -> None:
        members = [one for one in get_args(kind) if one is not type(None)]
        if len(members) < len(get_args(kind)):
            self._line(depth, f"if {value} is not None:")
            depth += 1
        if len(members) == 1:
            self._check(depth, value, members[0])
        else:
            self._line(depth, f"{value} = {self._name(_item(kind))}({value})")

    def _mapping(self, depth: int, value: str, kind: Any) -> None:
        name_kind, item_kind = get_args(kind) or (Any, Any)
        types = _scalars(item_kind)
        if bare(name_kind) not in (str, Any) or not (types or bare(item_kind) is Any):
            self._line(depth, f"{value} = {self._by_codec(kind)}({value})")
            return
        # The names of a JSON object are texts.
        self._refuse(depth, f"type({value}) is not dict")
        if types:
            fits = f"{self._name(types)}.issuperset(map(type, {value}.values()))"
            self._refuse(depth, f"{value} and not {fits}")

    def _sequence(self, depth: int, value: str, kind: Any) -> None:
        arguments = get_args(kind)
        if origin(kind) is tuple and arguments[1:] != (...,):
            self._line(depth, f"{value} = {self._by_codec(kind)}({value})")
            return
        made = "tuple" if origin(kind) is tuple else "list"
        self._refuse(depth, f"type({value}) is not list")
        types = _scalars(arguments[0])
        if types:
            fits = f"{self._name(types)}.issuperset(map(type, {value}))"
            self._refuse(depth, f"not {fits}")
            self._line(depth, f"{value} = {made}({value})")
        elif bare(arguments[0]) is Any:
            self._line(depth, f"{value} = {made}({value})")
        else:
            item = self._name(_item(arguments[0]))
            self._line(depth, f"{value} = {made}([{item}(one) for one in {value}])")

    def _by_codec(self, kind: Any) -> str:
        return self._name(lambda value: converter.structure(value, kind))


def _unfrozen(kind: Any) -> Any:
    """Return the class of values that become those of a plain class once they are
    filled. Until then their places take what they are given, which is ten times quicker
    than going around what freezes the class, for every place."""
    return type("Unfrozen", (kind,), _UNFROZEN)


# Both, or the interpreter looks for a method of Python for either of them.
_UNFROZEN = {
    "__slots__": (),
    "__setattr__": object.__setattr__,
    "__delattr__": object.__delattr__,
}


def _is_plain(kind: Any) -> bool:
    """Whether making a value of an attrs class is only filling its places."""
    fields = attrs.fields(kind)
    places = {
        name
        for base in kind.__mro__
        for name, found in vars(base).items()
        if isinstance(found, MemberDescriptorType)
    }
    return (
        places == {one.name for one in fields}
        and all(one.init for one in fields)
        and not any(one.converter or one.validator for one in fields)
        and not kind.__dictoffset__
        and not any(hasattr(kind, f"__attrs_{name}init__") for name in _INITS)
    )


def _scalars(hint: Any) -> frozenset[type] | None:
    """Return the types of a value that are checked by looking at its type alone."""
    kind = bare(hint)
    members = [bare(one) for one in get_args(kind)] if is_union(kind) else [kind]
    if all(one in (*_SCALARS, type(None)) for one in members):
        return frozenset(members)
    return None


def _item(hint: Any) -> Callable[[Any], Any]:
    """Return the function that makes one of a type."""
    kind = bare(hint)
    if is_attrs(kind):
        return shortcut(kind)
    if is_union(kind):
        shape = union_shape(kind)
        if shape.tag is not None and set(shape.members) == {dict}:
            return _tagged(shape.tag, shape.tagged)
    return lambda value: converter.structure(value, kind)


def _tagged(tag: str, kinds: Mapping[Any, Any]) -> Callable[[Any], Any]:
    makers = {value: shortcut(bare(kind)) for value, kind in kinds.items()}

    def made(data: Any) -> Any:
        return makers[data[tag]](data)

    return made
