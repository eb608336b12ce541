"""Plugins that harm others, the closing, or other Locations, as far as they can."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from attrs import frozen
from dovetail.kernel import (
    AgentProfile,
    AssistantMessage,
    ContextSource,
    Event,
    Finish,
    HookLimits,
    ModelInfo,
    ModelRequest,
    Observation,
    PermissionQuestion,
    Place,
    PromptSource,
    Provider,
    Rule,
    Runtime,
    Skill,
    SkillSource,
    TextDelta,
    Tool,
    ToolCall,
    ToolCalled,
    ToolContext,
    hookimpl,
)
from dovetail.kernel.testing import Gate, ScriptedProvider, call, calls, text
from support.bounds import HANG
from support.hosts import host

QUICK = HookLimits(open_seconds=HANG, close_seconds=0.05)


@frozen
class Nothing:
    """An input without fields."""


async def fine(input: Nothing, context: ToolContext) -> str:
    await context.ask("fine", ["this"])
    return "fine"


FINE = Tool("fine", "Works.", Nothing, fine, effect="pure")


class Hook:
    """A plugin with one hook, made of a function that takes what the test needs."""

    def __init__(self, hook: str, function: Callable[..., Any], name: str) -> None:
        self.name = name
        setattr(self, hook, hookimpl(function))


async def outcome_of(runtime: Runtime, folder: Path, model: str) -> list[str]:
    """Run a session, and return what became of its calls, and its end."""
    session = await runtime.sessions.create(location=folder, model=model)
    await session.prompt("Go.")
    outcome = await session.wait()
    told = [
        part.text
        for message in await session.history()
        if isinstance(message, AssistantMessage)
        for part in message.calls
    ]
    return [*told, outcome.status]


def one_call() -> ScriptedProvider:
    return ScriptedProvider(calls(call("fine")), text("done"))


# --- what no exception handler expects --------------------------------------------


class Fatal(BaseException):
    """Not an Exception, so that nobody catches it."""


FATAL = [SystemExit(3), Fatal("gone")]


@pytest.mark.law("plugins.1")
@pytest.mark.parametrize(
    "error", [*FATAL, GeneratorExit()], ids=lambda error: type(error).__name__
)
@pytest.mark.parametrize(
    "hook",
    [
        "dovetail_open_location",
        "dovetail_register_tools",
        "dovetail_register_context",
        "dovetail_tool_succeeded",
        "dovetail_observe_event",
    ],
)
async def test_a_hook_that_ends_the_process_ends_only_itself(
    hook: str, error: BaseException, tmp_path: Path
) -> None:
    def end() -> None:
        raise error

    model = one_call()
    async with host(
        tmp_path, model, FINE, plugins=[Hook(hook, end, "bad")], on_permission="allow"
    ) as runtime:
        with anyio.fail_after(HANG):
            assert await outcome_of(runtime, tmp_path, model.model) == [
                "fine",
                "succeeded",
            ]
            known = await runtime.location(tmp_path).plugins.list()
    [bad] = [one for one in known if one.name == "bad"]
    assert type(error).__name__ in str(bad.last_error)


@pytest.mark.law("plugins.1")
@pytest.mark.parametrize(
    ("when", "error"),
    [
        ("opening", SystemExit(3)),
        ("opening", Fatal("gone")),
        # A task that exits ends asyncio's own loop, whatever is around it.
        ("running", Fatal("gone")),
        ("closing", SystemExit(3)),
        ("closing", Fatal("gone")),
    ],
)
async def test_a_resource_that_ends_the_process_ends_only_itself(
    when: str, error: BaseException, tmp_path: Path
) -> None:
    broke = anyio.Event()

    @asynccontextmanager
    async def opened() -> AsyncIterator[None]:
        if when == "opening":
            broke.set()
            raise error
        async with anyio.create_task_group() as tasks:
            if when == "running":

                async def task() -> None:
                    broke.set()
                    raise error

                tasks.start_soon(task)
            yield
        raise error

    model = one_call()
    bad = Hook("dovetail_open_location", opened, "bad")
    async with host(
        tmp_path, model, FINE, plugins=[bad], on_permission="allow", hook_limits=QUICK
    ) as runtime:
        with anyio.fail_after(HANG):
            assert await outcome_of(runtime, tmp_path, model.model) == [
                "fine",
                "succeeded",
            ]
            if when != "closing":
                await broke.wait()
                await anyio.wait_all_tasks_blocked()
                known = await runtime.location(tmp_path).plugins.list()
                [told] = [one for one in known if one.name == "bad"]
                assert told.state == "failed"
                assert type(error).__name__ in str(told.error)


@pytest.mark.law("tools.5")
@pytest.mark.parametrize("error", FATAL, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["execute", "render"])
async def test_a_tool_that_ends_the_process_has_broken(
    where: str, error: BaseException, tmp_path: Path
) -> None:
    async def end(input: Nothing, context: ToolContext) -> str:
        if where == "execute":
            raise error
        return "not that far"

    def show(output: str) -> str:
        raise error

    bad = Tool("bad", "Ends.", Nothing, end, effect="pure", render=show)
    model = ScriptedProvider(calls(call("bad"), call("fine")), text("done"))
    async with host(tmp_path, model, FINE, bad, on_permission="allow") as runtime:
        with anyio.fail_after(HANG):
            broken, went, status = await outcome_of(runtime, tmp_path, model.model)
    assert (went, status) == ("fine", "succeeded")
    assert "broke" in broken


@pytest.mark.law("plugins.1")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("where", ["open_location", "register_context", "tool"])
async def test_a_future_that_was_cancelled_cancels_nobody_else(
    where: str, tmp_path: Path
) -> None:
    async def wait() -> Any:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    @asynccontextmanager
    async def opened() -> AsyncIterator[None]:
        yield await wait()

    async def execute(input: Nothing, context: ToolContext) -> str:
        return str(await wait())

    def offer(register: Any) -> None:
        if where == "tool":
            register(Tool("bad", "Waits.", Nothing, execute, effect="pure"))
        else:
            register(ContextSource("bad/one", wait))

    if where == "open_location":
        bad = Hook("dovetail_open_location", opened, "bad")
    else:
        hook = "tools" if where == "tool" else "context"
        bad = Hook(f"dovetail_register_{hook}", offer, "bad")
    made = calls(call("bad"), call("fine")) if where == "tool" else calls(call("fine"))
    model = ScriptedProvider(made, text("done"))
    async with host(
        tmp_path, model, FINE, plugins=[bad], on_permission="allow"
    ) as runtime:
        with anyio.fail_after(HANG):
            told = await outcome_of(runtime, tmp_path, model.model)
    assert told[-2:] == ["fine", "succeeded"]


def cancel() -> None:
    """Ask by asyncio's means that the task that this is called in ends."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


