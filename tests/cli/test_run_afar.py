"""``dovetail --server URL run``: a prompt through a server, as in the process."""

import json
import re
import shlex
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest
from dovetail.plugins.client import connect
from support.commands import MODEL, Home, calling, saying, text
from support.replay import JSON, Answer, serve, sse

TOUCH = calling(("bash", {"command": "touch made"}))


@asynccontextmanager
async def serving(home: Home, *answers: Answer) -> AsyncGenerator[str, None]:
    """Start a server whose model answers so, and yield its address."""
    async with serve(*answers) as model:
        home.serve_from(model.url)
        async with home.started("serve", "--port", "0") as child:
            said = await child.until("page:")
            found = re.search(r"API:  (http://\S+)/api\n", said)
            assert found, said
            yield found[1]


async def test_a_prompt_is_answered_and_gone_on_with(home: Home) -> None:
    async with serving(home, TOUCH, TOUCH, text("Made."), text("Again.")) as url:
        first = await home.do("--server", url, "run", "make it", "--model", MODEL)
        assert first.code == 3
        # What may be typed is for the same server.
        line = first.err.splitlines()[-1].removeprefix("to allow it: ")
        typed = shlex.split(line)
        assert typed[:4] == ["dovetail", "--server", url, "run"]
        assert not (home.work / "made").exists()
        again = await home.do(*typed[1:-1], "go on")
        assert (again.code, again.out.splitlines()[-1]) == (0, "Made.")
        assert (home.work / "made").exists()
        newest = await home.do(
            "--server", f"{url}/api", "run", "and", "--continue", "--model", MODEL
        )
        assert (newest.code, newest.out) == (0, "Again.\n")


async def test_the_log_is_whole(home: Home) -> None:
    async with serving(home, TOUCH, text("Made.")) as url:
        done = await home.do(
            "--server",
            url,
            "run",
            "make",
            "--model",
            MODEL,
            "--yes",
            "--output-format",
            "stream-json",
        )
    assert done.code == 0
    seen = [one for one in done.lines() if "seq" in one]
    assert [one["seq"] for one in seen] == list(range(len(seen)))
    [answered] = [one for one in seen if one["kind"] == "request.answered"]
    assert answered["by"] == "policy"
    assert seen[-1]["kind"] == "execution.ended"


async def test_a_person_is_asked_and_what_always_means_is_kept(home: Home) -> None:
    async with serving(home, TOUCH, text("Ok."), TOUCH, text("Done.")) as url:
        over = ("--server", url, "run")
        async with home.at_terminal(*over, "do it", "--model", MODEL) as person:
            await person.until("allow bash: touch made\n")
            await person.until("reject (r)? ")
            await person.type("ae+ 8h\n")
            await person.until("Ok.")
            assert await person.end() == 0
        (home.work / "made").unlink()
        done = await home.do(*over, "again", "--model", MODEL)
    assert done.code == 0
    assert (home.work / "made").exists()


async def test_what_the_model_says_is_shown_as_it_speaks_and_can_be_interrupted(
    home: Home,
) -> None:
    held = Answer(sse(*saying("Half a ")), end="silent", released=anyio.Event())
    async with serving(home, held, text("The rest.")) as url:
        over = ("--server", url, "run")
        async with home.started(*over, "tell me", "--model", MODEL) as child:
            await child.until("Half a ")
            child.send(signal.SIGINT)
            done = await child.end()
        assert (done.code, done.out) == (130, "Half a \n")
        [info] = (await home.do("sessions", "--json")).lines()
        assert info["outcome"]["status"] == "interrupted"
        again = await home.do(*over, "go on", "--session", str(info["id"]))
        assert (again.code, again.out) == (0, "The rest.\n")


async def test_a_run_whose_server_is_killed_ends_its_line_and_names_the_session(
    home: Home,
) -> None:
    held = Answer(sse(*saying("Half a ")), end="silent", released=anyio.Event())
    async with serve(held) as model:
        home.serve_from(model.url)
        async with home.started("serve", "--port", "0") as server:
            said = await server.until("page:")
            url = said.split()[1].removesuffix("/api")
            over = ("--server", url, "run", "tell me", "--model", MODEL)
            async with home.started(*over) as child:
                await child.until("Half a ")
                server.send(signal.SIGKILL)
                done = await child.end()
    [info] = (await home.do("sessions", "--json")).lines()
    assert (done.code, done.out) == (1, "Half a \n")
    assert f"dovetail --server {url} run --session {info['id']}\n" in done.err
    assert "[server.unreachable]" in done.err


async def test_a_question_is_asked_at_the_terminal_and_dismissed_where_nobody_is(
    home: Home,
) -> None:
    asking = calling(("question", {"questions": [{"question": "A name?"}]}))
    async with serving(home, asking, text("Bo."), asking, text("None.")) as url:
        over = ("--server", url, "run")
        async with home.at_terminal(*over, "name it", "--model", MODEL) as person:
            await person.until("A name?")
            await person.until("to dismiss? ")
            await person.type("Bo\n")
            await person.until("Bo.")
            assert await person.end() == 0
        alone = await home.do(*over, "again", "--model", MODEL, "--yes")
        assert (alone.code, alone.out.splitlines()[-1]) == (0, "None.")


