"""Schemas: what a model is told about a tool's input is what the decoder takes."""

import enum
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NewType, TypeVar

import jsonschema
import pytest
from attrs import field, frozen, make_class, validators
from dovetail.kernel import ToolDefinitionError, UndecodableError, to_json
from dovetail.kernel.tools.schema import input_decoder, input_schema
from hypothesis import given, settings, strategies as st

Name = NewType("Name", str)
T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@frozen
class Circle:
    """A round one."""

    radius: float = field(metadata={"exclusiveMinimum": 0})
    type: Literal["circle"] = "circle"


@frozen
class Square:
    side: float
    type: Literal["square"] = "square"


@frozen
class Tree:
    label: str = field(metadata={"maxLength": 20})
    children: "tuple[Tree, ...]" = ()


@frozen
class Box(Generic[T]):
    content: T
    spare: T | None = None


@frozen
class NumberBox(Box[int]):
    weight: float = 1.0


@frozen
class Everything:
    """What all cases together look like.

    Over several lines.
    """

    name: Name = field(
        metadata={
            "description": "Who it is",
            "pattern": "^[a-z]+$",
            "minLength": 2,
            "maxLength": 8,
            "examples": ["ann"],
        }
    )
    count: int = field(default=3, metadata={"minimum": 1, "maximum": 9})
    ratio: float = 0.5
    loud: bool = False
    note: str | None = None
    limit: int | None = field(default=None, metadata={"minimum": 1})
    mode: Literal["fast", "slow"] = "fast"
    maybe: Literal["on", "off"] | None = None
    colour: Colour = Colour.RED
    one_or_many: str | list[str] = "x"
    words: list[str] = field(factory=list, metadata={"maxItems": 5})
    pair: tuple[int, str] = (1, "a")
    many: Sequence[bool] = ()
    scores: dict[str, float] = field(factory=dict)
    shape: Circle | Square | None = None
    shapes: tuple[Circle | Square, ...] = ()
    tree: Tree | None = None
    box: Box[int] | None = None
    number_box: NumberBox | None = None
    either: int | float | str = 1
    noted: Annotated[int, "anything"] = 1
    extra: Any = None
    table: Mapping[str, Any] = field(factory=dict)
    bare_list: list = field(factory=list)  # type: ignore[type-arg]
    bare_dict: dict = field(factory=dict)  # type: ignore[type-arg]
    hidden: int = field(init=False, default=0)


def test_every_supported_type_gives_a_valid_schema_with_all_it_knows() -> None:
    schema = input_schema(Everything)

    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert schema["description"] == (
        "What all cases together look like.\n\nOver several lines."
    )
    assert schema["required"] == ["name"]
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert properties["name"] == {
        "type": "string",
        "description": "Who it is",
        "minLength": 2,
        "maxLength": 8,
        "pattern": "^[a-z]+$",
        "examples": ["ann"],
    }
    assert properties["count"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 9,
        "default": 3,
    }
    assert properties["note"] == {"type": ["string", "null"]}
    assert properties["mode"] == {
        "type": "string",
        "enum": ["fast", "slow"],
        "default": "fast",
    }
    assert properties["maybe"] == {
        "type": ["string", "null"],
        "enum": ["on", "off", None],
    }
    assert properties["colour"]["enum"] == ["red", "blue"]
    assert properties["colour"]["default"] == "red"
    assert properties["one_or_many"]["anyOf"] == [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}},
    ]
    assert properties["pair"]["prefixItems"] == [
        {"type": "integer"},
        {"type": "string"},
    ]
    assert properties["scores"]["additionalProperties"] == {"type": "number"}
    assert properties["extra"] == {}
    assert properties["either"]["type"] == ["string", "number"]
    assert properties["tree"]["anyOf"] == [
        {"$ref": "#/$defs/Tree"},
        {"type": "null"},
    ]
    assert properties["box"]["anyOf"][0]["properties"]["content"] == {"type": "integer"}
    assert properties["number_box"]["anyOf"][0]["properties"]["spare"] == {
        "type": ["integer", "null"]
    }
    assert set(schema["$defs"]) == {"Tree"}
    assert "hidden" not in properties


def test_a_union_of_classes_is_one_of_them_and_requires_its_tag() -> None:
    shape = input_schema(Everything)["properties"]["shape"]

    circle, square, null = shape["oneOf"]
    assert circle["description"] == "A round one."
    assert circle["required"] == ["radius", "type"]
    assert square["required"] == ["side", "type"]
    assert null == {"type": "null"}


def test_the_same_class_always_gives_the_same_bytes() -> None:
    assert json.dumps(input_schema(Everything)) == json.dumps(input_schema(Everything))


def test_who_changes_a_schema_changes_nobody_elses() -> None:
    for _ in range(2):
        schema: Any = input_schema(Circle)
        assert schema["properties"]
        schema["properties"].clear()


