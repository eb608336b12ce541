"""Shapes: which JSON each type stands for.

Owns the rules by which the codec decodes a union and by which a JSON Schema describes
it, so that both always agree. Knows nothing of either. Only types whose JSON is
unambiguous have a shape: a union whose members look alike has none.
"""

import enum
import types
from collections.abc import Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import attrs

from .frozen import frozen

SCALARS: Mapping[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    type(None): "null",
}
_SEQUENCES = (list, tuple, Sequence)
_SETS = (set, frozenset)
_EVERYTHING = frozenset({*SCALARS, list, dict})


def bare(kind: Any) -> Any:
    """Return a type without the names and notes around it (NewType, Annotated)."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif hasattr(kind, "__supertype__"):
            kind = kind.__supertype__
        else:
            return kind


def origin(kind: Any) -> Any:
    """Return a type without its arguments: ``list`` for ``list[int]``."""
    return get_origin(kind) or kind


def is_attrs(kind: Any) -> bool:
    """Whether the type is an attrs class, perhaps with type arguments."""
    return isinstance(origin(kind), type) and attrs.has(origin(kind))


def is_enum(kind: Any) -> bool:
    """Whether the type is an enumeration."""
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def is_literal(kind: Any) -> bool:
    """Whether the type is a ``Literal``."""
    return get_origin(kind) is Literal


def is_mapping(kind: Any) -> bool:
    """Whether the type is a mapping, with or without arguments."""
    return isinstance(origin(kind), type) and issubclass(origin(kind), Mapping)


def is_sequence(kind: Any) -> bool:
    """Whether the type is a list, a tuple or a Sequence."""
    return origin(kind) in _SEQUENCES


def is_set(kind: Any) -> bool:
    """Whether the type is a set, for which JSON has no word."""
    return origin(kind) in _SETS


def is_union(kind: Any) -> bool:
    """Whether the type is a union, written either way."""
    return get_origin(kind) in (Union, types.UnionType)


def described(value: object) -> str:
    """Return what a JSON value is, in JSON's words."""
    for kind in (bool, *SCALARS):
        if isinstance(value, kind):
            return SCALARS[kind]
    if isinstance(value, Mapping):
        return "an object"
    return "an array" if isinstance(value, list | tuple) else type(value).__name__


def allowed(kind: Any) -> tuple[Any, ...]:
    """Return the JSON scalars that a Literal or an enumeration allows.

    Raises:
        TypeError: one of them is not a JSON scalar.
    """
    values = tuple(member.value for member in kind) if is_enum(kind) else get_args(kind)
    for value in values:
        if type(value) not in SCALARS:
            raise TypeError(f"{value!r} is no JSON value, so it cannot be a choice")
    return values


def typed_fields(kind: Any) -> "list[tuple[attrs.Attribute[Any], Any]]":
    """Return the fields of an attrs class that take part in JSON, with their types.

    Fields with ``init=False`` take no part. Type arguments of a generic class are put
    in their places.

    Raises:
        TypeError: a field has no type, or a type that cannot be resolved.
    """
    declared = origin(kind)
    try:
        hints = get_type_hints(declared, include_extras=True)
    except (NameError, AttributeError) as error:
        raise TypeError(
            f"a field type of {declared.__name__} cannot be resolved ({error}); types "
            "of fields must be importable at run time"
        ) from error
    arguments = _arguments(kind)
    found = []
    for attribute in attrs.fields(declared):
        if not attribute.init:
            continue
        hint = hints.get(attribute.name, attribute.type)
        if hint is None:
            raise TypeError(f"field {attribute.name!r} has no type")
        found.append((attribute, _filled(hint, arguments)))
    return found


def _arguments(kind: Any) -> dict[Any, Any]:
    """Return what stands for each type variable, those of base classes included."""
    declared = origin(kind)
    filled = dict(
        zip(getattr(declared, "__parameters__", ()), get_args(kind), strict=False)
    )
    for base in getattr(declared, "__orig_bases__", ()):
        if get_origin(base) is not Generic and is_attrs(base):
            inner = _arguments(_filled(base, filled))
            filled = {**inner, **filled}
    return filled


