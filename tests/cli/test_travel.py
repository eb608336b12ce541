"""``fork``, ``revert``, ``unrevert``, ``move``, and the requests that were sent."""

import json
from collections.abc import Callable

import anyio
from dovetail.kernel import open_runtime
from dovetail.kernel.testing.scripted import ScriptedProvider, call, calls, text
from support.commands import Done, Home


def recorded(home: Home) -> list[str]:
    """Record a session that wrote a file; return the ids of its messages."""
    change = calls(call("write", {"path": "a.txt", "content": "new\n"}))
    provider = ScriptedProvider(text("Yes?"), change, text("Done."))

    async def run() -> list[str]:
        given = {"plugins": [provider], "on_permission": "allow"}
        async with open_runtime(home.url, **given) as runtime:
            session = await runtime.sessions.create(
                "mine", location=home.work, model=provider.model
            )
            for words in ("Hi", "Write"):
                await session.prompt(words)
                await session.wait()
            return [one.id for one in await session.messages(order="asc")]

    return anyio.run(run)


def test_a_session_is_forked_at_a_message_or_an_event(
    home: Home, do: Callable[..., Done]
) -> None:
    messages = recorded(home)
    done = do("fork", "mine", "--at", messages[1], "--as", "other")
    assert (done.code, done.out, done.err) == (0, "other\n", "")
    shown = do("show", "other").out
    assert "Hi" in shown
    assert "Done." not in shown
    made = json.loads(do("fork", "mine", "--at", "0", "--json").out)
    assert (made["forked_from"], made["forked_seq"]) == ("mine", 0)
    refused = do("fork", "mine", "--at", "7000")
    assert refused.code != 0
    assert "nearest" in refused.err


def test_going_back_tells_what_it_does_and_can_be_undone(
    home: Home, do: Callable[..., Done]
) -> None:
    messages = recorded(home)
    file = home.work / "a.txt"
    assert do("revert", "mine").code == do("revert", "mine", "--to", "x").code == 2
    assert do("revert", "mine", "--all", "--to", messages[1]).code == 2
    looked = do("revert", "mine", "--all", "--look", "--json")
    assert json.loads(looked.out)["first"] == 1
    looked = do("revert", "mine", "--to", messages[1][:-4], "--look")
    assert looked.code == 0
    assert f"restores {file}" in looked.err
    assert file.read_text() == "new\n"
    done = do("revert", "mine", "--to", messages[1])
    assert (done.code, file.exists()) == (0, False)
    assert "went back" in do("show", "mine").out
    back = do("unrevert", "mine")
    assert (back.code, "is seen again" in back.err) == (0, True)
    assert file.read_text() == "new\n"

    file.write_text("by hand\n")
    done = do("revert", "mine", "--to", messages[1])
    assert done.code == 1
    assert f"left {file}: somebody changed it since" in done.err
    assert do("unrevert", "mine").code == 0
    nothing = do("unrevert", "mine")
    assert nothing.code != 0
    assert "session.nothing_reverted" in nothing.err


def test_a_session_is_moved(home: Home, do: Callable[..., Done]) -> None:
    recorded(home)
    there = home.work / "there"
    there.mkdir()
    done = do("move", "mine", str(there))
    assert (done.code, done.out) == (0, "")
    assert json.loads(do("show", "mine", "--json").out)["session"]["location"] == {
        "directory": str(there),
        "workspace": None,
    }


def test_requests_are_listed_and_written_again(
    home: Home, do: Callable[..., Done]
) -> None:
    recorded(home)
    listed = do("show", "mine", "--requests", "--json").lines()
    assert [one["number"] for one in listed] == [1, 2, 3]
    assert len(do("show", "mine", "--requests").out.splitlines()) == 3
    done = do("show", "mine", "--request", "2")
    assert done.code == 0
    assert json.loads(done.out)["messages"][-1]["text"] == "Write"
    assert f"proven: SHA-256 {listed[1]['sent']['digest']}" in done.err
    assert do("show", "mine", "--request", "9").code != 0
