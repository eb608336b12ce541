"""Schemas on their way to a provider: in its words, and of the same meaning."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from dovetail.kernel import Output
from dovetail.kernel.values.json_schema import (
    check_schema,
    problems_with,
    without_nulls,
)
from dovetail.plugins.providers.schemas import anthropic, google, openapi, strict
from hypothesis import assume, given, strategies as st

TEXT: dict[str, Any] = {"type": "string"}


def thing(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


# --- what each takes --------------------------------------------------------------


def test_strict_requires_every_field_and_lets_those_be_null_that_may_be_absent() -> (
    None
):
    made = strict(
        thing(
            ["a"],
            a={"type": "string", "minLength": 2, "description": "Its name."},
            b={"type": "integer"},
            c={"oneOf": [thing([], x=TEXT), {"type": "integer"}]},
            d={"enum": ["x", "y"], "type": "string"},
        )
    )
    assert made == {
        "type": "object",
        "properties": {
            "a": {"type": "string", "description": "Its name.\n(minLength: 2)"},
            "b": {"type": ["integer", "null"]},
            "c": {
                "anyOf": [
                    {
                        "anyOf": [
                            {
                                "type": "object",
                                "properties": {"x": {"type": ["string", "null"]}},
                                "required": ["x"],
                                "additionalProperties": False,
                            },
                            {"type": "integer"},
                        ]
                    },
                    {"type": "null"},
                ]
            },
            "d": {"type": ["string", "null"], "enum": ["x", "y", None]},
        },
        "required": ["a", "b", "c", "d"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "schema",
    [
        thing([], a={"type": "object", "additionalProperties": TEXT}),
        thing([], a={}),
        thing([], a={"type": "array"}),
        thing([], a={"type": "array", "prefixItems": [TEXT], "items": False}),
        thing([], a={"allOf": [TEXT]}),
        {**thing([], a=TEXT), "anyOf": [{"required": ["a"]}]},
    ],
)
def test_what_strict_cannot_say_is_not_said_strictly(schema: Any) -> None:
    check_schema(schema)
    assert strict(schema) is None


def test_the_older_words_of_google_refer_to_nothing_and_are_nullable() -> None:
    schema = {
        **thing([], a={"$ref": "#/$defs/A"}, b={"anyOf": [TEXT, {"type": "null"}]}),
        "$defs": {"A": {"type": ["integer", "null"], "maximum": 3}},
    }
    assert openapi(schema) == {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "maximum": 3, "nullable": True},
            "b": {"anyOf": [TEXT], "nullable": True},
        },
        "required": [],
    }
    tree = {"$defs": {"T": thing([], t={"$ref": "#/$defs/T"})}, "$ref": "#/$defs/T"}
    assert openapi(tree) is None
    assert google(thing([], a={"type": "array", "items": {"$ref": "#"}})) is not None


def test_anthropic_takes_nothing_that_contains_itself_or_is_open() -> None:
    tree = {**thing([], t={"$ref": "#/$defs/T"}), "$defs": {}}
    tree["$defs"] = {"T": thing([], t={"$ref": "#/$defs/T"})}
    assert anthropic(tree) is None
    assert anthropic({"type": "object", "properties": {"a": TEXT}}) is None
    twice = {
        **thing([], a={"$ref": "#/$defs/A"}, b={"$ref": "#/$defs/A"}),
        "$defs": {"A": {"type": "integer", "minimum": 2}},
    }
    made = anthropic(twice)
    assert made is not None
    assert made["properties"]["a"] == {"$ref": "#/$defs/A"}


# --- that the meaning is kept -----------------------------------------------------

NAMES = ("a", "b", "c")
SCALARS = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "minLength": 1},
        {"type": "string", "enum": ["x", "y"]},
        {"type": "integer"},
        {"type": "integer", "minimum": 0, "maximum": 2},
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "boolean"},
        {"type": "null"},
        {"type": ["string", "null"]},
        {"type": ["integer", "string"]},
        {"const": "x"},
        {"enum": [1, "x", None]},
        {"$ref": "#/$defs/D"},
    ]
)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    return st.tuples(fields, st.sets(st.sampled_from(NAMES))).map(
        lambda pair: thing(sorted(pair[1] & pair[0].keys()), **pair[0])
    )


SCHEMAS = objects(
    st.recursive(
        SCALARS,
        lambda inner: (
            objects(inner)
            | st.builds(lambda one: {"type": "array", "items": one}, inner)
            | st.builds(lambda *one: {"anyOf": list(one)}, inner, inner)
        ),
        max_leaves=5,
    )
).map(lambda made: {**made, "$defs": {"D": {"type": "integer", "maximum": 1}}})

WORDS = st.sampled_from(["", "x", "y"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    ),
    max_leaves=6,
)


def likely(draw: Any, schema: Any, root: Any) -> Any:
    """Draw a value that mostly fits a schema."""
    if "$ref" in schema:
        return likely(draw, root["$defs"]["D"], root)
    if "anyOf" in schema:
        return likely(draw, draw(st.sampled_from(schema["anyOf"])), root)
    if "const" in schema or "enum" in schema:
        return draw(st.sampled_from(schema.get("enum", [schema.get("const")])))
    kind = schema["type"]
    kind = draw(st.sampled_from(kind)) if isinstance(kind, list) else kind
    if kind == "object":
        return {
            name: likely(draw, one, root)
            for name, one in schema["properties"].items()
            if name in schema["required"] or draw(st.booleans())
        }
    if kind == "array":
        return [likely(draw, schema["items"], root) for _ in range(draw(COUNTS))]
    return draw(OF_TYPE[kind])


COUNTS = st.integers(0, 2)
OF_TYPE = {
    "string": WORDS,
    "integer": st.integers(-1, 3),
    "number": st.integers(-1, 3),
    "boolean": st.booleans(),
    "null": st.none(),
}


def spelled_out(value: Any, schema: Any, root: Any) -> Any:
    """Return a fitting value as a model must write it that may leave nothing out."""
    if "$ref" in schema:
        return spelled_out(value, root["$defs"]["D"], root)
    if "anyOf" in schema:
        for one in schema["anyOf"]:
            if not problems_with(value, {**one, "$defs": root["$defs"]}):
                return spelled_out(value, one, root)
    if isinstance(value, list):
        return [spelled_out(one, schema["items"], root) for one in value]
    if isinstance(value, dict):
        return {
            name: spelled_out(value[name], one, root) if name in value else None
            for name, one in schema["properties"].items()
        }
    return value


def bare(value: Any) -> Any:
    """Return a value without the fields that are null."""
    if isinstance(value, list):
        return [bare(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: bare(one) for name, one in value.items() if one is not None}


Adapt = Callable[[Mapping[str, Any]], Any]


def json_schema_of(made: Any) -> Any:
    """Return OpenAPI's ``nullable`` in the words of JSON Schema."""
    if isinstance(made, list):
        return [json_schema_of(one) for one in made]
    if not isinstance(made, dict):
        return made
    rest = {name: json_schema_of(one) for name, one in made.items()}
    if rest.pop("nullable", None) is True:
        return {"anyOf": [rest, {"type": "null"}]}
    return rest


