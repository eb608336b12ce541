"""Tools that are plain functions run in threads, and hold up nobody else."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from attrs import frozen
from dovetail.kernel import (
    AssistantMessage,
    BlockingToolContext,
    Deed,
    Runtime,
    Session,
    TextContent,
    Tool,
    ToolCancelledError,
    ToolContext,
    ToolFailure,
    ToolPart,
)
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from dovetail.kernel.tools.threads import PER_PLUGIN, ToolThreads, is_plain
from support.bounds import HANG
from support.hosts import host
from support.left import request_waiting


@frozen
class Nothing:
    pass


@frozen
class Output:
    value: int


def tool(name: str, execute: Callable[..., Any], **fields: Any) -> Tool[Any, Any]:
    return Tool(name, f"Do {name}.", Nothing, execute, **fields)


async def part_of(session: Session) -> ToolPart:
    [found] = [
        one
        for message in await session.history()
        if isinstance(message, AssistantMessage)
        for one in message.calls
    ]
    return found


async def called(runtime: Runtime, folder: Path, provider: Any) -> ToolPart:
    session = await runtime.sessions.create(location=folder, model=provider.model)
    with anyio.fail_after(HANG):
        await session.prompt("go")
        assert (await session.wait()).succeeded
    return await part_of(session)


def scripted(name: str) -> ScriptedProvider:
    return ScriptedProvider(calls(call(name)), text("Done."))


@pytest.mark.law("tools.9")
async def test_a_plain_function_runs_beside_the_loop_which_goes_on(
    tmp_path: Path,
) -> None:
    loop, goes_on = threading.get_ident(), threading.Event()
    threads: list[int] = []

    def block(input: Nothing, context: BlockingToolContext) -> Output:
        threads.append(threading.get_ident())
        # Only a loop that goes on meanwhile sets it.
        assert goes_on.wait(HANG)
        return Output(7)

    provider = scripted("block")
    async with host(tmp_path, provider, tool("block", block, output=Output)) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        with anyio.fail_after(HANG):
            await session.prompt("go")
            while not threads:
                await anyio.lowlevel.checkpoint()
            goes_on.set()
            assert (await session.wait()).succeeded
        assert (await part_of(session)).content == (TextContent('{"value":7}'),)
    assert threads != [loop]


@pytest.mark.law("tools.9")
async def test_its_context_works_from_the_thread(tmp_path: Path) -> None:
    seen: list[Any] = []

    def use(input: Nothing, context: BlockingToolContext) -> str:
        context.progress("half")
        context.ask("act", ["it"])
        context.saw("/file", None)
        context.does("this", {"number": 1})
        context.does("that")
        assert context.deeds == (Deed("this", {"number": 1}), Deed("that"))
        seen.extend([context.session_id, context.agent, context.call_id])
        seen.extend([context.effect_token, context.location.path, context.message_id])
        seen.append(context.allowing("act")("it"))
        assert not context.cancelled
        with pytest.raises(LookupError):
            raise LookupError(context.processes)
        return "used"

    provider = scripted("use")
    async with host(
        tmp_path, provider, tool("use", use), on_permission="allow"
    ) as runtime:
        part = await called(runtime, tmp_path, provider)
    assert part.content == (TextContent("used"),)
    assert len(seen) == 7


@pytest.mark.law("tools.9")
async def test_what_it_asks_may_be_denied_and_its_failures_are_told_apart(
    tmp_path: Path,
) -> None:
    def denied(input: Nothing, context: BlockingToolContext) -> str:
        context.ask("act", ["it"])
        return "unreachable"

    def fails(input: Nothing, context: BlockingToolContext) -> str:
        raise ToolFailure("no such thing")

    def breaks(input: Nothing, context: BlockingToolContext) -> str:
        raise LookupError("secret")

    def ends(input: Nothing, context: BlockingToolContext) -> str:
        raise SystemExit(3)

    def interrupts(input: Nothing, context: BlockingToolContext) -> str:
        raise KeyboardInterrupt

    told = []
    for execute in (denied, fails, breaks, ends, interrupts):
        name = execute.__name__
        provider = scripted(name)
        async with host(
            tmp_path, provider, tool(name, execute), on_permission="deny"
        ) as runtime:
            part = await called(runtime, tmp_path, provider)
        assert part.failure is not None
        told.append((part.failure.code, part.failure.message))
    assert told[0][0] == "permission.rejected"
    assert told[1:] == [
        ("tool.failed", "no such thing"),
        ("internal", "tool 'breaks' broke (LookupError)"),
        ("internal", "tool 'ends' broke (SystemExit)"),
        ("internal", "tool 'interrupts' broke (KeyboardInterrupt)"),
    ]


@pytest.mark.law("tools.10")
async def test_an_interrupted_call_ends_at_once_and_its_thread_is_left_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    began, goes_on, ended = threading.Event(), threading.Event(), threading.Event()
    refused: list[str] = []

    def block(input: Nothing, context: BlockingToolContext) -> str:
        began.set()
        assert goes_on.wait(HANG)
        assert context.cancelled
        asking: list[Callable[[], Any]] = [
            lambda: context.ask("act", ["it"]),
            lambda: context.progress("still here"),
            lambda: context.saw("/file", None),
            lambda: context.skill("none"),
        ]
        for ask in asking:
            try:
                ask()
            except ToolCancelledError as error:
                refused.append(error.code)
        ended.set()
        return "dropped"

    provider = scripted("block")
    caplog.set_level("INFO")
    async with host(tmp_path, provider, tool("block", block)) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        with anyio.fail_after(HANG):
            await session.prompt("go")
            while not began.is_set():
                await anyio.lowlevel.checkpoint()
            await session.interrupt()
            assert (await session.wait()).status == "interrupted"
            assert "tool 'block' of plugin 'test-tools' was interrupted" in caplog.text
            goes_on.set()
            while "which was left behind, ended" not in caplog.text:
                await anyio.lowlevel.checkpoint()
        part = await part_of(session)
    assert ended.is_set()
    assert refused == ["tool.cancelled"] * 4
    assert part.failure is not None


@pytest.mark.law("tools.10")
async def test_a_call_that_is_interrupted_while_it_asks_ends_its_thread(
    tmp_path: Path,
) -> None:
    raised: list[BaseException] = []
    over = threading.Event()

    def asks(input: Nothing, context: BlockingToolContext) -> str:
        try:
            context.ask("act", ["it"])
        except BaseException as error:
            raised.append(error)
            raise
        finally:
            over.set()
        return "unreachable"

    provider = scripted("asks")
    async with host(tmp_path, provider, tool("asks", asks)) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        with anyio.fail_after(HANG):
            await session.prompt("go")
            await request_waiting(runtime, session)
            await session.interrupt()
            await session.wait()
            while not over.is_set():
                await anyio.lowlevel.checkpoint()
    assert isinstance(raised[0], ToolCancelledError)


@pytest.mark.law("tools.9")
async def test_threads_that_are_all_taken_hold_up_no_other_plugin_and_are_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    goes_on, count = threading.Event(), 0

    def block(input: Any, context: Any) -> int:
        nonlocal count
        count += 1
        assert goes_on.wait(HANG)
        return 1

    threads, others = ToolThreads("greedy", 2), ToolThreads("modest", 2)
    context: Any = None
    done: list[int] = []
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:

            async def run() -> None:
                done.append(await threads.awaited("block", block)(None, context))

            for _ in range(3):
                tasks.start_soon(run)
            while "waits: all 2 threads" not in caplog.text:
                await anyio.lowlevel.checkpoint()
            assert "threads of the plugin are taken, by block" in caplog.text
            while count < 2:
                await anyio.lowlevel.checkpoint()
            free = others.awaited("free", lambda input, context: "free")
            assert await free(None, context) == "free"
            goes_on.set()
    assert done == [1, 1, 1]
    assert PER_PLUGIN >= 8


async def test_what_a_plain_function_returns_to_be_awaited_is_awaited() -> None:
    async def later(input: Any, context: Any) -> int:
        await anyio.lowlevel.checkpoint()
        return 5

    threads = ToolThreads("it")
    context: Any = None
    for function in (later, partial(later), lambda input, ctx: later(input, ctx)):
        assert await threads.awaited("later", function)(None, context) == 5


class Called:
    async def __call__(self, input: Any, context: ToolContext) -> str:
        return "async"

    def plain(self, input: Any, context: Any) -> str:
        return "plain"


def test_what_is_plain_is_told_by_what_is_called() -> None:
    assert not is_plain(Called())
    assert not is_plain(partial(Called()))
    assert is_plain(Called().plain)
    assert is_plain(lambda input, context: None)


async def test_a_loop_may_be_run_in_the_thread() -> None:
    async def inner() -> str:
        await anyio.lowlevel.checkpoint()
        return "inner"

    def runs(input: Any, context: Any) -> list[str]:
        return [anyio.run(inner), asyncio.run(inner())]

    threads = ToolThreads("it")
    context: Any = None
    with anyio.fail_after(HANG):
        assert await threads.awaited("runs", runs)(None, context) == ["inner"] * 2


async def test_a_plain_check_is_asked_too(tmp_path: Path) -> None:
    threads = ToolThreads("it")
    main = threading.get_ident()
    found = await threads.awaited("check", lambda i, c: threading.get_ident())(
        None,
        None,  # type: ignore[arg-type]
    )
    assert found != main
