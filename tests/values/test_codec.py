"""The codec: nothing is coerced, nothing is ignored, every problem has its path."""

import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from attrs import field, frozen
from dovetail.kernel import (
    AssistantMessage,
    FileContent,
    Part,
    ReasoningPart,
    TextContent,
    TextPart,
    ToolPart,
    UndecodableError,
    clean_text,
    from_json,
    loads_exact,
    sanitised,
    to_json,
)
from dovetail.kernel.values.codec import dumps, loads
from hypothesis import given, settings, strategies as st


@frozen
class Leaf:
    text: str = ""
    number: int = 0
    ratio: float = 0.0
    flag: bool = False


@frozen
class Node:
    leaf: Leaf
    more: "tuple[Node, ...]" = ()
    words: list[str] = field(factory=list)
    named: Mapping[str, Leaf] = field(factory=dict)
    one: Literal[1, "one", None] = None
    either: int | list[str] | None = None
    parts: tuple[Part, ...] = ()
    pair: tuple[int, str] = (1, "a")
    anything: Any = None


def problems(data: Any, kind: Any = Node) -> tuple[str, ...]:
    with pytest.raises(UndecodableError) as caught:
        from_json(data, kind)
    assert caught.value.code == "value.undecodable"
    return caught.value.problems


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("text", [1, None, True, b"a", ["a"], {"a": 1}]),
        ("number", ["1", 1.0, True, None, [1]]),
        ("ratio", ["1", True, None, [1.0]]),
        ("flag", [0, 1, "true", None]),
    ],
)
def test_no_scalar_is_ever_coerced(name: str, values: list[Any]) -> None:
    for value in values:
        [problem] = problems({name: value}, Leaf)
        assert problem.startswith(f"$.{name}: expected ")


def test_an_integer_is_a_number_too() -> None:
    leaf = from_json({"ratio": 3}, Leaf)

    assert leaf.ratio == 3.0
    assert type(leaf.ratio) is float


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"leaf": []}, "$.leaf: expected an object, got an array"),
        ({"leaf": None}, "$.leaf: expected an object, got null"),
        ({"leaf": "text"}, "$.leaf: expected an object, got a string"),
        ({"leaf": {"txt": "a"}}, "$.leaf: unknown field 'txt'"),
        ({"more": [{"leaf": {}}, {}]}, "$.more[1].leaf: required field is missing"),
        ({"words": "abc"}, "$.words: expected an array, got a string"),
        ({"words": {"a": 1}}, "$.words: expected an array, got an object"),
        ({"words": ["a", 1]}, "$.words[1]: expected a string, got an integer"),
        ({"named": []}, "$.named: expected an object, got an array"),
        ({"named": {"a\nb": {"number": "1"}}}, "$.named['a\\nb'].number: expected an"),
        ({"named": {1: {}}}, "$.named[1]: expected a string, got an integer"),
        ({"one": 2}, "$.one: expected one of 1, 'one', null, got 2"),
        ({"one": True}, "$.one: expected one of 1, 'one', null, got true"),
        ({"one": 1.0}, "$.one: expected one of 1, 'one', null, got a number"),
        ({"one": {}}, "$.one: expected one of 1, 'one', null, got an object"),
        ({"either": True}, "$.either: expected an integer or null or an array, got"),
        ({"either": "a"}, "$.either: expected an integer or null or an array, got"),
        ({"either": [1]}, "$.either[0]: expected a string, got an integer"),
        ({"pair": [1, "a", 2]}, "$.pair: expected 2 items, got 3"),
        ({"parts": [{}]}, "$.parts[0]: 'type' is missing: it must be one of 'text'"),
        ({"parts": [{"type": 1}]}, "$.parts[0]: 'type' must be one of 'text', 'reas"),
        ({"parts": [{"type": ["text"]}]}, "$.parts[0]: 'type' must be one of 'text'"),
        (
            {"parts": [{"type": "text", "text": "a", "tool": "b"}]},
            "$.parts[0]: unknown field 'tool'",
        ),
    ],
)
def test_every_problem_names_its_place_and_what_was_expected(
    changes: dict[str, Any], problem: str
) -> None:
    [found] = problems({"leaf": {}, **changes})

    assert found.startswith(problem)


