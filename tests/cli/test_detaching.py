"""The key at the terminal that lets a running command go on by itself."""

import termios

import pytest
from support.commands import MODEL, Home, calling, text
from support.processes import Pipes
from support.replay import serve

KEY = "\x02"
USUAL = b"\x1c"
"""What quits at a new terminal."""


@pytest.mark.law("jobs.6")
async def test_a_key_lets_a_running_command_go_on_as_a_job(
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
            await pid.number()
            await person.type(KEY)
            await person.until("ok, as a job")
            await person.until("It goes on.")
            assert await person.end() == 0
    told = server.requests[1].json()["messages"][-1]["content"]
    assert "It runs as job_" in told


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
