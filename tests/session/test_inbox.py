"""Admission, promotion, and what a caller may do to pending input."""

from pathlib import Path

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    InputNotFoundError,
    InputNotPendingError,
    InvalidValueError,
    KeyInvalidError,
    PromptConflictError,
    PromptInvalidError,
    SessionNotFoundError,
    Tool,
    ToolContext,
    UserMessage,
)
from dovetail.kernel.testing.scripted import Gate, ScriptedProvider, call, calls, text
from support.bounds import HANG
from support.hosts import host, kinds_of


def _texts(messages: object) -> list[str]:
    return [m.text for m in messages if isinstance(m, UserMessage)]  # type: ignore[attr-defined]


@pytest.mark.law("inbox.3")
async def test_the_same_key_and_content_give_the_same_receipt_for_ever(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(text("hi"))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model=provider.model, id="mine"
        )
        first = await session.prompt("go", key="ticket-42")
        assert await session.prompt("go", key="ticket-42") == first
        with anyio.fail_after(HANG):
            await session.wait()
        assert await session.prompt("go", key="ticket-42") == first
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.get("mine")
        assert await session.prompt("go", key="ticket-42") == first
        with anyio.fail_after(HANG):
            await session.wait()
        assert _texts(await session.history()) == ["go"]
    assert len(provider.requests) == 1


@pytest.mark.law("inbox.3")
async def test_a_hundred_tasks_that_race_on_one_key_get_one_receipt(
    tmp_path: Path,
) -> None:
    receipts = set()
    async with host(tmp_path, ScriptedProvider()) as runtime:
        session = await runtime.sessions.create(location=tmp_path)

        async def admit() -> None:
            receipts.add(await session.prompt("go", key="k", resume=False))

        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(admit)
        assert len(receipts) == 1
        assert len(await session.pending()) == 1


@pytest.mark.law("inbox.4")
async def test_the_same_key_with_other_content_is_a_conflict_that_says_what_differs(
    tmp_path: Path,
) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        session = await runtime.sessions.create(location=tmp_path)
        await session.prompt("go", key="k", resume=False)
        with pytest.raises(PromptConflictError) as other_prompt:
            await session.prompt("stop", key="k", resume=False)
        with pytest.raises(PromptConflictError) as other_delivery:
            await session.prompt("go", key="k", delivery="queue", resume=False)
        with pytest.raises(PromptConflictError) as both:
            await session.prompt("stop", key="k", delivery="queue", resume=False)
        assert [e.value.differs for e in (other_prompt, other_delivery, both)] == [
            ("prompt",),
            ("delivery",),
            ("prompt", "delivery"),
        ]
        assert len(await session.pending()) == 1


async def test_without_a_key_equal_prompts_are_two(tmp_path: Path) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        session = await runtime.sessions.create(location=tmp_path)
        first = await session.prompt("go", resume=False)
        second = await session.prompt("go", resume=False)
        assert first.id != second.id
        assert [one.id for one in await session.pending()] == [first.id, second.id]


@pytest.mark.parametrize(
    ("prompt", "key", "error"),
    [
        ("", None, PromptInvalidError),
        (" \n", None, PromptInvalidError),
        ("x" * 1_048_577, None, PromptInvalidError),
        ("half a \ud800 pair", None, PromptInvalidError),
        (7, None, PromptInvalidError),
        ("go", "", KeyInvalidError),
        ("go", "x" * 256, KeyInvalidError),
        ("go", " padded", KeyInvalidError),
        ("go", "zeile\n", KeyInvalidError),
    ],
)
async def test_what_cannot_be_admitted_is_refused_and_nothing_is_kept(
    tmp_path: Path, prompt: str, key: str | None, error: type[Exception]
) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        session = await runtime.sessions.create(location=tmp_path)
        with pytest.raises(error):
            await session.prompt(prompt, key=key)
        assert await kinds_of(session) == ["session.created"]


async def test_unknown_sessions_have_their_own_error(tmp_path: Path) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        with pytest.raises(SessionNotFoundError) as error:
            await runtime.sessions.get("ses_nosuch")
        assert error.value.code == "session.not_found"
        with pytest.raises(InvalidValueError):
            await runtime.sessions.create(id="../etc", location=tmp_path)


async def test_creating_a_session_twice_adopts_the_first(tmp_path: Path) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        for title in ("first", "second"):
            await runtime.sessions.create(id="mine", location=tmp_path, title=title)
        [info] = await runtime.sessions.list()
        assert (info.id, info.title) == ("mine", "first")


