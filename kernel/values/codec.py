"""The one converter: attrs values to JSON and back, strictly.

Nothing is coerced and no unknown field is ignored, because what is stored must mean
tomorrow what it means today. Two things that JSON libraries disagree about are
settled here, at the boundary: integers over 64 bits (orjson would read them back as
floats) and lone surrogates (no UTF-8 exists for them).
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, get_args

import attrs
import cattrs
import orjson
from cattrs.gen import make_dict_unstructure_fn

from .errors import Problem, UndecodableError
from .shapes import (
    SCALARS,
    allowed,
    described,
    is_attrs,
    is_enum,
    is_literal,
    is_mapping,
    is_sequence,
    is_set,
    is_union,
    origin,
    union_shape,
)
from .tool import Json

T = TypeVar("T")

Structure = Callable[[Any, Any], Any]

_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1

_MAX_FAILURES = 20
"""How many items of one array or object are reported: exceptions are slow to make, and
whoever sends 100,000 wrong ones must not hold up everybody else."""

MAX_DEPTH = 200
"""How deep JSON from outside may nest: orjson writes 254 levels, an event adds some."""


def make_converter() -> cattrs.Converter:
    """Return a strict converter: no coercion, unknown fields refused."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind in (str, int, bool):
        converter.register_structure_hook(kind, _exact(kind))
    converter.register_structure_hook(float, _float)
    for applies, factory in (
        (is_sequence, _sequence),
        (is_mapping, _mapping),
        (is_attrs, _object),
        (is_literal, _choice),
        (is_enum, _choice),
        (is_union, _union),
        (is_set, _no_set),
    ):
        converter.register_structure_hook_factory(applies)(factory)
    # A tuple becomes a list already here, so that what `to_json` returns compares
    # equal to what was read back.
    converter.register_unstructure_hook_factory(lambda kind: origin(kind) is tuple)(
        lambda kind: lambda value: [converter.unstructure(item) for item in value]
    )
    return converter


def _unlike(wanted: str, value: object) -> TypeError:
    return TypeError(f"expected {wanted}, got {described(value)}")


def _exact(wanted: type[Any]) -> Structure:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is wanted:
            return value
        # True and False are integers to Python, and not to anybody else.
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise _unlike(SCALARS[wanted], value)
        return value

    return structure


def _float(value: Any, _: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unlike("a number", value)
    return float(value)


def _sequence(kind: Any, converter: cattrs.Converter) -> Structure:
    arguments = get_args(kind)
    fixed = origin(kind) is tuple and arguments[1:] != (...,) and kind is not tuple
    made = tuple if origin(kind) is tuple else list
    item_kind = arguments[0] if arguments else Any

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise _unlike("an array", value)
        if not fixed:
            if item_kind is Any:
                return made(value)
            return made(_each(converter, enumerate(value), [item_kind] * len(value)))
        if len(value) != len(arguments):
            raise TypeError(f"expected {len(arguments)} items, got {len(value)}")
        return tuple(_each(converter, enumerate(value), arguments))

    return structure


def _mapping(kind: Any, converter: cattrs.Converter) -> Structure:
    name_kind, item_kind = get_args(kind) or (Any, Any)

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, Mapping):
            raise _unlike("an object", value)
        if item_kind is Any:
            items = list(value.values())
        else:
            items = _each(converter, value.items(), [item_kind] * len(value))
        if name_kind is Any:
            return dict(zip(value, items, strict=True))
        names = _each(
            converter, zip(value, value, strict=True), [name_kind] * len(value)
        )
        return dict(zip(names, items, strict=True))

    return structure


def _each(converter: cattrs.Converter, places: Any, kinds: Any) -> list[Any]:
    """Return every item structured as its kind; the first that do not are reported."""
    items: list[Any] = []
    failures: list[Exception] = []
    for (place, item), kind in zip(places, kinds, strict=True):
        try:
            items.append(converter.structure(item, kind))
        except Exception as error:
            error.add_note(_ItemNote(place))
            failures.append(error)
            if len(failures) == _MAX_FAILURES:
                failures.append(TypeError("further items were not looked at"))
                break
    if failures:
        raise cattrs.IterableValidationError("invalid items", failures, list)
    return items


class _ItemNote(str):
    """The note on an item's error: where in its array or object it is."""

    place: int | str

    def __new__(cls, place: int | str) -> "_ItemNote":
        made = super().__new__(cls, f"at item {place!r}")
        made.place = place
        return made


