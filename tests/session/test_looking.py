"""What an application asks before it acts: which model, who holds it, who answered."""

from pathlib import Path

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    AgentNotFoundError,
    AgentProfile,
    InvalidValueError,
    ModelNotSelectedError,
    Register,
    RequestAnswered,
    SessionNotFoundError,
    Tool,
    ToolContext,
    hookimpl,
)
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from dovetail.kernel.testing.scripted import Gate
from support.bounds import HANG
from support.hosts import host


class Agents:
    name = "agents"

    @hookimpl
    def dovetail_register_agents(self, register: Register[AgentProfile]) -> None:
        register(AgentProfile("plain", instructions="Be plain."))
        register(AgentProfile("fixed", instructions="Be.", model="scripted/agents"))


async def test_a_model_is_the_session_s_then_the_agent_s_then_the_configured(
    tmp_path: Path,
) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('model = "scripted/configured"\n')
    async with host(
        tmp_path,
        ScriptedProvider(),
        plugins=[Agents()],
        environment={"DOVETAIL_CONFIG": str(mine)},
    ) as runtime:
        location = runtime.location(tmp_path)
        assert await location.model_for("scripted/own", "fixed") == "scripted/own"
        assert await location.model_for(agent="fixed") == "scripted/agents"
        assert await location.model_for(agent="plain") == "scripted/configured"
        assert await location.model_for() == "scripted/configured"
        with pytest.raises(AgentNotFoundError):
            await location.model_for("scripted/own", "nobody")


async def test_without_any_model_that_is_said(tmp_path: Path) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        with pytest.raises(ModelNotSelectedError):
            await runtime.location(tmp_path).model_for()


async def test_a_session_is_held_while_somebody_runs_it(tmp_path: Path) -> None:
    gate = Gate()
    async with host(tmp_path, ScriptedProvider([gate, *text("Done.")])) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model="scripted/model"
        )
        assert await session.held_until() is None
        await session.prompt("go")
        await gate.reached()
        created = (await session.info()).updated
        held = await session.held_until()
        assert held is not None
        assert held > created
        gate.open()
        await session.wait()
        assert await session.held_until() is None
        gone = await runtime.sessions.create(location=tmp_path)
        gone.id = "ses_gone"  # type: ignore[assignment]
        with pytest.raises(SessionNotFoundError):
            await gone.held_until()


@frozen
class Nothing:
    pass


async def asks(input: object, context: ToolContext) -> str:
    await context.ask("act", ["it"])
    return "done"


async def test_who_answered_is_recorded_as_the_caller_says(tmp_path: Path) -> None:
    provider = ScriptedProvider(
        calls(call("asks", id="c1")), calls(call("asks", id="c2")), text("Done.")
    )
    tool = Tool("asks", "Ask.", Nothing, asks)
    async with host(tmp_path, provider, tool) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model="scripted/model"
        )
        permissions = runtime.location(tmp_path).permissions
        async with session.events(follow=True) as tail:
            await session.prompt("go")
            for by in ("policy", "person"):
                with anyio.fail_after(HANG):
                    async for event in tail:
                        if event.kind == "request.asked":
                            break
                [request] = await permissions.pending(session.id)
                with pytest.raises(InvalidValueError):
                    await permissions.reply(request.id, "once", by="me")  # type: ignore[arg-type]
                if by == "policy":
                    await permissions.reply(request.id, "once", by="policy")
                else:
                    await permissions.reply(request.id, "once")
        await session.wait()
        async with session.events() as tail:
            replied = [one.by async for one in tail if isinstance(one, RequestAnswered)]
    assert replied == ["policy", "person"]
