"""What a server says of its tools, in a form that providers take; and its settings."""

import json
import re
import threading
import tomllib
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import ConfigurationError
from dovetail.plugins.mcp.names import (
    MAX_NAME,
    MAX_SCHEMA,
    adapted,
    clean,
    named,
    tool_name,
)
from dovetail.plugins.mcp.settings import Server, configured, together
from dovetail.plugins.mcp.toml_edit import put, take
from dovetail.plugins.mcp.words import MAX_BYTES, Words
from hypothesis import given, strategies as st
from support.bounds import HANG

TAKEN = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z")


@pytest.mark.law("mcp.4")
@given(st.lists(st.text(max_size=80), max_size=8))
def test_every_name_is_one_that_providers_take_and_no_two_are_the_same(
    tools: list[str],
) -> None:
    found, refused = named("s", tools)
    assert all(TAKEN.match(name) for name in found.values())
    assert len(set(found.values())) == len(found)
    assert len(found) + len(refused) == len(set(tools))


@pytest.mark.law("mcp.4")
def test_a_long_name_keeps_its_beginning_and_differs_from_its_like() -> None:
    one, other = tool_name("s", "x" * 300), tool_name("s", "x" * 299)
    assert len(one) == len(other) == MAX_NAME
    assert one != other
    assert one.startswith("s_xxx")


@pytest.mark.law("mcp.4")
def test_what_a_terminal_obeys_or_nobody_sees_is_taken_out() -> None:
    text = "\x1b[2J\x1b]0;owned\x07a\u202eb\u200bc\U000e0041d\te\nf\x00"
    assert clean(text) == "abcd\te\nf"


@pytest.mark.law("mcp.4")
@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        ({}, {"type": "object", "properties": {}}),
        (
            {"properties": {"a": {"type": "array"}, "b": {"type": "object"}}},
            {
                "a": {"type": "array", "items": {}},
                "b": {"type": "object", "properties": {}},
            },
        ),
        (
            {"properties": {"a": {"minimum": 1, "exclusiveMinimum": True}}},
            {"a": {"exclusiveMinimum": 1}},
        ),
        (
            {"properties": {"a": {"type": "string", "nullable": True}}},
            {"a": {"type": ["string", "null"]}},
        ),
        (
            {"properties": {"a": {"items": [{"type": "string"}]}}},
            {"a": {"prefixItems": [{"type": "string"}]}},
        ),
    ],
)
def test_a_schema_is_written_as_providers_take_it(
    schema: dict[str, Any], wanted: dict[str, Any]
) -> None:
    made = adapted(schema)
    assert made.schema in (wanted, {"type": "object", "properties": wanted})
    assert made.words == ""


@pytest.mark.law("mcp.4")
def test_what_a_schema_may_not_say_at_the_top_is_said_in_words() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "anyOf": [{"required": ["a"]}, {"properties": {"b": {}}, "required": ["b"]}],
    }
    made = adapted(schema)
    assert set(made.schema["properties"]) == {"a", "b"}
    assert "anyOf" not in made.schema
    assert '"required": ["b"]' in made.words


@pytest.mark.law("mcp.4")
def test_a_field_whose_name_is_refused_has_another_one_on_the_way() -> None:
    made = adapted(
        {"properties": {"user id": {}, "user_id": {}, "ä": {}}, "required": ["user id"]}
    )
    names = list(made.schema["properties"])
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", one) for one in names)
    [shown] = made.schema["required"]
    assert made.arguments({shown: 1, "user_id": 2}) == {"user id": 1, "user_id": 2}


@pytest.mark.law("mcp.4")
def test_a_schema_that_is_too_large_loses_words_before_meaning() -> None:
    words = {"description": "x" * 900, "type": "string"}
    large = adapted({"properties": {f"a{one}": words for one in range(100)}}).schema
    assert len(json.dumps(large)) <= MAX_SCHEMA
    assert large["properties"]["a99"] == {"type": "string"}
    larger = adapted(
        {"properties": {f"a{one}": {"enum": ["x" * 900]} for one in range(100)}}
    ).schema
    assert larger["properties"]["a99"] == {}


@pytest.mark.law("mcp.4")
def test_schemas_of_the_world_keep_their_fields() -> None:
    files = sorted(Path("/work/shared/corpora/codex-tool-schemas").glob("*.json"))
    if not files:
        pytest.skip("the corpus of tool schemas is not here")
    for file in files:
        schema = json.loads(file.read_text())
        found = adapted(schema)
        for name in schema.get("properties", {}):
            assert name in found.schema["properties"]