async def test_what_cannot_run_there_leaves_nothing(home: Home) -> None:
    async with serving(home) as url:
        over = ("--server", url, "run")
        none = await home.do(*over, "hello")
        assert (none.code, "model.not_selected" in none.err) == (2, True)
        unknown = await home.do(*over, "hello", "--model", "nobody/model")
        assert (unknown.code, "model.unknown" in unknown.err) == (2, True)
        odd = await home.do(*over, "hello", "--model", MODEL, "--session", "ses_none")
        assert "session.not_found" in odd.err
        assert (await home.do("sessions", "--json")).lines() == []


@pytest.mark.parametrize("pattern", ["*:*/made.txt", "edit:./made.txt"])
async def test_allow_means_what_it_means_there(home: Home, pattern: str) -> None:
    making = calling(("write", {"path": "made.txt", "content": "x"}))
    async with serving(home, making, text("Made.")) as url:
        done = await home.do(
            "--server", url, "run", "make", "--model", MODEL, "--allow", pattern
        )
    assert (done.code, (home.work / "made.txt").exists()) == (0, True), done.err


async def test_other_commands_work_there_too(home: Home) -> None:
    async with serving(home, text("One.")) as url:
        over = ("--server", url)
        first = await home.do(*over, "run", "hi", "--model", MODEL, "--json")
        id = str(first.lines()[0]["session"])
        short = id[:-6]
        renamed = await home.do(*over, "sessions", "rename", short, "The first")
        assert (renamed.code, "is called The first now" in renamed.err) == (0, True)
        forked = await home.do(*over, "fork", short, "--title", "Aside")
        assert forked.code == 0
        shown = await home.do(*over, "show", short)
        assert "title     The first" in shown.out
        spent = (await home.do(*over, "stats", "--json")).lines()
        assert [(one["model"], one["steps"]) for one in spent] == [(MODEL, 1)]
        several = await home.do(*over, "show", "ses_")
        assert (several.code, "[session.ambiguous]" in several.err) == (2, True)
        aside = forked.out.strip()[:-4]
        removed = await home.do(*over, "sessions", "rm", aside, "--yes")
        assert (removed.code, "removed ses_" in removed.err) == (0, True)
        assert (await home.do(*over, "verify", short)).code == 0
        afar = await home.do(*over, "doctor")
        assert (afar.code, "does not work over --server" in afar.err) == (2, True)


async def test_what_a_server_offers_and_holds_is_looked_at_and_carried(
    home: Home,
) -> None:
    (home.work / "there").mkdir()
    offered = json.dumps({"data": [{"id": "its-own"}]}).encode()
    async with serving(home, Answer(offered, 200, JSON)) as url:
        over = ("--server", url)

        async with connect(url) as runtime:
            await runtime.sessions.create("ses_carried", home.work, MODEL)
        agents = await home.do(*over, "agents", "--json")
        assert "build" in [one["name"] for one in agents.lines()], agents.err
        assert (await home.do(*over, "skills")).code == 0
        # It is asked from there.
        served = await home.do(*over, "models", "openai", "--json")
        [[model]] = [one["models"] for one in served.lines()]
        assert (served.code, model["name"]) == (0, "openai/its-own")
        absent = await home.do(*over, "models", "nobody")
        assert (absent.code, "no provider 'nobody'" in absent.err) == (1, True)
        listed = await home.do(*over, "permissions", "list")
        assert (listed.code, "nothing is approved" in listed.err) == (0, True)
        nothing = await home.do(*over, "permissions", "revoke", "apr_none")
        assert (nothing.code, "approval.not_found" in nothing.err) == (2, True)
        moved = await home.do(*over, "move", "ses_car", "there")
        assert (moved.code, str(home.work / "there") in moved.err) == (0, True)
        exported = await home.do(*over, "export", "ses_car")
        assert exported.lines()[0]["kind"] == "session.created"
        (home.work / "one.jsonl").write_text(exported.out)
        brought = await home.do(*over, "import", "one.jsonl")
        assert (brought.code, "0 new events" in brought.err) == (0, True), brought.err


async def test_a_log_that_is_followed_goes_on_where_its_server_was_killed(
    home: Home,
) -> None:
    held = Answer(sse(*saying("Half a ")), end="silent", released=anyio.Event())
    async with serve(held, text("The whole.")) as model:
        home.serve_from(model.url)
        async with home.started("serve", "--port", "0") as server:
            url = (await server.until("page:")).split()[1].removesuffix("/api")
            run = ("--server", url, "run", "tell me", "--model", MODEL)
            async with home.started(*run) as child:
                await child.until("Half a ")
                [info] = (await home.do("sessions", "--json")).lines()
                log = ("--server", url, "log", str(info["id"]), "--follow", "--json")
                async with home.started(*log) as follower:
                    await follower.until("step.started")
                    server.send(signal.SIGKILL)
                    await child.end()
                    again = ("serve", "--port", url.rpartition(":")[2])
                    async with home.started(*again) as other:
                        await other.until("page:")
                        said = await follower.until("execution.ended")
    events = [json.loads(line) for line in said.splitlines() if line.endswith("}")]
    assert [one["seq"] for one in events] == list(range(len(events)))
    assert [one["kind"] for one in events].count("step.started") == 2
    [ended] = [one["text"] for one in events if one["kind"] == "text.ended"]
    assert ended == "The whole."
