"""Going on with what a process left: the report, who accepts it, and what then runs."""

import json
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal

import anyio
import pytest
from attrs import evolve
from dovetail.kernel import (
    RequestAsked,
    Session,
    StepStarted,
    ToolSpawned,
    open_runtime,
)
from dovetail.kernel.ports import Transaction
from dovetail.plugins.console.continuing import is_alive
from dovetail.storage.sqlite.store import open_sqlite
from support.bounds import HANG
from support.commands import MODEL, Home, calling, saying, text
from support.replay import Answer, Replay, Request, serve, sse

PLAIN = {"NO_COLOR": "1"}
HELD = "echo ran >> effects; echo > begun; cat hold"
"""Has its effect, says so, and holds until somebody writes."""


class Held:
    """The command ``HELD`` in a home: when it began, and letting it end."""

    def __init__(self, home: Home) -> None:
        self._folder = home.work
        for name in ("begun", "hold"):
            os.mkfifo(self._folder / name)
        # Opened for both, so that opening never waits for anybody.
        self._begun = os.open(self._folder / "begun", os.O_RDWR | os.O_NONBLOCK)
        self._hold = os.open(self._folder / "hold", os.O_RDWR | os.O_NONBLOCK)

    async def begun(self, session: Session | None = None) -> None:
        """Return once the command has had its effect, and the session knows of it."""
        await anyio.wait_readable(self._begun)
        assert os.read(self._begun, 1) == b"\n"
        if session is not None:
            await seen(session, ToolSpawned)

    def close(self) -> None:
        """Let the command end, whoever its parent is by now."""
        os.close(self._begun)
        os.close(self._hold)

    @property
    def effects(self) -> list[str]:
        return (self._folder / "effects").read_text().split()


@pytest.fixture
def held(home: Home) -> Iterator[Held]:
    held = Held(home)
    yield held
    held.close()


@asynccontextmanager
async def lost(
    home: Home,
    until: Callable[[Session], Awaitable[None]],
    *prompts: str,
    on_permission: Literal["ask", "allow"] = "allow",
) -> AsyncIterator[str]:
    """Leave a session as a process leaves it that is killed at a certain moment.

    The database is copied at that moment, which is what a killed process leaves. The
    session's id is given.
    """
    elsewhere = home.path / "elsewhere.db"
    # What is installed comes with the environment of the one who asks.
    async with open_runtime(
        f"sqlite:///{elsewhere}",
        environment=home.environment,
        lease_seconds=0.1,
        on_permission=on_permission,
    ) as runtime:
        session = await runtime.sessions.create(location=home.work, model=MODEL)
        for prompt in prompts or ("do it",):
            await session.prompt(prompt, delivery="queue")
        with anyio.fail_after(HANG):
            await until(session)
        with (
            sqlite3.connect(elsewhere) as source,
            sqlite3.connect(home.path / "sessions.db") as target,
        ):
            source.backup(target)
        source.close()
        target.close()
        async with open_sqlite(home.path / "sessions.db") as store:
            await store.transact(partial(_end_process, session.id))
        await session.interrupt()
        await session.wait()
    yield session.id


def _end_process(session_id: str, rows: Transaction) -> None:
    """Let the process that held a session have ended, which is this one: another
    process was given its number later."""
    lease = rows.lease(session_id)
    assert lease is not None
    rows.put_lease(evolve(lease, process=f"{lease.process}0"))


def held_call() -> Answer:
    return calling(("bash", {"command": HELD}), said="I do it.")


async def kinds(home: Home, id: str) -> list[str]:
    return [event["kind"] for event in (await home.do("log", id, "--json")).lines()]


STREAM = ("--output-format", "stream-json")


def said_to(server: Replay, request: int) -> str:
    return json.dumps(server.requests[request].json()["messages"])


@pytest.mark.law("recovery.2")
async def test_after_a_kill_a_person_sees_the_report_accepts_and_nothing_is_repeated(
    home: Home, held: Held
) -> None:
    async with serve(held_call(), text("It was done once.")) as server:
        home.serve_from(server.url)
        async with home.started("run", "do it", "--model", MODEL, "--yes") as child:
            await held.begun()
            child.process.kill()
            assert await child.process.wait() == -9
        async with home.at_terminal("run", "--continue", environment=PLAIN) as person:
            await person.until("the worker that ran this session (own_")
            await person.until("* bash echo ran >> effects")
            await person.until("outcome unknown (unsafe): not repeated")
            await person.until("moved since: nothing")
            await person.until("accept this and go on (y/N)? ")
            await person.type("y\n")
            await person.until("accepted by a person")
            await person.until("* bash echo ran >> effects")
            await person.until("failed: The outcome of the call is unknown")
            await person.until("It was done once.")
            assert await person.end() == 0
        assert held.effects == ["ran"]
        assert "may have had its effect" in said_to(server, 1)
        [info] = (await home.do("sessions", "--json")).lines()
    assert info["outcome"]["status"] == "succeeded"


# --- what is said, and what is asked ----------------------------------------------