def test_a_class_that_contains_itself_is_an_object_at_the_top() -> None:
    schema = input_schema(Tree)

    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid({"label": "a", "children": [{"label": "b"}]})
    assert not validator.is_valid({"label": "a", "children": [{"lable": "b"}]})


class Other:
    @frozen
    class Tree:
        leaf: int
        more: "list[Other.Tree]" = field(factory=list)


def test_two_recursive_classes_of_one_name_stay_apart() -> None:
    both = make_class("Both", {"a": field(type=Tree), "b": field(type=Other.Tree)})

    schema = input_schema(both)

    assert schema["properties"]["a"] == {"$ref": "#/$defs/Tree"}
    assert schema["properties"]["b"] == {"$ref": "#/$defs/Tree2"}
    assert "label" in schema["$defs"]["Tree"]["properties"]
    assert schema["$defs"]["Tree2"]["properties"]["more"]["items"] == {
        "$ref": "#/$defs/Tree2"
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
numbers = st.floats(allow_nan=False, allow_infinity=False)
circles = st.builds(Circle, numbers.filter(lambda number: number > 0))
squares = st.builds(Square, numbers)
trees = st.recursive(
    st.builds(Tree, st.text(max_size=20)),
    lambda inner: st.builds(
        Tree, st.text(max_size=20), st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=5,
)
everything = st.builds(
    Everything,
    name=st.from_regex(r"\A[a-z]{2,8}\Z"),
    count=st.integers(1, 9),
    ratio=numbers,
    loud=st.booleans(),
    note=st.none() | st.text(),
    limit=st.none() | st.integers(min_value=1),
    mode=st.sampled_from(["fast", "slow"]),
    maybe=st.sampled_from(["on", "off", None]),
    colour=st.sampled_from(Colour),
    one_or_many=st.text() | st.lists(st.text()),
    words=st.lists(st.text(), max_size=5),
    pair=st.tuples(st.integers(), st.text()),
    many=st.lists(st.booleans()),
    scores=st.dictionaries(st.text(), numbers),
    shape=st.none() | circles | squares,
    shapes=st.lists(circles | squares, max_size=3).map(tuple),
    tree=st.none() | trees,
    box=st.none() | st.builds(Box, st.integers(), st.none() | st.integers()),
    number_box=st.none() | st.builds(NumberBox, st.integers(), st.none(), numbers),
    either=st.integers() | numbers | st.text(),
    noted=st.integers(),
    extra=json_values,
    table=st.dictionaries(st.text(), json_values, max_size=3),
    bare_list=st.lists(json_values, max_size=3),
    bare_dict=st.dictionaries(st.text(), json_values, max_size=3),
)
SCHEMA = input_schema(Everything)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
DECODE = input_decoder(Everything)


@settings(deadline=None)
@given(everything)
def test_every_value_fits_its_schema_and_decodes_to_itself(value: Everything) -> None:
    data = json.loads(json.dumps(to_json(value)))

    VALIDATOR.validate(data)
    assert DECODE(data) == value


@settings(deadline=None)
@given(everything, st.sampled_from(sorted(SCHEMA["properties"])), json_values)
def test_what_the_decoder_takes_the_schema_takes(
    value: Everything, name: str, other: Any
) -> None:
    """The decoder is never more lenient than what the model was told."""
    data = {**json.loads(json.dumps(to_json(value))), name: other}

    try:
        DECODE(data)
    except UndecodableError:
        return
    VALIDATOR.validate(data)


@settings(deadline=None)
@given(everything, st.sampled_from(sorted(SCHEMA["properties"])), json_values)
def test_what_the_schema_takes_the_decoder_takes(
    value: Everything, name: str, other: Any
) -> None:
    data = {**json.loads(json.dumps(to_json(value))), name: other}

    if VALIDATOR.is_valid(data):
        DECODE(data)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": "a"}, "$.name: must have at least 2 characters"),
        ({"name": "abcdefghi"}, "$.name: must have at most 8 characters"),
        ({"name": "Ann"}, "$.name: must match the pattern ^[a-z]+$"),
        ({"name": "ann\n"}, "$.name: must match the pattern ^[a-z]+$"),
        ({"count": 0}, "$.count: must be at least 1"),
        ({"count": 10}, "$.count: must be at most 9"),
        ({"limit": 0}, "$.limit: must be at least 1"),
        ({"words": ["a"] * 6}, "$.words: must have at most 5 items"),
        ({"shape": {"type": "circle", "radius": 0}}, "$.shape.radius: must be over 0"),
        (
            {
                "shapes": [
                    {"type": "square", "side": 1},
                    {"type": "circle", "radius": -1},
                ]
            },
            "$.shapes[1].radius: must be over 0",
        ),
        (
            {"tree": {"label": "", "children": [{"label": "x" * 21}]}},
            "$.tree.children[0].label: must have at most 20 characters",
        ),
        ({"count": True}, "$.count: expected an integer, got true or false"),
        ({"count": "3"}, "$.count: expected an integer, got a string"),
        ({"mode": "medium"}, "$.mode: expected one of 'fast', 'slow', got 'medium'"),
        ({"colour": 1}, "$.colour: expected one of 'red', 'blue', got 1"),
        ({"pair": [1]}, "$.pair: expected 2 items, got 1"),
        ({"pair": [1, 2]}, "$.pair[1]: expected a string, got an integer"),
        ({"scores": {"a b": "1"}}, "$.scores['a b']: expected a number, got a string"),
        ({"words": "abc"}, "$.words: expected an array, got a string"),
        ({"shape": {"radius": 1}}, "$.shape: 'type' is missing"),
        ({"shape": {"type": "oval"}}, "$.shape: 'type' must be one of"),
        ({"nmae": "ann"}, "$: unknown field 'nmae'"),
        ({"hidden": 1}, "$: unknown field 'hidden'"),
    ],
)
@pytest.mark.law("tools.4")
def test_a_value_outside_the_limits_is_refused_by_its_path(
    change: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UndecodableError) as caught:
        DECODE({"name": "ann", **change})

    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(problem)


