"""Hooks that keep something from happening, and hooks that are told what did."""

from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from attrs import frozen
from dovetail.kernel import (
    AgentProfile,
    AssistantMessage,
    CallNotice,
    Event,
    Failure,
    ModelRequest,
    PermissionQuestion,
    Place,
    Register,
    Rule,
    Session,
    Tool,
    ToolContext,
    ToolFailed,
    ToolFailure,
    ToolSucceeded,
    hookimpl,
)
from dovetail.kernel.testing import Gate, ScriptedProvider, call, calls, text
from support.bounds import HANG
from support.hosts import Tools, host


@frozen
class Do:
    what: str = "thing"


class Door:
    """A tool that asks before it does something, and remembers what it did."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.tool: Tool[Any, Any] = Tool("do", "Do.", Do, self._do)

    async def _do(self, input: Do, context: ToolContext) -> str:
        await context.ask("do", [input.what], save=[input.what])
        self.did.append(input.what)
        return "did it"


class Rules:
    """A plugin with permission rules."""

    def __init__(self, *rules: Any, name: str = "rules", breaks: bool = False) -> None:
        self.name = name
        self.rules = rules
        self.breaks = breaks

    @hookimpl
    def dovetail_register_rules(self, register: Register[Rule], place: Place) -> None:
        for rule in self.rules:
            register(rule)
        if self.breaks:
            raise LookupError("half way")


class Decides:
    """A plugin that answers about permissions."""

    def __init__(self, answer: Any, *, name: str = "decides") -> None:
        self.name = name
        self.answer = answer
        self.asked: list[PermissionQuestion] = []

    @hookimpl
    def dovetail_decide_permission(self, question: PermissionQuestion) -> Any:
        self.asked.append(question)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def outcome_of(
    folder: Path, *plugins: object, policy: str = "deny", profile: Any = ()
) -> tuple[Door, Failure | None]:
    """Let a model call a tool that asks; return what it did and why it failed."""
    door = Door()

    class Profile:
        @hookimpl
        def dovetail_register_agents(self, register: Any) -> None:
            register(AgentProfile("agent", rules=profile))

    provider = ScriptedProvider(calls(call("do", {})), text("done"))
    async with host(
        folder, provider, door.tool, plugins=[Profile(), *plugins], on_permission=policy
    ) as runtime:
        session = await runtime.sessions.create(
            location=folder, model=provider.model, agent="agent"
        )
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await session.wait()
        return door, (await first_call(session)).failure


async def first_call(session: Session) -> Any:
    answers = [
        one for one in await session.history() if isinstance(one, AssistantMessage)
    ]
    return answers[0].calls[0]


ANY = Rule("do", "*", "allow")
NONE = Rule("do", "thing", "deny")
ASK = Rule("do", "*", "ask")


@pytest.mark.parametrize(
    ("rules", "profile", "allowed"),
    [
        ([ANY], [], True),
        ([ANY], [NONE], False),
        ([NONE], [ANY], False),
        ([ASK], [ANY], False),
        ([NONE, ANY], [], False),
        ([ANY, NONE], [], False),
        # A later, milder one does not soften it.
        ([NONE, ASK], [ANY], False),
        ([Rule("other", "*", "deny")], [ANY], True),
        ([Rule("do", "thing", "perhaps"), "no rule", ANY], [], True),
    ],
)
async def test_register_rules(
    tmp_path: Path, rules: Any, profile: Any, allowed: bool
) -> None:
    door, failure = await outcome_of(tmp_path, Rules(*rules), profile=profile)
    assert bool(door.did) is allowed
    assert (failure is None) is allowed


@pytest.mark.law("plugins.6")
async def test_rules_that_are_not_known_whole_permit_nothing(tmp_path: Path) -> None:
    door, failure = await outcome_of(
        tmp_path, Rules(ANY, breaks=True), profile=[ANY], policy="allow"
    )
    assert door.did == []
    assert failure is not None
    assert failure.code == "permission.denied"
    assert "'rules'" in failure.message


@pytest.mark.parametrize(
    ("answers", "profile", "policy", "allowed"),
    [
        (["allow"], [], "deny", True),
        ([None], [], "deny", False),
        ([None], [], "allow", True),
        (["deny"], [ANY], "allow", False),
        (["ask"], [ANY], "deny", False),
        (["ask"], [ANY], "allow", True),
        (["allow"], [NONE], "allow", False),
        (["allow"], [ASK], "deny", False),
        (["allow", "deny"], [], "allow", False),
        (["allow", "ask"], [], "deny", False),
        (["allow", None], [], "deny", True),
    ],
)
async def test_decide_permission(
    tmp_path: Path, answers: Any, profile: Any, policy: str, allowed: bool
) -> None:
    """The strictest answer wins, and never loosens what a rule says."""
    plugins = [Decides(one, name=f"d{at}") for at, one in enumerate(answers)]
    door, _ = await outcome_of(tmp_path, *plugins, profile=profile, policy=policy)
    assert bool(door.did) is allowed
    for plugin in plugins:
        (question,) = plugin.asked
        assert (question.agent, question.action) == ("agent", "do")
        assert question.resources == ("thing",)
        assert question.call_id


@pytest.mark.law("plugins.6")
@pytest.mark.parametrize("answer", [LookupError("no"), "yes", True, ["allow"]])
async def test_a_broken_answer_denies(tmp_path: Path, answer: Any) -> None:
    door, failure = await outcome_of(
        tmp_path, Decides(answer), profile=[ANY], policy="allow"
    )
    assert door.did == []
    assert failure is not None
    assert "plugin 'decides' denies it" in failure.message


async def test_what_a_plugin_wants_asked_no_approval_answers(tmp_path: Path) -> None:
    """A person is asked every time, whatever they said before."""
    door, decides = Door(), Decides("ask")
    provider = ScriptedProvider(
        calls(call("do", {}, id="1")), calls(call("do", {}, id="2")), text("done")
    )
    async with host(tmp_path, provider, door.tool, plugins=[decides]) as runtime:
        place = runtime.location(tmp_path)
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            for _ in range(2):
                while not (waiting := await place.permissions.pending()):
                    await anyio.lowlevel.checkpoint()
                await place.permissions.reply(waiting[0].id, "always")
                while waiting[0].id in {
                    one.id for one in await place.permissions.pending()
                }:
                    await anyio.lowlevel.checkpoint()
            assert (await session.wait()).succeeded
    assert door.did == ["thing", "thing"]


# --- requests and calls -----------------------------------------------------------


async def test_prepare_request(tmp_path: Path) -> None:
    class Adjusts:
        def __init__(self, name: str) -> None:
            self.name = name

        @hookimpl
        def dovetail_prepare_request(self, request: ModelRequest) -> ModelRequest:
            order = [*request.options.get("order", []), self.name]
            return attrs.evolve(request, options={"order": order})

    provider = ScriptedProvider(text("done"))
    plugins = [Adjusts("b"), Adjusts("a")]
    async with host(tmp_path, provider, plugins=plugins) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
    assert provider.requests[0].options == {"order": ["a", "b"]}


@pytest.mark.law("plugins.6")
@pytest.mark.parametrize("answer", [LookupError("no"), "a request"])
async def test_a_request_that_a_guard_could_not_look_at_is_not_sent(
    tmp_path: Path, answer: Any
) -> None:
    class Guard:
        @hookimpl
        def dovetail_prepare_request(self, request: ModelRequest) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

    provider = ScriptedProvider()
    async with host(tmp_path, provider, plugins=[Guard()]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            outcome = await session.wait()
    assert outcome.reason is not None
    assert (outcome.status, outcome.reason.code) == ("failed", "plugin.failed")
    assert provider.requests == []


class Calls:
    """A plugin that is asked about calls and told what became of them."""

    def __init__(self, answer: Any = None, *, name: str = "calls") -> None:
        self.name = name
        self.answer = answer
        self.prepared: list[CallNotice] = []
        self.settled: list[tuple[CallNotice, str]] = []
        self.events: list[str] = []

    @hookimpl
    def dovetail_prepare_tool_call(self, call: CallNotice) -> Any:
        self.prepared.append(call)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    @hookimpl
    def dovetail_tool_succeeded(self, call: CallNotice, outcome: ToolSucceeded) -> None:
        assert outcome.call_id == call.call_id
        self.settled.append((call, "succeeded"))

    @hookimpl
    def dovetail_tool_failed(self, call: CallNotice, outcome: ToolFailed) -> None:
        self.settled.append((call, outcome.failure.code))

    @hookimpl
    def dovetail_observe_event(self, event: Event) -> None:
        self.events.append(event.kind)


async def _fine(input: Do, context: ToolContext) -> str:
    return "fine"


FINE = Tool("fine", "Be fine.", Do, _fine, effect="idempotent")


@pytest.mark.parametrize("tool", ["do", "fine"])
async def test_prepare_tool_call(tmp_path: Path, tool: str) -> None:
    door, guard = Door(), Calls("not on Fridays")
    provider = ScriptedProvider(calls(call(tool, {"what": "x"})), text("done"))
    async with host(tmp_path, provider, door.tool, FINE, plugins=[guard]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        part = await first_call(session)
    assert door.did == []
    assert part.failure.code == "tool.refused"
    assert "not on Fridays" in part.failure.message
    (asked,) = guard.prepared
    assert (asked.tool, asked.arguments, asked.call_id) == (
        tool,
        '{"what":"x"}',
        part.call_id,
    )
    assert guard.settled == [(asked, "tool.refused")]


@pytest.mark.law("plugins.6")
@pytest.mark.parametrize("answer", [LookupError("my secret"), 3])
async def test_a_call_that_a_guard_could_not_look_at_does_not_run(
    tmp_path: Path, answer: Any
) -> None:
    door = Door()
    provider = ScriptedProvider(calls(call("do", {})), text("done"))
    async with host(
        tmp_path, provider, door.tool, plugins=[Calls(answer)], on_permission="allow"
    ) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        part = await first_call(session)
    assert door.did == []
    assert part.failure.code == "tool.refused"
    assert "secret" not in part.failure.message


async def test_tool_succeeded(tmp_path: Path) -> None:
    told = Calls()
    provider = ScriptedProvider(calls(call("fine", {})), text("done"))
    async with host(tmp_path, provider, FINE, plugins=[told]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await session.wait()
    assert [how for _, how in told.settled] == ["succeeded"]
    assert [one for one, _ in told.settled] == told.prepared


async def test_tool_failed(tmp_path: Path) -> None:
    """It is told whatever the reason is, and under the ids that the call had."""
    gate, told = Gate(), Calls()

    async def fail(input: Do, context: ToolContext) -> str:
        if input.what == "expected":
            raise ToolFailure("no")
        if input.what == "defect":
            raise LookupError("no")
        await gate.pass_through()
        return ""

    provider = ScriptedProvider(
        calls(
            call("fail", {"what": "expected"}, id="a"),
            call("fail", {"what": "defect"}, id="b"),
            call("fail", {"wrong": "input"}, id="c"),
            call("nobody", {}, id="d"),
            call("fail", {"what": "interrupted"}, id="e"),
        ),
    )
    async with host(
        tmp_path, provider, Tool("fail", "Fail.", Do, fail), plugins=[told]
    ) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await gate.reached()
            while len(told.settled) < 4:
                await anyio.lowlevel.checkpoint()
            await session.interrupt()
            await session.wait()
    assert {one.call_id: how for one, how in told.settled} == {
        "a": "tool.failed",
        "b": "internal",
        "c": "tool.input_invalid",
        "d": "tool.unknown",
        "e": "tool.interrupted",
    }
    assert {one.call_id for one in told.prepared} == {"a", "b", "e"}


async def test_tool_failed_is_told_of_a_call_from_before(tmp_path: Path) -> None:
    """Who is added while a call runs is told what becomes of it."""
    gate, told = Gate(), Calls()

    async def fail(input: Do, context: ToolContext) -> str:
        await gate.pass_through()
        raise ToolFailure("no")

    provider = ScriptedProvider(calls(call("fail", {"what": "x"})), text("done"))
    tool = Tool("fail", "Fail.", Do, fail)
    async with host(tmp_path, provider, tool) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await gate.reached()
            await runtime.location(tmp_path).plugins.add(told)
            gate.open()
            await session.wait()
    ((notice, how),) = told.settled
    assert (notice.tool, notice.arguments, how) == (
        "fail",
        '{"what":"x"}',
        "tool.failed",
    )


async def test_observe_event(tmp_path: Path) -> None:
    told = Calls()
    provider = ScriptedProvider(calls(call("fine", {})), text("done"))
    async with host(tmp_path, provider, FINE, plugins=[told]) as runtime:
        await runtime.location(tmp_path)
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await session.wait()
        kinds = [event.kind async for event in session.events()]
    # Also what was committed last is told before the Location closes.
    assert told.events == kinds
    assert {"session.created", "step.ended", "execution.ended"} <= set(kinds)


# --- a guard that is gone ---------------------------------------------------------


class Absent:
    """A guard whose resource cannot be opened."""

    name = "absent"

    @hookimpl
    def dovetail_open_location(self, place: Place) -> Any:
        raise LookupError("no luck")

    @hookimpl
    def dovetail_prepare_request(self, request: ModelRequest) -> None: ...


@pytest.mark.law("plugins.6")
async def test_a_guard_that_could_not_be_opened_is_not_skipped(tmp_path: Path) -> None:
    provider = ScriptedProvider(text("done"))
    async with host(tmp_path, provider, plugins=[Absent()]) as runtime:
        place = runtime.location(tmp_path)
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            outcome = await session.wait()
            assert outcome.reason is not None
            assert outcome.reason.code == "plugin.failed"
            assert "replace it, or remove it" in outcome.reason.message
            assert provider.requests == []
            # A person may decide to go on without it.
            await place.plugins.remove("absent")
            await session.resume()
            assert (await session.wait()).succeeded


async def test_a_guard_that_the_configuration_leaves_out_is_left_out(
    tmp_path: Path,
) -> None:
    config = tmp_path / "mine.toml"
    config.write_text('disable_plugins = ["absent"]')
    provider = ScriptedProvider(text("done"))
    async with host(
        tmp_path,
        provider,
        plugins=[Absent()],
        environment={"DOVETAIL_CONFIG": str(config)},
    ) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        (state,) = [
            one
            for one in await runtime.location(tmp_path).plugins.list()
            if one.name == "absent"
        ]
        assert (state.state, state.error) == (
            "left out",
            "the configuration disables it",
        )


async def test_observers_need_no_other_hook(tmp_path: Path) -> None:
    class Only:
        def __init__(self) -> None:
            self.seen: list[str] = []

        @hookimpl
        def dovetail_tool_succeeded(self, call: CallNotice) -> None:
            self.seen.append(call.tool)

    only = Only()
    provider = ScriptedProvider(calls(call("fine", {})), text("done"))
    async with host(tmp_path, provider, plugins=[only, Tools(FINE)]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await session.wait()
    assert only.seen == ["fine"]
