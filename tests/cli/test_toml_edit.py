"""Setting one value of a TOML file: every other byte stays, or nothing is done."""

import tomllib

import pytest
from dovetail.plugins.console.toml_edit import NotEditableError, set_value
from hypothesis import given, strategies as st

FILE = """\
# mine
model = "a/b"   # the usual one
agent='build'

[providers.local] # here
base_url = "http://127.0.0.1:1/v1"
models = [
  "one",  # first
]

[agents."re viewer"]
steps = 20
"""


@pytest.mark.parametrize(
    ("path", "value", "before", "after"),
    [
        (["model"], "c/d#e", '"a/b"   #', '"c/d#e"   #'),
        (["agent"], "plan", "agent='build'", 'agent= "plan"'),
        (["providers", "local", "base_url"], "x", '"http://127.0.0.1:1/v1"', '"x"'),
        (["agents", "re viewer", "steps"], 5, "steps = 20", "steps = 5"),
        (["model"], None, 'model = "a/b"   # the usual one\n', ""),
        (["small_model"], "s", "'build'\n", "'build'\nsmall_model = \"s\"\n"),
        (["skills", "folders"], ["a"], "= 20\n", '= 20\n\n[skills]\nfolders = ["a"]\n'),
    ],
)
def test_one_value_is_set_and_the_rest_stays(
    path: list[str], value: object, before: str, after: str
) -> None:
    assert set_value(FILE, path, value) == FILE.replace(before, after)


def test_an_empty_file_begins_with_it() -> None:
    assert set_value("", ["model"], "a/b") == 'model = "a/b"\n'
    assert set_value("", ["a", "b"], True) == "[a]\nb = true\n"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (FILE, ["providers", "local", "models"]),
        (FILE, ["model", "name"]),
        ('providers = { a = { b = "c" } }\n', ["providers", "a", "b"]),
        ("model = [\n", ["model"]),
    ],
)
def test_what_is_not_understood_is_refused(text: str, path: list[str]) -> None:
    with pytest.raises(NotEditableError):
        set_value(text, path, "new")


def test_a_line_inside_of_a_text_is_no_setting() -> None:
    text = 'note = """\nmodel = "old"\n"""\n'
    try:
        made = tomllib.loads(set_value(text, ["model"], "new"))
    except NotEditableError:
        return
    assert made == {"note": 'model = "old"\n', "model": "new"}


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_any_text_comes_back(value: str) -> None:
    assert tomllib.loads(set_value(FILE, ["model"], value))["model"] == value
