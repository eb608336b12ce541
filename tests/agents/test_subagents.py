"""Sessions that work for others: begun once, bound, counted, interrupted and
recovered with the session that they work for."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.builtin_tools._marks import LaterOutput
from dovetail.builtin_tools.job import job_tool
from dovetail.builtin_tools.subagent import subagent_tool
from dovetail.kernel import (
    AgentProfile,
    Budget,
    ChildAsked,
    ChildSpent,
    ModelRequest,
    Rule,
    Runtime,
    Session,
    SessionInfo,
    Tool,
    ToolContext,
    ToolFailed,
    ToolPart,
    UserMessage,
)
from dovetail.kernel.execution.children import MAX_AT_WORK
from dovetail.kernel.testing import Gate, ScriptedProvider, call, calls, text
from support.bounds import HANG
from support.crashes import copied, on
from support.hosts import host, kinds_of

from .test_profiles import Agents


@frozen
class Input:
    path: str = ""


def asking(action: str, done: list[str], name: str = "") -> Tool[Input, str]:
    """A tool that asks for an action and notes what it was allowed to do."""

    async def execute(input: Input, context: ToolContext) -> str:
        await context.ask(action, [input.path], save=[input.path])
        done.append(input.path)
        return "done"

    return Tool(name or action, "Do it.", Input, execute, effect="idempotent")


def ask(prompt: str, agent: str = "build", id: str = "sub", **more: Any) -> Any:
    return call("subagent", {"agent": agent, "prompt": prompt, **more}, id=id)


def said(request: ModelRequest) -> str:
    """What the session was asked first: whose request it is."""
    first = next(
        one for one in request.history.messages if isinstance(one, UserMessage)
    )
    return first.text


def place(request: ModelRequest) -> int:
    """How many answers the session has by now."""
    return sum(one.type == "assistant" for one in request.history.messages)


class Plays(ScriptedProvider):
    """A model that plays a script in each session, by what that was asked first."""

    def __init__(self, **scripts: Sequence[Any]) -> None:
        super().__init__(*[self._answer] * 200)
        self.scripts = scripts
        self.asked: dict[str, list[ModelRequest]] = {}

    def _answer(self, request: ModelRequest) -> Any:
        name = said(request)
        self.asked.setdefault(name, []).append(request)
        script = self.scripts.get(name, ())
        at = place(request)
        answer = script[at] if at < len(script) else text(f"{name} is done.")
        return answer(request) if callable(answer) else answer


async def begun(runtime: Runtime, folder: Path, **options: Any) -> Session:
    return await runtime.sessions.create(
        location=folder, model="scripted/model", **options
    )


async def children(runtime: Runtime, session: Session) -> Sequence[SessionInfo]:
    return list(await runtime.sessions.list(parent=session.id))


async def results(session: Session) -> list[ToolPart]:
    found = []
    for message in await session.messages(order="asc"):
        found += [one for one in getattr(message, "parts", ()) if one.type == "tool"]
    return found


# --- begun, and answering ---------------------------------------------------------


@pytest.mark.law("agents.7")
async def test_an_agent_answers_in_a_session_of_its_own(tmp_path: Path) -> None:
    model = Plays(parent=[calls(ask("child", "explore", description="Find it"))])
    async with host(tmp_path, model, subagent_tool()) as runtime:
        session = await begun(runtime, tmp_path)
        await session.prompt("parent")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        [child] = await children(runtime, session)
        assert (child.agent, child.title, child.parent) == (
            "explore",
            "Find it",
            session.id,
        )
        assert child.location == (await session.info()).location
        roots = await runtime.sessions.list(roots=True)
        assert [one.id for one in roots] == [session.id]
        [result] = await results(session)
        assert result.text == "child is done."
        made = await runtime.sessions.get(child.id)
        assert [one.text for one in await made.messages(order="asc")] == [
            "child",
            "child is done.",
        ]


async def test_several_agents_work_at_the_same_time(tmp_path: Path) -> None:
    gates = {name: Gate() for name in ("one", "two", "three")}
    model = Plays(
        parent=[calls(*(ask(name, id=name) for name in gates))],
        **{name: [[gate, *text(f"It is {name}.")]] for name, gate in gates.items()},
    )
    async with host(tmp_path, model, subagent_tool()) as runtime:
        session = await begun(runtime, tmp_path)
        await session.prompt("parent")
        with anyio.fail_after(HANG):
            for gate in gates.values():
                await gate.reached()
            for gate in reversed(gates.values()):
                gate.open()
            assert (await session.wait()).succeeded
        told = {one.call_id: one.text for one in await results(session)}
        assert told == {name: f"It is {name}." for name in gates}


@pytest.mark.law("agents.8")
async def test_an_agent_in_the_background_is_a_job_and_wakes_its_session(
    tmp_path: Path,
) -> None:
    gate = Gate()

    def look(request: ModelRequest) -> Any:
        [told] = [
            one.text
            for one in request.history.messages
            if isinstance(one, UserMessage) and "Nobody wrote" in one.text
        ]
        job = told.split("Job ")[1].split()[0]
        return calls(call("job", {"action": "wait", "job": job}))

    model = Plays(
        parent=[calls(ask("child", background=True)), text("I go on."), look],
        child=[[gate, *text("Here it is.")]],
    )
    tools = subagent_tool(), job_tool(LaterOutput())
    async with host(tmp_path, model, *tools) as runtime:
        session = await begun(runtime, tmp_path)
        await session.prompt("parent")
        with anyio.fail_after(HANG):
            await gate.reached()
            assert (await session.wait()).succeeded
            [job] = await session.jobs()
            [child] = await children(runtime, session)
            assert (job.state, job.session) == ("running", child.id)
            gate.open()
            assert (await session.wait_for_job(job.id)).state == "succeeded"
            assert (await session.wait()).succeeded
        first, second = await results(session)
        assert job.id in first.text
        assert "Here it is." in second.text


async def test_an_agent_that_fails_is_told_of_with_its_reason(tmp_path: Path) -> None:
    model = Plays(
        parent=[calls(ask("child"), ask("x", "nobody", id="two"))], child=[[]]
    )
    async with host(tmp_path, model, subagent_tool()) as runtime:
        session = await begun(runtime, tmp_path)
        await session.prompt("parent")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        broken, unknown = await results(session)
        assert "provider.stream_broken" in broken.text
        assert "'explore'" in unknown.text


# --- bound ------------------------------------------------------------------------


@pytest.mark.law("agents.6")
@pytest.mark.parametrize(
    ("agent", "effect"), [("free", "done"), ("plan", "denied"), ("asks", "asked")]
)
async def test_an_agent_may_do_no_more_than_whom_it_works_for(
    agent: str, effect: str, tmp_path: Path
) -> None:
    done: list[str] = []
    allowed = (Rule("*", "*", "allow"),)
    profiles = Agents(
        AgentProfile("free", rules=allowed),
        AgentProfile("asks", rules=(Rule("*", "*", "allow"), Rule("edit", "*", "ask"))),
    )
    change = call("edit", {"path": "a.py"})
    model = Plays(parent=[calls(ask("child", "free"))], child=[calls(change)])
    tools = subagent_tool(), asking("edit", done)
    async with host(tmp_path, model, *tools, plugins=[profiles]) as runtime:
        session = await begun(runtime, tmp_path, agent=agent)
        await session.prompt("parent")
        with anyio.fail_after(HANG):
            if effect == "asked":
                waiting: Sequence[Any] = ()
                async with runtime.live() as live:
                    while not waiting:
                        waiting = await runtime.requests.pending(session_id=session.id)
                        if not waiting:
                            await anext(live)
                await runtime.requests.reply(waiting[0].id, "once")
            await session.wait()
        [child] = await children(runtime, session)
        [result] = await results(await runtime.sessions.get(child.id))
    assert (result.failure is None) == (effect != "denied")
    assert done == ([] if effect == "denied" else ["a.py"])


@pytest.mark.law("agents.6")
async def test_an_agent_is_offered_no_tool_that_whom_it_works_for_is_not(
    tmp_path: Path,
) -> None:
    names = ("a", "b", "c")
    tools = [asking(name, []) for name in names]
    profiles = Agents(
        AgentProfile("little", tools=["a", "b", "subagent"]),
        AgentProfile("other", tools=["b", "c"]),
    )
    model = Plays(parent=[calls(ask("child", "other"), ask("child too", id="2"))])
    tools.append(subagent_tool())
    async with host(
        tmp_path, model, *tools, plugins=[profiles], on_permission="allow"
    ) as runtime:
        session = await begun(runtime, tmp_path, agent="little")
        await session.prompt("parent")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
    offered = {
        name: [tool.name for tool in requests[0].tools]
        for name, requests in model.asked.items()
    }
    assert offered == {
        "parent": ["a", "b", "subagent"],
        "child": ["b"],
        # Nor the tool itself, as deep as agents may work for one another.
        "child too": ["a", "b"],
    }


@pytest.mark.law("agents.7")
@pytest.mark.parametrize("depth", [1, 2])
async def test_only_so_deep_may_agents_work_for_one_another(
    depth: int, tmp_path: Path
) -> None:
    names = ["parent", "one", "two", "three"]
    model = Plays(**{name: [calls(ask(below))] for name, below in pairwise(names)})
    async with host(tmp_path, model, subagent_tool(depth)) as runtime:
        session = await begun(runtime, tmp_path)
        await session.prompt("parent")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
    assert list(model.asked) == names[: depth + 1]


@pytest.mark.law("agents.7")
async def test_only_so_many_agents_work_for_a_session_at_once(tmp_path: Path) -> None:
    many = MAX_AT_WORK + 2
    gate = Gate()
    model = Plays(
        parent=[calls(*(ask(f"child{n}", id=f"{n}") for n in range(many)))],
        **{f"child{n}": [[gate, *text("Done.")]] for n in range(many)},
    )
    async with host(tmp_path, model, subagent_tool()) as runtime:
        session = await begun(runtime, tmp_path)
        await session.prompt("parent")
        with anyio.fail_after(HANG):
            while len(await children(runtime, session)) < MAX_AT_WORK:
                await anyio.wait_all_tasks_blocked()
            async for event in session.events(follow=True):
                if isinstance(event, ToolFailed):
                    break
            gate.open()
            assert (await session.wait()).succeeded
        refused = [one for one in await results(session) if one.failure]
        assert [one.failure.code for one in refused if one.failure] == [
            "child.limit"
        ] * 2
        assert len(await children(runtime, session)) == MAX_AT_WORK


# --- what a person is asked, and what it costs ------------------------------------


@pytest.mark.law("agents.9")
async def test_what_an_agent_asks_is_asked_where_it_works_for_and_says_whose_it_is(
    tmp_path: Path,
) -> None:
    done: list[str] = []
    change = call("edit", {"path": "a.py"})
    model = Plays(parent=[calls(ask("child"))], child=[calls(change)])
    tools = subagent_tool(), asking("edit", done)
    async with host(tmp_path, model, *tools) as runtime:
        session = await begun(runtime, tmp_path)
        await session.prompt("parent")
        with anyio.fail_after(HANG):
            async for event in session.events(follow=True):
                if isinstance(event, ChildAsked):
                    break
            [child] = await children(runtime, session)
            [waiting] = await runtime.requests.pending(session_id=session.id)
            assert (waiting.session_id, waiting.above, waiting.agent) == (
                child.id,
                (session.id,),
                "build",
            )
            assert (event.child, event.request_id) == (child.id, waiting.id)
            here = runtime.location(tmp_path)
            [same] = await here.permissions.pending(session.id)
            assert same.session_id == child.id
            await here.permissions.reply(same.id, "once")
            assert (await session.wait()).succeeded
    assert done == ["a.py"]


@pytest.mark.law("agents.9")
async def test_what_agents_use_counts_where_they_work_for(tmp_path: Path) -> None:
    change = calls(call("edit", {"path": "a.py"}))
    model = Plays(parent=[calls(ask("child"))], child=[change] * 50)
    tools = subagent_tool(), asking("edit", [])
    async with host(tmp_path, model, *tools, on_permission="allow") as runtime:
        session = await begun(runtime, tmp_path)
        await session.prompt("parent", budget=Budget(steps=5))
        with anyio.fail_after(HANG):
            outcome = await session.wait()
        assert outcome.reason is not None
        assert (outcome.status, outcome.reason.code) == ("paused", "budget.steps")
        [child] = await children(runtime, session)
        assert child.outcome.reason is not None
        assert child.outcome.reason.code == "budget.steps"
        assert session.id in child.outcome.reason.message
        spent = [one async for one in session.events() if isinstance(one, ChildSpent)]
        # The Step of the call itself is settled after all of these.
        assert [one.child for one in spent] == [child.id] * 5
        info = await session.info()
        assert (info.steps, info.usage.input, child.usage.input) == (1, 6, 5)


# --- stopped ----------------------------------------------------------------------


@pytest.mark.law("agents.10")
@pytest.mark.parametrize("background", [False, True])
async def test_interrupting_a_session_interrupts_those_that_work_for_it(
    background: bool, tmp_path: Path
) -> None:
    gate = Gate()
    model = Plays(
        parent=[calls(ask("child", background=background))],
        child=[[gate, *text("Never.")]],
    )
    async with host(tmp_path, model, subagent_tool()) as runtime:
        session = await begun(runtime, tmp_path)
        await session.prompt("parent")
        with anyio.fail_after(HANG):
            await gate.reached()
            if background:
                assert (await session.wait()).succeeded
            assert await session.interrupt()
            await session.wait()
            [child] = await children(runtime, session)
            outcome = await (await runtime.sessions.get(child.id)).wait()
            assert outcome.status == "interrupted"
            for job in await session.jobs():
                assert (await session.wait_for_job(job.id)).state == "stopped"
        kinds = await kinds_of(session)
        assert kinds.count("execution.ended") == kinds.count("execution.started") == 1


async def test_a_job_that_is_an_agent_can_be_stopped(tmp_path: Path) -> None:
    gate = Gate()
    model = Plays(
        parent=[calls(ask("child", background=True))], child=[[gate, *text("No.")]]
    )
    async with host(tmp_path, model, subagent_tool()) as runtime:
        session = await begun(runtime, tmp_path)
        await session.prompt("parent")
        with anyio.fail_after(HANG):
            await gate.reached()
            await session.wait()
            [job] = await session.jobs()
            assert (await session.stop_job(job.id)).state == "stopped"
            await session.wait()
        told = [one.text for one in await session.messages()]
        assert any("was stopped by a person" in one for one in told)


# --- left, and gone on with -------------------------------------------------------


@pytest.mark.law("agents.11")
@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("accept", ["prompt", "digest", "always"])
async def test_an_agent_that_was_left_goes_on_with_whom_it_works_for(
    background: bool, accept: str, tmp_path: Path
) -> None:
    gate, done = Gate(), list[str]()

    def tool(at: Gate | None) -> Tool[Input, str]:
        async def execute(input: Input, context: ToolContext) -> str:
            if at is not None:
                await at.pass_through()
            done.append(context.effect_token)
            return "done"

        return Tool("act", "Do it.", Input, execute, effect="idempotent")

    scripts = {
        "parent": [calls(ask("child", background=background))],
        "child": [calls(call("act"))],
    }
    from dovetail.kernel.testing.memory_store import MemoryState

    state = MemoryState()
    tools: Callable[[Gate | None], Any] = lambda at: (subagent_tool(), tool(at))  # noqa: E731
    async with on(state, *tools(gate), plugins=[Plays(**scripts)]) as runtime:
        session = await begun(runtime, tmp_path, id="it")
        await session.prompt("parent")
        with anyio.fail_after(HANG):
            await gate.reached()
            if background:
                await session.wait()
            await anyio.wait_all_tasks_blocked()
        state = copied(state)
    again = Plays(**scripts)
    resume = "always" if accept == "always" else "report"
    async with on(
        state, *tools(None), plugins=[again], lives=1, resume=resume
    ) as runtime:
        session = await runtime.sessions.get("it")
        [child] = await children(runtime, session)
        made = await runtime.sessions.get(child.id)
        with anyio.fail_after(HANG):
            if accept == "prompt":
                await session.prompt("Go on.")
            elif accept == "digest" and not background:
                report = await session.continuation()
                assert [one.session_id for one in report.children] == [child.id]
                assert not report.clean
                assert done == []
                await session.resume(accept=report.digest)
            elif accept == "digest":
                await made.resume(accept=(await made.continuation()).digest)
            for job in await session.jobs():
                assert (await session.wait_for_job(job.id)).state == "succeeded"
            assert (await session.wait()).succeeded
            assert (await made.wait()).succeeded
        assert len(done) == 1
        assert len(await children(runtime, session)) == 1
        if not background:
            [result] = await results(session)
            assert result.text == "child is done."


@pytest.mark.law("agents.8")
@pytest.mark.parametrize("closing", ["end", "leave"])
async def test_closing_stops_an_agent_in_the_background_and_says_so(
    closing: str, tmp_path: Path
) -> None:
    gate = Gate()
    scripts = {
        "parent": [calls(ask("child", background=True))],
        "child": [[gate, *text("Never.")]],
    }
    async with host(
        tmp_path, Plays(**scripts), subagent_tool(), jobs_at_close=closing
    ) as runtime:
        session = await begun(runtime, tmp_path, id="it")
        await session.prompt("parent")
        with anyio.fail_after(HANG):
            await gate.reached()
            await session.wait()
    async with host(tmp_path, Plays(**scripts), subagent_tool()) as runtime:
        session = await runtime.sessions.get("it")
        with anyio.fail_after(HANG):
            [job] = await session.jobs()
            assert job.state == "stopped"
            [child] = await children(runtime, session)
            assert child.outcome.status == "interrupted"
            # The model is told of it when its session goes on.
            assert (await session.resume()).succeeded
        told = [one.text for one in await session.messages()]
        assert any(f"Job {job.id} was stopped" in one for one in told)


async def test_a_fork_of_an_agents_session_may_do_no_more_than_that(
    tmp_path: Path,
) -> None:
    profiles = Agents(AgentProfile("free", rules=(Rule("*", "*", "allow"),)))
    done: list[str] = []
    model = Plays(parent=[calls(ask("child", "free"))])
    tools = subagent_tool(), asking("edit", done)
    async with host(tmp_path, model, *tools, plugins=[profiles]) as runtime:
        session = await begun(runtime, tmp_path, agent="plan")
        await session.prompt("parent")
        with anyio.fail_after(HANG):
            await session.wait()
            [child] = await children(runtime, session)
            fork = await (await runtime.sessions.get(child.id)).fork()
            model.scripts["child"] = ["", calls(call("edit", {"path": "a.py"}))]
            await fork.prompt("Now change it.")
            await fork.wait()
        [result] = await results(fork)
        assert result.failure is not None
        assert result.failure.code == "permission.denied"
    assert done == []
