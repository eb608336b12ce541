"""The registry: what is offered, what one request advertised, what is refused."""

from typing import Any

import pytest
from attrs import evolve, field, frozen
from dovetail.kernel import Tool, ToolDefinitionError
from dovetail.kernel.lifecycle.registrations import Registrations
from dovetail.kernel.tools.registry import (
    AdvertisedTools,
    RegisteredTool,
    ToolRegistry,
)


@frozen
class Nothing:
    pass


@frozen
class Path:
    path: str


async def execute(input: object, context: object) -> str:
    return "done"


def tool(name: str, **options: Any) -> Tool[Any, Any]:
    settings = {"description": "does it", "input": Nothing, "execute": execute}
    return Tool(name=name, **{**settings, **options})


def test_tools_are_advertised_in_name_order_with_their_schemas() -> None:
    registry = ToolRegistry()
    registry.register(tool("write", input=Path), "b")
    registry.register(tool("read"), "a")

    advertised = registry.advertise()

    assert advertised.names == ("read", "write")
    assert [one.name for one in advertised.definitions] == ["read", "write"]
    assert advertised.definitions[1].schema == {
        "type": "object",
        "properties": {"path": {"type": "string"}},
        "required": ["path"],
        "additionalProperties": False,
    }
    assert advertised.effect("read") == "unsafe"
    assert advertised.effect("missing") is None
    assert advertised.get("missing") is None


def test_the_snapshot_is_the_same_object_while_nothing_changed() -> None:
    registry = ToolRegistry()
    registry.register(tool("read"), "a")
    registry.register(tool("write"), "a")

    first, some = registry.advertise(), registry.advertise(["write", "nothing"])

    assert registry.advertise() is first
    assert registry.advertise(["nothing", "write"]) is some
    assert some.names == ("write",)

    registry.register(tool("bash"), "a")
    assert registry.advertise(["nothing", "write"]) is some
    assert registry.advertise().names == ("bash", "read", "write")
    assert first.names == ("read", "write")


def test_equal_definitions_stay_the_same_object_when_a_tool_is_replaced() -> None:
    registry = ToolRegistry()
    old = registry.register(tool("read"), "a")
    before = registry.advertise()

    old.close()
    new = registry.register(tool("read"), "a")
    after = registry.advertise()

    assert after is not before
    assert after.definitions is before.definitions
    assert after.get("read") is new
    assert before.get("read") is old


def test_nothing_is_advertised_by_an_empty_registry() -> None:
    assert ToolRegistry().advertise().definitions == ()
    assert AdvertisedTools().names == ()


@pytest.mark.law("plugins.2")
def test_closing_a_registration_reveals_what_it_shadowed() -> None:
    registry = ToolRegistry()
    below, above = tool("read"), tool("read")
    registry.register(below, "a", rank=0)
    top = registry.register(above, "z", rank=1)
    shadowing = registry.advertise().get("read")
    assert shadowing is not None
    assert shadowing.item.tool is above

    top.close()
    top.close()

    revealed = registry.advertise().get("read")
    assert revealed is not None
    assert revealed.item.tool is below
    assert not shadowing.active


@pytest.mark.law("plugins.5")
def test_the_owner_that_counts_does_not_depend_on_who_came_first() -> None:
    ours, theirs = tool("read"), tool("read")
    found = []
    for order in (("a", "b"), ("b", "a")):
        registry = ToolRegistry()
        for owner in order:
            registry.register(ours if owner == "a" else theirs, owner)
        entry = registry.advertise().get("read")
        assert entry is not None
        found.append(entry.item.tool)

    assert found == [theirs, theirs]


def test_registrations_can_be_shared_with_whoever_closes_them() -> None:
    registrations = Registrations[RegisteredTool]()
    registry = ToolRegistry(registrations)
    registry.register(tool("read"), "a")

    for one in registrations.all():
        one.close()

    assert registry.advertise().names == ()


