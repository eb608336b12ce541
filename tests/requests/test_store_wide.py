"""Everything that waits for a person, in one list, answered in one place."""

from pathlib import Path

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    InvalidValueError,
    PermissionBody,
    RequestNotFoundError,
    Runtime,
    Session,
    Tool,
    ToolContext,
    from_json,
)
from dovetail.kernel.testing.scripted import ScriptedProvider, call, calls, text
from support.bounds import HANG
from support.hosts import host


@frozen
class Nothing:
    pass


async def asks(input: object, context: ToolContext) -> str:
    await context.ask("act", ["it"], save=["it"])
    return "done"


TOOL = Tool("asks", "Ask.", Nothing, asks)


def asking_twice() -> ScriptedProvider:
    return ScriptedProvider(
        calls(call("asks", id="c1")),
        calls(call("asks", id="c1")),
        text("Done."),
        text("Done."),
    )


async def started(runtime: Runtime, folder: Path) -> Session:
    """Return a session that waits for a permission."""
    session = await runtime.sessions.create(location=folder, model="scripted/model")
    async with session.events(follow=True) as tail:
        await session.prompt("go")
        with anyio.fail_after(HANG):
            async for event in tail:
                if event.kind == "request.asked":
                    return session
    raise AssertionError("the log ended")


async def test_requests_of_all_locations_are_listed_and_answered_in_one_place(
    tmp_path: Path,
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    async with host(tmp_path, asking_twice(), TOOL) as runtime:
        first = await started(runtime, here)
        second = await started(runtime, there)
        found = await runtime.requests.pending()
        assert [(one.session_id, one.directory, one.what) for one in found] == [
            (first.id, str(here), "permission"),
            (second.id, str(there), "permission"),
        ]
        body = from_json(dict(found[0].body), PermissionBody)
        assert (body.action, body.resources, body.save) == ("act", ("it",), ("it",))
        [only] = await runtime.requests.pending(location=str(there))
        assert only == found[1]
        assert await runtime.requests.pending(what="question") == []
        assert await runtime.requests.pending(session_id=first.id) == [found[0]]
        await runtime.requests.reply(found[0].id, "once")
        await runtime.requests.reply(found[1].id, "always")
        for session in (first, second):
            with anyio.fail_after(HANG):
                assert (await session.wait()).succeeded
        # An `always` is remembered where it was asked, and nowhere else.
        assert len(await runtime.location(there).permissions.saved()) == 1
        assert await runtime.location(here).permissions.saved() == []
        with pytest.raises(RequestNotFoundError):
            await runtime.requests.reply(found[0].id, "once")


async def test_an_answer_of_the_wrong_kind_is_refused_and_the_request_waits(
    tmp_path: Path,
) -> None:
    async with host(tmp_path, asking_twice(), TOOL) as runtime:
        session = await started(runtime, tmp_path)
        [request] = await runtime.requests.pending()
        for wrong in ("perhaps", {"reply": "once"}):
            with pytest.raises(InvalidValueError):
                await runtime.requests.reply(request.id, wrong)  # type: ignore[arg-type]
        assert len(await runtime.requests.pending()) == 1
        await session.interrupt()
        await session.wait()
        assert await runtime.requests.pending() == []