@asynccontextmanager
async def cancelled_as_it_opens() -> AsyncIterator[None]:
    cancel()
    yield


@asynccontextmanager
async def cancelled_while_it_is_open() -> AsyncIterator[None]:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_soon(task.cancel)
    yield


@pytest.mark.law("plugins.8")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("hook", "function"),
    [
        ("dovetail_open_runtime", cancel),
        ("dovetail_open_runtime", cancelled_as_it_opens),
        ("dovetail_open_runtime", cancelled_while_it_is_open),
        ("dovetail_open_location", cancel),
        ("dovetail_open_location", cancelled_as_it_opens),
        ("dovetail_open_location", cancelled_while_it_is_open),
        ("dovetail_register_protocols", cancel),
        ("dovetail_register_tools", cancel),
        ("dovetail_register_rules", cancel),
    ],
)
async def test_a_plugin_that_cancels_the_task_it_is_called_in_ends_no_session(
    hook: str, function: Callable[..., Any], tmp_path: Path
) -> None:
    """Neither the Location that is opened, nor another one, nor the runtime ends."""
    model = ScriptedProvider(*2 * [calls(call("fine")), text("done")])
    bad = Hook(hook, function, "bad")
    (tmp_path / "other").mkdir()
    async with host(
        tmp_path, model, FINE, plugins=[bad], on_permission="allow"
    ) as runtime:
        with anyio.fail_after(HANG):
            for folder in (tmp_path, tmp_path / "other"):
                told = await outcome_of(runtime, folder, model.model)
                assert told == ["fine", "succeeded"]
            known = await runtime.location(tmp_path).plugins.list()
        [state] = [one for one in runtime.plugins.states() if one.name == "bad"]
    [here] = [one for one in known if one.name == "bad"]
    if function is not cancelled_as_it_opens:
        assert "cancelled" in f"{here.last_error} {state.last_error}".lower()


