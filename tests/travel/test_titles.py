"""Titles: by rule, by the small model, and never instead of somebody's own."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import (
    Budget,
    Price,
    ProviderError,
    Runtime,
    Session,
    SessionTitled,
    StepEnded,
    Usage,
)
from dovetail.kernel.execution.titling import SECONDS
from dovetail.kernel.testing import ManualClock
from dovetail.kernel.testing.scripted import Gate, ScriptedProvider, text
from dovetail.kernel.values.titles import MAX_TITLE, answered_title, title_of
from hypothesis import given, strategies
from support.bounds import HANG
from support.hosts import host, kinds_of

PROMPT = "\n  Mend the\tparser\u202e of dates\nIt breaks on Sundays."
BY_RULE = "Mend the parser of dates"
SMALL = 'small_model = "small/model"\n'


def small_model(*answers: Any, **options: Any) -> ScriptedProvider:
    return ScriptedProvider(*answers, name="small", **options)


def with_small(
    folder: Path,
    small: ScriptedProvider,
    provider: ScriptedProvider,
    said: str = SMALL,
    **options: Any,
) -> Any:
    """Open a runtime whose user has a small model."""
    (folder / "user.toml").write_text(said)
    return host(
        folder,
        provider,
        plugins=[small],
        environment={"DOVETAIL_CONFIG": str(folder / "user.toml")},
        **options,
    )


async def prompted(
    runtime: Runtime, folder: Path, model: str, **options: Any
) -> Session:
    session = await runtime.sessions.create(location=folder, model=model, **options)
    await session.prompt(PROMPT)
    with anyio.fail_after(HANG):
        assert (await session.wait()).succeeded
    return session


async def titled(session: Session) -> SessionTitled:
    """Return the first event with a title, once it is there."""
    with anyio.fail_after(HANG):
        async with session.events(follow=True) as tail:
            async for event in tail:
                if isinstance(event, SessionTitled):
                    return event
    raise AssertionError("no title came")


async def title(session: Session) -> str | None:
    return (await session.info()).title


# --- by rule ----------------------------------------------------------------------


@pytest.mark.law("travel.6")
async def test_without_a_small_model_a_session_is_called_by_its_first_prompt(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(text("one"), text("two"))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        assert await title(session) is None
        await session.prompt(PROMPT)
        await session.wait()
        await session.prompt("And now something else")
        await session.wait()
        assert await title(session) == BY_RULE
        assert [one.title for one in (await runtime.sessions.list()).items] == [BY_RULE]
        # It is read, and nothing is written for it.
        assert "session.titled" not in await kinds_of(session)


@pytest.mark.law("travel.6")
async def test_a_title_by_rule_goes_with_the_prompt_that_it_is_made_of(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(text("one"))
    async with host(tmp_path, provider) as runtime:
        session = await prompted(runtime, tmp_path, provider.model)
        await runtime.sessions.prune(session.id, ["trace", "transcript"])
        assert await title(session) is None


@given(strategies.text())
def test_a_title_is_one_short_line_that_can_be_seen(said: str) -> None:
    for made in (title_of(said), answered_title(said)):
        assert made is None or (
            made.isprintable() and made.strip() == made and 0 < len(made) <= MAX_TITLE
        )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Dates", "Dates"),
        ('\n**Title: "Mend dates"**\nBecause', "Mend dates"),
        ("<think>a title\nis wanted</think>\nMend dates", "Mend dates"),
        ("a title is wanted</think>Mend dates", "Mend dates"),
        ("<THINK>a title is wanted", None),
        ("<title>Mend <div></title>", "Mend <div>"),
        ("\x1b\u200b\n ** \n", None),
        ("wide " * 50, "wide " * 11 + "wide…"),
    ],
)
def test_of_an_answer_stays_what_is_a_title(answer: str, expected: str | None) -> None:
    assert answered_title(answer) == expected


# --- by the small model -----------------------------------------------------------


@pytest.mark.law("travel.6")
async def test_the_small_model_names_a_session_while_it_works(tmp_path: Path) -> None:
    gate = Gate()
    usage = Usage(input=1_000_000, output=10)
    small = small_model(
        [gate, *text("Dates on Sundays\nor so", usage=usage)], price=Price(2, 0)
    )
    provider = ScriptedProvider(text("one"), text("two"))
    async with with_small(tmp_path, small, provider) as runtime:
        session = await prompted(runtime, tmp_path, provider.model)
        # The Step is over, and the small model has not answered.
        assert await title(session) == BY_RULE
        with anyio.fail_after(HANG):
            await gate.reached()
        gate.open()
        event = await titled(session)
        assert (event.title, event.usage, event.cost) == ("Dates on Sundays", usage, 2)
        info = await session.info()
        assert info.title == "Dates on Sundays"
        assert info.usage.input == 1_000_001  # and that of the Step
        await session.prompt("And now something else")
        assert (await session.wait()).succeeded
        await runtime.sessions.verify(session.id)
    assert len(small.requests) == 1
    [message] = small.histories[0]
    assert "Mend the" in message.text  # type: ignore[union-attr]
    assert not small.requests[0].tools


@pytest.mark.law("travel.6")
async def test_a_title_by_rule_that_was_given_is_made_better(tmp_path: Path) -> None:
    small, provider = small_model(text("Dates")), ScriptedProvider(text("one"))
    async with with_small(tmp_path, small, provider) as runtime:
        session = await prompted(
            runtime, tmp_path, provider.model, title=title_of(PROMPT)
        )
        assert (await titled(session)).title == "Dates"


@pytest.mark.law("travel.6")
async def test_a_title_that_somebody_gave_meanwhile_stays(tmp_path: Path) -> None:
    gate = Gate()
    small = small_model([gate, *text("Dates", usage=Usage(input=7))])
    provider = ScriptedProvider(text("one"))
    async with with_small(tmp_path, small, provider) as runtime:
        session = await prompted(runtime, tmp_path, provider.model)
        with anyio.fail_after(HANG):
            await gate.reached()
        await session.rename("Mine")
        gate.open()
        with anyio.fail_after(HANG):
            async with session.events(follow=True) as tail:
                async for event in tail:
                    if isinstance(event, SessionTitled) and event.usage != Usage():
                        break
        # What was used is recorded, and the title is the person's.
        assert event.title == "Mine"
        assert await title(session) == "Mine"


@pytest.mark.law("travel.6")
@pytest.mark.parametrize("case", ["given", "child", "fork", "off"])
async def test_no_model_is_asked_where_a_title_is_somebodys(
    tmp_path: Path, case: str
) -> None:
    small, provider = small_model(), ScriptedProvider(text("one"), text("two"))
    said = SMALL + ("model_titles = false\n" if case == "off" else "")
    async with with_small(tmp_path, small, provider, said) as runtime:
        options: dict[str, Any] = {}
        if case in ("given", "fork"):
            options["title"] = "Mine"
        if case == "child":
            above = await runtime.sessions.create(location=tmp_path)
            options["parent"] = above.id
        session = await prompted(runtime, tmp_path, provider.model, **options)
        if case == "fork":
            session = await session.fork()
            await session.prompt("Go on")
            assert (await session.wait()).succeeded
        # A child's title is its caller's to give.
        expected = {"off": BY_RULE, "child": None}.get(case, "Mine")
        assert await title(session) == expected
        await anyio.wait_all_tasks_blocked()
    assert not small.requests


@pytest.mark.law("travel.6")
async def test_a_small_model_that_fails_costs_nothing_but_the_title(
    tmp_path: Path,
) -> None:
    broken = ProviderError("provider.unavailable", "small", "no", retryable=True)
    gate = Gate()
    small = small_model([gate, broken], text("Later"))
    provider = ScriptedProvider(text("one"), text("two"), text("three"))
    async with with_small(tmp_path, small, provider) as runtime:
        session = await prompted(runtime, tmp_path, provider.model)
        with anyio.fail_after(HANG):
            await gate.reached()
        gate.open()
        await session.prompt("Go on")
        assert (await session.wait()).succeeded
        await anyio.wait_all_tasks_blocked()
        assert await title(session) == BY_RULE
    assert len(small.requests) == 1
    # Another process tries it once more.
    async with with_small(tmp_path, small, provider) as runtime:
        session = await runtime.sessions.get(session.id)
        await session.prompt("Go on")
        assert (await titled(session)).title == "Later"
        assert (await session.wait()).succeeded


@pytest.mark.law("travel.6")
async def test_a_small_model_that_hangs_is_left_after_a_time(tmp_path: Path) -> None:
    gate, clock = Gate(), ManualClock()
    small, provider = small_model([gate]), ScriptedProvider(text("one"))
    async with with_small(tmp_path, small, provider, clock=clock) as runtime:
        session = await prompted(runtime, tmp_path, provider.model)
        with anyio.fail_after(HANG):
            await gate.reached()
            clock.advance(SECONDS)
            await anyio.wait_all_tasks_blocked()
        gate.open()
        await anyio.wait_all_tasks_blocked()
        assert "session.titled" not in await kinds_of(session)


@pytest.mark.law("travel.6")
async def test_closing_does_not_wait_for_a_title(tmp_path: Path) -> None:
    gate = Gate()
    small, provider = small_model([gate]), ScriptedProvider(text("one"))
    with anyio.fail_after(HANG):
        async with with_small(tmp_path, small, provider) as runtime:
            session = await prompted(runtime, tmp_path, provider.model)
            await gate.reached()
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.get(session.id)
        assert await title(session) == BY_RULE


async def test_what_a_title_took_counts_in_the_budget(tmp_path: Path) -> None:
    small = small_model(text("Dates", usage=Usage(input=100)))
    provider = ScriptedProvider(text("one"), text("two"))
    async with with_small(tmp_path, small, provider) as runtime:
        session = await prompted(
            runtime, tmp_path, provider.model, budget=Budget(tokens=100)
        )
        await titled(session)
        await session.prompt("Go on")
        with anyio.fail_after(HANG):
            outcome = await session.wait()
        assert outcome.status == "paused"
        ended = [one async for one in session.events() if isinstance(one, StepEnded)]
        assert len(ended) == 1
