"""``permissions``: what was approved for good, revoking it, and who answered what."""

import json
from collections.abc import Callable

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import Tool, ToolContext, open_runtime
from dovetail.kernel.testing.scripted import ScriptedProvider, call, calls, text
from support.bounds import HANG
from support.commands import Done, Home
from support.hosts import Tools


@frozen
class Nothing:
    pass


async def _asks(input: object, context: ToolContext) -> str:
    await context.ask("act", ["a\x1b[31mb"], save=["a\x1b[31mb"], folder="sub")
    return "done"


TOOL = Tool("asks", "Ask.", Nothing, _asks)


def answered(home: Home, *replies: tuple[str, str | None]) -> list[str]:
    """Let sessions ask and be answered; return their ids."""

    async def run() -> list[str]:
        ids = []
        for reply, message in replies:
            played = ScriptedProvider(calls(call("asks", id="c")), text("Ok."))
            async with open_runtime(home.url, plugins=[played, Tools(TOOL)]) as runtime:
                session = await runtime.sessions.create(
                    location=home.work, model=played.model
                )
                permissions = runtime.location(home.work).permissions
                with anyio.fail_after(HANG):
                    async with session.events(follow=True) as tail:
                        await session.prompt("go")
                        async for event in tail:
                            if event.kind == "request.asked":
                                break
                    [request] = await permissions.pending(session.id)
                    await permissions.reply(request.id, reply, message)  # type: ignore[arg-type]
                    await session.wait()
                ids.append(session.id)
        return ids

    return anyio.run(run)


@pytest.mark.law("access.4")
def test_an_approval_is_listed_with_where_it_came_from_and_taken_back(
    home: Home, do: Callable[..., Done]
) -> None:
    [session] = answered(home, ("always", None))
    shown = do("permissions", "list")
    assert "\x1b" not in shown.out
    assert "act" in shown.out
    [saved] = do("permissions", "list", "--json").lines()
    assert (saved["session_id"], saved["author"]) == (session, "person")
    assert (saved["pattern"], saved["folder"]) == ("a\x1b[31mb", "sub")
    asked, used = do("permissions", "log", "--json").lines()
    assert used["use"]["by"] == [f"request {saved['request_id']}"]
    assert saved["request_id"] == asked["request"]["id"]
    revoked = do("permissions", "revoke", saved["id"])
    assert (revoked.code, revoked.err) == (0, f"revoked {saved['id']}\n")
    assert do("permissions", "list").err.startswith("nothing is approved for good in ")
    again = do("permissions", "revoke", saved["id"])
    assert again.code != 0
    assert "approval.not_found" in again.err


def test_the_log_tells_who_answered_what_and_how(
    home: Home, do: Callable[..., Done]
) -> None:
    first, second = answered(home, ("once", None), ("reject", "not \x1b[2J now"))
    lines = do("permissions", "log").out.splitlines()
    assert [line.split()[2] for line in lines if first in line or second in line] == [
        first,
        first,
        second,
    ]
    assert any(line.startswith("  once by person") for line in lines)
    assert any("reject by person: not " in line for line in lines)
    assert "\x1b" not in "".join(lines)
    only = do("permissions", "log", "--session", second, "--json").out
    [told] = [json.loads(line) for line in only.splitlines()]
    assert (told["outcome"], told["message"]) == ("reject", "not \x1b[2J now")
    assert told["ended"] >= told["asked"]


def test_nothing_is_told_of_sessions_that_asked_nothing(
    home: Home, do: Callable[..., Done]
) -> None:
    empty = do("permissions", "log")
    assert (empty.out, empty.err) == ("", "nothing was asked for or allowed\n")
