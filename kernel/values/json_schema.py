"""JSON Schema: whether a value is what a schema describes.

Owns the part of JSON Schema 2020-12 by which an answer is asked for, all of which every
value is held to: a schema that says more is refused when it is given, so that nothing
counts as valid that was not looked at. Pure; nothing is fetched. Which part of it each
provider understands is the providers'.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from .errors import InvalidValueError
from .tool import Json

Path = tuple[str | int, ...]

MAX_PROBLEMS = 20
"""What is told of one value at most."""
MAX_SCHEMA_DEPTH = 64
"""How deep a schema may nest."""
MAX_SCHEMA_VALUES = 5_000
"""How many schemas there may be within one."""

_TYPES: Mapping[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "integer": (int, float),
    "number": (int, float),
    "string": (str,),
    "array": (list, tuple),
    "object": (dict,),
}
_NOTES = frozenset(
    (
        *("$schema", "$id", "$comment", "title", "description", "default", "examples"),
        *("deprecated", "readOnly", "writeOnly", "format"),
    )
)
"""What says nothing about whether a value fits. ``format`` is such a note, as it is in
JSON Schema itself."""
_COUNTS = (
    *("minLength", "maxLength", "minItems", "maxItems"),
    *("minProperties", "maxProperties"),
)
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_LISTS = ("anyOf", "oneOf", "allOf")
_KNOWN = frozenset(
    (
        *("$ref", "$defs", "definitions", "type", "enum", "const", "pattern", "not"),
        *("properties", "required", "additionalProperties", "items", "prefixItems"),
        *("uniqueItems", *_COUNTS, *_BOUNDS, *_LISTS, *_NOTES),
    )
)
_PYTHON_ONLY = re.compile(r"\(\?(?![:=!]|<[=!])|\\[AZ]")


def pattern_of(text: str) -> "re.Pattern[str]":
    """Return a JSON Schema pattern as Python reads it.

    Patterns are ECMAScript's: ``$`` is the end and never the place before a final
    newline, and ``\\d`` and ``\\w`` are ASCII. What only Python knows is refused.

    Raises:
        ValueError, re.error: it is no such pattern.
    """
    if _PYTHON_ONLY.search(text):
        raise ValueError("it uses syntax that JSON Schema does not know")
    made = []
    in_class = False
    for match in re.finditer(r"\\.|.", text, re.DOTALL):
        one = match.group()
        if one == "[":
            in_class = True
        elif one == "]":
            in_class = False
        made.append(r"\Z" if one == "$" and not in_class else one)
    return re.compile("".join(made), re.ASCII)


_compiled = lru_cache(maxsize=256)(pattern_of)


# --- what a schema is -------------------------------------------------------------


def check_schema(schema: Json) -> None:
    """Refuse what is no schema that a value can be held to.

    Raises:
        InvalidValueError: it is no JSON Schema, says something that nothing here looks
            at, refers to what is not in it or to itself without an end, or is larger
            than any schema of an answer.
    """
    for count, (part, path, depth) in enumerate(_parts(schema)):
        if depth > MAX_SCHEMA_DEPTH or count > MAX_SCHEMA_VALUES:
            raise _refused(
                path,
                f"at most {MAX_SCHEMA_VALUES} schemas, {MAX_SCHEMA_DEPTH} deep",
            )
        if isinstance(part, bool):
            continue
        if not isinstance(part, Mapping):
            raise _refused(path, "a schema is an object, true or false")
        for problem in _wrong(part, schema):
            raise _refused(path, problem)
        _check_ends(part, schema, path)


def references(schema: Json) -> list[str]:
    """Return what a checked schema refers to, in no order."""
    parts = (part for part, *_ in _parts(schema) if isinstance(part, Mapping))
    return [str(part["$ref"]) for part in parts if "$ref" in part]


def _refused(path: Path, problem: str) -> InvalidValueError:
    return InvalidValueError("JSON Schema", shown_path(path), problem)


def shown_path(path: Path) -> str:
    """Return where something is, such as ``$.lines[0].price``."""
    return "$" + "".join(
        f"[{one}]" if isinstance(one, int) else f".{one}" for one in path
    )


def _parts(schema: Json) -> Iterator[tuple[Json, Path, int]]:
    """Yield the schema and every one in it, each with its place and depth."""
    left: list[tuple[Json, Path, int]] = [(schema, (), 0)]
    while left:
        part, path, depth = left.pop()
        yield part, path, depth
        if not isinstance(part, Mapping):
            continue
        for name in ("properties", "$defs", "definitions"):
            inner = part.get(name)
            for key, one in inner.items() if isinstance(inner, Mapping) else ():
                left.append((one, (*path, name, str(key)), depth + 1))
        for name in ("prefixItems", *_LISTS):
            listed = part.get(name)
            for at, one in enumerate(listed if isinstance(listed, list) else ()):
                left.append((one, (*path, name, at), depth + 1))
        for name in ("items", "additionalProperties", "not"):
            if name in part:
                left.append((part[name], (*path, name), depth + 1))


def _wrong(schema: Mapping[str, Any], root: Json) -> Iterator[str]:
    unknown = sorted(str(name) for name in schema if name not in _KNOWN)
    if unknown:
        yield f"{unknown[0]!r} is not a keyword that values are held to here"
    named = schema.get("type", [])
    for one in named if isinstance(named, list) else [named]:
        if not isinstance(one, str) or one not in _TYPES:
            yield f"{one!r} is no type of JSON Schema"
    for name in ("properties", "$defs", "definitions"):
        if not isinstance(schema.get(name, {}), Mapping):
            yield f"{name} is an object of schemas"
    for name in ("prefixItems", *_LISTS):
        listed = schema.get(name)
        if name in schema and not (isinstance(listed, list) and listed):
            yield f"{name} is a list of schemas"
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(o, str) for o in required):
        yield "required is a list of names"
    if "enum" in schema and not (isinstance(schema["enum"], list) and schema["enum"]):
        yield "enum is a list of values"
    if not isinstance(schema.get("uniqueItems", False), bool):
        yield "uniqueItems is true or false"
    for name in _COUNTS:
        count = schema.get(name, 0)
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            yield f"{name} is a count"
    for name in _BOUNDS:
        bound = schema.get(name, 1)
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            yield f"{name} is a number"
    if schema.get("multipleOf", 1) <= 0:
        yield "multipleOf is over 0"
    if "pattern" in schema:
        try:
            pattern_of(schema["pattern"])
        except (re.error, TypeError, ValueError) as error:
            yield f"pattern {schema['pattern']!r}: {error}"
    if "$ref" in schema and _meant(schema["$ref"], root) is None:
        yield f"{schema['$ref']!r} refers to nothing in it"


def _meant(reference: Any, root: Json) -> Json:
    """Return what a reference within the schema is to, or None."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found: Json = root
    for step in reference[1:].split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return found if isinstance(found, Mapping | bool) else None


