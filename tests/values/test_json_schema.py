"""JSON Schema: what fits, what does not, and what is no schema at all."""

from typing import Any

import pytest
from attrs import field, frozen
from dovetail.kernel import InvalidValueError, UndecodableError
from dovetail.kernel.tools.schema import input_decoder, input_schema
from dovetail.kernel.values.json_schema import (
    check_schema,
    problems_with,
    same,
    without_nulls,
)
from hypothesis import given, strategies as st

NODE: dict[str, Any] = {
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
            },
            "required": ["value"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/Node",
}


@pytest.mark.parametrize(
    ("schema", "fitting", "other", "problem"),
    [
        ({"type": "integer"}, 3.0, 3.5, "$: expected integer, got 3.5"),
        ({"type": "integer"}, 3, True, "$: expected integer, got true"),
        ({"type": ["string", "null"]}, None, 1, "$: expected string or null, got 1"),
        ({"enum": [1, "a"]}, 1.0, True, "$: expected one of 1, 'a', got true"),
        ({"const": {"a": [1]}}, {"a": [1.0]}, {}, "$: expected an object, got"),
        ({"minimum": 2}, 2, 1, "$: must be at least 2"),
        ({"exclusiveMaximum": 2}, 1.5, 2, "$: must be under 2"),
        ({"multipleOf": 0.1}, 0.3, 0.35, "$: must be a multiple of 0.1"),
        ({"minLength": 2}, "ab", "a", "$: must have at least 2 characters"),
        ({"pattern": "^a$"}, "a", "a\n", "$: must match the pattern ^a$"),
        ({"maxItems": 1}, [1], [1, 2], "$: must have at most 1 items"),
        ({"uniqueItems": True}, [1, True], [1, 1.0], "$: must have no item twice"),
        (
            {"prefixItems": [{"type": "string"}], "items": False},
            ["a"],
            ["a", 1],
            "$[1]: nothing may be here",
        ),
        ({"required": ["a"]}, {"a": 1}, {}, "$.a: required and missing"),
        (
            {"properties": {"a": {}}, "additionalProperties": False},
            {"a": 1},
            {"b": 1},
            "$.b: unknown field",
        ),
        (
            {"additionalProperties": {"type": "string"}},
            {"a": "b"},
            {"a": 1},
            "$.a: expected string, got 1",
        ),
        ({"not": {"type": "string"}}, 1, "a", "$: it is what it must not be"),
        (
            {"oneOf": [{"minimum": 1}, {"maximum": 3}]},
            5,
            2,
            "$: it fits 2 alternatives, and must fit one",
        ),
        (
            {"anyOf": [{"type": "string", "minLength": 3}, {"type": "null"}]},
            None,
            "ab",
            "$: must have at least 3 characters",
        ),
        (NODE, {"value": 1, "next": {"value": 2}}, {"value": 1, "next": {}}, "$.next"),
    ],
)
def test_each_keyword_holds_a_value_to_it(
    schema: Any, fitting: Any, other: Any, problem: str
) -> None:
    check_schema(schema)
    assert problems_with(fitting, schema) == []
    assert problems_with(other, schema)[0].startswith(problem)


@pytest.mark.law("output.2")
@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ([], "a schema is an object"),
        ({"type": "text"}, "'text' is no type"),
        ({"contains": {}}, "'contains' is not a keyword"),
        ({"properties": {"a": {"if": {}}}}, "'if' is not a keyword"),
        ({"$ref": "https://example.org/schema"}, "refers to nothing in it"),
        ({"$ref": "#"}, "refers to itself without an end"),
        ({"pattern": "("}, "pattern '('"),
        ({"enum": []}, "enum is a list of values"),
        ({"minLength": -1}, "minLength is a count"),
        ({"multipleOf": 0}, "multipleOf is over 0"),
        ({"required": "a"}, "required is a list of names"),
    ],
)
def test_what_no_value_could_be_held_to_is_no_schema(schema: Any, told: str) -> None:
    with pytest.raises(InvalidValueError, match="JSON Schema") as caught:
        check_schema(schema)
    assert told in str(caught.value)


