"""Schemas: a JSON Schema in the words that each provider takes.

Owns what becomes of a schema on its way to a provider. Its meaning is kept: all that
fits it can still be said, and what a provider has no word for is told to the model in a
description and looked at by the runtime when the answer is there. Where even that would
not do, there is no such schema (None), and the value is asked for in another way. Pure.

Sources: OpenAI "Structured model outputs" (supported schemas), Google "Structured
output" (JSON Schema support) and its OpenAPI ``Schema`` type, Anthropic "Structured
outputs" (JSON Schema limitations), as of the middle of 2026.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dovetail.kernel import Json

Schema = dict[str, Any]

_DEFINITIONS = ("$defs", "definitions")
_OPENAI = frozenset(
    (
        *("type", "enum", "const", "description", "properties", "required", "items"),
        *("additionalProperties", "anyOf", "$ref", "$defs", "definitions", "pattern"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minItems", "maxItems", "title"),
    )
)
_GOOGLE = frozenset(
    (
        *("type", "enum", "description", "properties", "required", "items", "title"),
        *("additionalProperties", "anyOf", "$ref", "$defs", "prefixItems"),
        *("minimum", "maximum", "minItems", "maxItems"),
    )
)
_OPENAPI = frozenset(
    (
        *("type", "enum", "description", "properties", "required", "items", "title"),
        *("anyOf", "nullable", "minimum", "maximum", "minItems", "maxItems"),
        *("minLength", "maxLength", "pattern"),
    )
)
_ANTHROPIC = frozenset(
    (
        *("type", "enum", "const", "description", "properties", "required", "items"),
        *("additionalProperties", "anyOf", "allOf", "$ref", "$defs", "definitions"),
        "title",
    )
)
MAX_INLINE = 2_000
"""Schemas within one, when none of them may refer to another."""


class _NoSuchSchemaError(Exception):
    """It cannot be said in these words."""


def strict(schema: Mapping[str, Json]) -> Schema | None:
    """Return a schema as OpenAI's strict mode takes it: every object names all of its
    fields, and requires all of them. A field that may be absent may be null instead,
    which is read as absent."""
    made = _made(schema, _strict)
    # Alternatives may be anywhere but at the top.
    return None if made is None or "anyOf" in made else made


def google(schema: Mapping[str, Json]) -> Schema | None:
    """Return a schema in the part of JSON Schema that Gemini reads."""
    return _made(schema, _google)


def openapi(schema: Mapping[str, Json]) -> Schema | None:
    """Return a schema as Google's older ``responseSchema`` takes it: OpenAPI's, where
    nothing refers to anything and nothing is null but what is said to be nullable."""
    count = [0]
    return _made(schema, lambda one: _openapi(one, schema, (), count))


def anthropic(schema: Mapping[str, Json]) -> Schema | None:
    """Return a schema as Anthropic's structured outputs take it: closed objects, and
    nothing that contains itself."""
    if _is_recursive(schema):
        return None
    return _made(schema, _anthropic)


def _made(schema: Mapping[str, Json], make: Any) -> Schema | None:
    try:
        made: Schema = make(schema)
    except _NoSuchSchemaError:
        return None
    return made


# --- what they have in common -----------------------------------------------------


def _kept(schema: Json, known: frozenset[str]) -> Schema:
    """Return what of a schema is known, and the rest as words in its description."""
    if schema is True:
        schema = {}
    if not isinstance(schema, Mapping):
        raise _NoSuchSchemaError
    # Of equal meaning, in the words that more providers have.
    schema = dict(schema)
    if "oneOf" in schema and "oneOf" not in known:
        if "anyOf" in schema:
            raise _NoSuchSchemaError
        schema["anyOf"] = schema.pop("oneOf")
    if "const" in schema and "const" not in known:
        schema.setdefault("enum", [schema.pop("const")])
    kept = {name: value for name, value in schema.items() if name in known}
    told = [
        f"{name}: {json.dumps(value, ensure_ascii=False)}"
        for name, value in schema.items()
        if name not in known and name not in _SILENT
    ]
    if told:
        words = [kept["description"]] if kept.get("description") else []
        kept["description"] = "\n".join((*words, f"({'; '.join(told)})"))
    return kept


_SILENT = frozenset(
    ("$schema", "$id", "$comment", "deprecated", "readOnly", "writeOnly", *_DEFINITIONS)
)


def _within(schema: Schema, make: Any) -> Schema:
    """Make every schema within one anew."""
    for name in ("properties", *_DEFINITIONS):
        if name in schema:
            schema[name] = {key: make(one) for key, one in schema[name].items()}
    for name in ("anyOf", "allOf", "prefixItems"):
        if name in schema:
            schema[name] = [make(one) for one in schema[name]]
    if isinstance(schema.get("items"), Mapping):
        schema["items"] = make(schema["items"])
    return schema


def _types(schema: Mapping[str, Any]) -> Sequence[str]:
    named = schema.get("type", ())
    return named if isinstance(named, list) else [named] if named else ()


def _is_object(schema: Mapping[str, Any]) -> bool:
    return "object" in _types(schema) or "properties" in schema


def _says_what(schema: Mapping[str, Any]) -> bool:
    """Whether a schema says what a value is: one that lets anything through is none
    that a provider can make a model keep to."""
    return bool({"type", "enum", "const", "anyOf", "allOf", "$ref"} & schema.keys())


# --- OpenAI -----------------------------------------------------------------------


def _strict(schema: Json) -> Schema:
    kept = _kept(schema, _OPENAI)
    if not _says_what(kept) or (isinstance(schema, Mapping) and "allOf" in schema):
        raise _NoSuchSchemaError
    if "array" in _types(kept) and not isinstance(kept.get("items"), Mapping):
        raise _NoSuchSchemaError
    if isinstance(schema, Mapping) and "prefixItems" in schema:
        raise _NoSuchSchemaError
    if _is_object(kept):
        if kept.get("additionalProperties", True) is not False:
            # Names that nobody knows yet cannot be required.
            raise _NoSuchSchemaError
        properties, required = kept.get("properties", {}), kept.get("required", [])
        kept["properties"] = {
            name: one if name in required else _or_null(one)
            for name, one in properties.items()
        }
        kept["required"] = list(properties)
    if "$ref" in kept and len(kept) > 1:
        # Nothing may stand beside it.
        kept = {name: kept[name] for name in ("$ref", *_DEFINITIONS) if name in kept}
    return _within(kept, _strict)


def _or_null(schema: Json) -> Json:
    """Return a schema that takes null as well."""
    if not isinstance(schema, Mapping):
        return schema
    types = _types(schema)
    if "null" in types or (not types and None in schema.get("enum", ())):
        return schema
    plain = types and not {"const", "anyOf", "oneOf", "$ref"} & schema.keys()
    if plain and "object" not in types:
        made = {**schema, "type": [*types, "null"]}
        if "enum" in schema:
            made["enum"] = [*schema["enum"], None]
        return made
    return {"anyOf": [schema, {"type": "null"}]}


# --- Google -----------------------------------------------------------------------


def _google(schema: Json) -> Schema:
    kept = _kept(schema, _GOOGLE)
    if isinstance(schema, Mapping) and "allOf" in schema:
        raise _NoSuchSchemaError
    if isinstance(schema, Mapping) and "definitions" in schema:
        raise _NoSuchSchemaError
    if "$defs" in (schema if isinstance(schema, Mapping) else {}):
        kept["$defs"] = schema["$defs"]
    if kept.get("items") is False:
        # No item beyond the first ones, which their number says as well.
        del kept["items"]
    more = kept.get("additionalProperties")
    if isinstance(more, Mapping):
        kept["additionalProperties"] = _google(more)
    return _typed_enum(_within(kept, _google))


def _typed_enum(schema: Schema) -> Schema:
    """Leave an enumeration to words where it is not one of texts alone."""
    values = schema.get("enum")
    if values is None or all(isinstance(one, str) for one in values):
        return schema
    rest = {name: value for name, value in schema.items() if name != "enum"}
    told = f"(one of {json.dumps(values, ensure_ascii=False)})"
    words = [rest["description"]] if rest.get("description") else []
    rest["description"] = "\n".join((*words, told))
    rest.setdefault("type", sorted({_NAMES[type(one)] for one in values}))
    return rest


_NAMES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
    list: "array",
    dict: "object",
}


def _openapi(
    schema: Json, root: Mapping[str, Json], inside: tuple[str, ...], count: list[int]
) -> Schema:
    count[0] += 1
    if count[0] > MAX_INLINE or not isinstance(schema, Mapping):
        raise _NoSuchSchemaError
    reference = schema.get("$ref")
    if isinstance(reference, str):
        if reference in inside:
            raise _NoSuchSchemaError
        found: Any = root
        for step in reference.removeprefix("#").split("/")[1:]:
            found = found[step.replace("~1", "/").replace("~0", "~")]
        beside = {name: one for name, one in schema.items() if name == "description"}
        return _openapi({**found, **beside}, root, (*inside, reference), count)
    if {"allOf", "prefixItems"} & schema.keys():
        raise _NoSuchSchemaError
    more = schema.get("additionalProperties", False)
    if more is not False and (more is not True or not schema.get("properties")):
        raise _NoSuchSchemaError
    told = {one: schema[one] for one in schema if one != "additionalProperties"}
    kept = _kept(told, _OPENAPI)

    def make(one: Json) -> Schema:
        return _openapi(one, root, inside, count)

    types = [one for one in _types(kept) if one != "null"]
    nullable = len(types) < len(_types(kept))
    alternatives = [one for one in kept.get("anyOf", ()) if one != {"type": "null"}]
    nullable = nullable or len(alternatives) < len(kept.get("anyOf", ()))
    if alternatives:
        kept["anyOf"] = alternatives
    if len(types) > 1:
        if alternatives:
            raise _NoSuchSchemaError
        del kept["type"]
        kept["anyOf"] = [{"type": one} for one in types]
    elif types:
        kept["type"] = types[0]
    else:
        kept.pop("type", None)
    if not _says_what(kept):
        raise _NoSuchSchemaError
    if kept.get("type") == "array" and "items" not in kept:
        raise _NoSuchSchemaError
    if "enum" in kept:
        nullable = nullable or None in kept["enum"]
        kept["enum"] = [one for one in kept["enum"] if one is not None]
        kept = _typed_enum(kept)
        if isinstance(kept.get("type"), list):
            raise _NoSuchSchemaError
    if nullable:
        kept["nullable"] = True
    return _within(kept, make)


# --- Anthropic --------------------------------------------------------------------


def _anthropic(schema: Json) -> Schema:
    kept = _kept(schema, _ANTHROPIC)
    if not _says_what(kept):
        raise _NoSuchSchemaError
    if isinstance(schema, Mapping) and "prefixItems" in schema:
        raise _NoSuchSchemaError
    if _is_object(kept) and kept.get("additionalProperties", True) is not False:
        raise _NoSuchSchemaError
    return _within(kept, _anthropic)


def _is_recursive(schema: Mapping[str, Json]) -> bool:
    """Whether something in a schema contains itself."""
    root = schema
    ended: set[str] = set()

    def contains(one: Json, inside: tuple[str, ...]) -> bool:
        if isinstance(one, list):
            return any(contains(item, inside) for item in one)
        if not isinstance(one, Mapping):
            return False
        reference = one.get("$ref")
        if isinstance(reference, str):
            if reference in inside or reference == "#":
                return True
            if reference in ended:
                return False
            found: Any = root
            for step in reference.removeprefix("#").split("/")[1:]:
                found = found[step.replace("~1", "/").replace("~0", "~")]
            if contains(found, (*inside, reference)):
                return True
            ended.add(reference)
        return any(
            contains(item, inside)
            for name, item in one.items()
            if name not in (*_DEFINITIONS, "enum", "const", "default", "examples")
        )

    return contains(schema, ())