def _check_ends(part: Mapping[str, Any], root: Json, path: Path) -> None:
    """Refuse a schema that refers to itself before anything of a value is consumed."""
    seen: list[Json] = []
    left: list[Json] = [part]
    while left:
        one = left.pop()
        if not isinstance(one, Mapping):
            continue
        if any(one is other for other in seen):
            raise _refused(path, "it refers to itself without an end")
        if "$ref" in one:
            seen.append(one)
            left.append(_meant(one["$ref"], root))
        # What stands beside is looked at for itself; of these only what goes round.
        if one is not part:
            for name in _LISTS:
                left += [
                    inner
                    for inner in one.get(name, ())
                    if isinstance(inner, Mapping) and "$ref" in inner
                ]


# --- what of another's schema is understood ---------------------------------------

_DROPPED = frozenset(("not", "pattern", "uniqueItems", *_NOTES))
"""What is not looked at in a schema that somebody else wrote: ``not`` of something that
is understood in part would say more than was meant, and a pattern may take for ever."""


def understood_schema(schema: Json) -> Json:
    """Return the part of a schema of somebody else that values can be held to here.

    Whatever fits the schema fits what is returned, which ``check_schema`` would take:
    what is not known, not well-formed or refers to nothing says nothing. Of ``oneOf``
    it is left that one fits. A schema that is too large says only ``type``.
    """
    named = schema.get("type") if isinstance(schema, Mapping) else None
    least: Json = {"type": named} if named in _TYPES else True
    try:
        made = _understood(schema, 0)
        _drop_references(made)
        check_schema(made)
    except InvalidValueError:
        return least
    return made