def test_a_schema_has_bounds() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"items": deep}
    wide = {"anyOf": [{} for _ in range(6_000)]}
    for schema in (deep, wide):
        with pytest.raises(InvalidValueError, match="at most"):
            check_schema(schema)


def test_alternatives_within_alternatives_are_looked_at_once() -> None:
    """Each level would else double the work: 60 of them would never end."""

    def either(op: str) -> dict[str, Any]:
        left = {"$ref": "#/$defs/Term"}
        properties = {"left": left, "op": {"const": op}}
        return {"type": "object", "properties": properties, "required": ["op"]}

    term = {"anyOf": [either("+"), either("-"), {"type": "integer"}]}
    schema = {"$defs": {"Term": term}, "$ref": "#/$defs/Term"}
    check_schema(schema)
    sound: Any = 1
    broken: Any = "x"
    for _ in range(60):
        sound, broken = {"left": sound, "op": "-"}, {"left": broken, "op": "-"}
    assert problems_with(sound, schema) == []
    assert len(problems_with(broken, schema)) == 1


def test_a_null_where_a_field_may_be_absent_is_read_as_absent() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string"},
            "b": {"type": ["string", "null"]},
            "c": {"type": "array", "items": NODE["$defs"]["Node"]},
        },
        "required": ["b"],
        "$defs": NODE["$defs"],
    }
    given = {"a": None, "b": None, "c": [{"value": 1, "next": None}], "d": None}
    read = without_nulls(given, schema)
    assert read == {"b": None, "c": [{"value": 1, "next": None}], "d": None}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"a": None}, {}),
        ({"b": None, "c": 1}, {"c": 1}),
        ({"a": None, "d": None}, {"d": None}),
        ({"a": 1}, {"a": 1}),
        ({"x": None}, {"x": None}),
    ],
)
def test_of_several_alternatives_the_one_is_meant_that_fits_without_nulls(
    given: Any, meant: Any
) -> None:
    def only(**properties: Any) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
        }

    text, number = {"type": "string"}, {"type": "number"}
    nullable = only(a=text, d={"type": ["string", "null"]})
    schema = {"anyOf": [only(a=text), only(b=text, c=number), nullable]}
    assert without_nulls(given, schema) == meant


def test_nulls_within_alternatives_within_alternatives_are_looked_at_once() -> None:
    term = {"$ref": "#/$defs/Term"}
    left = {"type": "object", "properties": {"left": term}}
    right = {"type": "object", "properties": {"left": term, "right": {"type": "null"}}}
    schema = {
        "$defs": {"Term": {"anyOf": [left, right, {"type": "integer"}]}},
        **term,
    }
    for innermost, read in (({"left": None}, {}), ("x", "x")):
        given: Any = innermost
        meant: Any = read
        for _ in range(60):
            given, meant = {"left": given}, {"left": meant}
        assert without_nulls(given, schema) == meant


@frozen
class Line:
    name: str = field(metadata={"minLength": 1})
    price: float = field(metadata={"minimum": 0})
    tags: tuple[str, ...] = ()


@frozen
class Order:
    number: int
    lines: list[Line]
    note: str | None = None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["number", "lines", "note", "name", "price", "tags"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
LIKELY = st.fixed_dictionaries(
    {"number": st.integers()},
    optional={
        "lines": st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["", "a"]), "price": st.integers(-1, 2)},
                optional={"tags": st.lists(st.sampled_from(["x", 1]), max_size=2)},
            ),
            max_size=2,
        ),
        "note": st.none() | st.just("n") | st.just(1),
    },
)


@given(LIKELY | VALUES)
def test_a_value_fits_the_schema_of_a_class_where_the_class_takes_it(
    value: Any,
) -> None:
    schema = input_schema(Order)
    check_schema(schema)
    fitting = not problems_with(value, schema)
    try:
        input_decoder(Order)(value)
    except UndecodableError:
        assert not fitting
    else:
        assert fitting


@given(VALUES, VALUES)
def test_values_are_the_same_as_their_json_is(one: Any, other: Any) -> None:
    assert same(one, one)
    assert same(one, other) == (not problems_with(one, {"const": other}))
    unique = problems_with([one, other], {"uniqueItems": True}) == []
    assert unique == (not same(one, other))