@pytest.mark.law("recovery.4")
async def test_nothing_goes_on_before_somebody_accepts(home: Home, held: Held) -> None:
    async with serve(held_call(), text("Checked.")) as server:
        home.serve_from(server.url)
        async with lost(home, held.begun) as id:
            before = await kinds(home, id)
            async with home.at_terminal(
                "run", "--continue", environment=PLAIN
            ) as person:
                await person.until("accept this and go on (y/N)? ")
                await person.type("\n")
                await person.until("to accept it and go on: dovetail run --session ")
                assert await person.end() == 3
            assert await kinds(home, id) == before
            # What was there to accept took longer than the lease.
            assert " lost " in (await home.do("sessions")).out
            # Nobody to ask: it is recorded that it waits.
            alone = await home.do("run", "--continue", *STREAM)
            assert alone.code == 3
            reported, *_, ended, result = alone.lines()
            assert result["error"]["code"] == "continuation.unaccepted"
            assert reported["kind"] == "continuation.reported"
            assert ended["reason"]["code"] == "continuation.unaccepted"
            digest = reported["digest"]
            hint = f"dovetail run --session {id} --accept {digest}"
            assert alone.err.splitlines()[-1] == f"to accept it and go on: {hint}"
            # Allowing everything accepts no report, and says so.
            yes = await home.do("run", "--continue", "--yes")
            assert yes.code == 3
            assert (
                "--yes answers permission requests; this report is accepted" in yes.err
            )
            assert yes.err.splitlines()[-1] == f"to accept it and go on: {hint} --yes"
            other = await home.do("run", "--session", id, "--accept", "0" * 32)
            assert (other.code, "[continuation.changed]" in other.err) == (2, True)
            assert len(server.requests) == 1
            done = await home.do("run", "--session", id, "--accept", digest)
            assert (done.code, done.out.splitlines()[-1]) == (0, "Checked.")
        assert held.effects == ["ran"]
        log = await kinds(home, id)
        assert log.count("continuation.reported") == 1
        assert log.count("continuation.accepted") == 1


async def test_a_new_prompt_accepts_and_shows_in_short_what(
    home: Home, held: Held
) -> None:
    async with serve(held_call(), text("Checked.")) as server:
        home.serve_from(server.url)
        async with lost(home, held.begun) as id:
            (home.work / "dovetail.toml").write_text(
                "[[permissions.rules]]\n"
                'action = "read"\nresource = "*"\neffect = "ask"\n'
            )
            done = await home.do("run", "go on", "--session", id)
        assert done.code == 0
        told = [one for one in done.told.splitlines() if one[:2] not in ("* ", "(g")]
        assert told[-3] == (
            "left unfinished: 1 call of unknown outcome, 1 thing moved; "
            "this prompt accepts it"
        )
        assert told[-1].startswith("  * bash echo ran >> effects")
        assert "(going on: accepted by a new prompt)" in done.err
        assert held.effects == ["ran"]


async def test_what_is_not_in_doubt_goes_on_by_itself(home: Home) -> None:
    asked = anyio.Event()

    def silent(_: Request) -> Answer:
        asked.set()
        return Answer(sse(*saying("Half")), end="silent", released=anyio.Event())

    async def until(_: Session) -> None:
        await asked.wait()

    async with serve(silent, text("All of it."), text("And more.")) as server:
        home.serve_from(server.url)
        async with lost(home, until, "first", "second") as id:
            done = await home.do("run", "--continue")
        assert (done.code, done.out) == (0, "All of it.\nAnd more.\n")
        # Nothing of the answer had come to be recorded.
        assert done.told.endswith(
            "(going on: nothing was in doubt)\n(Go on.)\n\n> second\n"
        )
        assert "moved since: nothing\nwaiting:\n  > second\n" in done.err
        again = await home.do("run", "--session", id)
    assert again.code == 2
    assert f"nothing is left of {id}; say what to do" in again.err


async def seen(session: Session, kind: type) -> None:
    """Return once an event of a kind is durable."""
    async with session.events(follow=True) as tail:
        async for event in tail:
            if isinstance(event, kind):
                return


@pytest.mark.law("recovery.3")
async def test_a_call_that_still_asked_runs_once_it_is_allowed(home: Home) -> None:
    async with serve(
        calling(("bash", {"command": "touch made"})), text("Made.")
    ) as server:
        home.serve_from(server.url)

        async def asked(session: Session) -> None:
            await seen(session, RequestAsked)

        async with lost(home, asked, on_permission="ask") as id:
            alone = await home.do("run", "--continue")
            assert alone.code == 3
            hint = f"dovetail run --session {id} --allow 'bash:touch made'"
            assert alone.err.splitlines()[-1] == f"to allow it: {hint}"
            assert "continuation.reported" not in await kinds(home, id)
            async with home.at_terminal(
                "run", "--continue", environment=PLAIN
            ) as person:
                await person.until("* bash touch made - not started: it runs")
                await person.until("allow bash: touch made\n")
                assert not (home.work / "made").exists()
                await person.until("reject (r)? ")
                await person.type("o\n")
                await person.until("* bash touch made - ok")
                await person.until("Made.")
                assert await person.end() == 0
        assert (home.work / "made").exists()