def _understood(part: Json, depth: int) -> Json:
    if not isinstance(part, Mapping):
        return part if isinstance(part, bool) else True
    if depth > MAX_SCHEMA_DEPTH:
        raise _refused((), f"at most {MAX_SCHEMA_DEPTH} deep")

    def inner(one: Json) -> Json:
        return _understood(one, depth + 1)

    made: dict[str, Any] = {}
    for name, said in part.items():
        if name not in _KNOWN or name in _DROPPED or name == "items":
            continue
        if name in ("properties", "$defs", "definitions") and isinstance(said, Mapping):
            made[name] = {str(key): inner(one) for key, one in said.items()}
        elif name in (*_LISTS, "prefixItems") and isinstance(said, list) and said:
            made[name] = [inner(one) for one in said]
        elif name == "additionalProperties":
            if "patternProperties" not in part:
                made[name] = inner(said)
        elif next(_wrong({name: said}, {}), None) is None or name == "$ref":
            made[name] = said
    if "items" in part and not isinstance(part["items"], list):
        made["items"] = inner(part["items"])
    if isinstance(part.get("items"), list):
        # As it was written before 2020-12.
        made["prefixItems"] = [inner(one) for one in part["items"]] or [True]
    alternatives = made.pop("oneOf", None)
    if alternatives is not None:
        made["allOf"] = [*made.get("allOf", ()), {"anyOf": alternatives}]
    if part.get("nullable") is True:
        return {"anyOf": [made, {"type": "null"}]}
    return made


def _drop_references(schema: Json) -> None:
    """Take out, in place, what refers to nothing."""
    for part, _, _ in list(_parts(schema)):
        if isinstance(part, dict) and _meant(part.get("$ref", "#"), schema) is None:
            del part["$ref"]


# --- whether a value fits ---------------------------------------------------------


def problems_with(value: Json, schema: Json) -> list[str]:
    """Return why a value is not what a checked schema describes: a line each, with its
    place; none where it is."""
    found: list[str] = []
    for path, problem in _broken(value, schema, _Within(schema), ()):
        found.append(f"{shown_path(path)}: {problem}")
        if len(found) == MAX_PROBLEMS:
            break
    return found


class _Within:
    """One look at one value. What fits where is found out once: alternatives within
    alternatives would else be tried again and again, twice as often with each level."""

    def __init__(self, root: Json) -> None:
        self.root = root
        # With the value, which nothing else may have the identity of meanwhile.
        self._found: dict[tuple[int, int], tuple[bool, Json]] = {}
        self._read: dict[tuple[int, int], tuple[Json, Json]] = {}
        self._quiet = 0

    def read(self, value: Json, schema: Json) -> Json:
        """Return a value without its nulls, as one alternative has it; looked at once,
        as there may be alternatives within."""
        key = id(value), id(schema)
        if key not in self._read:
            self._read[key] = _without_nulls(value, schema, self), value
        return self._read[key][0]

    def fits(self, value: Json, schema: Json) -> bool:
        """Whether a part of the value that is looked at fits a part of the schema."""
        key = id(value), id(schema)
        if key not in self._found:
            self._quiet += 1
            fitting = next(_broken(value, schema, self, ()), None) is None
            self._found[key] = fitting, value
            self._quiet -= 1
        return self._found[key][0]

    @property
    def tells(self) -> bool:
        """Whether somebody wants to know more than whether it fits."""
        return not self._quiet

    def meant(self, reference: Any) -> Json:
        """Return what a reference is to."""
        return _meant(reference, self.root)