def test_all_problems_are_told_at_once() -> None:
    found = problems({"more": [{"leaf": {"number": "1", "flag": 0}}], "x": 1})

    assert [line.partition(":")[0] for line in found] == [
        "$.leaf",
        "$.more[0].leaf.number",
        "$.more[0].leaf.flag",
        "$",
    ]


def test_a_problem_has_its_path_as_data() -> None:
    with pytest.raises(UndecodableError) as caught:
        from_json(
            {"leaf": {}, "more": [{"leaf": {"number": "1"}}], "named": {"a: b": 1}},
            Node,
        )
    found = {problem.path: problem.text for problem in caught.value.problems}
    assert set(found) == {("more", 0, "leaf", "number"), ("named", "a: b")}
    for problem in caught.value.problems:
        assert problem.endswith(problem.text)
        assert problem.text.startswith("expected")


def test_a_flood_of_problems_is_told_by_its_first_ones() -> None:
    found = problems({"leaf": {}, "words": [1] * 100_000})

    assert len(found) == 21
    assert found[19].startswith("$.words[19]: expected a string")
    assert found[20] == "$.words: further items were not looked at"


def test_what_is_no_object_at_all_is_refused() -> None:
    nothing: list[Any] = [None, [], "text", 3, True]
    for data in nothing:
        [problem] = problems(data)
        assert problem.startswith("$: expected an object, got")


def test_a_type_without_json_is_refused_and_never_guessed() -> None:
    @frozen
    class Odd:
        it: set[str]

    assert "a set has no JSON form" in problems({"it": "abc"}, Odd)[0]

    @frozen
    class Ambiguous:
        it: list[int] | tuple[str, ...]

    assert "both take an array" in problems({"it": ["abc"]}, Ambiguous)[0]


@dataclass
class Point:
    x: int


leaves = st.builds(
    Leaf,
    st.text(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)
contents = st.builds(TextContent, st.text()) | st.builds(
    FileContent, st.text(), st.text(), st.none() | st.text()
)
parts = st.one_of(
    st.builds(TextPart, st.text()),
    st.builds(ReasoningPart, st.text()),
    st.builds(
        ToolPart,
        st.text(),
        st.text(),
        st.text(),
        st.sampled_from(["called", "started", "succeeded", "failed"]),
        st.lists(contents, max_size=2).map(tuple),
    ),
)
nodes = st.recursive(
    st.builds(
        Node,
        leaves,
        words=st.lists(st.text(), max_size=3),
        named=st.dictionaries(st.text(), leaves, max_size=2),
        one=st.sampled_from([1, "one", None]),
        either=st.none() | st.integers() | st.lists(st.text(), max_size=2),
        parts=st.lists(parts, max_size=3).map(tuple),
        pair=st.tuples(st.integers(), st.text()),
        anything=st.none() | st.lists(st.integers(), max_size=2),
    ),
    lambda inner: st.builds(Node, leaves, st.lists(inner, max_size=3).map(tuple)),
    max_leaves=5,
)


@settings(deadline=None)
@given(nodes)
def test_every_value_becomes_json_and_comes_back_equal(node: Node) -> None:
    data = to_json(node)

    assert from_json(data, Node) == node
    assert from_json(json.loads(json.dumps(data)), Node) == node
    assert to_json(from_json(data, Node)) == data


def test_a_transcript_message_comes_back_with_all_its_parts() -> None:
    message = AssistantMessage(
        id="m",  # type: ignore[arg-type]
        session_id="s",  # type: ignore[arg-type]
        seq=3,
        created=5,
        agent="build",
        model="openai/gpt",
        parts=(
            ReasoningPart("hm", {"signature": "x"}),
            TextPart("hello"),
            ToolPart("c", "read", "{}", "succeeded", (TextContent("t"),)),
        ),
    )

    assert from_json(loads(dumps(to_json(message))), AssistantMessage) == message


@pytest.mark.parametrize("depth", [100, 3_000])
def test_deep_data_is_read_or_refused_and_never_crashes(depth: int) -> None:
    data: Any = {"leaf": {}}
    for _ in range(depth):
        data = {"leaf": {}, "more": [data]}

    if depth == 100:
        assert to_json(from_json(data, Node))["more"][0]["more"]
    else:
        assert any("nests too deeply" in problem for problem in problems(data))


# --- JSON text --------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        2**64,
        -(2**63) - 1,
        "\ud800",
        {"\udfff": 1},
        float("nan"),
        [{"a": float("inf")}],
        {1: 2},
        {1, 2},
        b"bytes",
        object(),
        Path("a"),
        datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
        TextContent("a"),
        Point(1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_say_is_never_written(value: Any) -> None:
    with pytest.raises(UndecodableError):
        dumps(value)


def test_integers_of_64_bits_are_written_and_read_exactly() -> None:
    for number in (2**64 - 1, -(2**63), 2**53 + 1):
        assert loads(dumps([number, None])) == [number, None]


@pytest.mark.parametrize("text", ["", "{", "[1,]", "NaN", b"\xff", "01", '"\ud800"'])
def test_what_is_no_json_is_never_read(text: str | bytes) -> None:
    with pytest.raises(UndecodableError):
        loads(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{'a': 1}",
        "[1,]",
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1e400",
        "-1e400",
        "01",
        "\ufeff{}",
        "1" * 4301,
        "[" * 201 + "]" * 201,
        "[" * 1_000_000,
        '{"a":' * 300 + "1" + "}" * 300,
    ],
    ids=lambda text: text[:20],
)
def test_text_from_outside_is_refused_rather_than_guessed(text: str) -> None:
    with pytest.raises(UndecodableError):
        loads_exact(text)


def test_text_from_outside_is_read_exactly() -> None:
    assert loads_exact("1" * 4300) == int("1" * 4300)
    assert loads_exact('{"a": 1, "a": 2}') == {"a": 2}
    assert loads_exact(r'"\ud83d\ude00"') == "😀"
    assert loads_exact(r'{"\ud800": ["\udc00x"]}') == {"\ufffd": ["\ufffdx"]}
    assert loads_exact("[" * 200 + "]" * 200)
    assert loads_exact("[" + "[]," * 1000 + "[]]") == [[]] * 1001


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=10,
)
any_text = st.text(alphabet=st.characters(codec=None, exclude_categories=[]))
awkward = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**63, 2**70)
    | st.floats()
    | any_text,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(any_text, inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=10,
)