@pytest.mark.law("inbox.5")
@pytest.mark.law("inbox.6")
async def test_steers_join_at_the_next_boundary_and_queued_input_waits_for_idle(
    tmp_path: Path,
) -> None:
    gate = Gate()

    @frozen
    class Nothing:
        pass

    async def hold(input: Nothing, context: ToolContext) -> str:
        await gate.pass_through()
        return "ok"

    provider = ScriptedProvider(
        calls(call("hold")), text("one"), text("two"), text("three")
    )
    async with host(
        tmp_path, provider, Tool("hold", "Hold.", Nothing, hold)
    ) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("start")
        with anyio.fail_after(HANG):
            await gate.reached()
            await session.prompt("later A", delivery="queue")
            await session.prompt("steer A")
            await session.prompt("later B", delivery="queue")
            await session.prompt("steer B")
            assert _texts(await session.history()) == ["start"]
            gate.open()
            assert (await session.wait()).succeeded
        sent = [_texts(messages) for messages in provider.histories]
        assert sent == [
            ["start"],
            ["start", "steer A", "steer B"],
            ["start", "steer A", "steer B", "later A"],
            ["start", "steer A", "steer B", "later A", "later B"],
        ]


@pytest.mark.law("inbox.2")
async def test_pending_input_can_be_withdrawn_and_hurried_until_it_is_seen(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(text("hi"))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        gone = await session.prompt("gone", resume=False)
        kept = await session.prompt("kept", delivery="queue", resume=False)
        await session.withdraw(gone.id)
        await session.withdraw(gone.id)
        with pytest.raises(InputNotPendingError):
            await session.deliver(gone.id, "steer")
        with pytest.raises(InputNotFoundError):
            await session.withdraw("msg_nosuch")
        await session.deliver(kept.id, "steer")
        with anyio.fail_after(HANG):
            await session.wait()
        with pytest.raises(InputNotPendingError):
            await session.withdraw(kept.id)
        assert _texts(await session.history()) == ["kept"]
        kinds = await kinds_of(session)
        assert kinds.count("prompt.withdrawn") == 1
        assert kinds.count("prompt.redelivered") == 1


@pytest.mark.law("inbox.7")
async def test_input_that_nobody_was_woken_for_is_found_by_the_next_wake(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(text("hi"))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model=provider.model, id="mine"
        )
        await session.prompt("one", resume=False)
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.get("mine")
        await session.prompt("two")
        with anyio.fail_after(HANG):
            await session.wait()
        assert _texts(await session.history()) == ["one", "two"]


@pytest.mark.law("inbox.7")
async def test_opening_with_resume_always_goes_on_with_what_is_pending(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(text("hi"))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model=provider.model, id="mine"
        )
        await session.prompt("one", resume=False)
    async with host(tmp_path, provider, resume="always") as runtime:
        session = await runtime.sessions.get("mine")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded


@pytest.mark.law("recovery.11", "execution.5")
async def test_opening_does_not_go_on_with_what_a_person_interrupted(
    tmp_path: Path,
) -> None:
    gate = Gate()
    provider = ScriptedProvider([gate, *text("never")], text("hi"))
    async with host(tmp_path, provider) as runtime:
        for name in ("stopped", "said"):
            session = await runtime.sessions.create(
                location=tmp_path, model=provider.model, id=name
            )
        session = await runtime.sessions.get("stopped")
        await session.prompt("one")
        await gate.reached()
        await session.prompt("later", delivery="queue")
        assert await session.interrupt("enough")
        await session.wait()
        await (await runtime.sessions.get("said")).prompt("two", resume=False)
    async with host(tmp_path, provider, resume="clean") as runtime:
        with anyio.fail_after(HANG):
            said = await runtime.sessions.get("said")
            assert (await said.wait()).succeeded
        assert list(await runtime.sessions.active()) == []
        session = await runtime.sessions.get("stopped")
        assert [one.prompt.text for one in await session.pending()] == ["later"]
        await session.prompt("now", delivery="queue", resume=False)
    provider = ScriptedProvider(text("later"), text("now"))
    async with host(tmp_path, provider, resume="clean") as runtime:
        session = await runtime.sessions.get("stopped")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        assert not await session.pending()


async def test_every_naughty_string_is_admitted_and_read_back_unchanged(
    tmp_path: Path, corpus: object
) -> None:
    strings = [s for s in corpus("naughty-strings").json("blns.json") if s.strip()]  # type: ignore[operator]
    async with host(tmp_path, ScriptedProvider()) as runtime:
        session = await runtime.sessions.create(location=tmp_path)
        for string in strings:
            await session.prompt(string, resume=False)
        assert [one.prompt.text for one in await session.pending()] == strings
