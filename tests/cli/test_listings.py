"""``sessions``, ``show``, ``log`` and ``plugins``: what is recorded, for people and
programs."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from dovetail.kernel import (
    ContextSource,
    ContextUnavailableError,
    DovetailError,
    Failure,
    MessageId,
    Observation,
    RetryScheduled,
    SessionId,
    StepEnded,
    Usage,
    hookimpl,
    open_runtime,
)
from dovetail.kernel.testing.scripted import ScriptedProvider, call, calls, text
from dovetail.plugins.cli.output import Tally
from dovetail.plugins.console.listing import moment
from support.bounds import HANG
from support.commands import MODEL, Done, Home, saying, text as answer
from support.replay import Answer, serve, sse


def record(
    home: Home,
    *prompts: str,
    provider: ScriptedProvider | None = None,
    **options: Any,
) -> str:
    """Record a session in which these prompts were answered; return its id."""
    played = provider or ScriptedProvider(*(text(f"{each}!") for each in prompts))

    async def run() -> str:
        async with open_runtime(home.url, plugins=[played], **options) as runtime:
            session = await runtime.sessions.create(
                location=home.work, model=played.model, title=prompts[0]
            )
            for prompt in prompts:
                await session.prompt(prompt)
                await session.wait()
            return session.id

    return anyio.run(run)


# --- sessions ---------------------------------------------------------------------


def test_sessions_are_listed_newest_first(home: Home, do: Callable[..., Done]) -> None:
    ids = [record(home, title) for title in ("first", "second")]
    head, *rows = do("sessions").out.splitlines()
    assert head.split() == ["id", "updated", "outcome", "cost", "title", "location"]
    assert [row.split()[0] for row in rows] == ids[::-1]
    assert [row.split()[3:] for row in rows] == [
        ["succeeded", "-", "second", str(home.work)],
        ["succeeded", "-", "first", str(home.work)],
    ]


def test_a_listing_can_be_narrowed_and_continued(
    home: Home, do: Callable[..., Done]
) -> None:
    ids = [record(home, f"title {number}") for number in range(3)]
    assert [one["id"] for one in do("sessions", "--json").lines()] == ids[::-1]
    found = do("sessions", "--json", "--search", "title 1").lines()
    assert [one["title"] for one in found] == ["title 1"]
    elsewhere = do("sessions", "--json", "--location", str(home.path)).lines()
    assert elsewhere == []

    page = do("sessions", "--json", "--limit", "2")
    assert [one["id"] for one in page.lines()] == ids[:0:-1]
    # What it says to type for more is the rest.
    command = shlex.split(page.err.removeprefix("more: "))
    rest = do(*command[1:], "--json")
    assert [one["id"] for one in rest.lines()] == ids[:1]
    assert rest.err == ""


def test_children_and_roots_are_listed_by_themselves(
    home: Home, do: Callable[..., Done]
) -> None:
    top = record(home, "top")

    async def run() -> None:
        async with open_runtime(home.url) as runtime:
            for number in range(3):
                await runtime.sessions.create(
                    f"child{number}", location=home.work, parent=top
                )

    anyio.run(run)
    assert [one["id"] for one in do("sessions", "--json").lines()] == [top]
    page = do("sessions", "--json", "--parent", top, "--limit", "2")
    assert [(one["id"], one["parent"]) for one in page.lines()] == [
        ("child2", top),
        ("child1", top),
    ]
    command = shlex.split(page.err.removeprefix("more: "))
    assert [one["id"] for one in do(*command[1:], "--json").lines()] == ["child0"]
    page = do("sessions", "--limit", "1", "--location", str(home.work))
    assert page.err == ""
    page = do("sessions", "--all", "--json", "--limit", "3")
    assert [one["id"] for one in page.lines()] == ["child2", "child1", "child0"]
    command = shlex.split(page.err.removeprefix("more: "))
    assert [one["id"] for one in do(*command[1:], "--json").lines()] == [top]
    assert f"parent    {top}" in do("show", "child0").out.splitlines()
    assert "parent" not in do("show", top).out
    refused = do("sessions", "--all", "--parent", top)
    assert refused.code == 2
    assert "the children of one are not all" in refused.err


def test_no_sessions_is_no_error(do: Callable[..., Done]) -> None:
    done = do("sessions")
    assert (done.code, done.out, done.err) == (0, "", "no sessions\n")


def test_a_database_that_was_typed_wrong_is_not_made(
    home: Home, do: Callable[..., Done]
) -> None:
    for command in ("sessions", "verify", "show x", "log x", "export x", "prune x"):
        done = do(*command.split(), "--db", "sqlite:///no/such.db")
        assert done.code == 2
        assert "there is no database no/such.db" in done.err
    for command in ("run hi", f"import {os.devnull}"):
        done = do(*command.split(), "--db", "sqlite:///no/such.db")
        assert done.code == 2
        assert "there is no folder no" in done.err
    assert list(home.work.iterdir()) == []


# --- show -------------------------------------------------------------------------


def test_a_session_is_shown_with_its_transcript(
    home: Home, do: Callable[..., Done]
) -> None:
    (home.work / "a.txt").write_text("A\n")
    provider = ScriptedProvider(
        calls(call("read", {"path": "a.txt"})), text("It says A."), text("Bye!")
    )
    id = record(home, "what\nis it?", "bye", provider=provider)
    shown = do("show", id).out
    heading, _, transcript = shown.partition("\n\n")
    fields = dict(line.split(maxsplit=1) for line in heading.splitlines())
    assert fields["session"] == id
    assert fields["location"] == str(home.work)
    assert fields["model"] == "scripted/model"
    assert fields["title"] == "what\\nis it?"
    assert (fields["status"], fields["outcome"]) == ("idle", "succeeded")
    assert (fields["steps"], fields["tokens"]) == ("3", "3 in, 3 out")
    first, second, call_line, *rest = transcript.splitlines()
    assert (first, second) == ("> what", "> is it?")
    assert call_line.startswith("* read a.txt - ok, ")
    assert rest == ["", "It says A.", "", "> bye", "", "Bye!"]


def test_a_failed_step_is_shown_with_its_reason(
    home: Home, do: Callable[..., Done]
) -> None:
    id = record(home, "hi", provider=ScriptedProvider())
    shown = do("show", id).out
    assert "outcome   failed: " in shown
    assert "\nfailed: " in shown
    assert shown.endswith("[provider.invalid_request]\n")


# --- log --------------------------------------------------------------------------


def test_the_log_is_one_line_an_event(home: Home, do: Callable[..., Done]) -> None:
    id = record(home, "hi")
    events = do("log", id, "--json").lines()
    lines = do("log", id).out.splitlines()
    assert [line.split()[:4] for line in lines] == [
        [str(event["seq"]), *moment(event["created"]).split(), event["kind"]]
        for event in events
    ]
    assert "text=hi!" in "\n".join(lines)
    after = do("log", id, "--after", str(events[-3]["seq"]), "--json").lines()
    assert after == events[-2:]


def test_an_interrupt_ends_what_a_script_runs_in_the_background(home: Home) -> None:
    id = record(home, "hi")
    follow = f"{sys.executable} -m dovetail.plugins.cli log {id} --follow"
    # As a shell without a terminal starts it with &.
    process = subprocess.Popen(
        ["sh", "-c", f"trap '' INT; exec {follow}"],
        env=home.environment,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG) == 130


async def test_following_shows_what_other_processes_record(home: Home) -> None:
    released = anyio.Event()
    held = Answer(sse(*saying("Half.")), end="silent", released=released)
    async with serve(held, answer("Whole."), strict=False) as server:
        home.serve_from(server.url)
        async with home.started("run", "first", "--model", MODEL) as running:
            await running.until("Half.")
            [info] = (await home.do("sessions", "--json")).lines()
            assert info["status"] == "running"
            async with home.started("log", info["id"], "--follow", "--json") as log:
                await log.until("step.started")
                assert "execution.ended" not in log.out
                running.send(signal.SIGINT)
                assert (await running.end()).code == 130
                await log.until("execution.ended")
                await home.do("run", "second", "--session", info["id"])
                await log.until('"succeeded"')
                log.send(signal.SIGINT)
                done = await log.end()
    assert (done.code, done.err.strip()) == (130, "")
    assert [event["seq"] for event in done.lines()] == list(range(len(done.lines())))


# --- plugins ----------------------------------------------------------------------


def test_plugins_are_listed_with_what_they_offer(do: Callable[..., Done]) -> None:
    listed = {one["name"]: one for one in do("plugins", "list", "--json").lines()}
    assert listed["cli"]["state"] == "loaded"
    assert listed["cli"]["hooks"] == ["dovetail_register_commands"]
    assert listed["sqlite"]["hooks"] == ["dovetail_open_store"]
    shown = do("plugins", "list").out
    assert "sqlite" in shown
    assert "open_store" in shown


def test_a_plugin_that_is_left_out_is_listed_with_the_reason(
    do: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOVETAIL_DISABLE_PLUGINS", "skills")
    listed = {one["name"]: one for one in do("plugins", "list", "--json").lines()}
    assert listed["skills"]["state"] == "disabled"
    assert "skills: DOVETAIL_DISABLE_PLUGINS names it" in do("plugins", "list").out


# --- errors of a strange kind -----------------------------------------------------


def test_events_that_cannot_be_read_are_shown_as_such(
    home: Home, do: Callable[..., Done]
) -> None:
    import sqlite3

    id = record(home, "hi")
    before = do("log", id, "--json").lines()
    with sqlite3.connect(home.path / "sessions.db") as database:
        changed = database.execute(
            "UPDATE event SET kind = 'of.the_future' WHERE kind = 'text.ended'"
        )
        assert changed.rowcount == 1
    database.close()
    after = do("log", id, "--json").lines()
    assert len(after) == len(before)
    [unreadable] = [one for one in after if one["kind"] == "event.unreadable"]
    assert unreadable["stored_kind"] == "of.the_future"
    assert f"(event {unreadable['seq']} cannot be read: " in do("show", id).out


def test_json_is_json_whatever_was_said(home: Home, do: Callable[..., Done]) -> None:
    nasty = '\x1b[2J\x9b\u2028\u202e\U0001f600 "quoted" \\ \n'
    id = record(home, nasty)
    done = do("log", id, "--json")
    assert done.out.isascii()
    assert "\x1b" not in done.out
    [admitted] = [one for one in done.lines() if one["kind"] == "prompt.admitted"]
    assert admitted["prompt"]["text"] == nasty
    assert json.loads(do("sessions", "--json").out)["title"] == nasty


def test_every_kind_of_error_has_an_exit_code() -> None:
    from dovetail.plugins.console.exits import code_of_error

    assert code_of_error(DovetailError("x")) == 1


def test_show_tells_what_is_to_be_done(home: Home, do: Callable[..., Done]) -> None:
    todos = [
        {"id": "1", "content": "look \x1b[31m", "status": "completed"},
        {"id": "2", "content": "leap", "status": "in_progress"},
    ]
    played = ScriptedProvider(calls(call("todowrite", {"todos": todos})), text("Ok."))
    session = record(home, "do it", provider=played)
    shown = do("show", session).out
    assert "to do\n  completed   1: look " in shown
    assert "\n  in_progress 2: leap\n" in shown
    assert "\x1b" not in shown
    told = json.loads(do("show", session, "--json").out)
    assert [one["id"] for one in told["todos"]] == ["1", "2"]


def test_show_tells_what_ran_beside_the_session(
    home: Home, do: Callable[..., Done]
) -> None:
    command = {"command": "sleep 1000 # \x1b[31m", "background": True}
    played = ScriptedProvider(calls(call("bash", command)), text("Ok."))
    session = record(home, "run it", provider=played, on_permission="allow")
    shown = do("show", session).out
    assert "\njobs\n  job_" in shown
    assert " (stopped, by closing): sleep 1000 # " in shown
    assert "\x1b" not in shown
    told = json.loads(do("show", session, "--json").out)
    assert [one["state"] for one in told["jobs"]] == ["stopped"]
    # What nobody said is not shown as somebody's words.
    [waiting] = told["pending"]
    assert waiting["job_id"] == told["jobs"][0]["id"]


def test_show_prints_what_the_model_is_told_of_its_world(
    home: Home, do: Callable[..., Done]
) -> None:
    (home.work / "AGENTS.md").write_text("Use \x1b[31mtabs.")
    id = record(home, "one", "two")
    shown = do("show", id, "--context").out
    assert "(first), Steps 1 to 2" in shown
    assert "baseline:\n" in shown
    assert f"Working directory: {home.work}" in shown
    assert "tabs." in shown
    assert "\x1b" not in shown
    assert "instructions of the agent:\n" in shown
    [epoch] = map(json.loads, do("show", id, "--context", "--json").out.splitlines())
    assert epoch["cause"] == "first"
    assert len(epoch["steps"]) == 2
    assert epoch["updates"] == []


def test_what_was_left_out_is_not_shown_once_it_was_told(
    home: Home, do: Callable[..., Done]
) -> None:
    """Of a source with parts the parts are told."""
    parts = {"a": Observation("A.")}
    says: list[Any] = [ContextUnavailableError("t/x", "away"), parts]

    class Parts:
        name = "parts"

        @hookimpl
        def dovetail_register_context(self, register: Any) -> None:
            async def observe() -> Observation:
                said = says.pop(0) if len(says) > 1 else says[0]
                if isinstance(said, Exception):
                    raise said
                return Observation("Head.", parts=said)

            register(ContextSource("t/x", observe))

    played = ScriptedProvider(text("1"), text("2"))

    async def run() -> str:
        async with open_runtime(home.url, plugins=[played, Parts()]) as runtime:
            session = await runtime.sessions.create(
                location=home.work, model=played.model
            )
            for _ in range(2):
                await session.prompt("go")
                await session.wait()
            [epoch] = await session.context()
            assert [*epoch.left_out] == ["t/x"]
            assert [one.text for one in epoch.updates] == ["Head.\n\nA."]
            return session.id

    id = anyio.run(run)
    [shown] = do("show", id, "--json").lines()
    assert shown["left_out"] == {}
    assert shown["unavailable"] == []
    since = "could not be observed: t/x of plugin parts, since event "
    told = do("show", id, "--context").out
    assert since in told
    assert ", until event " in told
    assert ": away" in told


def test_what_a_lost_attempt_took_is_in_the_last_line_of_a_run() -> None:
    step: Any = {"session_id": SessionId("s"), "message_id": MessageId("m")}
    lost = Usage(input=100, output=1)
    tally = Tally()
    down = Failure("provider.unavailable", "down")
    retried: Any = {"attempt": 2, "delay_ms": 1, "failure": down, "usage": lost}
    tally.take(RetryScheduled(**step, **retried, cost=0.11, unpriced=1))
    used = Usage(input=100, output=9)
    tally.take(StepEnded(**step, finish="stop", usage=used, cost=0.19))
    assert "200 tokens in, 10 out, at least $0.3000" in tally.line("s")
    told = tally.json("s", None, None, 0)
    assert (told["cost"], told["cost_is_whole"]) == (0.3, False)