def _broken(
    value: Json, schema: Json, within: "_Within", path: Path
) -> Iterator[tuple[Path, str]]:
    if isinstance(schema, bool):
        if not schema:
            yield path, "nothing may be here"
        return
    if "$ref" in schema:
        yield from _broken(value, within.meant(schema["$ref"]), within, path)
    named = schema.get("type")
    if named is not None:
        allowed = named if isinstance(named, list) else [named]
        if not any(_is_of(value, one) for one in allowed):
            yield path, f"expected {' or '.join(allowed)}, got {_shown(value)}"
            return
    if "enum" in schema and not any(same(value, one) for one in schema["enum"]):
        listed = ", ".join(_shown(one) for one in schema["enum"][:20])
        yield path, f"expected one of {listed}, got {_shown(value)}"
    if "const" in schema and not same(value, schema["const"]):
        yield path, f"expected {_shown(schema['const'])}, got {_shown(value)}"
    if isinstance(value, str):
        yield from _text(value, schema, path)
    elif isinstance(value, dict):
        yield from _object(value, schema, within, path)
    elif isinstance(value, list | tuple):
        yield from _array(value, schema, within, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(value, schema, path)
    yield from _combined(value, schema, within, path)


def _combined(
    value: Json, schema: Mapping[str, Any], within: "_Within", path: Path
) -> Iterator[tuple[Path, str]]:
    for one in schema.get("allOf", ()):
        yield from _broken(value, one, within, path)
    if "not" in schema and within.fits(value, schema["not"]):
        yield path, "it is what it must not be"
    for name in ("anyOf", "oneOf"):
        if name not in schema:
            continue
        fitting = [one for one in schema[name] if within.fits(value, one)]
        if not fitting:
            # The one that comes nearest says most: that of its own kind.
            near = [one for one in schema[name] if _alike(value, one, within)]
            if within.tells and len(near) == 1:
                yield from _broken(value, near[0], within, path)
            else:
                yield path, f"it fits none of {len(schema[name])} alternatives"
        elif name == "oneOf" and len(fitting) > 1:
            yield path, f"it fits {len(fitting)} alternatives, and must fit one"


def _alike(value: Json, schema: Json, within: "_Within") -> bool:
    """Whether a value is of the type of a schema, and of its constant fields."""
    if not isinstance(schema, Mapping):
        return False
    if "$ref" in schema:
        return _alike(value, within.meant(schema["$ref"]), within)
    named = schema.get("type", list(_TYPES))
    allowed = named if isinstance(named, list) else [named]
    if not any(_is_of(value, one) for one in allowed):
        return False
    if not isinstance(value, dict):
        return True
    return all(
        within.fits(value[name], one)
        for name, one in schema.get("properties", {}).items()
        if name in value and isinstance(one, Mapping) and {"const", "enum"} & one.keys()
    )


def _text(
    value: str, schema: Mapping[str, Any], path: Path
) -> Iterator[tuple[Path, str]]:
    if len(value) < schema.get("minLength", 0):
        yield path, f"must have at least {schema['minLength']} characters"
    if len(value) > schema.get("maxLength", len(value)):
        yield path, f"must have at most {schema['maxLength']} characters"
    if "pattern" in schema and not _compiled(schema["pattern"]).search(value):
        yield path, f"must match the pattern {schema['pattern']}"


def _number(
    value: float, schema: Mapping[str, Any], path: Path
) -> Iterator[tuple[Path, str]]:
    if value < schema.get("minimum", value):
        yield path, f"must be at least {schema['minimum']}"
    if value > schema.get("maximum", value):
        yield path, f"must be at most {schema['maximum']}"
    if "exclusiveMinimum" in schema and not value > schema["exclusiveMinimum"]:
        yield path, f"must be over {schema['exclusiveMinimum']}"
    if "exclusiveMaximum" in schema and not value < schema["exclusiveMaximum"]:
        yield path, f"must be under {schema['exclusiveMaximum']}"
    if "multipleOf" in schema:
        # In decimals: 0.3 is a multiple of 0.1 to everybody but a machine.
        from decimal import Decimal, InvalidOperation

        try:
            rest = Decimal(str(value)) % Decimal(str(schema["multipleOf"]))
        except InvalidOperation:
            rest = Decimal(1)
        if rest:
            yield path, f"must be a multiple of {schema['multipleOf']}"


def _array(
    value: Sequence[Json], schema: Mapping[str, Any], within: "_Within", path: Path
) -> Iterator[tuple[Path, str]]:
    if len(value) < schema.get("minItems", 0):
        yield path, f"must have at least {schema['minItems']} items"
    if len(value) > schema.get("maxItems", len(value)):
        yield path, f"must have at most {schema['maxItems']} items"
    if schema.get("uniqueItems") and _repeats(value):
        yield path, "must have no item twice"
    first = schema.get("prefixItems", ())
    for at, (item, one) in enumerate(zip(value, first, strict=False)):
        yield from _broken(item, one, within, (*path, at))
    if "items" in schema:
        for at, item in enumerate(value[len(first) :], len(first)):
            yield from _broken(item, schema["items"], within, (*path, at))


def _object(
    value: Mapping[str, Json], schema: Mapping[str, Any], within: "_Within", path: Path
) -> Iterator[tuple[Path, str]]:
    for name in schema.get("required", ()):
        if name not in value:
            yield (*path, name), "required and missing"
    if len(value) < schema.get("minProperties", 0):
        yield path, f"must have at least {schema['minProperties']} fields"
    if len(value) > schema.get("maxProperties", len(value)):
        yield path, f"must have at most {schema['maxProperties']} fields"
    known = schema.get("properties", {})
    more = schema.get("additionalProperties", True)
    for name, item in value.items():
        if name in known:
            yield from _broken(item, known[name], within, (*path, name))
        elif more is False:
            yield (*path, name), "unknown field"
        elif more is not True:
            yield from _broken(item, more, within, (*path, name))


def _is_of(value: Json, named: str) -> bool:
    if not isinstance(value, _TYPES[named]):
        return False
    if isinstance(value, bool):
        return named == "boolean"
    if named == "integer" and isinstance(value, float):
        return value.is_integer()
    return True


def same(one: Json, other: Json) -> bool:
    """Whether two JSON values are the same: 1 is 1.0, and neither is true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _repeats(value: Sequence[Json]) -> bool:
    return len({_key(one) for one in value}) < len(value)


def _key(value: Json) -> Json:
    """Return what is equal for values that are the same, and can be looked up."""
    if isinstance(value, dict):
        return "object", frozenset((name, _key(one)) for name, one in value.items())
    if isinstance(value, list | tuple):
        return "array", tuple(_key(one) for one in value)
    return "boolean" if isinstance(value, bool) else "", value


def _shown(value: Json) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else f"{value[:39]}…")
    if isinstance(value, int | float):
        return f"{value}"[:40]
    return "an object" if isinstance(value, dict) else "an array"


# --- what a model writes ----------------------------------------------------------


def without_nulls(value: Json, schema: Json) -> Json:
    """Return a value without the fields that are null where they may be absent and not
    null: some providers make a model write every field, and it says so of those that
    it leaves out."""
    return _without_nulls(value, schema, _Within(schema))


def _without_nulls(value: Json, schema: Json, within: _Within) -> Json:
    if not isinstance(schema, Mapping):
        return value
    if "$ref" in schema:
        value = _without_nulls(value, within.meant(schema["$ref"]), within)
    for name in _LISTS:
        # Of alternatives, the one that it is meant to be.
        meant = [one for one in schema.get(name, ()) if _alike(value, one, within)]
        if name == "allOf" or len(meant) == 1:
            for one in meant:
                value = _without_nulls(value, one, within)
        elif not any(within.fits(value, one) for one in meant):
            # Several may be meant: the first that it fits once its nulls are gone.
            read = ((within.read(value, one), one) for one in meant)
            value = next((made for made, one in read if within.fits(made, one)), value)
    if isinstance(value, list):
        items, first = schema.get("items", True), schema.get("prefixItems", ())
        return [
            _without_nulls(one, first[at] if at < len(first) else items, within)
            for at, one in enumerate(value)
        ]
    if not isinstance(value, dict):
        return value
    known, required = schema.get("properties", {}), schema.get("required", ())
    return {
        name: _without_nulls(one, known.get(name, True), within)
        for name, one in value.items()
        if one is not None
        or name in required
        or name not in known
        or within.fits(None, known[name])
    }