@frozen
class Unshowable:
    it: set[str] = field(factory=set)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": ""}, "letter first"),
        ({"name": "1st"}, "letter first"),
        ({"name": "a" * 65}, "letter first"),
        ({"name": "read file"}, "letter first"),
        ({"name": "read\n"}, "letter first"),
        ({"name": "léger"}, "letter first"),
        ({"name": None}, "letter first"),
        ({"description": " \n"}, "says nothing"),
        ({"description": None}, "says nothing"),
        ({"description": "\ud800"}, "lone surrogate"),
        ({"input": str}, "not an attrs class"),
        ({"input": Unshowable}, "Unshowable.it"),
        ({"output": int}, "str or an attrs class"),
        ({"output": Unshowable}, "Unshowable.it"),
        ({"effect": "harmless"}, "effect must be one of"),
        ({"bound": "start"}, "bound must be one of"),
        ({"execute": "done"}, "a function, async or not"),
        ({"effect": "reconcilable"}, "needs a check"),
        ({"effect": "reconcilable", "check": "done"}, "check must be a function"),
        *(
            ({"effect": effect, "check": execute}, "only a reconcilable tool")
            for effect in ("pure", "idempotent", "unsafe")
        ),
        ({"render": "done"}, "plain function"),
        ({"render": execute}, "plain function"),
    ],
)
def test_a_tool_that_cannot_be_used_is_refused_at_once(
    changes: dict[str, Any], says: str
) -> None:
    registry = ToolRegistry()

    with pytest.raises(ToolDefinitionError, match="cannot be registered") as caught:
        registry.register(evolve(tool("read"), **changes), "a")

    assert says in str(caught.value)
    assert caught.value.code == "tool.definition_invalid"
    assert registry.advertise().names == ()


def test_a_reconcilable_tool_with_a_check_is_offered() -> None:
    registry = ToolRegistry()

    registry.register(tool("send", effect="reconcilable", check=execute), "a")

    assert registry.advertise().effect("send") == "reconcilable"


def test_something_that_is_no_tool_is_refused() -> None:
    with pytest.raises(ToolDefinitionError, match="not a Tool"):
        ToolRegistry().register("read", "a")  # type: ignore[arg-type]


# --- which model is offered what --------------------------------------------------


def offering(**models: Any) -> ToolRegistry:
    """Return what has ``read``, ``edit``, and ``patch`` for some instead of it."""
    registry = ToolRegistry(models=models)
    registry.register(tool("read"), "a")
    registry.register(tool("edit"), "a")
    for_some = {"models": ["*gpt-5*", "*codex*"], "instead_of": ["edit"]}
    registry.register(tool("patch", **for_some), "a")
    return registry


@pytest.mark.law("tools.12")
def test_a_model_is_offered_the_tools_that_are_for_it_instead_of_others() -> None:
    registry = offering()
    for model in ("openai/gpt-5.2", "router/openai/GPT-5-mini", "local/codex"):
        assert registry.advertise(model=model).names == ("patch", "read"), model
    for model in ("anthropic/claude-opus-4-5", "openai/gpt-4.1", ""):
        assert registry.advertise(model=model).names == ("edit", "read"), model
    assert registry.advertise().names == ("edit", "patch", "read")


@pytest.mark.law("tools.12")
def test_who_is_offered_a_tool_is_configured_by_its_name() -> None:
    nobody = offering(patch=())
    assert nobody.advertise(model="openai/gpt-5").names == ("edit", "read")
    everybody = offering(patch=("*",), absent=("x",))
    assert everybody.advertise(model="a/b").names == ("patch", "read")
    assert everybody.configured() == ("absent",)
    some = offering(read=("a/b",))
    assert some.advertise(model="c/d").names == ("edit",)


@pytest.mark.law("tools.12")
def test_a_tool_that_an_agent_lacks_takes_the_place_of_none() -> None:
    registry = offering()
    some = registry.advertise(["edit", "read"], model="openai/gpt-5")
    assert some.names == ("edit", "read")
    assert registry.advertise(["read", "edit"]) is some


@pytest.mark.parametrize(
    "options",
    [
        {"models": "gpt"},
        {"models": [""]},
        {"models": ["x" * 513]},
        {"instead_of": [1]},
        {"instead_of": None},
    ],
)
def test_whom_a_tool_is_for_is_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ToolDefinitionError, match="must be a list of texts"):
        ToolRegistry().register(tool("patch", **options), "a")
