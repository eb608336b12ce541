"""Going in circles: the same calls with the same results, and nothing new between."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    ExecutionEnded,
    NoticeMessage,
    Session,
    TextContent,
    Tool,
    ToolContext,
    ToolPart,
)
from dovetail.kernel.execution.boundary import IN_CIRCLES
from dovetail.kernel.history.circles import (
    REMEMBERED,
    STOPPED_AFTER,
    TOLD_AFTER,
    Circles,
)
from dovetail.kernel.testing import Gate, ScriptedProvider, call, calls, text
from dovetail.kernel.testing.memory_store import MemoryState
from hypothesis import given, strategies as st
from support.bounds import HANG
from support.crashes import copied, on
from support.hosts import host


@frozen
class Input:
    word: str = ""


def echo(name: str = "a", says: Callable[[str], str] = str, **more: Any) -> Any:
    async def execute(input: Input, context: ToolContext) -> str:
        return says(input.word)

    return Tool(name, "Echo.", Input, execute, effect="pure", **more)


def made(word: str, tool: str = "a") -> Any:
    return calls(call(tool, {"word": word}))


async def notices(session: Session) -> int:
    return sum(
        isinstance(one, NoticeMessage) and one.text == IN_CIRCLES
        for one in await session.messages(limit=200)
    )


# --- as a fold --------------------------------------------------------------------


def part(word: str, came: str = "", id: str = "c", name: str = "a") -> ToolPart:
    arguments = f'{{"word": "{word}"}}'
    return ToolPart(id, name, arguments, "succeeded", (TextContent(came),))


def after(steps: Sequence[Sequence[ToolPart]], waiting: Sequence[str] = ()) -> int:
    circles = Circles()
    for step in steps:
        circles.step(step, waiting)
    return circles.repeats


@pytest.mark.law("agents.13")
@given(
    words=st.lists(st.text("abc", max_size=2), unique=True, min_size=1),
    rounds=st.integers(1, 9),
)
def test_a_round_of_any_length_is_a_circle_as_one_call_is(
    words: list[str], rounds: int
) -> None:
    assert after([[part(one)] for one in words] * rounds) == rounds - 1


@pytest.mark.law("agents.13")
@given(same=st.text("abc", max_size=3), count=st.integers(2, 30))
def test_where_something_new_comes_between_nothing_is_a_circle(
    same: str, count: int
) -> None:
    # A test that fails the same way after each of many different changes.
    steps = [
        step
        for number in range(count)
        for step in ([part(f"edit {number}")], [part(same, "it fails")])
    ]
    assert after(steps) <= 1
    # Nor is one whose result is another one every time.
    assert after([[part(same, f"{number}")] for number in range(count)]) == 0


@pytest.mark.law("agents.13")
def test_other_spellings_of_the_same_arguments_are_the_same() -> None:
    one = ToolPart("1", "a", '{"x": 1, "y": [2]}', "succeeded")
    other = ToolPart("2", "a", ' {"y":[2],"x":1}', "succeeded")
    broken = ToolPart("3", "a", '{"x": 1, "y": [2', "succeeded")
    assert after([[one], [other], [one]]) == 2
    assert after([[one], [broken], [one], [broken]]) == 1


@pytest.mark.law("agents.13")
def test_a_call_that_waits_is_neither_news_nor_a_repeat() -> None:
    again, wait = [part("a")], [part("wait", id="w")]
    assert after([wait] * 100, ["w"]) == 0
    assert after([again, wait, again, wait, again], ["w"]) == 2


def test_only_so_much_is_remembered() -> None:
    words = [str(number) for number in range(REMEMBERED + 1)]
    circles = Circles()
    for _ in range(3):
        for word in words:
            circles.step([part(word)], ())
    assert circles.repeats == 0
    assert len(circles._seen) == REMEMBERED


# --- as a session shows it --------------------------------------------------------


@pytest.mark.law("agents.13")
@pytest.mark.parametrize("words", ["a", "ab", "abc"])
async def test_a_model_that_goes_in_circles_is_told_once_and_then_paused(
    words: str, tmp_path: Path
) -> None:
    model = ScriptedProvider(*[made(word) for word in words] * (STOPPED_AFTER + 1))
    async with host(tmp_path, model, echo()) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await session.prompt("Go.")
        with anyio.fail_after(HANG):
            outcome = await session.wait()
        assert outcome.reason is not None
        assert (outcome.status, outcome.reason.code) == ("paused", "execution.circling")
        assert "the same calls of a" in outcome.reason.message
        assert await notices(session) == 1
        # The first round, and so many repeats; the last one of its first call.
        assert len(model.requests) == len(words) * STOPPED_AFTER + 1
        ended = [
            one async for one in session.events() if isinstance(one, ExecutionEnded)
        ]
        assert [one.reason for one in ended] == [outcome.reason]
        # Whoever says something, or only resumes, has it begin anew.
        model._answers.clear()
        model.then(*[made("a")] * TOLD_AFTER, text("I see."))
        await session.prompt("Try once more.")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        assert await notices(session) == 1


@pytest.mark.law("agents.13")
async def test_a_model_that_tries_something_else_when_told_goes_on(
    tmp_path: Path,
) -> None:
    same = [made("a")] * (TOLD_AFTER + 1)
    model = ScriptedProvider(*same, made("b"), *same[:-1], made("c"), text("Done."))
    async with host(tmp_path, model, echo()) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await session.prompt("Go.")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        assert await notices(session) == 2
        assert model.unused == 0


@pytest.mark.law("agents.13")
async def test_a_tool_that_waits_may_be_called_again_and_again(tmp_path: Path) -> None:
    def waits(input: Input) -> bool:
        if input.word == "broken":
            raise LookupError("it cannot say")
        return True

    tool = echo(waits=waits)
    many = 5 * STOPPED_AFTER
    model = ScriptedProvider(*[made("a")] * many, text("Done."))
    async with host(tmp_path, model, tool) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await session.prompt("Go.")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        # One that cannot say so waits for nothing.
        model.then(*[made("broken")] * many)
        await session.prompt("Again.")
        with anyio.fail_after(HANG):
            assert (await session.wait()).status == "paused"


@pytest.mark.law("agents.13")
@pytest.mark.parametrize("died", range(1, STOPPED_AFTER + 1))
async def test_a_crash_does_not_make_it_forget(died: int, tmp_path: Path) -> None:
    gate, state = Gate(), MemoryState()
    model = ScriptedProvider(*[made("a")] * died, [gate, *text("Never.")])
    async with on(state, echo(), plugins=[model]) as runtime:
        session = await runtime.sessions.create(
            id="it", location=tmp_path, model=model.model
        )
        await session.prompt("Go.")
        with anyio.fail_after(HANG):
            await gate.reached()
            await anyio.wait_all_tasks_blocked()
        state = copied(state)
    again = ScriptedProvider(*[made("a")] * (STOPPED_AFTER + 1 - died))
    async with on(state, echo(), plugins=[again], lives=1, resume="always") as runtime:
        session = await runtime.sessions.get("it")
        with anyio.fail_after(HANG):
            outcome = await session.wait()
        assert outcome.reason is not None
        assert outcome.reason.code == "execution.circling"
        assert again.unused == 0
        assert await notices(session) == 1


@pytest.mark.law("agents.5")
async def test_a_crash_gives_no_steps_back(tmp_path: Path) -> None:
    (tmp_path / "dovetail.toml").write_text("[agents.build]\nsteps = 3\n")
    gate, state = Gate(), MemoryState()
    model = ScriptedProvider(made("a"), [gate, *text("Never.")])
    async with on(state, echo(), plugins=[model]) as runtime:
        session = await runtime.sessions.create(
            id="it", location=tmp_path, model=model.model
        )
        await session.prompt("Go.")
        with anyio.fail_after(HANG):
            await gate.reached()
            await anyio.wait_all_tasks_blocked()
        state = copied(state)
    again = ScriptedProvider(text("That was all."))
    async with on(state, echo(), plugins=[again], lives=1, resume="always") as runtime:
        session = await runtime.sessions.get("it")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
    # The third Step is the last one.
    assert [one.tool_choice for one in again.requests] == ["none"]