@pytest.mark.parametrize("option", ["--allow", "--yes"])
async def test_what_was_asked_may_be_allowed_in_advance(
    home: Home, option: str
) -> None:
    async with serve(
        calling(("bash", {"command": "touch made"})), text("Made.")
    ) as server:
        home.serve_from(server.url)

        async def asked(session: Session) -> None:
            await seen(session, RequestAsked)

        async with lost(home, asked, on_permission="ask") as id:
            options = ["--allow", "bash"] if option == "--allow" else ["--yes"]
            done = await home.do("run", "--continue", *options)
            log = (await home.do("log", id, "--json")).lines()
    assert done.code == 0
    assert (home.work / "made").exists()
    [replied] = [one for one in log if one["kind"] == "request.answered"]
    assert (replied["answer"]["reply"], replied["by"]) == ("once", "policy")


# --- without anything lost --------------------------------------------------------


async def test_what_waits_is_done_without_a_prompt(home: Home) -> None:
    async with serve(text("Done.")) as server:
        home.serve_from(server.url)
        async with open_runtime(home.url, environment=home.environment) as runtime:
            session = await runtime.sessions.create(location=home.work, model=MODEL)
            await session.prompt("later", resume=False)
        done = await home.do("run", "--continue")
    assert (done.code, done.out, done.told) == (0, "Done.\n", "> later\n")


async def test_what_failed_is_tried_again_without_a_prompt(home: Home) -> None:
    refused = Answer(b'{"error":{"message":"no"}}', 401)
    async with serve(refused, text("Better.")) as server:
        home.serve_from(server.url)
        assert (await home.do("run", "hi", "--model", MODEL)).code == 1
        done = await home.do("run", "--continue")
    assert (done.code, done.out, done.told) == (0, "Better.\n", "(Go on.)\n")


async def test_a_session_that_another_process_runs_is_left_alone(home: Home) -> None:
    silent = Answer(sse(*saying("Half")), end="silent", released=anyio.Event())
    async with serve(silent) as server:
        home.serve_from(server.url)
        async with open_runtime(
            home.url, environment=home.environment, lease_seconds=0.5
        ) as runtime:
            session = await runtime.sessions.create(location=home.work, model=MODEL)
            await session.prompt("do it")
            await seen(session, StepStarted)
            done = await home.do("run", "--continue")
            shown = await home.do("show", session.id)
            await session.interrupt()
    assert done.code == 2
    assert "another process works on it, or did until now" in done.err
    assert done.err.splitlines()[-1].endswith("[session.busy]")
    assert "status    running" in shown.out
    assert "lost" not in shown.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--accept", "d"],
        ["--accept", "d", "--session", "s", "prompt"],
        ["--continue"],
        ["-", "--continue", "--accept", "d"],
    ],
)
async def test_what_cannot_be_meant_is_a_wrong_command_line(
    home: Home, arguments: list[str]
) -> None:
    done = await home.do("run", *arguments)
    assert (done.code, "[usage]" in done.err) == (2, True)


# --- looking ----------------------------------------------------------------------


async def test_show_tells_what_was_left_and_then_who_accepted_it(
    home: Home, held: Held
) -> None:
    async with serve(held_call(), text("Checked.")) as server:
        home.serve_from(server.url)
        async with lost(home, held.begun) as id:
            shown = await home.do("show", id)
            [told] = (await home.do("show", id, "--json")).lines()
            digest = told["continuation"]["digest"]
            assert told["accepted"] is None
            assert told["continuation"]["calls"][0]["known"] == "unknown"
            assert f"report {digest}\n" in shown.out
            assert "outcome unknown (unsafe): not repeated" in shown.out
            assert f"--accept {digest}\n" in shown.out
            # Looking changes nothing.
            assert (await kinds(home, id))[-1] == "tool.spawned"
            await home.do("run", "--session", id, "--accept", digest)
            shown = await home.do("show", id)
            [told] = (await home.do("show", id, "--json")).lines()
    assert told["continuation"] is None
    assert (told["accepted"]["by"], told["accepted"]["digest"]) == ("person", digest)
    assert (
        "(left unfinished: 1 call of unknown outcome)\n"
        "(going on: accepted by a person)\n"
    ) in shown.out
    assert "report " not in shown.out


async def test_a_session_is_shown_whose_directory_is_gone(
    home: Home, held: Held
) -> None:
    async with serve(held_call()) as server:
        home.serve_from(server.url)
        async with lost(home, held.begun) as id:
            home.work.rename(home.path / "moved")
            home.work = home.path
            shown = await home.do("show", id)
            assert "I do it." in shown.out
            assert "[location.not_found]" in shown.err
            home.work = (home.path / "moved").rename(home.path / "work")
    assert shown.code == 0


async def test_a_clock_that_was_set_forward_makes_no_wait_less_than_none() -> None:
    held: list[int | None] = [1000, None]
    told: list[int] = []

    class Held:
        async def held_until(self) -> int | None:
            return held.pop(0) if held else None

    held_by_nobody: Any = Held()
    assert not await is_alive(held_by_nobody, told.append)
    assert told == [0]