def _filled(hint: Any, arguments: Mapping[Any, Any]) -> Any:
    if isinstance(hint, TypeVar):
        return arguments.get(hint, hint)
    open_ones = getattr(hint, "__parameters__", ())
    if not open_ones or isinstance(hint, type):
        return hint
    return hint[tuple(arguments.get(one, one) for one in open_ones)]


@frozen
class UnionShape:
    """How to tell the members of a union apart by looking at the JSON."""

    members: Mapping[type, Any]
    """The member for each JSON type; a float member also takes integers."""
    tag: str | None = None
    """The field that tells several attrs classes apart."""
    tagged: Mapping[Any, Any] = attrs.field(factory=dict)
    """The attrs class for each value of the tag."""

    def expected(self) -> str:
        """Return what the union takes, in words."""
        words = []
        for kind in (*SCALARS, list, dict):
            if kind in self.members:
                words.append(
                    SCALARS.get(kind) or ("an array" if kind is list else "an object")
                )
        if "a number" in words and "an integer" in words:
            words.remove("an integer")
        return " or ".join(words)


def union_shape(kind: Any) -> UnionShape:
    """Return how the members of a union are told apart.

    Raises:
        TypeError: two members take the same JSON, or a member is no JSON type.
    """
    members: dict[type, Any] = {}
    objects: list[Any] = []
    for member in get_args(kind):
        if is_attrs(bare(member)):
            objects.append(member)
            continue
        for json_type in sorted(json_types(member), key=lambda one: one.__name__):
            if json_type in members:
                raise TypeError(
                    f"two members of {kind} both take {described_type(json_type)}"
                )
            members[json_type] = member
    if objects and dict in members:
        raise TypeError(f"two members of {kind} both take an object")
    if float in members:
        members.setdefault(int, members[float])
    if len(objects) == 1:
        members[dict] = objects[0]
    if len(objects) < 2:
        return UnionShape(members)
    members[dict] = None
    tag, tagged = _tags(objects)
    return UnionShape(members, tag, tagged)


def described_type(json_type: type) -> str:
    """Return the JSON type's name in words."""
    return SCALARS.get(json_type) or ("an array" if json_type is list else "an object")


def json_types(kind: Any) -> frozenset[type]:
    """Return the JSON types that a type takes, each as its Python type.

    Raises:
        TypeError: it has no JSON form, or an ambiguous one.
    """
    kind = bare(kind)
    if kind is Any:
        return _EVERYTHING
    if kind in SCALARS:
        return frozenset({kind})
    if is_literal(kind) or is_enum(kind):
        return frozenset(type(value) for value in allowed(kind))
    if is_sequence(kind):
        return frozenset({list})
    if is_mapping(kind) or is_attrs(kind):
        return frozenset({dict})
    if is_union(kind):
        return frozenset(union_shape(kind).members)
    raise TypeError(f"{getattr(kind, '__name__', kind)} has no JSON form")


def _tags(classes: Sequence[Any]) -> tuple[str, dict[Any, Any]]:
    """Return the field whose Literals tell the classes apart, and its values."""
    choices = [
        {
            attribute.name: allowed(bare(hint))
            for attribute, hint in typed_fields(bare(one))
            if is_literal(bare(hint))
        }
        for one in classes
    ]
    for name in choices[0]:
        if not all(name in of_class for of_class in choices):
            continue
        tagged: dict[Any, Any] = {}
        count = 0
        for one, of_class in zip(classes, choices, strict=True):
            tagged.update(dict.fromkeys(of_class[name], one))
            count += len(of_class[name])
        if len(tagged) == count and all(isinstance(value, str) for value in tagged):
            return name, tagged
    names = ", ".join(origin(bare(one)).__name__ for one in classes)
    raise TypeError(
        f"{names} cannot be told apart: give each a field of the same name with a "
        "different Literal text"
    )
