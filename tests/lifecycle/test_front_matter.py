"""Front matter: the split, the lenient reading, and what is refused."""

import sys
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from dovetail.kernel.configuration.front_matter import (
    MAX_HEADER,
    FrontMatterError,
    UnreadableKey,
    read_front_matter,
)
from hypothesis import given, strategies as st


def header(text: str) -> dict[str, object]:
    return read_front_matter(f"---\n{text}\n---\nbody\n")[0]


def test_a_header_and_a_body_are_told_apart() -> None:
    text = "---\nname: a\ndescription: b\n---\n\n# Title\n\n---\nmore\n"
    values, body = read_front_matter(text)
    assert values == {"name": "a", "description": "b"}
    assert body == "# Title\n\n---\nmore"


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("blank", ["", "  "])
def test_byte_order_marks_windows_lines_and_trailing_blanks_are_accepted(
    mark: str, end: str, blank: str
) -> None:
    text = mark + end.join([f"---{blank}", "name: a", f"---{blank}", "one", "two"])
    assert read_front_matter(text) == ({"name": "a"}, "one\ntwo")


def test_blank_lines_before_the_header_are_accepted() -> None:
    assert read_front_matter("\n\r\n---\nname: a\n---\n") == ({"name": "a"}, "")


def test_an_empty_header_has_no_values() -> None:
    assert read_front_matter("---\n---\n\nContent\n") == ({}, "Content")


def test_every_scalar_is_read_as_text() -> None:
    values = header("name: no\nversion: 1.10\ndate: 2026-01-01\nnull_one: ~\nn: 0o17")
    assert list(values.values()) == ["no", "1.10", "2026-01-01", "~", "0o17"]


def test_values_of_any_type_are_kept() -> None:
    values = header("tools:\n- Read\n- Grep\nmetadata:\n  a: {b: [1, true]}")
    assert values == {
        "tools": ["Read", "Grep"],
        "metadata": {"a": {"b": ["1", "true"]}},
    }


@pytest.mark.parametrize(
    "value",
    [
        "Use this for: one, two",
        "Triggers: \"a\", 'b': c: d",
        "[DEPRECATED] Use the other one",
        "`code` first",
        "@someone: does it",
        '"Quoted" and then: more',
        "100%: done",
    ],
)
def test_a_value_that_yaml_refuses_is_read_as_the_text_it_was_meant_to_be(
    value: str,
) -> None:
    values = header(f"name: a\ndescription: {value}\nlicense: MIT")
    assert values == {"name": "a", "description": value, "license": "MIT"}


@pytest.mark.parametrize(
    "value", ["[x", "[a, {b]", '"never closed', "'nor this", "*nowhere", "{a: {b}"]
)
def test_what_may_be_no_plain_text_is_not_guessed(value: str) -> None:
    values = header(f"name: a\ndescription: {value}")
    assert isinstance(values["description"], UnreadableKey)
    assert values["name"] == "a"


def test_a_refused_value_over_several_lines_is_joined() -> None:
    values = header("description: One: two\n  three: four\n\n  five\n# note\nname: a")
    assert values == {"description": "One: two three: four five", "name": "a"}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("description:\n  Goes up and down.", "Goes up and down."),
        ("description:\n  Use when: it rains.", "Use when: it rains."),
        (
            "description: # what it does\n\n  Use when: it rains\n  Not when: it snows",
            "Use when: it rains Not when: it snows",
        ),
        ("description:\n  One: two: three", "One: two: three"),
        ("description:\nIt begins at the margin.", "It begins at the margin."),
        ("description: >\nNot indented, it goes on.", "Not indented, it goes on."),
        (
            "description: It is wrapped\nby an editor that knows no YAML.",
            "It is wrapped by an editor that knows no YAML.",
        ),
        ("description: One: two", "One: two"),
    ],
)
def test_a_description_on_the_next_line_or_with_a_colon_is_a_description(
    lines: str, words: str
) -> None:
    for more in ("\nname: a", "\nname: a\nbroken: [x"):
        text = f"---\n{lines}{more}\n---\n"
        values, _ = read_front_matter(text, ("description",))
        assert values["description"] == words
        assert values["name"] == "a"


