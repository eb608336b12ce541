"""The one converter: attrs values to JSON and back, strictly.

Nothing is coerced and no unknown field is ignored, because what is stored must mean
tomorrow what it means today. Two things that JSON libraries disagree about are
settled here, at the boundary: integers over 64 bits (orjson would read them back as
floats) and lone surrogates (no UTF-8 exists for them).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin

import attrs
import cattrs
import orjson
from cattrs.gen import make_dict_unstructure_fn

from .errors import UndecodableError
from .tool import Json

T = TypeVar("T")

_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1


def _exact(wanted: type[Any], *refused: type[Any]) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, wanted) or isinstance(value, refused):
            raise TypeError(f"expected {wanted.__name__}, got {type(value).__name__}")
        return value

    return structure


def _float(value: Any, _: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected float, got {type(value).__name__}")
    return float(value)


def _origin(kind: Any) -> Any:
    return get_origin(kind) or kind


def _is_sequence(kind: Any) -> bool:
    return get_origin(kind) in (list, tuple, Sequence) or kind in (list, tuple)


def _is_mapping(kind: Any) -> bool:
    origin = _origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def make_converter() -> cattrs.Converter:
    """Return a strict converter: no coercion, unknown fields refused."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook(str, _exact(str))
    converter.register_structure_hook(int, _exact(int, bool))
    converter.register_structure_hook(bool, _exact(bool))
    converter.register_structure_hook(float, _float)

    def strict_sequence(kind: Any, plain: cattrs.Converter) -> Callable[..., Any]:
        inner = original_sequence(kind, plain)

        def structure(value: Any, wanted: Any) -> Any:
            if not isinstance(value, list | tuple):
                raise TypeError(f"expected an array, got {type(value).__name__}")
            return inner(value, wanted)

        return structure

    def original_sequence(kind: Any, plain: cattrs.Converter) -> Callable[..., Any]:
        if _origin(kind) is tuple:
            arguments = get_args(kind)
            if len(arguments) == 2 and arguments[1] is Ellipsis:
                return lambda value, _: tuple(_each(plain, value, arguments[0]))
            if not arguments:
                return lambda value, _: tuple(value)

            def fixed(value: Any, _: Any) -> Any:
                if len(value) != len(arguments):
                    raise TypeError(
                        f"expected {len(arguments)} items, got {len(value)}"
                    )
                return tuple(
                    plain.structure(item, argument)
                    for item, argument in zip(value, arguments, strict=True)
                )

            return fixed
        arguments = get_args(kind) or (Any,)
        return lambda value, _: _each(plain, value, arguments[0])

    def strict_mapping(kind: Any, plain: cattrs.Converter) -> Callable[..., Any]:
        arguments = get_args(kind) or (Any, Any)

        def structure(value: Any, _: Any) -> Any:
            if not isinstance(value, Mapping):
                raise TypeError(f"expected an object, got {type(value).__name__}")
            return {
                plain.structure(name, arguments[0]): plain.structure(item, arguments[1])
                for name, item in value.items()
            }

        return structure

    converter.register_structure_hook_factory(_is_sequence)(strict_sequence)
    converter.register_structure_hook_factory(_is_mapping)(strict_mapping)
    # A tuple becomes a list already here, so that what `to_json` returns compares
    # equal to what was read back.
    converter.register_unstructure_hook_factory(lambda kind: _origin(kind) is tuple)(
        lambda kind: lambda value: [converter.unstructure(item) for item in value]
    )
    return converter


def _each(converter: cattrs.Converter, value: Any, kind: Any) -> list[Any]:
    if kind is Any:
        return list(value)
    items: list[Any] = []
    failures: list[Exception] = []
    for index, item in enumerate(value):
        try:
            items.append(converter.structure(item, kind))
        except Exception as error:
            error.add_note(f"at item {index}")
            failures.append(error)
    if failures:
        raise cattrs.IterableValidationError("invalid items", failures, list)
    return items


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


def problems(error: BaseException) -> list[str]:
    """Return one line per thing that is wrong, each with its path (``$.a[0].b``)."""
    return [f"{path}: {text}" for path, text in _walk(error, "$")]


def _walk(error: BaseException, path: str) -> list[tuple[str, str]]:
    if isinstance(error, cattrs.ClassValidationError):
        found: list[tuple[str, str]] = []
        for inner in error.exceptions:
            note = next(
                (
                    text
                    for text in getattr(inner, "__notes__", ())
                    if isinstance(text, cattrs.AttributeValidationNote)
                ),
                None,
            )
            found += _walk(inner, f"{path}.{note.name}" if note else path)
        return found
    if isinstance(error, cattrs.IterableValidationError):
        found = []
        for inner in error.exceptions:
            index = next(
                (
                    text.removeprefix("at item ")
                    for text in getattr(inner, "__notes__", ())
                    if text.startswith("at item ")
                ),
                "?",
            )
            found += _walk(inner, f"{path}[{index}]")
        return found
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        names = ", ".join(sorted(repr(name) for name in error.extra_fields))
        return [(path, f"unknown field {names}")]
    if isinstance(error, KeyError):
        return [(path, "required field is missing")]
    if isinstance(error, AttributeError) or str(error).endswith("is not iterable"):
        return [(path, "expected an object")]
    return [(path, str(error) or type(error).__name__)]


def dumps(value: Json) -> bytes:
    """Return JSON data as compact UTF-8.

    Raises:
        UndecodableError: it holds an integer over 64 bits, a lone surrogate, or
            something that is not JSON. Use ``sanitised`` on data from outside.
    """
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise UndecodableError("JSON data", [str(error)]) from error


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

    Refuses what is not JSON, also where Python's own reader is lenient: ``NaN``,
    ``Infinity``. Lone surrogates become U+FFFD.

    Raises:
        UndecodableError: it is not JSON, or nests too deeply.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise UndecodableError("JSON text", ["it nests too deeply"]) from error
    except ValueError as error:
        raise UndecodableError("JSON text", [str(error)]) from error
    return _without_surrogates(value) if "\\u" in text or not _clean(text) else value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


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
    become their text, because a wrong number would be worse than a string.
    """
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if _INT_MIN <= value <= _INT_MAX else str(value)
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, Mapping):
        return {clean_text(str(name)): sanitised(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [sanitised(item) for item in value]
    return clean_text(str(value))


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
