"""Calls that were left in the middle: what is done about each, and what is told."""

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import (
    AssistantMessage,
    Deed,
    EffectClass,
    InvalidValueError,
    ProcessMark,
    Session,
    ToolContext,
    ToolFailed,
    ToolFailure,
    ToolSucceeded,
    effect_token,
)
from dovetail.kernel.execution.recovery import account
from dovetail.kernel.execution.takeover import UNCLEAR
from dovetail.kernel.history.messages import Receipt
from dovetail.kernel.testing import (
    Gate,
    ScriptedProvider,
    call,
    calls,
    finish,
    text,
)
from dovetail.kernel.testing.memory_store import MemoryState
from support.bounds import HANG
from support.crashes import copied, on
from support.left import Input, Ran, accept, called_only, codes_of, in_a_call, left


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


@pytest.mark.law("recovery.3")
async def test_a_call_whose_start_was_not_recorded_runs_whatever_its_class(
    tmp_path: Path,
) -> None:
    state = await called_only(tmp_path)
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

    async def two_ended(session: Session) -> None:
        ended: set[str] = set()
        async with session.events(follow=True) as tail:
            async for event in tail:
                if isinstance(event, ToolSucceeded | ToolFailed):
                    ended.add(event.call_id)
                if ended == {"1", "3"}:
                    return

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
        before=two_ended,
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
        (await called_only(tmp_path), "tool.stale"),
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

    async def called(session: Session) -> None:
        async for event in session.events(follow=True):
            if event.kind == "tool.succeeded":
                return

    state = await left(
        tmp_path,
        [[*text("Half an ")[:1], call("do"), more]],
        Ran().tool("pure"),
        at=more,
        before=called,
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
