"""What lost attempts took counts, and a cost says what it leaves out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import (
    AssistantMessage,
    Budget,
    ChildSpent,
    CompactionFailed,
    Outcome,
    Price,
    ProviderError,
    RetryPolicy,
    RetryScheduled,
    Session,
    StepFailed,
    TextDelta,
    TitleFailed,
    Usage,
    to_json,
)
from dovetail.kernel.testing import Gate, ScriptedProvider, text
from support.bounds import HANG
from support.compactions import shipped
from support.hosts import host

PRICE = Price(input=1_000.0, output=10_000.0)
"""A tenth of a cent for a token that is sent, a cent for one that comes."""
TOLD = Usage(input=100, output=1)
AGAIN = RetryPolicy(retries=2, first=0.001)


def broken(usage: Usage = TOLD, **options: Any) -> ProviderError:
    error = ProviderError(
        "provider.unavailable", "scripted", "no", retryable=True, **options
    )
    error.usage = usage
    return error


async def done(session: Session) -> Outcome:
    with anyio.fail_after(HANG):
        return await session.wait()


async def of_kind(session: Session, kind: type[Any]) -> list[Any]:
    return [one async for one in session.events() if isinstance(one, kind)]


@pytest.mark.law("models.9")
async def test_what_a_broken_attempt_took_counts_and_makes_no_history_longer(
    tmp_path: Path,
) -> None:
    used = Usage(input=100, output=10)
    provider = ScriptedProvider([broken()], text("better", usage=used), price=PRICE)
    async with host(tmp_path, provider, retry=AGAIN) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        assert (await done(session)).succeeded
        [lost] = await of_kind(session, RetryScheduled)
        assert (lost.usage, lost.cost, lost.unpriced) == (TOLD, 0.11, 1)
        info = await session.info()
        assert (info.usage.input, info.usage.output) == (200, 11)
        assert (info.cost, info.unpriced) == (0.31, 1)
        _, answer = await session.history()
        assert isinstance(answer, AssistantMessage)
        assert answer.usage == Usage(input=200, output=11)
        await runtime.sessions.rebuild()
        assert await session.info() == info
        await runtime.sessions.verify(session.id)


@pytest.mark.law("models.9")
@pytest.mark.parametrize(
    "budget", [Budget(cost=0.1), Budget(tokens=100)], ids=["cost", "tokens"]
)
async def test_a_budget_that_broken_attempts_used_up_lets_no_other_one_begin(
    tmp_path: Path, budget: Budget
) -> None:
    provider = ScriptedProvider([broken()], text("not asked"), price=PRICE)
    async with host(tmp_path, provider, retry=AGAIN) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go", budget=budget)
        outcome = await done(session)
        assert (outcome.status, outcome.reason and outcome.reason.code) == (
            "paused",
            "budget.cost" if budget.cost else "budget.tokens",
        )
        [failed] = await of_kind(session, StepFailed)
        assert (failed.usage, failed.cost) == (Usage(), None)  # told once
        assert (await session.info()).cost == 0.11
    assert provider.unused == 1


async def test_what_a_child_lost_counts_above_it(tmp_path: Path) -> None:
    provider = ScriptedProvider([broken()], text("done"), price=PRICE)
    async with host(tmp_path, provider, retry=AGAIN) as runtime:
        parent = await runtime.sessions.create(location=tmp_path)
        child = await runtime.sessions.create(
            location=tmp_path, model=provider.model, parent=parent.id
        )
        await child.prompt("go")
        assert (await done(child)).succeeded
        lost, settled = await of_kind(parent, ChildSpent)
        assert (lost.usage, lost.cost, lost.steps, lost.unpriced) == (TOLD, 0.11, 0, 1)
        assert (settled.steps, settled.unpriced) == (1, 0)
        above, below = await parent.info(), await child.info()
        assert (above.cost, above.unpriced) == (below.cost, below.unpriced)


@pytest.mark.law("models.9")
@pytest.mark.parametrize(
    ("answer", "price", "unpriced"),
    [
        (text("a", usage=TOLD), PRICE, 0),
        (text("a", usage=TOLD), None, 1),
        (text("a", usage=Usage(input=5)), PRICE, 1),
        ([ProviderError("provider.quota", "scripted", "no credit")], PRICE, 0),
        ([TextDelta("0", "half of"), broken()], PRICE, 1),
        ([TextDelta("0", "half of"), broken(Usage())], PRICE, 1),
    ],
    ids=["told", "no price", "no output told", "refused", "broke off", "and untold"],
)
async def test_a_cost_says_of_how_many_requests_it_is_a_part(
    tmp_path: Path, answer: list[Any], price: Price | None, unpriced: int
) -> None:
    provider = ScriptedProvider(answer, price=price)
    async with host(tmp_path, provider, retry=RetryPolicy(retries=0)) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        await done(session)
        info = await session.info()
        assert info.unpriced == unpriced
        await runtime.sessions.rebuild()
        assert await session.info() == info


async def test_what_an_interrupted_step_took_is_said_to_be_unknown(
    tmp_path: Path,
) -> None:
    gate = Gate()
    provider = ScriptedProvider([TextDelta("0", "half"), gate], price=PRICE)
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await gate.reached()
            await session.interrupt()
        await done(session)
        info = await session.info()
        assert (info.cost, info.unpriced) == (None, 1)


async def test_what_a_broken_summary_took_counts(tmp_path: Path) -> None:
    provider = ScriptedProvider(
        text("one", usage=Usage(input=1, output=0)),
        text("two", usage=Usage(input=1, output=0)),
        [broken()],
        price=PRICE,
    )
    async with host(
        tmp_path, provider, plugins=[shipped], retry=RetryPolicy(retries=0)
    ) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        for _ in range(2):
            await session.prompt("go")
            await done(session)
        await session.compact()
        await done(session)
        [failed] = await of_kind(session, CompactionFailed)
        assert (failed.usage, failed.cost, failed.unpriced) == (TOLD, 0.11, 1)
        info = await session.info()
        assert (info.usage.input, info.cost, info.unpriced) == (102, 0.112, 1)


@pytest.mark.parametrize(
    "made", [lambda: [broken()], lambda: text(" ", usage=TOLD)], ids=["broke", "empty"]
)
async def test_what_a_title_took_that_did_not_come_counts(
    tmp_path: Path, made: Callable[[], list[Any]]
) -> None:
    small = ScriptedProvider(made(), name="small", price=PRICE)
    provider = ScriptedProvider(
        text("one", usage=Usage(input=0, output=0)), price=PRICE
    )
    mine = tmp_path / "user.toml"
    mine.write_text('small_model = "small/model"\n')
    async with host(
        tmp_path,
        provider,
        plugins=[small],
        environment={"DOVETAIL_CONFIG": str(mine)},
    ) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            async with session.events(follow=True) as tail:
                async for event in tail:
                    if isinstance(event, TitleFailed):
                        break
        assert (event.usage, event.cost) == (TOLD, 0.11)
        info = await session.info()
        assert (info.usage.input, info.cost) == (100, 0.11)
        assert to_json(info)["unpriced"] == info.unpriced == event.unpriced
