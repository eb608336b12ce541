"""``sessions rm``."""

import json
from collections.abc import Callable

import anyio
import pytest
from dovetail.kernel import open_runtime
from dovetail.kernel.testing.scripted import ScriptedProvider
from support.commands import Done, Home


def recorded(home: Home, *ids: str, **options: str) -> None:
    async def run() -> None:
        async with open_runtime(home.url, plugins=[ScriptedProvider()]) as runtime:
            for id in ids:
                await runtime.sessions.create(id, location=home.work, **options)

    anyio.run(run)


def listed(do: Callable[..., Done]) -> set[str]:
    lines = do("sessions", "--all", "--json").out.splitlines()
    return {json.loads(line)["id"] for line in lines}


@pytest.mark.law("storage.12")
def test_sessions_are_removed_by_the_beginnings_of_their_ids(
    home: Home, do: Callable[..., Done]
) -> None:
    recorded(home, "one-a", "two-b", "three")
    recorded(home, "child", parent="one-a")

    done = do("sessions", "rm", "one", "tw", "tw", "--yes", "--json")

    assert done.code == 0, done.err
    removed = [json.loads(line)["sessions"] for line in done.out.splitlines()]
    assert removed == [["one-a", "child"], ["two-b"]]
    assert listed(do) == {"three"}
    again = do("sessions", "rm", "one-a", "--yes")
    assert (again.code, "session.removed" in again.err) == (2, True)


def test_nothing_goes_where_one_is_not_there_or_nobody_can_be_asked(
    home: Home, do: Callable[..., Done]
) -> None:
    recorded(home, "one", "two")
    assert do("sessions", "rm", "one", "nobody", "--yes").code == 2
    refused = do("sessions", "rm", "one")
    assert (refused.code, "--yes" in refused.err) == (2, True)
    assert do("sessions", "rm", "--yes").code == 2
    assert do("sessions", "rm", "one", "--older-than", "1d", "--yes").code == 2
    assert do("sessions", "rm", "\x1b]0;x\x07", "--yes").code == 2
    assert do("sessions", "rm", "--older-than", "1d", "--yes").err == "no sessions\n"
    assert listed(do) == {"one", "two"}


def test_what_is_said_of_the_list_does_not_go_unheeded_by_a_removal(
    home: Home, do: Callable[..., Done]
) -> None:
    recorded(home, "one")
    for said in (["--db", "sqlite:///other.db"], ["--location", "/elsewhere"]):
        refused = do("sessions", *said, "rm", "one", "--yes")
        assert (refused.code, f"{said[0]} is of the list" in refused.err) == (2, True)
    assert listed(do) == {"one"}


def test_what_forks_share_stays_and_the_others_go(
    home: Home, do: Callable[..., Done]
) -> None:
    recorded(home, "one", "two")
    assert do("fork", "one", "--as", "fork").code == 0
    done = do("sessions", "rm", "one", "two", "--yes")
    assert (done.code, "session.shared" in done.err) == (2, True)
    assert "--with-forks" in done.err
    assert listed(do) == {"one", "fork"}
    assert do("sessions", "rm", "one", "--yes", "--with-forks").code == 0
    assert listed(do) == set()


async def test_who_is_asked_hears_how_many_go_with_what_was_named(home: Home) -> None:
    async with open_runtime(home.url, plugins=[ScriptedProvider()]) as runtime:
        for name, parent in (("one", None), ("two", "one"), ("three", "two")):
            await runtime.sessions.create(name, location=home.work, parent=parent)
    async with home.at_terminal("sessions", "rm", "one") as person:
        await person.until("remove 1 session, with 2 sessions that work for them,")
        await person.type("n\n")
        await person.until("nothing was removed")
