"""What moved around a session that was left, by name."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve
from dovetail.kernel import (
    AgentProfile,
    ContextSource,
    ContextUnavailableError,
    ContinuationReport,
    Observation,
    Register,
    Rule,
    Tool,
    ToolContext,
    hookimpl,
)
from dovetail.kernel.testing import (
    Gate,
    ScriptedProvider,
    call,
    calls,
    text,
)
from dovetail.kernel.testing.memory_store import MemoryState
from support.bounds import HANG
from support.crashes import copied, on
from support.left import (
    Input,
    Ran,
    asking,
    asking_tool,
    left,
    report_of,
    request_waiting,
)
from support.logs import chained


async def _leave_for_moving(folder: Path, *, files: dict[str, str]) -> MemoryState:
    """Leave a session in its second Step; the first one read files."""
    gate = Gate()

    async def look(input: Input, context: ToolContext) -> str:
        for name, digest in files.items():
            context.saw(str(folder / name), digest)
        return "seen"

    ran = Ran()

    async def body(input: Input, context: ToolContext) -> str:
        await gate.pass_through()
        return ""

    return await left(
        folder,
        [calls(call("look")), calls(call("do"))],
        ran.tool(body=body),
        Ran().tool("pure", look, name="look"),
        at=gate,
        **_world(folder),
    )


class Versioned:
    """A plugin that offers nothing but a context source."""

    def __init__(self, name: str, say: str | Exception | None, key: str) -> None:
        self.name = name
        self._say = say
        self._key = key

    @hookimpl
    def dovetail_register_context(self, register: Register[ContextSource]) -> None:
        async def observe() -> Observation | None:
            if isinstance(self._say, Exception):
                raise self._say
            return Observation(self._say) if self._say is not None else None

        register(ContextSource(self._key, observe))


class Agents:
    name = "agents"

    def __init__(self, *profiles: AgentProfile) -> None:
        self._profiles = profiles

    @hookimpl
    def dovetail_register_agents(self, register: Register[AgentProfile]) -> None:
        for profile in self._profiles:
            register(profile)


BUILD = AgentProfile("build", rules=(Rule("*", "*", "allow"),))


def _world(folder: Path, **changes: Any) -> dict[str, Any]:
    """Return the options of a runtime in which one thing may be otherwise."""
    said = changes.pop("say", "It is sunny.")
    profile = evolve(BUILD, **changes.pop("profile", {}))
    return {
        "plugins": [
            *changes.pop("models", []),
            Versioned("weather", said, changes.pop("key", "test/weather")),
            Agents(profile),
            *changes.pop("more", []),
        ],
        **changes,
    }


MOVES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "context.changed": lambda folder: _world(folder, say="It rains."),
    "context.removed": lambda folder: _world(folder, say=None),
    "context.unavailable": lambda folder: _world(
        folder, say=ContextUnavailableError("test/weather", "the window is shut")
    ),
    "rules.changed": lambda folder: _world(
        folder, profile={"rules": (Rule("*", "*", "ask"),)}
    ),
}


@pytest.mark.law("recovery.5")
@pytest.mark.parametrize("code", MOVES)
async def test_what_moved_around_the_session_is_named(
    code: str, tmp_path: Path
) -> None:
    state = await _leave_for_moving(tmp_path, files={})
    same = await _moved(state, _world(tmp_path))
    assert same.moved == ()
    moved = await _moved(state, MOVES[code](tmp_path))
    assert [one.code for one in moved.moved] == [code]
    assert moved.digest != same.digest
    [one] = moved.moved
    if code.startswith("context"):
        assert one.what == "test/weather"
        assert one.before is not None
        assert (one.after is None) == (code != "context.changed")


async def _moved(
    state: MemoryState, world: dict[str, Any], *tools: Tool[Any, Any]
) -> ContinuationReport:
    given = tools or (Ran().tool(), Ran().tool("pure", name="look"))
    plugins = [ScriptedProvider(), *world.pop("plugins")]
    return await report_of(state, *given, plugins=plugins, **world)


@pytest.mark.law("recovery.5")
async def test_a_new_context_source_and_a_new_plugin_are_named(tmp_path: Path) -> None:
    state = await _leave_for_moving(tmp_path, files={})
    more = [Versioned("tides", "High.", "test/tides")]
    report = await _moved(state, _world(tmp_path, more=more))
    assert [(one.code, one.what) for one in report.moved] == [
        ("plugin.added", "tides"),
        ("context.added", "test/tides"),
    ]


@pytest.mark.law("recovery.5")
async def test_a_plugin_that_is_gone_or_another_version_is_named(
    tmp_path: Path,
) -> None:
    state = await _leave_for_moving(tmp_path, files={})
    world = _world(tmp_path)
    world["plugins"] = [one for one in world["plugins"] if one.name != "weather"]
    report = await _moved(state, world)
    assert [(one.code, one.what) for one in report.moved] == [
        ("plugin.removed", "weather"),
        ("context.removed", "test/weather"),
    ]
    records = state.events["it"]
    assert any(b'"weather":"given"' in record.data for record in records)
    # As if that plugin had come from a distribution then.
    state.events["it"] = chained(
        evolve(one, data=one.data.replace(b'"weather":"given"', b'"weather":"1.0"'))
        for one in records
    )
    last = state.events["it"][-1]
    state.heads["it"] = evolve(state.heads["it"], hash=last.hash)
    report = await _moved(state, _world(tmp_path))
    assert [(one.code, one.before, one.after) for one in report.moved] == [
        ("plugin.changed", "1.0", "given")
    ]


@pytest.mark.law("recovery.5")
@pytest.mark.parametrize("code", ["tool.changed", "tool.removed", "tool.added"])
async def test_a_tool_that_moved_is_named(code: str, tmp_path: Path) -> None:
    state = await _leave_for_moving(tmp_path, files={})
    do, look = Ran().tool(), Ran().tool("pure", name="look")
    given = {
        "tool.changed": (do, evolve(look, description="Look closely.")),
        "tool.removed": (do,),
        "tool.added": (do, look, Ran().tool(name="see")),
    }[code]
    report = await _moved(state, _world(tmp_path), *given)
    expected = "see" if code == "tool.added" else "look"
    assert [(one.code, one.what) for one in report.moved] == [(code, expected)]


@pytest.mark.law("recovery.5")
async def test_a_tool_of_another_effect_class_is_another_tool(tmp_path: Path) -> None:
    state = await _leave_for_moving(tmp_path, files={})
    given = Ran().tool("pure"), Ran().tool("pure", name="look")
    report = await _moved(state, _world(tmp_path), *given)
    assert [(one.code, one.what) for one in report.moved] == [("tool.changed", "do")]


@pytest.mark.law("recovery.5")
async def test_a_model_that_moved_is_named(tmp_path: Path) -> None:
    state = await _leave_for_moving(tmp_path, files={})
    other = ScriptedProvider(name="other")
    async with on(copied(state), plugins=[other], lives=1) as runtime:
        gone = await (await runtime.sessions.get("it")).continuation()
        assert ("model.gone", "scripted/model") in [
            (one.code, one.what) for one in gone.moved
        ]
    do, look = Ran().tool(), Ran().tool("pure", name="look")
    plugins = [ScriptedProvider(), other, *_world(tmp_path)["plugins"]]
    async with on(copied(state), do, look, plugins=plugins, lives=1) as runtime:
        session = await runtime.sessions.get("it")
        await session.switch_model("other/model")
        report = await session.continuation()
        assert [(one.code, one.before, one.after) for one in report.moved] == [
            ("model.changed", "scripted/model", "other/model"),
            ("plugin.added", None, "given"),
        ]


@pytest.mark.law("recovery.5")
async def test_an_agent_that_moved_is_named(tmp_path: Path) -> None:
    state = await _leave_for_moving(tmp_path, files={})
    for name, code in (("careful", "agent.changed"), ("nobody", "agent.gone")):
        plugins = [ScriptedProvider(), *_world(tmp_path)["plugins"]]
        careful = evolve(BUILD, name="careful")
        plugins[-1] = Agents(BUILD, careful)
        do, look = Ran().tool(), Ran().tool("pure", name="look")
        async with on(copied(state), do, look, plugins=plugins, lives=1) as runtime:
            session = await runtime.sessions.get("it")
            await session.switch_agent(name)
            report = await session.continuation()
            assert [one.code for one in report.moved] == [code]


@pytest.mark.law("recovery.5")
async def test_a_file_that_moved_is_named(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    for name in ("same", "changed", "removed", "odd"):
        (tmp_path / name).write_text("a", encoding="utf-8")
    files = dict.fromkeys(("same", "changed", "removed", "odd", "made"), digest("a"))
    files |= {"never": None, "appeared": None}
    state = await _leave_for_moving(tmp_path, files=files)
    (tmp_path / "changed").write_text("b", encoding="utf-8")
    (tmp_path / "removed").unlink()
    (tmp_path / "odd").unlink()
    (tmp_path / "odd").mkdir()
    (tmp_path / "appeared").write_text("c", encoding="utf-8")
    report = await _moved(state, _world(tmp_path))
    assert [(one.code, Path(one.what).name, one.after) for one in report.moved] == [
        ("file.changed", "appeared", digest("c")),
        ("file.changed", "changed", digest("b")),
        ("file.removed", "made", None),
        ("file.unchecked", "odd", None),
        ("file.removed", "removed", None),
    ]


@pytest.mark.law("recovery.5")
async def test_an_approval_that_went_is_named(tmp_path: Path) -> None:
    gate = Gate()

    async def body(input: Input, context: ToolContext) -> str:
        if input.word == "wait":
            await gate.pass_through()
        else:
            await context.ask("act", ["here"], save=["here"])
        return ""

    state = MemoryState()
    provider = ScriptedProvider(
        calls(call("do")), calls(call("do", {"word": "wait"}, id="2"))
    )
    async with on(state, Ran().tool(body=body), plugins=[provider]) as runtime:
        session = await runtime.sessions.create(
            id="it", location=tmp_path, model=provider.model
        )
        await session.prompt("Go.")
        permissions = runtime.location(tmp_path).permissions
        with anyio.fail_after(HANG):
            await permissions.reply(await request_waiting(runtime, session), "always")
            await gate.reached()
            await anyio.wait_all_tasks_blocked()
        state = copied(state)
    async with on(
        state, Ran().tool(), plugins=[ScriptedProvider()], lives=1
    ) as runtime:
        session = await runtime.sessions.get("it")
        assert (await session.continuation()).moved == ()
        permissions = runtime.location(tmp_path).permissions
        [saved] = await permissions.saved()
        await permissions.revoke(saved.id)
        gone = await session.continuation()
        assert [(one.code, one.what) for one in gone.moved] == [
            ("approval.removed", saved.id)
        ]


@pytest.mark.law("recovery.5")
async def test_an_approval_that_came_is_named(tmp_path: Path) -> None:
    state = await asking(tmp_path)
    provider = ScriptedProvider(calls(call("do")), text("done"))
    async with on(
        state, asking_tool(Ran(), "here", save=True), plugins=[provider], lives=1
    ) as runtime:
        other = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await other.prompt("Go.")
        permissions = runtime.location(tmp_path).permissions
        with anyio.fail_after(HANG):
            await permissions.reply(await request_waiting(runtime, other), "always")
            await other.wait()
        [saved] = await permissions.saved()
        report = await (await runtime.sessions.get("it")).continuation()
        assert [(one.code, one.what) for one in report.moved] == [
            ("approval.added", saved.id)
        ]