def _object(kind: Any, converter: cattrs.Converter) -> Structure:
    inner = converter.gen_structure_attrs_fromdict(kind)

    def structure(value: Any, wanted: Any) -> Any:
        if type(value) is not dict and not isinstance(value, Mapping):
            raise _unlike("an object", value)
        return inner(value, wanted)

    return structure


def _choice(kind: Any) -> Structure:
    values = allowed(kind)
    made = {(type(value), value): value for value in values}
    if is_enum(kind):
        made = {(type(member.value), member.value): member for member in kind}
    wanted = "one of " + ", ".join(_shown(value) for value in values)

    def structure(value: Any, _: Any) -> Any:
        # With its type, because 1 == True == 1.0.
        if isinstance(value, list | dict) or (type(value), value) not in made:
            raise TypeError(f"expected {wanted}, got {_shown(value)}")
        return made[type(value), value]

    return structure


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else f"{value[:39]}…")
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int) and abs(value) < 10**18:
        return str(value)
    return described(value)


def _union(kind: Any, converter: cattrs.Converter) -> Structure:
    shape = union_shape(kind)
    tags = "one of " + ", ".join(_shown(value) for value in shape.tagged)

    def structure(value: Any, _: Any) -> Any:
        json_type = type(value)
        if json_type not in shape.members:
            json_type = dict if isinstance(value, Mapping) else json_type
            json_type = list if isinstance(value, tuple) else json_type
            if json_type not in shape.members:
                raise _unlike(shape.expected(), value)
        if value is None:
            return None
        if json_type is not dict or shape.tag is None:
            return converter.structure(value, shape.members[json_type])
        if shape.tag not in value:
            raise TypeError(f"{shape.tag!r} is missing: it must be {tags}")
        tag = value[shape.tag]
        member = shape.tagged.get(tag) if isinstance(tag, str) else None
        if member is None:
            raise TypeError(f"{shape.tag!r} must be {tags}, got {_shown(tag)}")
        return converter.structure(value, member)

    return structure


def _no_set(kind: Any) -> Structure:
    raise TypeError("a set has no JSON form; use a list or a tuple")


converter = make_converter()


def to_json(value: object) -> Json:
    """Return an attrs value as plain JSON data."""
    return converter.unstructure(value)


def from_json(data: Json, kind: type[T], what: str | None = None) -> T:
    """Return data as a value of the type, or refuse it.

    Raises:
        UndecodableError: it does not fit; ``problems`` lists each place and why.
    """
    try:
        return converter.structure(data, kind)
    except Exception as error:
        name = what or str(getattr(kind, "__name__", kind))
        raise UndecodableError(name, problems(error)) from error


def problems(error: BaseException) -> list[Problem]:
    """Return one line per thing that is wrong, each with its path (``$.a[0].b``)."""
    return list(_walk(error, "$", ()))


def _walk(
    error: BaseException, shown: str, path: tuple[str | int, ...]
) -> Iterator[Problem]:
    if isinstance(error, cattrs.BaseValidationError):
        for inner in error.exceptions:
            more, steps = _step(inner)
            yield from _walk(inner, shown + more, (*path, *steps))
        return
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        for name in sorted(error.extra_fields, key=str):
            text = f"unknown field {_shown(name)}"
            yield Problem(f"{shown}: {text}", (*path, str(name)), text)
        return
    if isinstance(error, KeyError):
        text = "required field is missing"
    elif isinstance(error, RecursionError):
        text = "it nests too deeply"
    else:
        text = str(error) or type(error).__name__
    yield Problem(f"{shown}: {text}", path, text)


def _step(error: BaseException) -> tuple[str, tuple[str | int, ...]]:
    """Return the part of the path that an error's notes tell: shown, and as data."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, cattrs.AttributeValidationNote):
            return f".{note.name}", (note.name,)
        if isinstance(note, _ItemNote):
            return place(note.place), (note.place,)
    return "", ()


def place(where: int | str) -> str:
    """Return the part of a path that names an item of an array or an object."""
    return f"[{where}]" if isinstance(where, int) else f"[{_shown(where)}]"


_NOT_OURS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


def dumps(value: Json, *, sort_keys: bool = False) -> bytes:
    """Return JSON data as compact UTF-8; with ``sort_keys`` the same for equal data.

    Raises:
        UndecodableError: it holds an integer over 64 bits, a lone surrogate, a number
            that JSON lacks, or something that is not JSON. Use ``sanitised`` on data
            from outside.
    """
    try:
        option = _NOT_OURS | (orjson.OPT_SORT_KEYS if sort_keys else 0)
        text = orjson.dumps(value, option=option)
    except TypeError as error:
        raise UndecodableError("JSON data", [str(error)]) from error
    # orjson writes NaN and the infinities as null, which is another value.
    if b"null" in text and _has_no_number(value):
        raise UndecodableError("JSON data", ["NaN and infinities are not JSON"])
    return text


def dumps_sanitised(value: Json, *, sort_keys: bool = False) -> bytes:
    """Return what came out of ``sanitised`` as ``dumps`` does, which looks at all of it
    once more."""
    option = _NOT_OURS | (orjson.OPT_SORT_KEYS if sort_keys else 0)
    return orjson.dumps(value, option=option)


def _has_no_number(value: Json) -> bool:
    if isinstance(value, float):
        return value - value != 0
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return False
    # Not a call for each text: most of what there is.
    return any(type(item) not in _NO_FLOATS and _has_no_number(item) for item in value)


_NO_FLOATS = frozenset({str, int, bool, type(None)})


def loads(data: bytes | str) -> Json:
    """Return the value of JSON text that ``dumps`` wrote.

    Raises:
        UndecodableError: it is not JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UndecodableError("JSON text", [str(error)]) from error


