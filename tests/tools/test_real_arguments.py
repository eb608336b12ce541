"""Real data as tool-call arguments: nothing crashes, nothing is guessed."""

import base64
import json
from typing import Any

import pytest
from attrs import frozen
from dovetail.kernel import Tool, ToolCall, UndecodableError, loads_exact
from dovetail.kernel.tools.registry import AdvertisedTools, ToolRegistry
from dovetail.kernel.tools.settlement import Failed, Succeeded, settle


@frozen
class Input:
    value: Any


CONTEXT: Any = object()


def echo(ran: list[Any]) -> AdvertisedTools:
    async def execute(given: Input, context: Any) -> str:
        ran.append(given.value)
        return "ran"

    registry = ToolRegistry()
    registry.register(
        Tool(name="echo", description="echoes", input=Input, execute=execute), "test"
    )
    return registry.advertise()


def cases(corpus: Any, expect: str) -> list[tuple[str, str]]:
    """Return name and text of each case; bytes that are no UTF-8 as lone surrogates,
    which is how they would look after a lenient reader."""
    found = [
        (
            case["name"],
            base64.b64decode(case["b64"]).decode("utf-8", "surrogateescape"),
        )
        for case in corpus("json-test-suite").lines("test_parsing.jsonl")
        if case["expect"] == expect
    ]
    assert found
    return found


async def test_every_sound_json_text_reaches_the_tool_unchanged(corpus: Any) -> None:
    for name, text in cases(corpus, "accept"):
        ran: list[Any] = []

        settled = await settle(
            ToolCall("1", "echo", '{"value": ' + text + "}"), echo(ran), CONTEXT
        )

        assert isinstance(settled, Succeeded), name
        assert ran == [json.loads(text)], name
        assert loads_exact(text) == json.loads(text), name


@pytest.mark.law("tools.4")
async def test_no_broken_json_text_ever_runs_a_tool(corpus: Any) -> None:
    for name, text in cases(corpus, "reject"):
        for arguments in (text, '{"value": ' + text + "}"):
            ran: list[Any] = []

            settled = await settle(ToolCall("1", "echo", arguments), echo(ran), CONTEXT)

            assert isinstance(settled, Failed), name
            assert settled.failure.code == "tool.input_invalid", name
            settled.failure.message.encode()
            assert ran == [], name
        with pytest.raises(UndecodableError):
            loads_exact(text)


async def test_debatable_json_text_never_crashes(corpus: Any) -> None:
    for name, text in cases(corpus, "either"):
        for arguments in (text, '{"value": ' + text + "}"):
            ran: list[Any] = []

            settled = await settle(ToolCall("1", "echo", arguments), echo(ran), CONTEXT)

            assert len(ran) == isinstance(settled, Succeeded), name
            if isinstance(settled, Failed):
                assert settled.failure.code == "tool.input_invalid", name


async def test_every_naughty_string_reaches_the_tool_unchanged(corpus: Any) -> None:
    strings = corpus("naughty-strings").json("blns.json")
    assert len(strings) > 500
    ran: list[Any] = []
    advertised = echo(ran)
    for string in strings:
        for ascii_only in (True, False):
            arguments = json.dumps({"value": string}, ensure_ascii=ascii_only)
            settled = await settle(
                ToolCall("1", "echo", arguments), advertised, CONTEXT
            )
            assert isinstance(settled, Succeeded)
            assert ran.pop() == string


async def test_every_naughty_string_leaves_the_tool_unchanged(corpus: Any) -> None:
    async def execute(given: Input, context: Any) -> str:
        return str(given.value)

    registry = ToolRegistry()
    registry.register(
        Tool(name="echo", description="echoes", input=Input, execute=execute), "test"
    )
    for string in corpus("naughty-strings").json("blns.json"):
        arguments = json.dumps({"value": string})
        settled = await settle(
            ToolCall("1", "echo", arguments), registry.advertise(), CONTEXT
        )
        assert isinstance(settled, Succeeded)
        assert [one.text for one in settled.content] == [string or "(no output)"]  # type: ignore[union-attr]
