"""Retries, silent streams and budgets: what bounds a run, and what it leaves behind."""

from pathlib import Path

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    AssistantMessage,
    Budget,
    Delivery,
    Finish,
    Price,
    ProviderError,
    RetryPolicy,
    Session,
    TextDelta,
    Tool,
    ToolContext,
    Usage,
)
from dovetail.kernel.testing import (
    Gate,
    ManualClock,
    ScriptedProvider,
    call,
    calls,
    finish,
    text,
)
from hypothesis import given, strategies as st
from support.bounds import HANG
from support.hosts import host, kinds_of

RETRY = 30.0
"""Seconds: more than a retry waits here, and less than what cleans up does."""
DELIVERIES: tuple[Delivery, ...] = ("steer", "queue")


def _unavailable(advice: float | None = None) -> ProviderError:
    return ProviderError(
        "provider.unavailable",
        "scripted",
        "down",
        status=503,
        retryable=True,
        retry_after=advice,
    )


@pytest.mark.law("execution.8")
async def test_a_request_that_failed_before_any_output_is_sent_again_visibly(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    provider = ScriptedProvider(
        [_unavailable()], [_unavailable(advice=7.0)], text("better")
    )
    async with host(tmp_path, provider, retry=RetryPolicy(), clock=clock) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            async with clock.jumping(longest=RETRY):
                await session.wait()
        assert (await session.info()).outcome.succeeded
        scheduled = [
            event async for event in session.events() if event.kind == "retry.scheduled"
        ]
        assert [one.attempt for one in scheduled] == [2, 3]  # type: ignore[attr-defined]
        assert scheduled[0].delay_ms >= 2000  # type: ignore[attr-defined]
        assert scheduled[1].delay_ms >= 7000  # type: ignore[attr-defined]
        _, answer = await session.history()
        assert isinstance(answer, AssistantMessage)
        assert (answer.text, answer.failure) == ("better", None)


@pytest.mark.law("execution.8")
async def test_an_answer_that_broke_off_is_kept_and_another_goes_on_from_it(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    broken = ProviderError("provider.stream_broken", "scripted", "cut", retryable=True)
    provider = ScriptedProvider([TextDelta("0", "one and "), broken], text("two"))
    async with host(tmp_path, provider, retry=RetryPolicy(), clock=clock) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("count")
        with anyio.fail_after(HANG):
            async with clock.jumping(longest=RETRY):
                await session.wait()
        assert (await session.info()).outcome.succeeded
        _, first, notice, second = await session.history()
        assert isinstance(first, AssistantMessage)
        assert isinstance(second, AssistantMessage)
        assert (first.text, second.text) == ("one and ", "two")
        assert first.failure is not None
        assert notice.type == "notice"
        assert "retry.scheduled" not in await kinds_of(session)


async def test_retries_end_and_a_long_advice_is_not_waited_for(tmp_path: Path) -> None:
    clock = ManualClock()
    provider = ScriptedProvider(
        *[[_unavailable()]] * 3, [_unavailable(advice=10_000.0)]
    )
    policy = RetryPolicy(retries=2)
    async with host(tmp_path, provider, retry=policy, clock=clock) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            async with clock.jumping(longest=RETRY):
                await session.wait()
            assert (await session.info()).outcome.status == "failed"
            assert len(provider.requests) == 3
            outcome = await session.resume()
        assert outcome.status == "failed"
        assert provider.unused == 0


async def test_an_interrupt_ends_the_waiting_for_a_retry(tmp_path: Path) -> None:
    clock = ManualClock()
    provider = ScriptedProvider([_unavailable()], text("better"))
    async with host(tmp_path, provider, retry=RetryPolicy(), clock=clock) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await clock.until_sleeping(1, within=RETRY)
            await session.interrupt()
            assert (await session.wait()).status == "interrupted"
        assert len(provider.requests) == 1


async def test_a_silent_stream_is_given_up_when_that_was_asked_for(
    tmp_path: Path,
) -> None:
    clock, gate = ManualClock(), Gate()
    provider = ScriptedProvider([TextDelta("0", "a"), gate, finish()])
    async with host(tmp_path, provider, stream_silence=30.0, clock=clock) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await gate.reached()
            async with clock.jumping(longest=30):
                outcome = await session.wait()
            assert clock.monotonic() >= 30
        assert outcome.reason is not None
        assert outcome.reason.code == "provider.stream_broken"
        assert "30 seconds" in outcome.reason.message


@given(
    attempt=st.integers(1, 10),
    advice=st.none() | st.floats(0, 900),
    chance=st.floats(0, 0.999),
)
def test_a_delay_honours_the_advice_and_stays_bounded(
    attempt: int, advice: float | None, chance: float
) -> None:
    policy = RetryPolicy(retries=5)
    delay = policy.delay(attempt, advice, chance)
    if attempt > 5:
        assert delay is None
    else:
        assert delay is not None
        assert max(advice or 0, 2.0) <= delay <= max(advice or 0, 60.0) * 1.2


@frozen
class Nothing:
    pass


async def _nothing(input: Nothing, context: ToolContext) -> str:
    return "ok"


NOTHING = Tool("nothing", "Do nothing.", Nothing, _nothing, effect="pure")


@pytest.mark.law("execution.7")
@pytest.mark.parametrize(
    ("budget", "code", "requests"),
    [
        (Budget(steps=2), "budget.steps", 2),
        (Budget(tokens=25), "budget.tokens", 3),
        (Budget(cost=1.0), "budget.cost", 0),
    ],
)
async def test_a_reached_budget_pauses_with_a_durable_reason(
    tmp_path: Path, budget: Budget, code: str, requests: int
) -> None:
    usage = Usage(input=5, output=5)
    provider = ScriptedProvider(*[calls(call("nothing"), usage=usage)] * 3, text("x"))
    async with host(tmp_path, provider, NOTHING) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go", budget=budget)
        with anyio.fail_after(HANG):
            outcome = await session.wait()
        assert outcome.status == "paused"
        assert outcome.reason is not None
        assert outcome.reason.code == code
        assert len(provider.requests) == requests
        assert (await session.info()).outcome == outcome


async def test_wall_time_is_a_budget_too(tmp_path: Path) -> None:
    clock = ManualClock()

    async def slow(input: Nothing, context: ToolContext) -> str:
        clock.advance(61)
        return "ok"

    provider = ScriptedProvider(calls(call("slow")))
    async with host(
        tmp_path, provider, Tool("slow", "Be slow.", Nothing, slow), clock=clock
    ) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model=provider.model, budget=Budget(seconds=60)
        )
        await session.prompt("go")
        with anyio.fail_after(HANG):
            outcome = await session.wait()
        assert outcome.reason is not None
        assert outcome.reason.code == "budget.seconds"


@pytest.mark.law("execution.17")
@pytest.mark.parametrize("pauses", [False, True])
@pytest.mark.parametrize("restarts", [False, True])
async def test_a_budget_of_a_prompt_ends_with_the_work_that_it_began(
    tmp_path: Path, pauses: bool, restarts: bool
) -> None:
    first = calls(call("nothing")) if pauses else text("one")
    provider = ScriptedProvider(first, text("two"), text("three"))
    async with host(tmp_path, provider, NOTHING) as runtime:
        session = await runtime.sessions.create(
            "one", location=tmp_path, model=provider.model
        )
        await session.prompt("one", budget=Budget(steps=1))
        with anyio.fail_after(HANG):
            outcome = await session.wait()
            assert outcome.status == ("paused" if pauses else "succeeded")
            if pauses:
                # To go on with the same work changes nothing.
                assert (await session.resume()).status == "paused"
        if not restarts:
            await _two_more(session)
    if restarts:
        async with host(tmp_path, provider, NOTHING) as runtime:
            await _two_more(await runtime.sessions.get("one"))


async def _two_more(session: Session) -> None:
    for delivery in DELIVERIES:
        await session.prompt("more", delivery=delivery)
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded


@pytest.mark.law("execution.17")
@pytest.mark.parametrize(
    ("delivery", "steps", "requests"), [("steer", 1, 1), ("queue", 2, 4)]
)
async def test_input_that_joins_work_lifts_no_budget_and_queued_input_has_its_own(
    tmp_path: Path, delivery: Delivery, steps: int, requests: int
) -> None:
    gate = Gate()

    async def wait(input: Nothing, context: ToolContext) -> str:
        await gate.pass_through()
        return "ok"

    tool = Tool("wait", "Wait.", Nothing, wait, effect="pure")
    script = [calls(call("wait", id="a")), text("one"), calls(call("wait", id="b"))]
    provider = ScriptedProvider(*script, text("two"))
    async with host(tmp_path, provider, tool) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("one", budget=Budget(steps=steps))
        with anyio.fail_after(HANG):
            await gate.reached()
            await session.prompt("two", delivery=delivery)
            gate.open()
            outcome = await session.wait()
        assert outcome.succeeded == (delivery == "queue")
        assert len(provider.requests) == requests


@pytest.mark.law("execution.7")
@pytest.mark.parametrize("usage", [Usage(), Usage(input=1), Usage(output=1)])
@pytest.mark.parametrize(
    ("budget", "code"),
    [
        (Budget(tokens=10**6), "budget.tokens"),
        (Budget(cost=100.0), "budget.cost"),
        (Budget(steps=9, seconds=900), None),
    ],
)
async def test_a_budget_of_what_the_provider_does_not_tell_pauses(
    tmp_path: Path, usage: Usage, budget: Budget, code: str | None
) -> None:
    script = [Finish("tool_calls", usage)]
    provider = ScriptedProvider(
        [*calls(call("nothing"))[:-1], *script], text("x"), price=Price(1.0, 1.0)
    )
    async with host(tmp_path, provider, NOTHING) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go", budget=budget)
        with anyio.fail_after(HANG):
            outcome = await session.wait()
    if code is None:
        assert outcome.succeeded
        return
    assert outcome.reason is not None
    assert (outcome.status, outcome.reason.code) == ("paused", code)
    assert "did not tell" in outcome.reason.message
    assert len(provider.requests) == 1


async def test_a_session_budget_counts_over_prompts_and_can_be_raised(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(text("one"), text("two"))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model=provider.model, budget=Budget(steps=1)
        )
        for prompt, status in (("one", "succeeded"), ("two", "paused")):
            await session.prompt(prompt)
            with anyio.fail_after(HANG):
                assert (await session.wait()).status == status
        assert [one.prompt.text for one in await session.pending()] == ["two"]
        await session.set_budget(Budget(steps=2))
        with anyio.fail_after(HANG):
            assert (await session.resume()).succeeded