@pytest.mark.law("plugins.3")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_plugin_that_cancels_as_it_is_replaced_takes_its_place(
    tmp_path: Path,
) -> None:
    """Whoever replaces it is not cancelled, and nothing is left half done."""

    def offer(register: Any) -> None:
        register(FINE)
        cancel()

    def nothing() -> None:
        return None

    old = Hook("dovetail_register_tools", nothing, "bad")
    async with host(tmp_path, ScriptedProvider(), plugins=[old]) as runtime:
        with anyio.fail_after(HANG):
            location = runtime.location(tmp_path)
            assert list(await location.tools()) == []
            new = Hook("dovetail_register_tools", offer, "bad")
            made = await location.plugins.replace("bad", new)
            assert (made.state, [one.name for one in await location.tools()]) == (
                "open",
                ["fine"],
            )
    assert "cancelled the task" in str(made.last_error)


@pytest.mark.law("plugins.1")
async def test_an_exception_that_cannot_be_shown_is_named(tmp_path: Path) -> None:
    class UnspeakableError(Exception):
        def __str__(self) -> str:
            raise SystemExit(3)

    def end() -> None:
        raise UnspeakableError

    @asynccontextmanager
    async def opened() -> AsyncIterator[None]:
        raise UnspeakableError
        yield

    bad = Hook("dovetail_open_location", opened, "bad")
    worse = Hook("dovetail_register_tools", end, "worse")
    async with host(tmp_path, ScriptedProvider(), plugins=[bad, worse]) as runtime:
        known = await runtime.location(tmp_path).plugins.list()
    for name in ("bad", "worse"):
        [told] = [one for one in known if one.name == name]
        assert "UnspeakableError: it cannot even be shown" in str(told.last_error)


# --- what ends itself -------------------------------------------------------------


async def test_a_resource_that_ends_by_itself_is_told_and_offers_nothing(
    tmp_path: Path,
) -> None:
    end = anyio.Event()

    class Ending:
        name = "ending"

        @hookimpl
        def dovetail_open_location(self) -> Any:
            return self.opened()

        @asynccontextmanager
        async def opened(self) -> AsyncIterator[None]:
            async with anyio.create_task_group() as tasks:

                async def stop() -> None:
                    await end.wait()
                    tasks.cancel_scope.cancel()

                tasks.start_soon(stop)
                yield

        @hookimpl
        def dovetail_register_tools(self, register: Any) -> None:
            register(FINE)

    async with host(tmp_path, ScriptedProvider(), plugins=[Ending()]) as runtime:
        with anyio.fail_after(HANG):
            location = runtime.location(tmp_path)
            assert [one.name for one in await location.tools()] == ["fine"]
            async with location._services():
                end.set()
                await anyio.wait_all_tasks_blocked()
            assert list(await location.tools()) == []
            [known] = [o for o in await location.plugins.list() if o.name == "ending"]
    assert known.state == "failed"
    assert "ended" in str(known.error)


# --- contributions that are not what they seem ------------------------------------


