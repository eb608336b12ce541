"""The rehearsal in a real session: the real provider, tools, permissions and store."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from dovetail.kernel import Runtime, Session, ToolPart, open_runtime
from dovetail.plugins.rehearsal import copy_sample, rehearsal_server, sample_prompt
from support.bounds import HANG


@asynccontextmanager
async def rehearsing(folder: Path, **options: Any) -> AsyncIterator[Runtime]:
    copy_sample(folder / "project")
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    async with rehearsal_server() as server:
        environment = {
            "HOME": str(folder),
            "PATH": path,
            "OPENAI_BASE_URL": server.base_url,
            "OPENAI_API_KEY": "none-needed",
        }
        url = f"sqlite:///{folder / 'sessions.db'}"
        with anyio.fail_after(HANG):
            async with open_runtime(url, environment=environment, **options) as runtime:
                yield runtime


async def worked(runtime: Runtime, folder: Path) -> tuple[Session, str]:
    """Prompt for the repair, and return the session and what was said last."""
    session = await runtime.sessions.create(
        location=folder / "project", model="openai/rehearsal"
    )
    await session.prompt(sample_prompt())
    outcome = await session.wait()
    assert outcome.status == "succeeded", outcome
    newest, *_ = await session.messages(limit=1)
    return session, newest.text


async def calls(session: Session) -> list[ToolPart]:
    messages = await session.messages(limit=100, order="asc")
    return [call for one in messages for call in getattr(one, "calls", ())]


async def test_a_session_repairs_the_sample(tmp_path: Path) -> None:
    async with rehearsing(tmp_path, on_permission="allow") as runtime:
        session, said = await worked(runtime, tmp_path)
        made = await calls(session)
    assert "The tests pass now" in said
    assert {call.state for call in made} == {"succeeded"}
    assert {call.tool for call in made} == {"bash", "edit", "glob", "grep", "read"}


async def test_a_refused_permission_ends_it_with_a_word(tmp_path: Path) -> None:
    async with rehearsing(tmp_path, on_permission="deny") as runtime:
        session, said = await worked(runtime, tmp_path)
        made = await calls(session)
    assert "I was told no" in said
    refused = [call for call in made if call.failure]
    assert {call.failure.code for call in refused if call.failure} == {
        "permission.rejected"
    }


async def test_a_second_prompt_is_answered_anew(tmp_path: Path) -> None:
    async with rehearsing(tmp_path, on_permission="allow") as runtime:
        session, _ = await worked(runtime, tmp_path)
        before = len(await calls(session))
        await session.prompt("Do the tests still pass?")
        assert (await session.wait()).status == "succeeded"
        newest, *_ = await session.messages(limit=1)
        assert "pass already" in newest.text
        assert len(await calls(session)) == before + 2
