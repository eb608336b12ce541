"""A session goes on in another Location, from the next boundary on."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    EpochStarted,
    Location,
    LocationNotFoundError,
    Session,
    Tool,
    ToolContext,
)
from dovetail.kernel.testing.scripted import ScriptedProvider, call, calls, text
from support.bounds import HANG
from support.hosts import host


@frozen
class Nothing:
    pass


async def _where(input: Nothing, context: ToolContext) -> str:
    return context.location.directory


WHERE = Tool("where", "Say where.", Nothing, _where, effect="pure")


async def say(session: Session, words: str) -> None:
    await session.prompt(words)
    with anyio.fail_after(HANG):
        assert (await session.wait()).succeeded


async def results(session: Session) -> list[str]:
    found: list[str] = []
    for message in await session.history():
        found += [part.text for part in getattr(message, "calls", ())]
    return found


@pytest.mark.law("travel.5")
async def test_a_move_counts_from_the_next_boundary_on(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    sessions: list[Session] = []

    async def moving(input: Nothing, context: ToolContext) -> str:
        await sessions[0].move(there)
        return context.location.directory

    tool = Tool("moving", "Move.", Nothing, moving, effect="pure")
    script: Any = [
        calls(call("where")),
        calls(call("moving"), call("where", id="two")),
        calls(call("where", id="three")),
        text("Done."),
        text("More."),
    ]
    provider = ScriptedProvider(*script)
    async with host(tmp_path, provider, WHERE, tool) as runtime:
        sessions.append(
            await runtime.sessions.create("s", location=here, model=provider.model)
        )
        await say(sessions[0], "Go")
        # The Step in which it was moved ends where it was begun.
        assert await results(sessions[0]) == [str(here)] * 3 + [str(there)]
        assert (await sessions[0].info()).location == Location.at(there)
        assert [one.id for one in await runtime.sessions.list(location=there)] == ["s"]
        assert [one.id for one in await runtime.sessions.list(location=here)] == []
        causes = [
            one.cause
            async for one in sessions[0].events()
            if isinstance(one, EpochStarted)
        ]
        assert causes == ["first", "move"]

        await sessions[0].move(there)
        await say(sessions[0], "More")
        with pytest.raises(LocationNotFoundError):
            await sessions[0].move(tmp_path / "nowhere")
        fork = await sessions[0].fork()
        assert (await fork.info()).location == Location.at(there)
        early = await sessions[0].fork((await sessions[0].history())[0].id)
        assert (await early.info()).location == Location.at(here)
    async with host(tmp_path, ScriptedProvider(calls(call("where")), text("."))) as r:
        assert (await (await r.sessions.get("s")).info()).location.directory == str(
            there
        )


@pytest.mark.law("travel.5")
async def test_a_session_whose_directory_is_gone_can_be_moved(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    provider = ScriptedProvider(text("Hello."), calls(call("where")), text("Done."))
    async with host(tmp_path, provider, WHERE) as runtime:
        session = await runtime.sessions.create(location=here, model=provider.model)
        await say(session, "Hi")
    here.rmdir()
    async with host(tmp_path, provider, WHERE) as runtime:
        session = await runtime.sessions.get(session.id)
        await session.move(there)
        await say(session, "Where?")
        assert await results(session) == [str(there)]