def test_all_broken_limits_are_told_at_once() -> None:
    with pytest.raises(UndecodableError) as caught:
        DECODE({"name": "X", "count": 0})

    assert [line.partition(":")[0] for line in caught.value.problems] == [
        "$.name",
        "$.name",
        "$.count",
    ]


def test_limits_in_arrays_of_arrays_and_in_maps_are_checked() -> None:
    @frozen
    class Deep:
        rows: list[tuple[Circle, int]] = field(factory=list)
        named: dict[str, Circle | int] = field(factory=dict)

    decode = input_decoder(Deep)
    bad = {"type": "circle", "radius": -1}

    with pytest.raises(UndecodableError) as caught:
        decode({"rows": [[bad, 1]], "named": {"a": 1, "b": bad}})

    assert caught.value.problems == (
        "$.rows[0][0].radius: must be over 0",
        "$.named['b'].radius: must be over 0",
    )


def test_a_pattern_means_what_json_schema_says() -> None:
    @frozen
    class Digits:
        text: str = field(metadata={"pattern": r"^[$\d]+$"})

    decode = input_decoder(Digits)

    assert decode({"text": "12$"}).text == "12$"
    for refused in ("12\n", "١٢", ""):  # a final newline, digits of another script
        with pytest.raises(UndecodableError):
            decode({"text": refused})


def test_a_class_keeps_its_own_validators() -> None:
    @frozen
    class Even:
        number: int = field(validator=validators.in_([2, 4]))

    with pytest.raises(UndecodableError):
        input_decoder(Even)({"number": 3})


def _with(kind: Any, **options: Any) -> type:
    return make_class("Input", {"it": field(type=kind, **options)})


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (_with(set[str]), "Input.it"),
        (_with(Path), "Path has no JSON Schema"),
        (_with(bytes), "Input.it"),
        (_with(complex), "Input.it"),
        (_with(dict[int, str]), "keys of a JSON object"),
        (_with(list[dict[str, Path]]), "Input.it[]{}"),
        (_with(tuple[int, Path]), "Input.it[1]"),
        (_with(tuple[()]), "empty tuple"),
        (_with(str | Literal["a"]), "both take a string"),
        (_with(list[int] | tuple[str, ...]), "both take an array"),
        (_with(Tree | dict[str, int]), "both take an object"),
        (_with(Tree | Box[int]), "cannot be told apart"),
        (_with(Literal[b"a"]), "no JSON value"),
        (_with(None), "no type"),
        (_with("Missing"), "cannot be resolved"),
        (_with(T), "Input.it"),
        (_with(int, default="3"), "its default"),
        (_with(int, default=3, metadata={"examples": ["x"]}), "an example"),
        (_with(int, metadata={"pattern": "a"}), "pattern does not fit"),
        (_with(str, metadata={"minimum": 1}), "minimum does not fit"),
        (_with(str, metadata={"pattern": "["}), "pattern"),
        (_with(str, metadata={"pattern": r"(?P<a>b)"}), "does not know"),
        (_with(str, metadata={"pattern": 3}), "pattern"),
        (_with(int, metadata={"minimum": "1"}), "must be a number"),
        (_with(str, metadata={"minLength": -1}), "must be a count"),
        (_with(str, metadata={"description": 3}), "must be text"),
        (_with(str, metadata={"description": "\ud800"}), "t"),
        (_with(int, metadata={"maximum": 2**70}), "t"),
        (str, "not an attrs class"),
        (int | str, "not an attrs class"),
    ],
)
def test_a_type_without_a_schema_is_refused_by_the_name_of_its_field(
    kind: Any, says: str
) -> None:
    with pytest.raises(ToolDefinitionError, match="cannot be registered") as caught:
        input_schema(kind, "mine")

    assert "'mine'" in str(caught.value)
    assert says in str(caught.value)