# --- settings ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({}, "command or url"),
        ({"command": "x", "url": "https://x"}, "not both"),
        ({"command": ["x", 1]}, "a list of texts"),
        ({"url": "ftp://x"}, "https://"),
        ({"command": "x", "timeout": 0}, "timeout must be seconds"),
        ({"command": "x", "trusted": "yes"}, "true or false"),
        ({"command": "x", "colour": "red"}, "not a known setting"),
        ({"command": "x", "env": {"A": "${NO_SUCH}"}}, "'NO_SUCH', which is not set"),
    ],
)
def test_a_mistake_is_told_by_its_key_and_hides_no_other_server(
    table: dict[str, Any], why: str
) -> None:
    found, [wrong] = configured({"bad": table, "good": {"command": "x"}}, {})
    assert [one.name for one in found] == ["good"]
    assert "mcp.bad" in wrong
    assert why in wrong


def test_variables_are_filled_in_and_never_shown() -> None:
    table = {"command": "x", "args": ["${A}", "${B:-b}"], "env": {"K": "${SECRET}"}}
    server = Server.of("s", table, {"A": "a", "SECRET": "hush"}, "code")
    assert server.command == ("x", "a", "b")
    assert server.env == {"K": "hush"}
    assert "hush" not in repr(server)


def test_of_equal_names_the_first_place_counts_and_that_is_said() -> None:
    one, other = (
        Server("s", ("a",), source="yours"),
        Server("s", ("b",), source="checkout"),
    )
    found, [said] = together([one], [other])
    assert found == [one]
    assert "checkout" in said


# --- the file ---------------------------------------------------------------------


def test_a_server_is_put_into_a_file_and_taken_out_and_nothing_else_changes(
    tmp_path: Path,
) -> None:
    file = tmp_path / "dovetail.toml"
    before = (
        '# mine\nmodel = "a/b"  # keep\n\n[mcp.one]\ncommand = "x"\n\n'
        "[plugins.p]\na = 1"
    )
    file.write_text(before)
    table = {"command": ["a b", 'q"'], "timeout": 5, "env": {"A B": "ü\n"}}
    put(file, "two", table)
    assert tomllib.loads(file.read_text())["mcp"]["two"] == table
    with pytest.raises(ConfigurationError, match="already"):
        put(file, "two", table)
    take(file, "two")
    assert file.read_text().strip() == before
    take(file, "one")
    assert tomllib.loads(file.read_text()) == {
        "model": "a/b",
        "plugins": {"p": {"a": 1}},
    }
    with pytest.raises(ConfigurationError, match=r"no mcp\.one"):
        take(file, "one")


def test_a_file_that_says_it_in_another_way_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "dovetail.toml"
    file.write_text('mcp = { one = { command = "x" } }\n')
    for change in (lambda: take(file, "one"), lambda: put(file, "two", {"url": "x"})):
        with pytest.raises(ConfigurationError, match="by hand"):
            change()
    assert file.read_text() == 'mcp = { one = { command = "x" } }\n'


@pytest.mark.law("mcp.4")
async def test_the_words_of_a_server_are_kept_privately_and_within_bounds(
    tmp_path: Path,
) -> None:
    words = Words(tmp_path / "logs", "/here", "s")
    for number in range(60):
        await words.add(b"e" * 20_000 + b"\n")
        await words.add(f"line {number}\x1b[2J\n".encode())
    kept = sum(one.stat().st_size for one in words.path.parent.iterdir())
    assert kept <= 2 * MAX_BYTES + 40_000
    assert words.path.stat().st_mode & 0o077 == 0
    assert words.read().endswith("line 59\n")
    assert words.last().endswith("line 59")


@pytest.mark.law("mcp.4")
async def test_who_says_much_waits_for_the_disk_and_nobody_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = Words(tmp_path / "logs", "/here", "s")
    slow, writes = threading.Event(), words._write

    def write(data: bytes) -> None:
        assert slow.wait(HANG)
        writes(data)

    monkeypatch.setattr(words, "_write", write)
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(words.add, b"flood\n")
            while not words._writing.locked():
                await anyio.lowlevel.checkpoint()
            # In the task of everybody, while the disk stands still.
            words.note("failed")
            slow.set()
    assert words.read() == "flood\n--- failed\n"