@settings(deadline=None)
@given(json_values)
def test_json_from_outside_means_what_python_reads(value: Any) -> None:
    for ascii_only in (True, False):
        assert loads_exact(json.dumps(value, ensure_ascii=ascii_only)) == value


@settings(deadline=None)
@given(awkward)
def test_sanitised_data_can_always_be_stored_and_read_back(value: Any) -> None:
    clean = sanitised(value)

    assert loads(dumps(clean)) == clean
    assert sanitised(clean) == clean


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.integers(-(2**63), 2**64 - 1) | st.text(),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
        ),
    )
)
def test_sanitising_changes_nothing_that_is_sound(value: Any) -> None:
    assert sanitised(value) == value


def test_sanitising_keeps_as_much_as_json_can_say() -> None:
    assert sanitised(2**64) == str(2**64)
    assert sanitised(10**5000) == hex(10**5000)
    assert sanitised(float("-inf")) == "-inf"
    assert sanitised({3: ("a\udc80", Path("b"))}) == {"3": ["a\ufffd", "b"]}
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    assert loads(dumps(sanitised(deep)))


@settings(deadline=None)
@given(any_text)
def test_cleaned_text_has_a_utf8_form_and_keeps_the_rest(text: str) -> None:
    cleaned = clean_text(text)

    cleaned.encode()
    assert clean_text(cleaned) == cleaned
    # Two surrogates that belong together are one character; each other one is lost.
    joined = re.sub(
        "[\ud800-\udbff][\udc00-\udfff]",
        lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"),
        text,
    )
    assert cleaned == re.sub("[\ud800-\udfff]", "\ufffd", joined)


def test_each_lone_surrogate_becomes_one_replacement_character() -> None:
    assert clean_text("a\ud800b\udc00c") == "a\ufffdb\ufffdc"
    assert clean_text("\ud800") == "\ufffd"
    assert clean_text("\udc00\ud800") == "\ufffd\ufffd"
    assert clean_text("\ud83d\ude00!") == "😀!"
    assert clean_text("\ud83d😀") == "\ufffd😀"