GARBAGE: list[tuple[str, Any]] = [
    ("tools", None),
    ("tools", attrs.evolve(FINE, name="\x1b[2J")),
    ("tools", attrs.evolve(FINE, description=b"bytes")),
    ("providers", Provider(None, lambda model: None)),  # type: ignore[arg-type]
    ("providers", Provider(b"x", lambda model: None)),  # type: ignore[arg-type]
    ("providers", Provider("a\x1b[2Jb", lambda model: None)),  # type: ignore[arg-type]
    ("providers", Provider("x", None)),  # type: ignore[arg-type]
    ("providers", Provider("x", lambda m: None, models=[None])),  # type: ignore
    ("providers", Provider("x", lambda m: None, models=5)),  # type: ignore
    ("context", ContextSource("a/b", None)),  # type: ignore[arg-type]
    ("context", ContextSource(None, fine)),  # type: ignore[arg-type]
    ("context", ContextSource("A\x1b/b", fine)),  # type: ignore[arg-type]
    ("skills", SkillSource("a/b", None)),  # type: ignore[arg-type]
    ("skills", SkillSource(5, fine)),  # type: ignore[arg-type]
    ("prompts", PromptSource("a/b", None)),  # type: ignore[arg-type]
    ("prompts", PromptSource(5)),  # type: ignore[arg-type]
    ("prompts", PromptSource("a/b", find=5)),  # type: ignore[arg-type]
    ("agents", AgentProfile(None)),  # type: ignore[arg-type]
    ("agents", AgentProfile(["x"])),  # type: ignore[arg-type]
    ("agents", AgentProfile("x", steps="many")),  # type: ignore[arg-type]
    ("agents", AgentProfile("x", instructions=None)),  # type: ignore[arg-type]
    ("agents", AgentProfile("x", rules=[None])),  # type: ignore[list-item]
    ("agents", AgentProfile("x", rules=5)),  # type: ignore[arg-type]
    ("agents", AgentProfile("x", tools="fine")),
    ("agents", AgentProfile("x", tools=[None])),  # type: ignore[list-item]
    ("rules", Rule("x", None, "allow")),  # type: ignore[arg-type]
    ("rules", Rule(5, "*", "deny")),  # type: ignore[arg-type]
    ("rules", Rule("x", "*", ["deny"])),  # type: ignore[arg-type]
]


