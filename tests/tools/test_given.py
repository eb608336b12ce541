"""Tools that somebody else describes: their schemas, names, and taking one back."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import (
    AssistantMessage,
    Contribution,
    ModelRequest,
    Place,
    Register,
    Tool,
    ToolContext,
    hookimpl,
    open_runtime,
)
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from dovetail.kernel.tools.given import given_decoder, given_schema
from dovetail.kernel.tools.registry import ToolRegistry
from dovetail.kernel.values.errors import ToolDefinitionError, UndecodableError
from dovetail.kernel.values.json_schema import (
    check_schema,
    problems_with,
    understood_schema,
)
from hypothesis import given, strategies as st
from support.bounds import HANG

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "format": "city", "pattern": "(a+)+$"}},
    "required": ["city"],
    "x-origin": "elsewhere",
}


async def echo(input: dict[str, Any], context: ToolContext) -> str:
    return json.dumps(input)


def made(name: str = "weather_now", **more: Any) -> Tool[Any, Any]:
    return Tool(name, "Says it.", dict, echo, schema=SCHEMA, effect="pure", **more)


@pytest.mark.law("tools.17")
def test_a_schema_of_somebody_else_is_shown_as_it_is_and_held_to() -> None:
    registry = ToolRegistry()
    registered = registry.register(made(), "foreign").item
    assert registered.definition.schema == SCHEMA
    assert registered.decode({"city": "Ulm", "more": [1]}) == {
        "city": "Ulm",
        "more": [1],
    }
    for wrong in ({}, {"city": 1}, [], None):
        with pytest.raises(UndecodableError):
            registered.decode(wrong)


@pytest.mark.law("tools.17")
def test_what_is_no_schema_of_an_object_is_refused() -> None:
    for schema in ([], "x", {"type": "array"}, {"type": ["object", "null"]}):
        with pytest.raises(ToolDefinitionError):
            given_schema(schema, "weather")
    deep: dict[str, Any] = {}
    for _ in range(2_000):
        deep = {"properties": {"a": deep}}
    with pytest.raises(ToolDefinitionError):
        given_schema(deep, "weather")
    with pytest.raises(ToolDefinitionError):
        ToolRegistry().register(
            Tool("weather", "Says.", str, echo, schema=SCHEMA),  # type: ignore[arg-type]
            "foreign",
        )


@pytest.mark.parametrize(
    ("schema", "fits"),
    [
        ({"properties": {"a": {"$ref": "https://far/away"}}}, {"a": 1}),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, {"a": 1}),
        ({"$ref": "#"}, {"a": 1}),
        ({"patternProperties": {"^x": {}}, "additionalProperties": False}, {"xy": 1}),
        ({"oneOf": [{"required": ["a"]}, {"required": ["a", "b"]}]}, {"a": 1, "b": 2}),
        ({"properties": {"a": {"type": "string", "nullable": True}}}, {"a": None}),
        ({"properties": {"a": {"exclusiveMinimum": True, "minimum": 1}}}, {"a": 2}),
        ({"properties": {"a": {"items": [{"type": "string"}]}}}, {"a": ["x", 1]}),
        ({"properties": {"a": {"required": True}}}, {"a": {}}),
        ({"not": {"unknownKeyword": 1}}, {}),
        ({"properties": {"a": {"type": "file"}}}, {"a": "x"}),
        ({"enum": []}, {}),
    ],
)
@pytest.mark.law("tools.17")
def test_what_is_not_understood_refuses_nothing(
    schema: dict[str, Any], fits: dict[str, Any]
) -> None:
    assert given_decoder({"type": "object", **schema})(fits) == fits


@pytest.mark.law("tools.17")
@given(
    st.recursive(
        st.dictionaries(st.sampled_from(["type", "enum", "$ref", "x"]), st.integers()),
        lambda inner: st.dictionaries(
            st.sampled_from(["properties", "items", "anyOf", "oneOf", "not", "allOf"]),
            inner | st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner),
        ),
        max_leaves=8,
    )
)
def test_whatever_somebody_writes_there_is_a_schema_to_hold_to(schema: Any) -> None:
    found = understood_schema(schema)
    check_schema(found)
    problems_with({"a": [1]}, found)


def test_a_large_schema_of_the_world_is_understood_schema() -> None:
    files = sorted(Path("/work/shared/corpora/codex-tool-schemas").glob("*.json"))
    if not files:
        pytest.skip("the corpus of tool schemas is not here")
    for file in files:
        check_schema(understood_schema(json.loads(file.read_text())))


class Foreign:
    """Offers tools by names that somebody else chose, and keeps what it was given."""

    name = "foreign"

    def __init__(self) -> None:
        self.register: Register[Tool[Any, Any]] | None = None
        self.given: dict[str, Contribution] = {}

    @hookimpl
    def dovetail_register_tools(
        self, register: Register[Tool[Any, Any]], place: Place
    ) -> None:
        self.register = register
        for name in ("weather_now", "read"):
            contribution = register(made(name, gives_way=True))
            assert contribution is not None
            self.given[name] = contribution


@pytest.mark.law("tools.18")
async def test_a_tool_that_gives_way_hides_none_of_another_plugin(
    tmp_path: Path,
) -> None:
    foreign, script = Foreign(), ScriptedProvider(text("Done."))
    async with open_runtime("sqlite://", plugins=[foreign, script]) as runtime:
        async with runtime.location(tmp_path):
            assert foreign.given["weather_now"].offered
            assert foreign.given["read"].active
            assert not foreign.given["read"].offered
        session = await runtime.sessions.create(
            location=str(tmp_path), model=script.model
        )
        with anyio.fail_after(HANG):
            await session.prompt("Go")
            await session.wait()
    [request] = script.requests
    [read] = [tool for tool in request.tools if tool.name == "read"]
    assert read.description != "Says it."


@pytest.mark.law("tools.18")
async def test_a_tool_that_is_taken_back_is_gone_from_the_next_step_on(
    tmp_path: Path,
) -> None:
    foreign = Foreign()

    def change(request: ModelRequest) -> Sequence[Any]:
        foreign.given["weather_now"].close()
        foreign.given["weather_now"].close()
        assert foreign.register is not None
        refused = foreign.register(made("no name"))
        assert refused is not None
        assert (refused.active, refused.offered) == (False, False)
        refused.close()
        return calls(call("weather_now", {"city": "Ulm"}, id="a"))

    script = ScriptedProvider(change, text("Done."))
    async with open_runtime("sqlite://", plugins=[foreign, script]) as runtime:
        session = await runtime.sessions.create(
            location=str(tmp_path), model=script.model
        )
        with anyio.fail_after(HANG):
            await session.prompt("Go")
            await session.wait()
        page = await session.messages(order="asc")
    [message] = [one for one in page.items if isinstance(one, AssistantMessage)][:1]
    failure = message.calls[0].failure
    assert failure is not None
    assert failure.code == "tool.stale"
    names = [[tool.name for tool in one.tools] for one in script.requests]
    assert "weather_now" in names[0]
    assert "weather_now" not in names[1]
