"""The key at the terminal that lets a running command go on by itself."""

import termios

import pytest
from support.commands import MODEL, Home, calling, text
from support.processes import Pipes, ended
from support.replay import serve

KEY = "\x02"
USUAL = b"\x1c"
"""What quits at a new terminal."""


@pytest.mark.law("jobs.6")
async def test_a_key_lets_a_running_command_go_on_as_a_job(
    home: Home, pipe: Pipes
) -> None:
    go, pid = pipe(home.work / "go"), pipe(home.work / "pid")
    command = "echo $$ > pid; read -r _ < go"
    async with serve(
        calling(("bash", {"command": command})), text("It goes on."), text("Done.")
    ) as server:
        home.serve_from(server.url)
        async with home.at_terminal(
            "run", "do it", "--model", MODEL, "--yes"
        ) as person:
            await pid.number()
            await person.type(KEY)
            await person.until("ok, as a job")
            # It would end with the run, which waits for it, and goes on with its end.
            # It waits from when the work is over, which may be shown before its text.
            await person.until("It goes on.", "waiting for what was detached")
            go.release()
            await person.until("has ended well")
            await person.until("Done.")
            assert await person.end() == 0
    told = server.requests[1].json()["messages"][-1]["content"]
    assert "It runs as job_" in told


async def test_a_run_that_waits_for_what_was_detached_is_ended_by_ctrl_c(
    home: Home, pipe: Pipes
) -> None:
    pipe(home.work / "go")
    pid = pipe(home.work / "pid")
    command = "echo $$ > pid; read -r _ < go"
    async with serve(
        calling(("bash", {"command": command})), text("It goes on.")
    ) as server:
        home.serve_from(server.url)
        async with home.at_terminal(
            "run", "do it", "--model", MODEL, "--yes"
        ) as person:
            number = await pid.number()
            await person.type(KEY)
            await person.until("waiting for what was detached")
            await person.type("\x03")
            assert await person.end() == 0
    await ended(number)


async def test_where_nothing_can_be_detached_the_key_says_so(
    home: Home, pipe: Pipes
) -> None:
    async with serve(calling(("bash", {"command": "true"})), text("Ok.")) as server:
        home.serve_from(server.url)
        async with home.at_terminal("run", "do it", "--model", MODEL) as person:
            await person.until("reject (r)? ")
            await person.type(KEY)
            await person.until("nothing runs that could go on by itself")
            # What is typed then still answers.
            await person.type("o\n")
            await person.until("Ok.")
            assert await person.end() == 0


async def test_the_terminal_is_left_as_it_was(home: Home) -> None:
    async with serve(calling(("bash", {"command": "true"})), text("Ok.")) as server:
        home.serve_from(server.url)
        async with home.at_terminal("run", "do it", "--model", MODEL) as person:
            await person.until("reject (r)? ")
            assert termios.tcgetattr(person.master)[6][termios.VQUIT] == KEY.encode()
            await person.type("o\n")
            await person.until("Ok.")
            await person.process.wait()
            after = termios.tcgetattr(person.master)[6][termios.VQUIT]
    assert after == USUAL


@pytest.mark.law("jobs.6")
async def test_another_terminal_detaches_what_a_session_waits_for(
    home: Home, pipe: Pipes
) -> None:
    go, pid = pipe(home.work / "go"), pipe(home.work / "pid")
    command = "echo $$ > pid; read -r _ < go"
    async with serve(
        calling(("bash", {"command": command})), text("It goes on."), text("Done.")
    ) as server:
        home.serve_from(server.url)
        async with home.at_terminal(
            "run", "do it", "--model", MODEL, "--yes"
        ) as person:
            await pid.number()
            [session] = (await home.do("sessions", "--json")).lines()
            done = await home.do("detach", session["id"])
            assert done.code == 0
            assert done.out.startswith("job_")
            await person.until("ok, as a job")
            # It would end with the run, whoever detached it.
            await person.until("waiting for what was detached")
            go.release()
            await person.until("Done.")
            assert await person.end() == 0
        done = await home.do("detach", session["id"])
        assert (done.code, done.err) == (1, "nothing was detached\n")