@pytest.mark.law("plugins.1")
@pytest.mark.parametrize(
    ("kind", "item"), GARBAGE, ids=lambda v: re.sub(" at 0x[0-9a-f]+", "", repr(v))[:60]
)
async def test_an_item_that_is_garbage_is_refused_alone(
    kind: str, item: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = {
        "tools": FINE,
        "providers": Provider("good", lambda model: ScriptedProvider()),
        "context": ContextSource("good/one", lambda: nothing()),
        "skills": SkillSource("good/one", lambda: no_skills()),
        "prompts": PromptSource("good/one"),
        "agents": AgentProfile("good"),
        "rules": Rule("good", "*", "allow"),
    }[kind]

    def hand_over(register: Any) -> None:
        register(item)
        register(good)

    model = one_call()
    plugins = [Hook(f"dovetail_register_{kind}", hand_over, "bad")]
    tools = [] if kind == "tools" else [FINE]
    async with host(
        tmp_path, model, *tools, plugins=plugins, on_permission="allow"
    ) as runtime:
        with anyio.fail_after(HANG):
            told = await outcome_of(runtime, tmp_path, model.model)
            location = runtime.location(tmp_path)
            [bad] = [o for o in await location.plugins.list() if o.name == "bad"]
            await location.models()
            await location.skills()
    assert told == ["fine", "succeeded"]
    assert bad.state == "open"
    assert len(bad.contributions) == 1
    assert bad.errors == 1
    assert "\x1b" not in str(bad.last_error) + caplog.text


async def nothing() -> Observation | None:
    return None


async def no_skills() -> list[Skill]:
    return []


# --- arguments --------------------------------------------------------------------


@pytest.mark.law("plugins.4")
async def test_what_a_plugin_does_to_its_arguments_nobody_else_sees(
    tmp_path: Path,
) -> None:
    mine = {"DOVETAIL_CONFIG": str(tmp_path / "mine.toml")}
    (tmp_path / "mine.toml").write_text(
        '[providers.p]\nbase_url = "http://127.0.0.1:1"\nmodels = ["m"]\n'
    )
    seen: dict[str, tuple[Any, Any]] = {}

    def harm(place: Place) -> None:
        with pytest.raises(TypeError):
            place.environment["evil"] = "here"  # type: ignore[index]
        place.providers["p"]["base_url"] = "http://evil"  # type: ignore[index]
        place.providers["p"]["models"].append("evil")
        place.providers["evil"] = {}  # type: ignore[index]

    def look(place: Place) -> None:
        seen["b"] = dict(place.environment), place.providers

    plugins = [
        Hook("dovetail_register_tools", lambda register, place: harm(place), "a"),
        Hook("dovetail_register_tools", lambda register, place: look(place), "b"),
    ]
    async with host(
        tmp_path, ScriptedProvider(), plugins=plugins, environment=mine
    ) as runtime:
        known = await runtime.location(tmp_path).plugins.list()
        assert [one.last_error for one in known if one.name in "ab"] == [None, None]
    environment, providers = seen["b"]
    assert environment == mine
    assert providers == {"p": {"base_url": "http://127.0.0.1:1", "models": ["m"]}}


@pytest.mark.law("plugins.4")
async def test_what_is_done_to_a_request_stays_in_that_request(tmp_path: Path) -> None:
    def harm(request: ModelRequest) -> None:
        for tool in request.tools:
            tool.schema.clear()  # type: ignore[attr-defined]
        assert isinstance(request.history.messages, tuple)

    model = ScriptedProvider(text("one"), text("two"))
    async with host(
        tmp_path, model, FINE, plugins=[Hook("dovetail_prepare_request", harm, "bad")]
    ) as runtime:
        with anyio.fail_after(HANG):
            await outcome_of(runtime, tmp_path, model.model)
            [tool] = await runtime.location(tmp_path).tools()
    assert tool.schema["type"] == "object"


@pytest.mark.law("plugins.6")
async def test_what_an_observer_does_to_an_event_stays_with_it(tmp_path: Path) -> None:
    harmed = anyio.Event()

    def harm(event: Event) -> None:
        if isinstance(event, ToolCalled):
            event.metadata.clear()  # type: ignore[attr-defined]
            harmed.set()

    async def wait(input: Nothing, context: ToolContext) -> str:
        await harmed.wait()
        return "harmed"

    asked = ToolCall("one", "wait", "{}", metadata={"signature": "s"})
    model = ScriptedProvider(calls(asked), text("done"))
    tool = Tool("wait", "Wait.", Nothing, wait, effect="pure")
    bad = Hook("dovetail_observe_event", harm, "bad")
    async with host(tmp_path, model, tool, plugins=[bad]) as runtime:
        with anyio.fail_after(HANG):
            told = await outcome_of(runtime, tmp_path, model.model)
    assert told == ["harmed", "succeeded"]
    [_, message] = model.histories[1]
    assert isinstance(message, AssistantMessage)
    assert message.calls[0].metadata == {"signature": "s"}


@pytest.mark.law("plugins.6")
async def test_what_one_guard_does_to_a_question_another_does_not_see(
    tmp_path: Path,
) -> None:
    seen: list[Any] = []

    def harm(question: PermissionQuestion) -> None:
        question.metadata.clear()  # type: ignore[attr-defined]

    def look(question: PermissionQuestion) -> str:
        seen.append(dict(question.metadata))
        return "allow"

    async def ask(input: Nothing, context: ToolContext) -> str:
        await context.ask("do", ["it"], metadata={"why": "because"})
        return "done"

    model = ScriptedProvider(calls(call("ask")), text("done"))
    tool = Tool("ask", "Ask.", Nothing, ask, effect="pure")
    hook = "dovetail_decide_permission"
    plugins = [Hook(hook, harm, "a"), Hook(hook, look, "b")]
    async with host(tmp_path, model, tool, plugins=plugins) as runtime:
        with anyio.fail_after(HANG):
            assert await outcome_of(runtime, tmp_path, model.model) == [
                "done",
                "succeeded",
            ]
    assert seen == [{"why": "because"}]


# --- what is at work while it is replaced -----------------------------------------


class Working:
    """A tool and a provider that work with a resource, and wait at a gate in it."""

    def __init__(self, gate: Gate, name: str = "working") -> None:
        self.name = name
        self.gate = gate
        self.open: bool | None = None

    @hookimpl
    def dovetail_open_location(self) -> Any:
        return self.opened()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Working"]:
        self.open = True
        yield self
        self.open = False

    async def work(self, input: Nothing, context: ToolContext) -> str:
        await self.gate.pass_through()
        return f"{self.name}: {'open' if self.open else 'closed'}"

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[Any]:
        yield self.answer()

    async def answer(self) -> AsyncIterator[Any]:
        yield TextDelta("0", "it is ")
        await self.gate.pass_through()
        yield TextDelta("0", "open" if self.open else "closed")
        yield Finish("stop")

    @hookimpl
    def dovetail_register_tools(self, register: Any) -> None:
        register(Tool("work", "Work.", Nothing, self.work, effect="pure"))

    @hookimpl
    def dovetail_register_providers(self, register: Any) -> None:
        register(Provider("working", lambda model: self))


@pytest.mark.law("plugins.3")
@pytest.mark.parametrize("how", ["replaced", "removed"])
@pytest.mark.parametrize("what", ["tool", "provider"])
async def test_what_is_at_work_keeps_its_resource_until_it_ends(
    what: str, how: str, tmp_path: Path
) -> None:
    gate = Gate()
    old, new = Working(gate), Working(Gate())
    script = ScriptedProvider(calls(call("work")), text("done"))
    model = script.model if what == "tool" else "working/model"
    async with host(tmp_path, script, plugins=[old]) as runtime:
        with anyio.fail_after(HANG):
            session = await runtime.sessions.create(location=tmp_path, model=model)
            await session.prompt("Go.")
            await gate.reached()
            plugins = runtime.location(tmp_path).plugins
            async with anyio.create_task_group() as tasks:
                if how == "replaced":
                    tasks.start_soon(plugins.replace, "working", new)
                else:
                    tasks.start_soon(plugins.remove, "working")
                await anyio.wait_all_tasks_blocked()
                # The new one is there, and nobody has taken anything away.
                assert (old.open, new.open) == (True, how == "replaced" or None)
                gate.open()
            assert old.open is False
            assert (await session.wait()).succeeded
            _, message, *_ = await session.history()
            assert isinstance(message, AssistantMessage)
    said = [part.text for part in message.calls] if what == "tool" else [message.text]
    assert said == (["working: open"] if what == "tool" else ["it is open"])


async def test_what_is_at_work_for_ever_delays_a_replacement_for_a_while(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    old = Working(gate)
    script = ScriptedProvider(calls(call("work")), text("done"))
    limits = HookLimits(settle_seconds=0.05)
    async with host(tmp_path, script, plugins=[old], hook_limits=limits) as runtime:
        with anyio.fail_after(HANG):
            session = await runtime.sessions.create(
                location=tmp_path, model=script.model
            )
            await session.prompt("Go.")
            await gate.reached()
            plugins = runtime.location(tmp_path).plugins
            await plugins.replace("working", Working(Gate()))
            assert old.open is False
            gate.open()
            assert (await session.wait()).succeeded
    assert "'working'" in caplog.text
    assert "is closed while it is at work" in caplog.text


# --- other Locations --------------------------------------------------------------


class Local:
    """Offers one of everything, named after the Location, and remembers in it."""

    name = "local"

    @hookimpl
    def dovetail_open_location(self, place: Place) -> Any:
        return self.opened()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[list[str]]:
        yield []

    @hookimpl
    def dovetail_register_tools(self, register: Any, place: Place) -> None:
        async def remember(input: Nothing, context: ToolContext) -> str:
            place.resource.append(context.call_id)
            return ",".join(place.resource)

        register(Tool(f"in_{place.location.path.name}", "Remember.", Nothing, remember))

    @hookimpl
    def dovetail_register_providers(self, register: Any, place: Place) -> None:
        name = place.location.path.name
        model = ModelInfo(f"{name}/model")
        register(Provider(name, lambda model: ScriptedProvider(), models=[model]))

    @hookimpl
    def dovetail_register_context(self, register: Any, place: Place) -> None:
        name = place.location.path.name

        async def observe() -> Observation:
            return Observation(f"You are in the {name}.")

        register(ContextSource(f"local/{name}", observe))

    @hookimpl
    def dovetail_register_skills(self, register: Any, place: Place) -> None:
        name = place.location.path.name

        async def find() -> list[Skill]:
            return [Skill(name, f"Of the {name}.", "Go.")]

        register(SkillSource(f"local/{name}", find))

    @hookimpl
    def dovetail_register_agents(self, register: Any, place: Place) -> None:
        register(AgentProfile(place.location.path.name))

    @hookimpl
    def dovetail_register_rules(self, register: Any, place: Place) -> None:
        register(Rule(place.location.path.name, "*", "deny"))


@pytest.mark.law("plugins.4")
async def test_nothing_of_one_location_is_seen_in_another(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("north", "south")]
    models = []
    for place in places:
        place.mkdir()
        made = [calls(call(f"in_{place.name}", id=f"{place.name}{at}")) for at in "12"]
        models.append(ScriptedProvider(*made, text("done"), name=f"m{place.name}"))
    async with host(
        tmp_path, models[0], plugins=[models[1], Local()], on_permission="allow"
    ) as runtime:
        with anyio.fail_after(HANG):
            told = {}
            for place, model in zip(places, models, strict=True):
                told[place.name] = await outcome_of(runtime, place, model.model)
                offered = runtime.location(place)
                names = {tool.name for tool in await offered.tools()}
                names |= {one.name for one in await offered.models()}
                names |= {one.name for one in await offered.skills()}
                [known] = [o for o in await offered.plugins.list() if o.name == "local"]
                names |= set(known.contributions)
                other = ({"north", "south"} - {place.name}).pop()
                local = {name for name in names if not name.startswith("m")}
                assert all(place.name in name for name in local)
                assert len(local) == 9
                request = "\n".join(model.requests[0].system)
                assert f"You are in the {place.name}." in request
                assert f"the {other}" not in request
    assert told == {
        "north": ["north1", "north1,north2", "succeeded"],
        "south": ["south1", "south1,south2", "succeeded"],
    }


@pytest.mark.law("plugins.1")
async def test_closing_leaves_a_call_behind_that_ignores_being_cancelled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    free, ended, gate = anyio.Event(), anyio.Event(), Gate()

    async def stuck(input: Nothing, context: ToolContext) -> str:
        try:
            with anyio.CancelScope(shield=True):
                await gate.pass_through()
                await free.wait()
        finally:
            ended.set()
        return "too late"

    tool = Tool("fine", "Gets stuck.", Nothing, stuck, effect="unsafe")
    limits = HookLimits(settle_seconds=0.05, close_seconds=0.05)
    provider = one_call()
    with anyio.fail_after(HANG):
        async with host(tmp_path, provider, tool, hook_limits=limits) as runtime:
            session = await runtime.sessions.create(
                "it", location=tmp_path, model=provider.model
            )
            await session.prompt("Go.")
            await gate.reached()
            gate.open()
        assert not ended.is_set()
        assert "session it did not stop within 0.05 s" in caplog.text
        free.set()
        await ended.wait()
        await anyio.wait_all_tasks_blocked()
    # What it came to is not claimed to be known.
    async with host(tmp_path, ScriptedProvider(), tool) as runtime:
        session = await runtime.sessions.get("it")
        [left] = (await session.continuation()).calls
        assert (left.known, left.action) == ("unknown", "settle")


@pytest.mark.law("plugins.1")
async def test_closing_leaves_a_resource_behind_that_ignores_being_cancelled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    free, ended = anyio.Event(), anyio.Event()

    @asynccontextmanager
    async def stuck(place: Place) -> AsyncIterator[None]:
        yield
        with anyio.CancelScope(shield=True):
            await free.wait()
        ended.set()

    plugin = Hook("dovetail_open_location", stuck, "sticky")
    with anyio.fail_after(HANG):
        async with host(
            tmp_path, one_call(), FINE, plugins=[plugin], hook_limits=QUICK
        ) as runtime:
            await runtime.location(tmp_path)
        assert not ended.is_set()
        told = [one.getMessage() for one in caplog.records]
        assert any("sticky" in one and "left behind" in one for one in told)
        free.set()
        await ended.wait()
        await anyio.wait_all_tasks_blocked()
