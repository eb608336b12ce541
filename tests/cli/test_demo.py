"""``dovetail demo``: a session that fixes a failing test, from beginning to end."""

import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from support.commands import MODEL, Done, Home, saying, text
from support.replay import Answer, serve, sse


@pytest.mark.law("recovery.2", "recovery.4")
async def test_the_demo_kills_its_run_goes_on_and_says_what_to_look_at(
    home: Home,
) -> None:
    # A proxy, keys and settings of the person's own are no hindrance.
    config = home.path / "mine.toml"
    config.write_text(
        '[permissions]\nrules = [{ action = "*", resource = "*", effect = "deny" }]\n'
    )
    own = {
        "DOVETAIL_CONFIG": str(config),
        "HTTP_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
        "OPENAI_API_KEY": None,
        # Where it leaves what it did.
        "TMPDIR": str(home.path),
    }
    done = await home.do("demo", environment=own)
    assert done.code == 0
    assert "\nmoved since: nothing\nreport " in done.err
    assert "outcome unknown (unsafe): not repeated" in done.err
    assert "This is a rehearsal: no model and no network is used." in done.out
    assert "\n* bash " in done.err
    assert "was killed, while the command ran. ---\n" in done.out
    assert "(going on: accepted by a person)\n" in done.err
    assert "- failed: The outcome of the call is unknown: " in done.err
    assert "- exit code 1, " in done.err
    assert "\n* edit ledger/averages.py - ok, " in done.err
    assert "\nThe tests pass now.\n" in done.out

    *_, listing, show, log = done.out.splitlines()
    told = [shlex.split(line) for line in (listing, show, log)]
    assert [words[:2] for words in told] == [
        ["dovetail", "sessions"],
        ["dovetail", "show"],
        ["dovetail", "log"],
    ]
    listed, shown, logged = [await home.do(*words[1:]) for words in told]
    assert [one.code for one in (listed, shown, logged)] == [0, 0, 0]
    id = told[1][2]
    assert id in listed.out
    assert "outcome   succeeded" in shown.out
    assert "* edit ledger/averages.py - ok" in shown.out
    assert "(left unfinished: 1 call of unknown outcome" in shown.out
    assert "tool.succeeded" in logged.out
    # Nothing of it went into the person's own database.
    assert (await home.do("sessions", "--json")).out == ""


async def test_the_demo_can_be_kept_where_one_likes(home: Home) -> None:
    done = await home.do("demo", "--keep", "there is it", "--no-crash")
    assert done.code == 0
    assert "killed" not in done.out
    folder = home.work / "there is it"
    assert (folder / "project" / "ledger" / "averages.py").is_file()
    assert (folder / "sessions.db").is_file()
    again = await home.do("demo", "--keep", "there is it")
    assert (again.code, again.out) == (2, "")
    assert "is not empty" in again.err


async def test_a_real_model_that_does_nothing_leaves_the_tests_failing(
    home: Home,
) -> None:
    async with serve(text("I would rather not.")) as server:
        home.serve_from(server.url)
        kept = {"TMPDIR": str(home.path)}
        done = await home.do("demo", "--model", "openai/lazy", environment=kept)
    assert done.code == 1
    assert "rehearsal" not in done.out
    assert "The model is openai/lazy." in done.out
    assert "ended before it could be killed" in done.out
    assert "I would rather not." in done.out
    assert "\nThe tests fail still.\n" in done.out
    assert server.requests[0].json()["model"] == "lazy"


def test_the_demo_goes_by_the_command_line_it_is_part_of(
    do: Callable[..., Done], tmp_path: Path
) -> None:
    done = do("demo", "--no-crash", "--keep", str(tmp_path / "kept"))
    assert done.code == 0
    assert "The tests pass now." in done.out


async def test_an_interrupt_ends_the_demo_and_the_run_that_it_watches(
    home: Home,
) -> None:
    held = Answer(sse(*saying("Half a ")), end="silent", released=anyio.Event())
    async with serve(held) as server:
        home.serve_from(server.url)
        async with home.at_terminal(
            "demo", "--model", MODEL, "--keep", "kept"
        ) as person:
            await person.until("Half a ")
            # As a terminal does: everybody who is in front hears of it.
            os.killpg(person.process.pid, signal.SIGINT)
            await person.until("The tests fail still.")
            assert await person.end() == 130
    url = f"sqlite:///{home.work / 'kept' / 'sessions.db'}"
    [session] = (await home.do("sessions", "--db", url, "--json")).lines()
    assert session["status"] == "idle"
    assert session["outcome"]["status"] == "interrupted"
