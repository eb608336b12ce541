"""Code of plugins ends itself and nothing else, whatever it raises and wherever."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    AssistantMessage,
    CallNotice,
    Observation,
    Place,
    Register,
    Skill,
    SkillSource,
    Tool,
    ToolContext,
    hookimpl,
)
from dovetail.kernel.contracts import ContextSource
from dovetail.kernel.lifecycle.guests import contain_tasks, contained
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from dovetail.kernel.values.errors import error_text
from dovetail.kernel.values.errors.base import ContainedError
from support.bounds import HANG
from support.hosts import host

RAISED = [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError]


@frozen
class Nothing:
    pass


async def raises(kind: type[BaseException]) -> Any:
    await anyio.lowlevel.checkpoint()
    raise kind


async def raises_in_a_task(kind: type[BaseException]) -> Any:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(raises, kind)


async def raises_late(kind: type[BaseException]) -> Any:
    try:
        await raises(kind)
    finally:
        await anyio.lowlevel.checkpoint()


@pytest.mark.law("plugins.8")
@pytest.mark.parametrize("kind", RAISED, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("how", [raises, raises_in_a_task, raises_late])
async def test_whatever_a_tool_raises_ends_its_call_by_name_and_nothing_else(
    tmp_path: Path,
    kind: type[BaseException],
    how: Callable[[type[BaseException]], Awaitable[Any]],
) -> None:
    cancelling = anyio.get_cancelled_exc_class()
    if kind is asyncio.CancelledError and how is raises_in_a_task:
        pytest.skip("a task that cancels itself is cancelled, and its group goes on")
    if issubclass(asyncio.CancelledError, cancelling) is False and (
        kind is asyncio.CancelledError
    ):
        pytest.skip("another loop's")

    async def execute(input: Nothing, context: ToolContext) -> str:
        await how(kind)
        return "unreachable"

    provider = ScriptedProvider(calls(call("bad")), text("Done."))
    tool = Tool("bad", "Bad.", Nothing, execute)
    async with host(tmp_path, provider, tool) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        with anyio.fail_after(HANG):
            await session.prompt("go")
            assert (await session.wait()).succeeded
        [part] = [
            one
            for message in await session.history()
            if isinstance(message, AssistantMessage)
            for one in message.calls
        ]
    assert part.failure is not None
    assert part.failure.message == f"tool 'bad' broke ({kind.__name__})"


class Ending:
    """A plugin that wants to end everything, wherever it is asked."""

    name = "ending"

    def __init__(self, where: str, kind: type[BaseException]) -> None:
        self.where = where
        self.kind = kind

    def _raise(self, where: str) -> None:
        if where == self.where:
            raise self.kind

    @hookimpl
    def dovetail_register_context(
        self, register: Register[ContextSource], place: Place
    ) -> None:
        self._raise("registering")
        register(ContextSource("test/ending", self.observe))

    async def observe(self) -> Observation | None:
        if self.where == "source":
            await raises_in_a_task(self.kind)
        return None

    @hookimpl
    def dovetail_register_skills(self, register: Register[SkillSource]) -> None:
        register(SkillSource("test/ending", self.find))

    async def find(self) -> list[Skill]:
        if self.where == "skills":
            await raises_in_a_task(self.kind)
        return []

    @hookimpl
    def dovetail_prepare_tool_call(self, call: CallNotice) -> None:
        self._raise("guard")

    @hookimpl
    def dovetail_observe_event(self, event: Any) -> None:
        self._raise("observer")

    @hookimpl
    def dovetail_open_location(self, place: Place) -> AbstractAsyncContextManager[None]:
        self._raise("opening")
        return self._resource()

    @asynccontextmanager
    async def _resource(self) -> AsyncIterator[None]:
        if self.where == "entering":
            await raises_in_a_task(self.kind)
        async with anyio.create_task_group() as tasks:
            if self.where == "background":
                tasks.start_soon(raises, self.kind)
            yield
            tasks.cancel_scope.cancel()
        self._raise("leaving")


PLACES = [
    "registering",
    "source",
    "skills",
    "guard",
    "observer",
    "opening",
    "entering",
    "background",
    "leaving",
]


@pytest.mark.law("plugins.8")
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("where", PLACES)
async def test_whatever_else_of_a_plugin_wants_to_end_everything_does_not(
    tmp_path: Path, where: str, kind: type[BaseException]
) -> None:
    provider = ScriptedProvider(calls(call("ok")), text("Done."))

    async def ok(input: Nothing, context: ToolContext) -> str:
        await context.ask("act", ["it"])
        return "ok"

    tool = Tool("ok", "Ok.", Nothing, ok)
    plugin = Ending(where, kind)
    with anyio.fail_after(HANG):
        async with host(
            tmp_path, provider, tool, plugins=[plugin], on_permission="allow"
        ) as runtime:
            session = await runtime.sessions.create(
                location=tmp_path, model=provider.model
            )
            await runtime.location(tmp_path).skills()
            await session.prompt("go")
            outcome = await session.wait()
            known = await runtime.location(tmp_path).plugins.list()
            problems = await runtime.location(tmp_path).skill_problems()
    [ending] = [one for one in known if one.name == "ending"]
    told = [ending.error, ending.last_error, *(one.problem for one in problems)]
    if outcome.reason is not None:
        told.append(outcome.reason.message)
    if where not in ("source", "leaving"):
        assert any(kind.__name__ in (one or "") for one in told), told


@pytest.mark.law("plugins.8")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.usefixtures("interrupts")
async def test_a_persons_ctrl_c_is_not_taken_for_the_codes_own() -> None:
    with pytest.raises(KeyboardInterrupt), contained():
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(ContainedError) as caught, contained():
        raise KeyboardInterrupt("mine")
    assert error_text(caught.value) == "KeyboardInterrupt: mine"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_factory_of_the_hosts_own_is_kept() -> None:
    made: list[str] = []

    def factory(loop: Any, coroutine: Any, **options: Any) -> Any:
        made.append(coroutine.__qualname__)
        return asyncio.Task(coroutine, loop=loop, **options)

    loop = asyncio.get_running_loop()
    loop.set_task_factory(factory)
    try:
        ends = [contain_tasks(), contain_tasks()]
        await asyncio.create_task(anyio.lowlevel.checkpoint())
        ends[0]()
        await asyncio.create_task(anyio.lowlevel.checkpoint())
        ends[1]()
        assert loop.get_task_factory() is factory
    finally:
        loop.set_task_factory(None)
    assert made == ["checkpoint", "checkpoint"]