@pytest.mark.law("output.6")
@pytest.mark.parametrize("adapt", [strict, google, openapi, anthropic])
@given(data=st.data())
def test_all_that_fits_a_schema_can_still_be_said(
    adapt: Adapt, data: st.DataObject
) -> None:
    schema = data.draw(SCHEMAS)
    value = likely(data.draw, schema, schema)
    assume(not problems_with(value, schema))
    made = adapt(schema)
    assume(made is not None)
    said = spelled_out(value, schema, schema) if adapt is strict else value
    made = json_schema_of(made) if adapt is openapi else made
    check_schema(made)
    assert problems_with(said, made) == []
    # And what was said is what was meant: only where a field may be null and may be
    # absent too, the one stands for the other.
    read = without_nulls(said, schema)
    assert problems_with(read, schema) == []
    assert bare(read) == bare(value)


@pytest.mark.law("output.6")
@pytest.mark.parametrize("adapt", [strict, google, openapi, anthropic])
@given(data=st.data())
def test_what_a_provider_lets_through_that_does_not_fit_was_told_in_words(
    adapt: Adapt, data: st.DataObject
) -> None:
    schema = data.draw(SCHEMAS)
    made = adapt(schema)
    assume(made is not None)
    value = data.draw(VALUES) if data.draw(st.booleans()) else None
    if not isinstance(value, dict):
        value = likely(data.draw, schema, schema)
    as_json = json_schema_of(made) if adapt is openapi else made
    assume(not problems_with(value, as_json))
    if problems_with(without_nulls(value, schema), schema):
        assert "description" in str(made) or adapt is openapi


@pytest.mark.law("output.6")
@given(data=st.data())
def test_what_is_read_of_an_answer_fits_the_recorded_schema(
    data: st.DataObject,
) -> None:
    """Whatever a provider lets through."""
    schema = data.draw(SCHEMAS | SCALARS.filter(lambda one: "$ref" not in one))
    output = Output.checked(Output(schema))
    said = data.draw(VALUES)
    read = output.read(json.dumps(said))
    if not read.problems:
        assert problems_with(read.value, output.schema) == []
