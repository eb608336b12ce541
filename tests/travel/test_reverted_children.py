"""Going back where others worked for the session: their files are its files."""

import os
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.builtin_tools import plugin as builtin_tools
from dovetail.kernel import ModelRequest, Reverted, Session, UserMessage
from dovetail.kernel.testing.scripted import Gate, ScriptedProvider, call, calls, text
from support.bounds import HANG
from support.hosts import host


def follows(request: ModelRequest) -> Any:
    """Do what was said last: ``write NAME CONTENT``, ``ask WORDS``, or nothing."""
    messages = request.history.messages
    asked = messages[-1]
    if not isinstance(asked, UserMessage):
        return text("Done.")
    todo, _, rest = asked.text.partition(" ")
    if todo == "write":
        path, _, content = rest.partition(" ")
        given = {"path": path, "content": content}
        return calls(call("write", given, id=f"w{len(messages)}"))
    if todo == "ask":
        given = {"agent": "build", "prompt": rest, "description": "part"}
        return calls(call("subagent", given, id=f"s{len(messages)}"))
    return text(f"Heard: {asked.text}")


async def say(session: Session, words: str) -> None:
    await session.prompt(words)
    with anyio.fail_after(HANG):
        assert (await session.wait()).succeeded


async def message(session: Session, words: str) -> str:
    page = await session.messages(limit=200)
    return next(one.id for one in page if one.text == words)


def opened(folder: Path, provider: ScriptedProvider) -> Any:
    return host(folder, provider, plugins=[builtin_tools], on_permission="allow")


def named(done: Reverted) -> tuple[list[str], dict[str, str]]:
    return (
        [os.path.basename(one) for one in done.done],
        {os.path.basename(path): why for path, why in done.left.items()},
    )


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.mark.law("travel.8")
async def test_what_agents_at_any_depth_changed_is_restored(
    tmp_path: Path, work: Path
) -> None:
    provider = ScriptedProvider(*[follows] * 50)
    (work / "a").write_text("0")
    async with opened(tmp_path, provider) as runtime:
        session = await runtime.sessions.create("s", work, provider.model)
        await say(session, "first")
        await say(session, "ask write a 1")
        await say(session, "write a 2")
        [child] = await runtime.sessions.list(parent="s")
        below = await runtime.sessions.create(
            "g", work, provider.model, parent=child.id
        )
        await say(below, "write b 1")
        await say(session, "and so on")
        await say(session, "ask write a 3")
        await say(below, "write b 2")
        assert [(work / name).read_text() for name in "ab"] == ["3", "2"]
        to = await message(session, "Heard: first")
        plan = await session.plan_revert(to)
        found = [(os.path.basename(one.path), one.problem) for one in plan.files]
        assert found == [("a", None), ("b", None)]
        assert plan.files[0].by in {
            one.id for one in await runtime.sessions.list(parent="s")
        }
        assert plan.files[1].by == "g"

        assert named(await session.revert(to)) == (["a", "b"], {})
        assert (work / "a").read_text() == "0"
        assert not (work / "b").exists()
        assert named(await session.unrevert()) == (["a", "b"], {})
        assert [(work / name).read_text() for name in "ab"] == ["3", "2"]
        # From in between, only what came after that.
        between = await message(session, "Heard: and so on")
        assert named(await session.revert(between)) == (["a", "b"], {})
        assert [(work / name).read_text() for name in "ab"] == ["2", "1"]
        # And once more from there.
        assert named(await session.revert(to)) == (["a", "b"], {})
        assert named(await session.unrevert()) == (["a", "b"], {})
        assert [(work / name).read_text() for name in "ab"] == ["3", "2"]


@pytest.mark.law("travel.8")
async def test_what_they_changed_before_the_message_stays(
    tmp_path: Path, work: Path
) -> None:
    provider = ScriptedProvider(*[follows] * 50)
    async with opened(tmp_path, provider) as runtime:
        session = await runtime.sessions.create("s", work, provider.model)
        child = await runtime.sessions.create("c", work, provider.model, parent="s")
        await say(child, "write a 1")
        await say(session, "first")
        await say(child, "write a 2")
        await say(session, "write a 3")
        await say(child, "write b 1")
        (work / "b").write_text("by hand")
        to = await message(session, "Heard: first")
        assert named(await session.revert(to)) == (
            ["a"],
            {"b": "somebody changed it since"},
        )
        assert (work / "a").read_text() == "1"


@pytest.mark.law("travel.8")
async def test_what_one_at_work_changes_is_named_and_stays(
    tmp_path: Path, work: Path
) -> None:
    gate = Gate()

    def waits(request: ModelRequest) -> Any:
        first, last = request.history.messages[0], request.history.messages[-1]
        if first.text == "write a 1" and not isinstance(last, UserMessage):
            return [gate, *text("Done.")]
        return follows(request)

    provider = ScriptedProvider(*[waits] * 50)
    async with opened(tmp_path, provider) as runtime:
        session = await runtime.sessions.create("s", work, provider.model)
        child = await runtime.sessions.create("c", work, provider.model, parent="s")
        await say(session, "first")
        await child.prompt("write a 1")
        with anyio.fail_after(HANG):
            await gate.reached()
        await say(session, "write b 1")
        to = await message(session, "Heard: first")
        why = "session 'c' works for this one, and is not done"
        assert named(await session.revert(to)) == (["b"], {"a": why})
        assert (work / "a").read_text() == "1"
        gate.open()
        with anyio.fail_after(HANG):
            await child.wait()
        assert named(await session.revert(to)) == (["a"], {})
        assert not (work / "a").exists()
        assert named(await session.unrevert()) == (["a", "b"], {})
