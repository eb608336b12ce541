"""What a runtime left that ended in the middle: sessions in a call, and who they
are asked about afterwards.
"""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
from attrs import evolve, field, frozen
from dovetail.kernel import (
    AssistantMessage,
    ContinuationReport,
    EffectClass,
    Runtime,
    Session,
    Tool,
    ToolContext,
    ToolFailure,
)
from dovetail.kernel.testing import (
    Gate,
    ScriptedProvider,
    call,
    calls,
)
from dovetail.kernel.testing.memory_store import MemoryState

from support.bounds import HANG
from support.crashes import copied, on


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


async def called_only(folder: Path) -> MemoryState:
    """Leave an unsafe call whose start was never recorded."""
    state = await in_a_call(folder)
    records = state.events["it"]
    assert records[-1].kind == "tool.started"
    head = state.heads["it"]
    state.events["it"] = records[:-1]
    state.log = [one for one in state.log if one.kind != "tool.started"]
    state.heads["it"] = evolve(head, seq=head.seq - 1, hash=records[-2].hash)
    return state


async def request_waiting(runtime: Runtime, session: Session) -> str:
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


async def asked_after(session: Session, seq: int) -> None:
    """Return once a call has asked, or asked again, since an event."""
    async with session.events(after=seq, follow=True) as events:
        async for event in events:
            if event.kind == "request.asked":
                return


async def asking(folder: Path, asks: Sequence[str] = ("here",)) -> MemoryState:
    """Leave an unsafe call that waits for the last of these permissions."""
    state = MemoryState()
    provider = ScriptedProvider(calls(call("do")))
    async with on(state, asking_tool(Ran(), *asks), plugins=[provider]) as runtime:
        session = await runtime.sessions.create(
            id="it", location=folder, model=provider.model
        )
        await session.prompt("Go.")
        permissions = runtime.location(folder).permissions
        with anyio.fail_after(HANG):
            for _ in asks[1:]:
                await permissions.reply(await request_waiting(runtime, session), "once")
            await request_waiting(runtime, session)
            await anyio.wait_all_tasks_blocked()
        return copied(state)


def asking_tool(ran: Ran, *places: str, save: bool = False) -> Tool[Input, str]:
    async def body(input: Input, context: ToolContext) -> str:
        for place in places:
            await context.ask("act", [place], save=[place] if save else [])
        return "acted"

    return ran.tool(body=body)
