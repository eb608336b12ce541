"""What is found after a crash, what is done about it, and who has to agree."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve, field, frozen
from dovetail.kernel import (
    AgentProfile,
    AssistantMessage,
    ContextSource,
    ContextUnavailableError,
    ContinuationChangedError,
    ContinuationReport,
    Deed,
    EffectClass,
    InvalidValueError,
    Observation,
    OpenCall,
    ProcessMark,
    Register,
    Rule,
    Runtime,
    Session,
    Tool,
    ToolContext,
    ToolFailure,
    effect_token,
    hookimpl,
)
from dovetail.kernel.execution.recovery import account
from dovetail.kernel.execution.takeover import UNCLEAR
from dovetail.kernel.history.messages import Receipt
from dovetail.kernel.testing import (
    Gate,
    ManualClock,
    ScriptedProvider,
    call,
    calls,
    finish,
    text,
)
from dovetail.kernel.testing.memory_store import MemoryState
from support.bounds import HANG
from support.crashes import copied, on
from support.hosts import kinds_of
from support.logs import chained


@frozen
class Input:
    word: str = ""


Body = Callable[[Input, ToolContext], Awaitable[str]]


@frozen
class Ran:
    """The executions of one tool."""

    tokens: list[str] = field(factory=list)

    def tool(
        self, effect: EffectClass = "unsafe", body: Body | None = None, **settings: Any
    ) -> Tool[Input, str]:
        async def execute(input: Input, context: ToolContext) -> str:
            self.tokens.append(context.effect_token)
            return "ran" if body is None else await body(input, context)

        if effect == "reconcilable":
            settings.setdefault("check", _cannot_tell)
        named = {"name": "do", "description": "Do it.", **settings}
        return Tool(input=Input, execute=execute, effect=effect, **named)


async def _cannot_tell(input: Input, context: ToolContext) -> str | None:
    raise ToolFailure("nobody answers there")


async def left(
    folder: Path,
    model: Sequence[Any],
    *tools: Tool[Any, Any],
    plugins: Sequence[object] = (),
    at: Gate,
    before: Callable[[Session], Awaitable[object]] | None = None,
    **options: Any,
) -> MemoryState:
    """Return what a process leaves that dies when somebody comes to a gate."""
    state = MemoryState()
    provider = ScriptedProvider(*model)
    async with on(state, *tools, plugins=[provider, *plugins], **options) as runtime:
        session = await runtime.sessions.create(
            id="it", location=folder, model=provider.model
        )
        await session.prompt("Go.")
        with anyio.fail_after(HANG):
            await at.reached()
            # What is on its way to the store is durable in the next instant.
            await anyio.wait_all_tasks_blocked()
            if before is not None:
                await before(session)
        return copied(state)


async def in_a_call(
    folder: Path, effect: EffectClass = "unsafe", **settings: Any
) -> MemoryState:
    """Return what a process leaves that dies inside a call of ``do``."""
    gate = Gate()

    async def body(input: Input, context: ToolContext) -> str:
        await gate.pass_through()
        return "too late"

    options = settings.pop("options", {})
    tool = Ran().tool(effect, body, **settings)
    return await left(folder, [calls(call("do"))], tool, at=gate, **options)


async def report_of(
    state: MemoryState, *tools: Tool[Any, Any], **options: Any
) -> ContinuationReport:
    options.setdefault("plugins", [ScriptedProvider()])
    async with on(copied(state), *tools, lives=1, **options) as runtime:
        return await (await runtime.sessions.get("it")).continuation()


async def codes_of(session: Session) -> list[str]:
    """Return the failure of each call, or how it is otherwise."""
    return [
        part.failure.code if part.failure else part.state
        for message in await session.history()
        if isinstance(message, AssistantMessage)
        for part in message.calls
    ]


async def accept(session: Session) -> Any:
    with anyio.fail_after(HANG):
        return await session.resume(accept=(await session.continuation()).digest)


# --- listing ----------------------------------------------------------------------


async def test_a_session_that_nobody_holds_any_more_is_listed_as_lost(
    tmp_path: Path,
) -> None:
    seen: list[str] = []

    async def look(session: Session) -> None:
        seen.append((await session.info()).status)

    gate = Gate()

    async def body(input: Input, context: ToolContext) -> str:
        await gate.pass_through()
        return ""

    tool = Ran().tool(body=body)
    state = await left(tmp_path, [calls(call("do"))], tool, at=gate, before=look)
    assert seen == ["running"]
    provider = ScriptedProvider(text("done"))
    async with on(state, Ran().tool(), plugins=[provider], lives=1) as runtime:
        [listed] = await runtime.sessions.list()
        session = await runtime.sessions.get("it")
        assert listed.status == (await session.info()).status == "lost"
        assert (await accept(session)).succeeded
        assert (await session.info()).status == "idle"


# --- the report -------------------------------------------------------------------


@pytest.mark.law("recovery.4")
async def test_the_report_says_what_is_trusted_and_who_left_what(
    tmp_path: Path,
) -> None:
    gate = Gate()
    ran = Ran()

    async def body(input: Input, context: ToolContext) -> str:
        await gate.pass_through()
        return ""

    async def before(session: Session) -> None:
        await session.prompt("One.", key="one", delivery="queue")
        gone = await session.prompt("Two.", delivery="queue")
        await session.withdraw(gone.id)

    state = await left(
        tmp_path, [calls(call("do"))], ran.tool(body=body), at=gate, before=before
    )
    events = {record.seq: record for record in state.events["it"]}
    async with on(state, ran.tool(), plugins=[ScriptedProvider()], lives=1) as runtime:
        session = await runtime.sessions.get("it")
        report = await session.continuation()
        assert report == await session.continuation()
        happened = [event async for event in session.events()]
    started = next(one for one in happened if one.kind == "execution.started")
    trusted = next(one for one in happened if one.kind == "tool.started")
    admitted = [one.input_id for one in happened if one.kind == "prompt.admitted"]
    assert report.session_id == "it"
    assert report.location.directory == str(tmp_path)
    assert (report.previous_owner, report.ended) == (started.owner, "lost")
    assert report.trusted_seq == trusted.seq
    assert report.trusted_hash == events[trusted.seq].hash.hex()
    assert (report.promoted, report.pending, report.withdrawn) == tuple(
        (one,) for one in admitted
    )
    message = next(one for one in happened if one.kind == "step.started").message_id
    assert report.calls == (
        OpenCall("call_do", message, "do", "unsafe", "unknown", "settle"),
    )
    assert report.moved == ()
    assert not report.clean


async def test_a_session_that_nobody_left_has_nothing_to_report(tmp_path: Path) -> None:
    provider = ScriptedProvider(text("Hi."))
    async with on(MemoryState(), plugins=[provider]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        fresh = await session.continuation()
        assert (fresh.ended, fresh.previous_owner, fresh.clean) == ("never", None, True)
        await session.prompt("Go.")
        with anyio.fail_after(HANG):
            await session.wait()
        ended = await session.continuation()
        assert (ended.ended, ended.calls, ended.clean) == ("ended", (), True)


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
            await permissions.reply(await _waiting(runtime, session), "always")
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


async def _asked_after(session: Session, seq: int) -> None:
    """Return once a call has asked, or asked again, since an event."""
    async with session.events(after=seq, follow=True) as events:
        async for event in events:
            if event.kind == "request.asked":
                return


@pytest.mark.law("recovery.5")
async def test_an_approval_that_came_is_named(tmp_path: Path) -> None:
    state = await _asking(tmp_path)
    provider = ScriptedProvider(calls(call("do")), text("done"))
    async with on(
        state, _asks(Ran(), "here", save=True), plugins=[provider], lives=1
    ) as runtime:
        other = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await other.prompt("Go.")
        permissions = runtime.location(tmp_path).permissions
        with anyio.fail_after(HANG):
            await permissions.reply(await _waiting(runtime, other), "always")
            await other.wait()
        [saved] = await permissions.saved()
        report = await (await runtime.sessions.get("it")).continuation()
        assert [(one.code, one.what) for one in report.moved] == [
            ("approval.added", saved.id)
        ]


async def _waiting(runtime: Runtime, session: Session) -> str:
    """Return the id of the request that waits in a session, once there is one."""
    location = (await session.info()).location
    permissions = runtime.location(location).permissions
    async with session.events(follow=True) as events:
        async for event in events:
            if event.kind == "request.asked" and (
                # Those of before are answered.
                waiting := await permissions.pending(session.id)
            ):
                return waiting[0].id
    raise AssertionError("the session ended")


# --- what was left, and what is done ----------------------------------------------


@pytest.mark.law("recovery.2")
@pytest.mark.parametrize("effect", ["pure", "idempotent"])
async def test_a_call_that_may_be_repeated_runs_again_with_its_token(
    effect: EffectClass, tmp_path: Path
) -> None:
    state = await in_a_call(tmp_path, effect)
    ran = Ran()
    provider = ScriptedProvider(text("done"))
    async with on(state, ran.tool(effect), plugins=[provider], lives=1) as runtime:
        session = await runtime.sessions.get("it")
        [open_call] = (await session.continuation()).calls
        assert (open_call.known, open_call.action) == ("unknown", "run")
        outcome = await accept(session)
        assert outcome.succeeded
        assert ran.tokens == [
            effect_token("it", open_call.message_id, open_call.call_id)
        ]
        assert await codes_of(session) == ["succeeded"]
        # The model is sent what came of it.
        [sent] = provider.histories
        assert [part.text for part in sent[1].calls] == ["ran"]  # type: ignore[union-attr]


@pytest.mark.law("recovery.2")
async def test_an_unsafe_call_is_never_repeated_and_the_model_is_told(
    tmp_path: Path,
) -> None:
    state = await in_a_call(tmp_path)
    ran = Ran()
    provider = ScriptedProvider(text("done"))
    async with on(state, ran.tool(), plugins=[provider], lives=1) as runtime:
        session = await runtime.sessions.get("it")
        assert (await accept(session)).succeeded
        assert ran.tokens == []
        assert await codes_of(session) == ["tool.interrupted"]
        [sent] = provider.histories
        assert "is not repeated by itself" in sent[1].calls[0].text  # type: ignore[union-attr]


@pytest.mark.law("recovery.8")
@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            "One process still ran and got ended.",
            " One process still ran and got ended.",
        ),
        (None, ""),
        (ToolFailure("no"), f" {UNCLEAR}"),
        (LookupError("a defect"), f" {UNCLEAR}"),
    ],
    ids=["found", "nothing", "cannot tell", "breaks"],
)
@pytest.mark.parametrize("effect", ["unsafe", "reconcilable", "idempotent"])
async def test_what_a_call_left_running_is_cleared_before_anything_else_is_done(
    found: Any, said: str, effect: EffectClass, tmp_path: Path
) -> None:
    mark = ProcessMark(7, "1234", "here")
    gate = Gate()
    order: list[str] = []

    async def body(input: Input, context: ToolContext) -> str:
        await context.spawns(mark)
        assert context.processes == (mark,)
        await gate.pass_through()
        return "too late"

    async def again(input: Input, context: ToolContext) -> str:
        order.append("run")
        return "ran"

    async def clear(input: Input, context: ToolContext) -> str | None:
        assert context.processes == (mark,)
        order.append("clear")
        if isinstance(found, Exception):
            raise found
        return found  # type: ignore[no-any-return]

    state = await left(tmp_path, [calls(call("do"))], Ran().tool(effect, body), at=gate)
    tool = Ran().tool(effect, again, clear=clear)
    provider = ScriptedProvider(text("done"))
    async with on(state, tool, plugins=[provider], lives=1) as runtime:
        session = await runtime.sessions.get("it")
        assert (await accept(session)).succeeded
        [sent] = provider.histories
        if effect == "idempotent":
            assert order == ["clear", "run"]
        else:
            assert order == ["clear"]
            told = sent[1].calls[0].text  # type: ignore[union-attr]
            if effect == "reconcilable":
                said += " Its tool says: nobody answers there"
            assert told.endswith(f"Check before you rely on either.{said}")


async def three(context: ToolContext) -> None:
    """Do three things, one after another."""
    for name in ("make a", "make b", "make c"):
        await context.does(name, {"name": name})


@pytest.mark.law("recovery.9")
@pytest.mark.parametrize("effect", ["unsafe", "reconcilable"])
async def test_what_a_cut_off_call_did_is_told_to_the_model_and_to_the_person(
    effect: EffectClass, tmp_path: Path
) -> None:
    gate = Gate()
    seen: list[tuple[Deed, ...]] = []

    async def body(input: Input, context: ToolContext) -> str:
        await three(context)
        await gate.pass_through()
        return "too late"

    async def check(input: Input, context: ToolContext) -> str | None:
        seen.append(tuple(context.deeds))
        raise ToolFailure("c is not there.")

    state = await left(tmp_path, [calls(call("do"))], Ran().tool(effect, body), at=gate)
    checked = {"check": check} if effect == "reconcilable" else {}
    provider = ScriptedProvider(text("done"))
    tool = Ran().tool(effect, **checked)
    async with on(state, tool, plugins=[provider], lives=1) as runtime:
        session = await runtime.sessions.get("it")
        [open_call] = (await session.continuation()).calls
        assert (open_call.done, open_call.doing) == (("make a", "make b"), ("make c",))
        assert (await accept(session)).succeeded
        told = provider.histories[0][1].calls[0].text  # type: ignore[union-attr]
    assert (
        "It had done this: make a; make b. This may or may not be done: make c. "
        "It began nothing after that."
    ) in told
    if effect == "reconcilable":
        assert told.endswith("Its tool says: c is not there.")
        names = ("make a", "make b", "make c")
        assert seen == [tuple(Deed(name, {"name": name}) for name in names)]


@pytest.mark.law("recovery.9")
async def test_what_an_interrupted_or_a_broken_call_did_is_told_to_the_model(
    tmp_path: Path,
) -> None:
    gate = Gate()

    async def body(input: Input, context: ToolContext) -> str:
        await three(context)
        if input.word == "break":
            raise LookupError("a defect")
        await gate.pass_through()
        return "too late"

    provider = ScriptedProvider(
        calls(
            call("do", {"word": "break"}, id="1"), call("do", {"word": "wait"}, id="2")
        ),
        text("done"),
    )
    tool = Ran().tool(body=body)
    async with on(MemoryState(), tool, plugins=[provider]) as runtime:
        session = await runtime.sessions.create(
            id="it", location=tmp_path, model=provider.model
        )
        await session.prompt("Go.")
        with anyio.fail_after(HANG):
            await gate.reached()
            await session.interrupt()
            await session.wait()
            await session.prompt("And?")
            assert (await session.wait()).succeeded
    [broken, stopped] = provider.histories[-1][1].calls  # type: ignore[union-attr]
    for one in (broken, stopped):
        assert "It had done this: make a; make b." in one.text
        assert "may or may not be done: make c." in one.text


@pytest.mark.law("recovery.9")
async def test_what_was_left_in_the_middle_stays_unknown_when_the_call_runs_again(
    tmp_path: Path,
) -> None:
    first, second = Gate(), Gate()

    async def body(input: Input, context: ToolContext) -> str:
        gate = second if context.deeds else first
        await context.does("knock")
        await context.does("ring")
        await gate.pass_through()
        return "too late"

    tool = Ran().tool("idempotent", body)
    state = await left(tmp_path, [calls(call("do"))], tool, at=first)
    async with on(state, tool, plugins=[ScriptedProvider()], lives=1) as runtime:
        session = await runtime.sessions.get("it")
        digest = (await session.continuation()).digest
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(session.resume, accept=digest))
            with anyio.fail_after(HANG):
                await second.reached()
                await anyio.wait_all_tasks_blocked()
            again = copied(state)
            tasks.cancel_scope.cancel()
    async with on(again, tool, plugins=[ScriptedProvider()], lives=2) as runtime:
        session = await runtime.sessions.get("it")
        [open_call] = (await session.continuation()).calls
    assert open_call.done == ("knock", "knock")
    assert open_call.doing == ("ring", "ring")


@pytest.mark.law("recovery.9")
async def test_what_a_call_says_that_it_does_is_bounded(tmp_path: Path) -> None:
    refused: list[str] = []

    async def body(input: Input, context: ToolContext) -> str:
        for given, data in (("", None), ("x" * 501, None), ("x", "y" * 10_001)):
            try:
                await context.does(given, data)
            except InvalidValueError as error:
                refused.append(str(error))
        assert context.deeds == ()
        return "done"

    provider = ScriptedProvider(calls(call("do")), text("done"))
    async with on(MemoryState(), Ran().tool(body=body), plugins=[provider]) as runtime:
        session = await runtime.sessions.create(
            id="it", location=tmp_path, model=provider.model
        )
        await session.prompt("Go.")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
    assert len(refused) == 3


def test_of_very_many_deeds_the_first_and_the_last_are_told() -> None:
    told = account(Receipt(tuple(f"make {number}" for number in range(500))))
    assert told.startswith("It had done this: make 0; make 1;")
    assert "; make 49; and 400 between these; make 450;" in told


@pytest.mark.law("recovery.2")
@pytest.mark.parametrize(
    ("answer", "code", "runs"),
    [
        ("it had happened", "succeeded", 0),
        (None, "succeeded", 1),
        (ToolFailure("nobody answers"), "tool.interrupted", 0),
        (LookupError("a defect"), "tool.interrupted", 0),
    ],
    ids=["yes", "no", "cannot tell", "breaks"],
)
async def test_a_reconcilable_call_is_asked_after_first(
    answer: Any, code: str, runs: int, tmp_path: Path
) -> None:
    asked: list[str] = []

    async def check(input: Input, context: ToolContext) -> str | None:
        asked.append(context.effect_token)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    state = await in_a_call(tmp_path, "reconcilable")
    ran = Ran()
    tool = ran.tool("reconcilable", check=check)
    async with on(
        state, tool, plugins=[ScriptedProvider(text("done"))], lives=1
    ) as runtime:
        session = await runtime.sessions.get("it")
        [open_call] = (await session.continuation()).calls
        assert (open_call.known, open_call.action) == ("unknown", "check")
        assert (await accept(session)).succeeded
        assert asked == [effect_token("it", open_call.message_id, open_call.call_id)]
        assert ran.tokens == asked * runs
        assert await codes_of(session) == [code]


async def _called_only(folder: Path) -> MemoryState:
    """Leave an unsafe call whose start was never recorded."""
    state = await in_a_call(folder)
    records = state.events["it"]
    assert records[-1].kind == "tool.started"
    head = state.heads["it"]
    state.events["it"] = records[:-1]
    state.log = [one for one in state.log if one.kind != "tool.started"]
    state.heads["it"] = evolve(head, seq=head.seq - 1, hash=records[-2].hash)
    return state


@pytest.mark.law("recovery.3")
async def test_a_call_whose_start_was_not_recorded_runs_whatever_its_class(
    tmp_path: Path,
) -> None:
    state = await _called_only(tmp_path)
    ran = Ran()
    async with on(
        state, ran.tool(), plugins=[ScriptedProvider(text("done"))], lives=1
    ) as runtime:
        session = await runtime.sessions.get("it")
        report = await session.continuation()
        assert [(one.known, one.action) for one in report.calls] == [
            ("not_started", "run")
        ]
        assert report.clean
        with anyio.fail_after(HANG):
            assert (await session.resume()).succeeded
        assert len(ran.tokens) == 1
        assert await codes_of(session) == ["succeeded"]


@pytest.mark.law("recovery.3")
async def test_parallel_calls_are_told_apart(tmp_path: Path) -> None:
    slow, more = Gate(), Gate()

    async def body(input: Input, context: ToolContext) -> str:
        if input.word == "slow":
            await slow.pass_through()
        return input.word

    state = await left(
        tmp_path,
        [
            [
                call("do", {"word": "quick"}, id="1"),
                call("do", {"word": "slow"}, id="2"),
                call("nosuch", id="3"),
                more,
                finish("tool_calls"),
            ]
        ],
        Ran().tool(body=body),
        at=more,
    )
    ran = Ran()
    provider = ScriptedProvider(text("done"))
    async with on(state, ran.tool(), plugins=[provider], lives=1) as runtime:
        session = await runtime.sessions.get("it")
        report = await session.continuation()
        assert [(one.call_id, one.known, one.action) for one in report.calls] == [
            ("1", "completed", "none"),
            ("2", "unknown", "settle"),
            ("3", "completed", "none"),
        ]
        await accept(session)
        assert ran.tokens == []
        assert await codes_of(session) == [
            "succeeded",
            "tool.interrupted",
            "tool.unknown",
        ]


@pytest.mark.law("tools.3")
@pytest.mark.parametrize("how", ["changed", "removed"])
async def test_a_call_of_a_tool_that_is_another_one_now_is_not_run(
    how: str, tmp_path: Path
) -> None:
    now = Ran()
    given = [now.tool(description="Do it otherwise.")] if how == "changed" else []
    for state, code in (
        (await _called_only(tmp_path), "tool.stale"),
        (await in_a_call(tmp_path), "tool.interrupted"),
    ):
        provider = ScriptedProvider(text("done"))
        async with on(state, *given, plugins=[provider], lives=1) as runtime:
            session = await runtime.sessions.get("it")
            assert (await accept(session)).succeeded
            assert await codes_of(session) == [code]
    assert now.tokens == []


@pytest.mark.law("recovery.1")
async def test_a_stream_that_was_cut_off_keeps_what_was_durable_and_goes_on(
    tmp_path: Path,
) -> None:
    more = Gate()
    state = await left(
        tmp_path,
        [[*text("Half an ")[:1], call("do"), more]],
        Ran().tool("pure"),
        at=more,
    )
    provider = ScriptedProvider(text("answer."))
    async with on(
        state, Ran().tool("pure"), plugins=[provider], lives=1, resume="clean"
    ) as runtime:
        session = await runtime.sessions.get("it")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        _, cut, rest = await session.history()
        assert isinstance(cut, AssistantMessage)
        assert isinstance(rest, AssistantMessage)
        assert (cut.text, rest.text) == ("Half an ", "answer.")
        assert cut.failure is not None
        assert cut.failure.code == "execution.interrupted"


@pytest.mark.law("inbox.5")
async def test_queued_input_waits_until_what_was_cut_off_is_answered(
    tmp_path: Path,
) -> None:
    gate = Gate()

    async def body(input: Input, context: ToolContext) -> str:
        await gate.pass_through()
        return ""

    async def before(session: Session) -> None:
        await session.prompt("Later.", delivery="queue")

    state = await left(
        tmp_path, [calls(call("do"))], Ran().tool(body=body), at=gate, before=before
    )
    provider = ScriptedProvider(text("I am back."), text("Now that."))
    async with on(state, Ran().tool(), plugins=[provider], lives=1) as runtime:
        session = await runtime.sessions.get("it")
        assert (await accept(session)).succeeded
        said = [
            message.text
            for message in await session.history()
            if hasattr(message, "text")
        ]
        assert [one for one in said if one] == [
            "Go.",
            "I am back.",
            "Later.",
            "Now that.",
        ]


# --- permissions ------------------------------------------------------------------


async def _asking(folder: Path, asks: Sequence[str] = ("here",)) -> MemoryState:
    """Leave an unsafe call that waits for the last of these permissions."""
    state = MemoryState()
    provider = ScriptedProvider(calls(call("do")))
    async with on(state, _asks(Ran(), *asks), plugins=[provider]) as runtime:
        session = await runtime.sessions.create(
            id="it", location=folder, model=provider.model
        )
        await session.prompt("Go.")
        permissions = runtime.location(folder).permissions
        with anyio.fail_after(HANG):
            for _ in asks[1:]:
                await permissions.reply(await _waiting(runtime, session), "once")
            await _waiting(runtime, session)
            await anyio.wait_all_tasks_blocked()
        return copied(state)


def _asks(ran: Ran, *places: str, save: bool = False) -> Tool[Input, str]:
    async def body(input: Input, context: ToolContext) -> str:
        for place in places:
            await context.ask("act", [place], save=[place] if save else [])
        return "acted"

    return ran.tool(body=body)


@pytest.mark.law("access.5")
@pytest.mark.law("recovery.3")
@pytest.mark.parametrize("first", ["answer", "accept"])
async def test_a_call_that_waits_for_permission_goes_on_in_either_order(
    first: str, tmp_path: Path
) -> None:
    state = await _asking(tmp_path)
    ran = Ran()
    async with on(
        state,
        _asks(ran, "here"),
        plugins=[ScriptedProvider(text("done"))],
        lives=1,
    ) as runtime:
        session = await runtime.sessions.get("it")
        permissions = runtime.location(tmp_path).permissions
        report = await session.continuation()
        assert [one.known for one in report.calls] == ["not_started"]
        [waiting] = await permissions.pending()
        async with anyio.create_task_group() as tasks:
            if first == "answer":
                await permissions.reply(waiting.id, "once")
                report = await session.continuation()
                assert [one.known for one in report.calls] == ["not_started"]
            tasks.start_soon(accept, session)
            await anyio.wait_all_tasks_blocked()
            if first == "accept":
                await permissions.reply(waiting.id, "once")
        assert await codes_of(session) == ["succeeded"]
        assert len(ran.tokens) == 1
        assert await permissions.pending() == []


@pytest.mark.law("recovery.2")
async def test_a_second_question_does_not_prove_that_nothing_happened(
    tmp_path: Path,
) -> None:
    state = await _asking(tmp_path, ["here", "there"])
    ran = Ran()
    async with on(
        state,
        _asks(ran, "here", "there"),
        plugins=[ScriptedProvider(text("done"))],
        lives=1,
    ) as runtime:
        session = await runtime.sessions.get("it")
        report = await session.continuation()
        assert [(one.known, one.action) for one in report.calls] == [
            ("unknown", "settle")
        ]
        assert (await accept(session)).succeeded
        assert ran.tokens == []
        # Nobody is asked any more for what will not be done.
        assert await runtime.location(tmp_path).permissions.pending() == []


@pytest.mark.law("access.5")
async def test_a_question_of_a_call_that_is_stale_is_not_left_open(
    tmp_path: Path,
) -> None:
    state = await _asking(tmp_path)
    async with on(state, plugins=[ScriptedProvider(text("done"))], lives=1) as runtime:
        session = await runtime.sessions.get("it")
        assert (await accept(session)).succeeded
        assert await codes_of(session) == ["tool.stale"]
        assert await runtime.location(tmp_path).permissions.pending() == []


@pytest.mark.law("access.5")
async def test_a_question_that_a_call_does_not_ask_again_is_not_left_open(
    tmp_path: Path,
) -> None:
    state = await _asking(tmp_path)
    ran = Ran()
    async with on(
        state, _asks(ran), plugins=[ScriptedProvider(text("done"))], lives=1
    ) as runtime:
        session = await runtime.sessions.get("it")
        assert (await accept(session)).succeeded
        assert len(ran.tokens) == 1
        assert await runtime.requests.pending() == []


@pytest.mark.law("access.5")
async def test_a_question_may_outlive_two_crashes(tmp_path: Path) -> None:
    state = await _asking(tmp_path)
    plugins = [ScriptedProvider(text("done"))]
    again = None
    async with on(
        state, _asks(Ran(), "here"), plugins=plugins, lives=1, resume="always"
    ) as runtime:
        session = await runtime.sessions.get("it")
        with anyio.fail_after(HANG):
            await _asked_after(session, len(state.events["it"]) - 1)
        again = copied(state)
    ran = Ran()
    async with on(again, _asks(ran, "here"), plugins=plugins, lives=2) as runtime:
        session = await runtime.sessions.get("it")
        report = await session.continuation()
        assert [one.known for one in report.calls] == ["not_started"]
        permissions = runtime.location(tmp_path).permissions
        [waiting] = await permissions.pending()
        await permissions.reply(waiting.id, "once")
        assert (await accept(session)).succeeded
        assert len(ran.tokens) == 1


@pytest.mark.law("execution.2")
@pytest.mark.law("recovery.2")
async def test_a_worker_that_lost_the_session_while_it_asked_does_not_act(
    tmp_path: Path,
) -> None:
    acted: list[str] = []

    def asking(name: str) -> Tool[Input, str]:
        async def body(input: Input, context: ToolContext) -> str:
            await context.ask("act", ["here"])
            acted.append(name)
            return name

        return Ran().tool(body=body)

    state = MemoryState()
    provider = ScriptedProvider(calls(call("do")), text("done"))
    async with on(state, asking("old"), plugins=[provider], lease_seconds=3600) as old:
        session = await old.sessions.create(
            id="it", location=tmp_path, model=provider.model
        )
        await session.prompt("Go.")
        with anyio.fail_after(HANG):
            await _waiting(old, session)
            before = (await session.continuation()).trusted_seq
            clock = ManualClock()
            async with on(
                state, asking("new"), plugins=[provider], clock=clock, resume="always"
            ) as new:
                await anyio.wait_all_tasks_blocked()
                # As if the old worker had slept for longer than its lease.
                clock.advance(3601)
                other = await new.sessions.get("it")
                await _asked_after(other, before)
                permissions = new.location(tmp_path).permissions
                await permissions.reply(await _waiting(new, other), "once")
                assert (await other.wait()).succeeded
                await anyio.wait_all_tasks_blocked()
                assert await codes_of(other) == ["succeeded"]
    assert acted == ["new"]


# --- who has to agree -------------------------------------------------------------


@pytest.mark.law("recovery.4")
async def test_nothing_goes_on_by_itself_by_default(tmp_path: Path) -> None:
    state = await in_a_call(tmp_path, "pure")
    ran = Ran()
    provider = ScriptedProvider(text("done"))
    async with on(state, ran.tool("pure"), plugins=[provider], lives=1) as runtime:
        session = await runtime.sessions.get("it")
        await anyio.wait_all_tasks_blocked()
        assert (await kinds_of(session))[-1] == "tool.started"
        with anyio.fail_after(HANG):
            outcome = await session.resume()
        assert (outcome.status, outcome.reason.code) == (
            "paused",
            "continuation.unaccepted",
        )
        assert (await session.info()).outcome == outcome
        assert await session.wait() == outcome
    assert ran.tokens == []
    assert provider.requests == []


@pytest.mark.law("recovery.4")
@pytest.mark.parametrize(
    ("policy", "effect", "moved", "goes_on", "by"),
    [
        ("report", "unsafe", False, False, None),
        ("clean", "unsafe", False, False, None),
        ("clean", "not_started", False, True, "clean"),
        ("clean", "not_started", True, False, None),
        ("always", "unsafe", False, True, "policy"),
        ("always", "not_started", True, True, "policy"),
        ("always", "not_started", False, True, "clean"),
    ],
)
async def test_a_policy_decides_who_agrees(
    policy: str,
    effect: str,
    moved: bool,
    goes_on: bool,
    by: str | None,
    tmp_path: Path,
) -> None:
    state = (
        await _called_only(tmp_path)
        if effect == "not_started"
        else await in_a_call(tmp_path)
    )
    provider = ScriptedProvider(text("done"))
    more = [Ran().tool(name="new")] if moved else []
    async with on(
        state, Ran().tool(), *more, plugins=[provider], lives=1, resume=policy
    ) as runtime:
        session = await runtime.sessions.get("it")
        with anyio.fail_after(HANG):
            await session.wait()
        events = [event async for event in session.events()]
    accepted = [one for one in events if one.kind == "continuation.accepted"]
    assert [one.by for one in accepted] == ([by] if by else [])
    assert len(provider.requests) == (1 if goes_on else 0)
    kinds = [one.kind for one in events]
    if goes_on:
        at = kinds.index("continuation.reported")
        assert kinds[at : at + 3] == [
            "continuation.reported",
            "continuation.accepted",
            "execution.started",
        ]
        assert accepted[0].digest == events[at].digest
        assert accepted[0].attempt == 1


@pytest.mark.law("recovery.4")
async def test_a_person_accepts_by_digest_and_that_is_an_event(tmp_path: Path) -> None:
    state = await in_a_call(tmp_path)
    async with on(
        state, Ran().tool(), plugins=[ScriptedProvider(text("done"))], lives=1
    ) as runtime:
        session = await runtime.sessions.get("it")
        report = await session.continuation()
        assert (await accept(session)).succeeded
        [accepted] = [
            one async for one in session.events() if one.kind == "continuation.accepted"
        ]
        assert (accepted.by, accepted.digest, accepted.attempt) == (
            "person",
            report.digest,
            0,
        )


@pytest.mark.law("recovery.4")
async def test_a_new_prompt_accepts_and_the_same_one_again_does_not(
    tmp_path: Path,
) -> None:
    state = await in_a_call(tmp_path)
    provider = ScriptedProvider(text("done"))
    async with on(state, Ran().tool(), plugins=[provider], lives=1) as runtime:
        session = await runtime.sessions.get("it")
        await session.prompt("Wait.", key="k", resume=False)
        with anyio.fail_after(HANG):
            await session.prompt("Wait.", key="k")
            assert (await session.wait()).status == "paused"
            await session.prompt("And now?")
            assert (await session.wait()).succeeded
        [accepted] = [
            one async for one in session.events() if one.kind == "continuation.accepted"
        ]
        assert accepted.by == "prompt"
        said = [one.text for one in await session.history() if one.type == "user"]
        assert said == ["Go.", "Wait.", "And now?"]


@pytest.mark.law("recovery.4")
async def test_a_report_that_changed_meanwhile_is_not_accepted(tmp_path: Path) -> None:
    state = await in_a_call(tmp_path)
    async with on(
        state, Ran().tool(), plugins=[ScriptedProvider()], lives=1
    ) as runtime:
        session = await runtime.sessions.get("it")
        old = await session.continuation()
        await session.prompt("Something else.", resume=False)
        new = await session.continuation()
        assert old.digest != new.digest
        with pytest.raises(ContinuationChangedError) as caught:
            await session.resume(accept=old.digest)
        assert caught.value.code == "continuation.changed"
        with pytest.raises(ContinuationChangedError):
            await session.resume(accept="nonsense")
        assert "continuation.accepted" not in await kinds_of(session)
        assert not runtime.sessions._coordinator.busy("it")


@pytest.mark.law("recovery.4")
async def test_a_report_is_recorded_once_as_long_as_it_is_the_same(
    tmp_path: Path,
) -> None:
    state = await in_a_call(tmp_path)
    for lives in (1, 2, 3):
        async with on(
            state, Ran().tool(), plugins=[ScriptedProvider()], lives=lives
        ) as runtime:
            session = await runtime.sessions.get("it")
            with anyio.fail_after(HANG):
                for _ in range(2):
                    assert (await session.resume()).status == "paused"
            kinds = await kinds_of(session)
            assert kinds.count("continuation.reported") == 1
            [recorded] = [
                one
                async for one in session.events()
                if one.kind == "continuation.reported"
            ]
            shown = await session.continuation()
            assert recorded.digest == shown.digest
            assert recorded.report["trusted_hash"] == shown.trusted_hash


@pytest.mark.law("recovery.6")
async def test_going_on_by_itself_is_counted_and_ends(tmp_path: Path) -> None:
    state = await in_a_call(tmp_path, "pure")
    for lives in range(1, 12):
        gate = Gate()

        async def body(input: Input, context: ToolContext, gate: Gate = gate) -> str:
            await gate.pass_through()
            return ""

        provider = ScriptedProvider()
        async with on(
            state,
            Ran().tool("pure", body),
            plugins=[provider],
            lives=lives,
            resume="always",
        ) as runtime:
            session = await runtime.sessions.get("it")
            with anyio.fail_after(HANG):
                if lives <= 10:
                    await gate.reached()
                    await anyio.wait_all_tasks_blocked()
                else:
                    outcome = await session.wait()
                    assert outcome.status == "paused"
            attempts = [
                one.attempt
                async for one in session.events()
                if one.kind == "continuation.accepted"
            ]
            assert attempts == list(range(1, min(lives, 10) + 1))
            last = copied(state)
        state = last
    # A person may let it try again, and it counts anew once a Step ended.
    provider = ScriptedProvider(text("done"))
    async with on(
        state, Ran().tool("pure"), plugins=[provider], lives=12, resume="always"
    ) as runtime:
        session = await runtime.sessions.get("it")
        assert (await accept(session)).succeeded


@pytest.mark.law("recovery.4")
async def test_an_old_report_is_no_reason_to_stop_once_it_was_settled(
    tmp_path: Path,
) -> None:
    state = await in_a_call(tmp_path)
    provider = ScriptedProvider(text("done"), text("again"))
    async with on(state, Ran().tool(), plugins=[provider], lives=1) as runtime:
        session = await runtime.sessions.get("it")
        await accept(session)
        await session.prompt("Once more.")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        assert (await session.continuation()).clean
        assert (await kinds_of(session)).count("continuation.accepted") == 1