def loads_exact(text: str) -> Json:
    """Return the value of JSON text from outside, with integers of any size exact.

    Refuses what is not JSON, also where Python's own reader is lenient (``NaN``,
    ``Infinity``), and what Python could only guess: a number that is too large for a
    float. Lone surrogates become U+FFFD. Of equal names in an object the last counts.

    Raises:
        UndecodableError: it is not JSON, holds such a number, an integer of over 4,300
            digits, or nests deeper than 200 levels.
    """
    try:
        value = _EXACT.decode(text)
        # Every level has a bracket, so that short and flat texts need no second look.
        if text.count("[") + text.count("{") > MAX_DEPTH and _too_deep(value):
            raise RecursionError
    except RecursionError as error:
        raise UndecodableError("JSON text", ["it nests too deeply"]) from error
    except json.JSONDecodeError as error:
        raise UndecodableError("JSON text", [str(error)]) from error
    except ValueError as error:
        problem = str(error)
        if "integer string conversion" in problem:
            problem = "an integer has too many digits"
        raise UndecodableError("JSON text", [problem]) from error
    return _without_surrogates(value) if "\\u" in text or not _clean(text) else value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise ValueError(f"the number {text[:40]} is too large")
    return value


# Made once: that takes longer than reading most of what comes.
_EXACT = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


def check_depth(what: str, value: Json, around: int = 0) -> None:
    """Refuse JSON data that nests deeper than 200 levels, and those around it.

    Raises:
        UndecodableError: it does.
    """
    if _too_deep(value, MAX_DEPTH + around):
        raise UndecodableError(what, ["$: it nests too deeply"])


def _too_deep(value: Json, most: int = MAX_DEPTH) -> bool:
    level = [value]
    for _ in range(most):
        if not level:
            return False
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return any(isinstance(item, dict | list) for item in level)


def _clean(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def clean_text(text: str) -> str:
    """Return text with every lone surrogate replaced by U+FFFD."""
    if _clean(text):
        return text
    # A pair written as two escapes is one character: let UTF-16 join it first.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _without_surrogates(value: Json) -> Json:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {
            clean_text(name): _without_surrogates(item) for name, item in value.items()
        }
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value


def sanitised(value: Json) -> Json:
    """Return JSON data that can be stored and read back unchanged.

    Lone surrogates become U+FFFD; integers over 64 bits and numbers that JSON lacks
    become their text, because a wrong number would be worse than a string (integers of
    over 4,300 digits in hexadecimal). Below 200 levels a text says that it goes on.
    """
    return _sanitised(value, MAX_DEPTH)


def _sanitised(value: Any, depth: int) -> Json:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if _INT_MIN <= value <= _INT_MAX else _digits(value)
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, Mapping):
        if not depth:
            return "(nested too deeply)"
        return {
            clean_text(str(name)): _sanitised(item, depth - 1)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        if not depth:
            return "(nested too deeply)"
        return [_sanitised(item, depth - 1) for item in value]
    return clean_text(str(value))


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # Python limits how long a decimal it writes
        return hex(value)


def unstructure_without_defaults(kind: type[Any], *omitted: str) -> Any:
    """Return a function that makes an attrs value of this type a dict, without the
    named fields and without fields at their default."""
    overrides: Any = {name: cattrs.override(omit=True) for name in omitted}
    return make_dict_unstructure_fn(
        kind, converter, _cattrs_omit_if_default=True, **overrides
    )


def field_names(kind: type[Any]) -> tuple[str, ...]:
    """Return the names of an attrs class's fields."""
    return tuple(attribute.name for attribute in attrs.fields(kind))
