"""Schema: the JSON Schema of a tool's input, and the decoder that keeps to it.

Owns the way from an attrs class to what a model is told (JSON Schema 2020-12) and back
from what the model wrote to an instance. Both follow ``values.shapes``, so that what
the schema allows is what the decoder takes. Knows nothing of tools.

A field's metadata may say ``description`` and ``examples``, and these limits, which
the decoder checks: ``minimum``, ``maximum``, ``exclusiveMinimum``,
``exclusiveMaximum``, ``minLength``, ``maxLength``, ``pattern``, ``minItems``,
``maxItems``. A class's docstring describes its object. ``formerly`` lists names that
the field once had (see ``meaning``). Other metadata is ignored.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, cast, get_args
from weakref import WeakKeyDictionary

import attrs

from ..values.codec import converter, dumps, from_json, loads, place, problems
from ..values.errors import ToolDefinitionError, UndecodableError
from ..values.json_schema import pattern_of
from ..values.shapes import (
    SCALARS,
    allowed,
    bare,
    is_attrs,
    is_enum,
    is_literal,
    is_mapping,
    is_sequence,
    is_union,
    json_types,
    origin,
    typed_fields,
    union_shape,
)
from ..values.shortcut import shortcut
from ..values.tool import Json

T = TypeVar("T")

_NAMES: Mapping[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
    list: "array",
    dict: "object",
}


def input_schema(kind: type, name: str | None = None) -> dict[str, Json]:
    """Return the JSON Schema of an attrs class, always of type ``object``.

    The same class always gives the same keys in the same order. Nested classes are
    written out where they are used; only recursive ones are referred to, in ``$defs``.

    Raises:
        ToolDefinitionError: it is no attrs class, or a field's type or metadata has no
            place in JSON Schema; the message names the field. ``name`` is the tool's.
    """
    # Each Location that opens registers the same classes. Written, because whoever is
    # given a schema may change it.
    plain = type(kind) is type
    if plain and (written := _WRITTEN.get(kind)) is not None:
        return _object_in(written)
    name = name or str(getattr(kind, "__name__", kind))
    if not is_attrs(kind):
        raise ToolDefinitionError(name, f"{kind!r} is not an attrs class")
    writer = _Writer()
    try:
        schema = writer.of(kind, origin(kind).__name__)
        if "$ref" in schema:
            schema = dict(writer.defs[schema["$ref"].rpartition("/")[2]])
        if writer.defs:
            schema["$defs"] = dict(sorted(writer.defs.items()))
        written = dumps(schema)
    except _UnusableError as error:
        raise ToolDefinitionError(name, str(error)) from error.__cause__
    except UndecodableError as error:
        raise ToolDefinitionError(name, "; ".join(error.problems)) from error
    if plain:
        _WRITTEN[kind] = written
    return _object_in(written)


def shared_schemas(
    kinds: Sequence[Any],
    at: str,
    words: Callable[[type], Mapping[str, str]] | None = None,
) -> tuple[list[dict[str, Json]], dict[str, dict[str, Json]]]:
    """Return the JSON Schema of each type, and the classes that they speak of by name:
    each is described once, and referred to as ``at`` with its name.

    For documents of many types, such as OpenAPI. A generic class is written out where
    it is used. Members of a union that a field tells apart are said to be. ``words``
    says of a class what its fields are that say nothing of it themselves.

    Raises:
        ToolDefinitionError: as ``input_schema``.
    """
    writer = _Writer(at, shared=True, words=words)
    try:
        found = [writer.of(kind, str(kind)) for kind in kinds]
    except _UnusableError as error:
        raise ToolDefinitionError("schema", str(error)) from error.__cause__
    return found, dict(sorted(writer.defs.items()))


_WRITTEN: "WeakKeyDictionary[type, bytes]" = WeakKeyDictionary()


def _object_in(written: bytes) -> dict[str, Json]:
    return cast("dict[str, Json]", loads(written))


def input_decoder(kind: type[T], *, given_up: bool = False) -> Callable[[Json], T]:
    """Return a function that makes JSON data an instance, or refuses it.

    Data that is ``given_up`` is nobody else's: what is made of it may keep parts of it,
    and is made three times as fast.

    Compiled on first use, because most tools of a session are never called; the class
    must have passed ``input_schema``. The function raises UndecodableError:
    ``problems`` lists every place that does not fit the types, or, when all fit, every
    limit that is broken.
    """
    name = origin(kind).__name__

    @cache
    def compiled() -> tuple[Any, Check | None]:
        structure = converter.get_structure_hook(kind)
        made = _quick_first(shortcut(kind), structure) if given_up else structure
        return made, _checks(kind, {})

    def decode(data: Json) -> T:
        structure, check = compiled()
        try:
            value = structure(data, kind)
        except Exception as error:  # whatever a class's own validators raise, too
            raise UndecodableError(name, problems(error)) from error
        if check is not None:
            broken: list[str] = []
            check(value, "$", broken)
            if broken:
                raise UndecodableError(name, broken)
        return value  # type: ignore[no-any-return] # a hook's result has no type

    return decode


def _quick_first(quick: Callable[[Any], Any], structure: Any) -> Any:
    def made(data: Any, kind: Any) -> Any:
        try:
            return quick(data)
        except Exception:
            # Wrong, or right in a rare way: the codec says which.
            return structure(data, kind)

    return made


class _UnusableError(Exception):
    """A type or its metadata cannot be used; the text names the field."""

    def __init__(self, where: str, problem: object) -> None:
        super().__init__(f"field {where!r}: {problem}")


# --- writing ----------------------------------------------------------------------


class _Writer:
    """Writes one schema. ``defs`` collects the classes that contain themselves."""

    def __init__(
        self,
        at: str = "#/$defs/",
        *,
        shared: bool = False,
        words: Callable[[type], Mapping[str, str]] | None = None,
    ) -> None:
        self.defs: dict[str, dict[str, Json]] = {}
        self._at = at
        self._shared = shared
        self._words = words
        self._names: dict[Any, str] = {}
        self._open: list[Any] = []

    def of(self, kind: Any, where: str, tag: str | None = None) -> dict[str, Json]:
        kind = bare(kind)
        try:
            if kind is Any:
                return {}
            if kind in SCALARS:
                return {"type": _NAMES[kind]}
            if is_literal(kind) or is_enum(kind):
                return _choice(allowed(kind))
            if is_sequence(kind):
                return self._array(kind, where)
            if is_mapping(kind):
                return self._map(kind, where)
            if is_attrs(kind):
                return self._object(kind, where, tag)
            if is_union(kind):
                return self._union(kind, where)
        except TypeError as error:
            raise _UnusableError(where, error) from error
        raise _UnusableError(
            where,
            f"{getattr(kind, '__name__', kind)} has no JSON Schema; use str, int, "
            "float, bool, Literal, an enumeration, list, tuple, dict[str, ...], "
            "Any, an attrs class or a union of these",
        )

    def _array(self, kind: Any, where: str) -> dict[str, Json]:
        arguments = get_args(kind)
        if origin(kind) is not tuple or arguments[1:] == (...,) or kind is tuple:
            item = self.of(arguments[0], f"{where}[]") if arguments else {}
            return {"type": "array", "items": item} if item else {"type": "array"}
        if not arguments:
            raise _UnusableError(where, "an empty tuple says nothing")
        return {
            "type": "array",
            "prefixItems": [
                self.of(one, f"{where}[{index}]") for index, one in enumerate(arguments)
            ],
            "items": False,
            "minItems": len(arguments),
            "maxItems": len(arguments),
        }

    def _map(self, kind: Any, where: str) -> dict[str, Json]:
        key, item = get_args(kind) or (str, Any)
        if bare(key) not in (str, Any):
            raise _UnusableError(where, "the keys of a JSON object are strings")
        inner = self.of(item, f"{where}{{}}")
        schema: dict[str, Json] = {"type": "object"}
        return {**schema, "additionalProperties": inner} if inner else schema

    def _object(self, kind: Any, where: str, tag: str | None) -> dict[str, Json]:
        if (kind, tag) in self._open or (kind, tag) in self._names:
            return {"$ref": f"{self._at}{self._name(kind, tag)}"}
        self._open.append((kind, tag))
        properties: dict[str, Json] = {}
        required = []
        said = self._words(origin(kind)) if self._words else {}
        for attribute, hint in typed_fields(kind):
            name = attribute.name
            properties[name] = self._property(attribute, hint, f"{where}.{name}")
            if name in said:
                properties[name].setdefault("description", said[name])
            if attribute.default is attrs.NOTHING or name == tag:
                required.append(name)
        self._open.pop()
        schema: dict[str, Json] = {"type": "object"}
        words = origin(kind).__dict__.get("__doc__")
        if words and words.strip():
            schema["description"] = inspect.cleandoc(words)
        schema["properties"] = properties
        if required:
            schema["required"] = required
        schema["additionalProperties"] = False
        wanted = self._shared and origin(kind) is kind
        if (kind, tag) not in self._names and not wanted:
            return schema
        self.defs[self._name(kind, tag)] = schema
        return {"$ref": f"{self._at}{self._name(kind, tag)}"}

    def _name(self, kind: Any, tag: str | None) -> str:
        if (kind, tag) not in self._names:
            plain = re.sub(r"\W", "_", origin(kind).__name__, flags=re.ASCII)
            name, count = plain, 1
            while name in self._names.values():
                count += 1
                name = f"{plain}{count}"
            self._names[kind, tag] = name
        return self._names[kind, tag]

    def _property(
        self, attribute: "attrs.Attribute[Any]", hint: Any, where: str
    ) -> dict[str, Json]:
        schema = self.of(hint, where)
        metadata = attribute.metadata
        words = metadata.get("description")
        if words is not None:
            if not isinstance(words, str):
                raise _UnusableError(where, "its description must be text")
            schema["description"] = words
        schema.update(_limits(attribute, hint, where))
        default = attribute.default
        if default is not attrs.NOTHING and not isinstance(
            default,
            attrs.Factory,  # type: ignore[arg-type] # typed as a function
        ):
            plain = converter.unstructure(default, hint)
            _must_fit(plain, hint, where, "its default")
            if plain is not None:
                schema["default"] = plain
        if "examples" in metadata:
            examples = [converter.unstructure(one) for one in metadata["examples"]]
            for example in examples:
                _must_fit(example, hint, where, "an example")
            schema["examples"] = examples
        return schema

    def _union(self, kind: Any, where: str) -> dict[str, Json]:
        shape = union_shape(kind)
        members = [bare(one) for one in get_args(kind)]
        others = [one for one in members if one is not type(None)]
        nullable = len(others) < len(members)
        if Any in others:
            return {}
        if all(one in SCALARS for one in others):
            names = [_NAMES[one] for one in SCALARS if one in members]
            if float in members and int in members:
                names.remove("integer")
            return {"type": names if len(names) > 1 else names[0]}
        if len(others) == 1 and (is_literal(others[0]) or is_enum(others[0])):
            return _choice((*allowed(others[0]), None))
        written = [
            self.of(one, where, shape.tag if is_attrs(one) else None) for one in others
        ]
        if nullable:
            written.append({"type": "null"})
        if shape.tag and self._shared:
            named = {origin(one): ref for one, ref in zip(others, written, strict=True)}
            mapping: dict[str, Json] = {
                str(value): named[origin(one)]["$ref"]
                for value, one in shape.tagged.items()
            }
            told: dict[str, Json] = {"propertyName": shape.tag, "mapping": mapping}
            return {"oneOf": written, "discriminator": told}
        return {"oneOf" if shape.tag else "anyOf": written}


def _choice(values: tuple[Any, ...]) -> dict[str, Json]:
    names = list(dict.fromkeys(_NAMES[type(value)] for value in values))
    return {"type": names if len(names) > 1 else names[0], "enum": list(values)}


def _must_fit(data: Json, hint: Any, where: str, what: str) -> None:
    try:
        from_json(data, hint)
    except UndecodableError as error:
        raise _UnusableError(
            where, f"{what} is not of its type: {'; '.join(error.problems)}"
        ) from error


# --- limits -----------------------------------------------------------------------

_NUMBERS = frozenset({int, float})
_LIMITS: Mapping[str, frozenset[type]] = {
    "minimum": _NUMBERS,
    "maximum": _NUMBERS,
    "exclusiveMinimum": _NUMBERS,
    "exclusiveMaximum": _NUMBERS,
    "minLength": frozenset({str}),
    "maxLength": frozenset({str}),
    "pattern": frozenset({str}),
    "minItems": frozenset({list}),
    "maxItems": frozenset({list}),
}
"""Each limit and the JSON types that it can limit."""

Check = Callable[[Any, str, list[str]], None]
"""Adds a line to the list for each limit that the value at the path breaks."""


def _limits(
    attribute: "attrs.Attribute[Any]", hint: Any, where: str
) -> dict[str, Json]:
    """Return the limits of a field in a fixed order, each proven to make sense."""
    found: dict[str, Json] = {}
    for limit, applies in _LIMITS.items():
        if limit not in attribute.metadata:
            continue
        if not applies & json_types(hint):
            raise _UnusableError(where, f"{limit} does not fit its type")
        value = attribute.metadata[limit]
        if limit == "pattern":
            try:
                pattern_of(value)
            except (re.error, TypeError, ValueError) as error:
                raise _UnusableError(where, f"pattern {value!r}: {error}") from error
        elif applies is _NUMBERS:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise _UnusableError(where, f"{limit} must be a number")
        elif isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise _UnusableError(where, f"{limit} must be a count")
        found[limit] = value
    return found


def _checks(kind: Any, known: dict[Any, Check | None]) -> Check | None:
    """Return the check of all limits within a type, or None where there are none."""
    kind = bare(kind)
    if is_attrs(kind):
        return _object_checks(kind, known)
    if is_union(kind):
        return _union_checks(kind, known)
    arguments = get_args(kind)
    if not arguments or is_literal(kind):
        return None
    if is_mapping(kind):
        return _item_checks(lambda value: value.items(), _checks(arguments[1], known))
    if origin(kind) is tuple and arguments[1:] != (...,):
        return _fixed_checks([_checks(one, known) for one in arguments])
    return _item_checks(enumerate, _checks(arguments[0], known))


def _object_checks(kind: Any, known: dict[Any, Check | None]) -> Check | None:
    if kind in known:
        return known[kind]

    def again(value: Any, path: str, broken: list[str]) -> None:
        check = known[kind]
        assert check is not None
        check(value, path, broken)

    # A class that contains itself finds this; what it then finds is the check below.
    known[kind] = again
    fields: list[tuple[str, Check]] = []
    for attribute, hint in typed_fields(kind):
        own = _own_checks(_limits(attribute, hint, attribute.name))
        for check in (own, _checks(hint, known)):
            if check is not None:
                fields.append((attribute.name, check))

    def every(value: Any, path: str, broken: list[str]) -> None:
        for name, check in fields:
            check(getattr(value, name), f"{path}.{name}", broken)

    known[kind] = every if fields else None
    return known[kind]


def _union_checks(kind: Any, known: dict[Any, Check | None]) -> Check | None:
    objects: list[tuple[Any, Check]] = []
    for member in map(bare, get_args(kind)):
        check = _checks(member, known)
        if check is not None:
            shape = origin(member)
            if not is_attrs(member):
                shape = Mapping if is_mapping(member) else list | tuple
            objects.append((shape, check))
    if not objects:
        return None

    def fitting(value: Any, path: str, broken: list[str]) -> None:
        for shape, check in objects:
            if isinstance(value, shape):
                check(value, path, broken)
                return

    return fitting


def _item_checks(items: Callable[[Any], Any], check: Check | None) -> Check | None:
    if check is None:
        return None

    def each(value: Any, path: str, broken: list[str]) -> None:
        for where, item in items(value):
            check(item, f"{path}{place(where)}", broken)

    return each


def _fixed_checks(checks: list[Check | None]) -> Check | None:
    if not any(checks):
        return None

    def each(value: Any, path: str, broken: list[str]) -> None:
        for index, (item, check) in enumerate(zip(value, checks, strict=True)):
            if check is not None:
                check(item, f"{path}{place(index)}", broken)

    return each


def _own_checks(limits: Mapping[str, Any]) -> Check | None:
    """Return the check of one field's own limits."""
    if not limits:
        return None
    tests: list[tuple[Any, Callable[[Any], bool], str]] = []
    for limit, bound in limits.items():
        test, words = _test(limit, bound)
        tests.append((_kinds(limit), test, words))

    def own(value: Any, path: str, broken: list[str]) -> None:
        for kinds, test, words in tests:
            applies = isinstance(value, kinds) and not isinstance(value, bool)
            if applies and not test(value):
                broken.append(f"{path}: {words}")

    return own


def _kinds(limit: str) -> tuple[type, ...]:
    applies = _LIMITS[limit]
    return (list, tuple) if list in applies else tuple(applies)


def _test(limit: str, bound: Any) -> tuple[Callable[[Any], bool], str]:
    match limit:
        case "minimum":
            return lambda value: value >= bound, f"must be at least {bound}"
        case "maximum":
            return lambda value: value <= bound, f"must be at most {bound}"
        case "exclusiveMinimum":
            return lambda value: value > bound, f"must be over {bound}"
        case "exclusiveMaximum":
            return lambda value: value < bound, f"must be under {bound}"
        case "minLength":
            return (
                lambda value: len(value) >= bound,
                f"must have at least {bound} characters",
            )
        case "maxLength":
            return (
                lambda value: len(value) <= bound,
                f"must have at most {bound} characters",
            )
        case "minItems":
            return (
                lambda value: len(value) >= bound,
                f"must have at least {bound} items",
            )
        case "maxItems":
            return (
                lambda value: len(value) <= bound,
                f"must have at most {bound} items",
            )
        case _:
            pattern = pattern_of(bound)
            return (
                lambda value: pattern.search(value) is not None,
                f"must match the pattern {bound}",
            )