@pytest.mark.parametrize("lines", ["description: {a: b}", "description:\n  {a: b}"])
def test_braces_are_a_table_also_where_words_are_expected(lines: str) -> None:
    values, _ = read_front_matter(f"---\n{lines}\n---\n", ("description",))
    assert values["description"] == {"a": "b"}


def test_one_broken_key_does_not_cost_the_others() -> None:
    values = header("name: a\nbroken: [x\ndescription: b\nmetadata\n  home: c\nlast: d")
    broken = values.pop("broken")
    assert isinstance(broken, UnreadableKey)
    assert broken.problem
    assert values == {"name": "a", "description": "b", "last": "d"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no front matter"),
        ("# Title\n", "no front matter"),
        ("--- name: a ---\n", "no front matter"),
        (" ---\nname: a\n---\n", "no front matter"),
        ("---\nname: a\n", "no end"),
        ("---\njust some prose: here\nand more of it\n---\n", "not YAML"),
        ("---\n- a\n- b\n---\n", "not a list of keys"),
        ("---\nprose\n---\n", "not a list of keys"),
        (f"---\nname: {'a' * MAX_HEADER}\n---\n", "over"),
    ],
)
def test_what_is_no_header_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(FrontMatterError) as caught:
        read_front_matter(text)
    assert why in str(caught.value)


def test_tags_make_no_objects() -> None:
    values = header("name: !!python/object/apply:os.system ['false']\nother: !!int x")
    assert values == {"name": ["false"], "other": "x"}


@pytest.fixture
def shallow() -> Iterator[None]:
    """Let Python nest less than it would, and PyYAML so get less far, whose work grows
    with the square of the depth."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(traceback.extract_stack()) + 250)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("opener", ["[", "{", "- ", "? "])
def test_deep_nesting_neither_crashes_nor_loses_the_other_keys(opener: str) -> None:
    values = header(f"name: a\nbomb: {opener * 30_000}\ndescription: b")
    assert isinstance(values.pop("bomb"), str | UnreadableKey)
    assert values == {"name": "a", "description": "b"}


def test_an_alias_bomb_stays_small() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    values = header("\n".join([*lines, "name: a"]))
    assert values["name"] == "a"


@given(st.text())
def test_no_text_does_anything_but_read_or_be_refused(text: str) -> None:
    for one in (text, f"---\n{text}\n---\n", f"---\nname: {text}\n---\n"):
        try:
            values, body = read_front_matter(one)
        except FrontMatterError:
            continue
        assert all(isinstance(key, str) for key in values)
        assert isinstance(body, str)


words = st.text(
    st.characters(categories=("L", "N"), include_characters=" .,;:()'\"-/"), min_size=1
)


@given(words)
def test_a_description_of_plain_words_and_colons_is_never_lost(words: str) -> None:
    description = " ".join(f"Use: {words}".split())
    values = header(f"name: a\ndescription: {description}")
    assert values == {"name": "a", "description": description}


def test_the_real_header_with_colons_everywhere_keeps_every_key(corpus: Any) -> None:
    path = corpus("opencode-frontmatter").path / "frontmatter.md"
    values, body = read_front_matter(path.read_text(encoding="utf-8"))
    assert values == {
        "description": "This is a description wrapped in quotes",
        "occupation": "This man has the following occupation: Software Engineer",
        "title": "Hello World",
        "name": 'John "Doe"',
        "family": "He has no 'family'",
        "summary": "This is a summary\n",
        "url": "https://example.com:8080/path?query=value",
        "time": "The time is 12:30:00 PM",
        "nested": "First: Second: Third: Fourth",
        "quoted_colon": "Already quoted: no change needed",
        "single_quoted_colon": "Single quoted: also fine",
        "mixed": 'He said "hello: world" and then left',
        "empty": "",
        "dollar": "Use $' and $& for special patterns",
    }
    assert body.startswith("Content that should not be parsed")
