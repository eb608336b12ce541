"""``dovetail run``: what is said, what is recorded, and the exit code."""

import base64
import json
import os
import re
import signal
import stat
import sys
from collections.abc import Callable

import anyio
import pytest
from attrs import evolve
from dovetail.plugins.cli import piped
from dovetail.plugins.console.terminal import Terminal
from support.commands import MODEL, Done, Home, calling, chunk, saying, text
from support.processes import longer
from support.replay import JSON, Answer, Request, serve, sse

STREAM = ("--output-format", "stream-json")


async def sessions(home: Home) -> list[dict[str, object]]:
    return (await home.do("sessions", "--json")).lines()


# --- a run that succeeds ----------------------------------------------------------


async def test_the_text_of_the_model_is_what_is_printed(home: Home) -> None:
    async with serve(text("Hel", "lo ", "there.\n", "\nBye.")) as server:
        home.serve_from(server.url)
        done = await home.do("run", "hi", "--model", MODEL)
    assert (done.code, done.out) == (0, "Hello there.\n\nBye.\n")
    assert done.told == ""
    assert re.fullmatch(r"session ses_\w+, 1 Step, \d+\.\d s\n", done.err)


async def test_an_answer_that_was_cut_off_is_told_apart(home: Home) -> None:
    cut = Answer(sse(*saying("part of"), chunk({}, "length"), "[DONE]"))
    async with serve(cut) as server:
        home.serve_from(server.url)
        done = await home.do("run", "hi", "--model", MODEL)
    assert (done.code, done.out) == (0, "part of\n")
    assert done.told == "the answer was cut off at the model's limit\n"


async def test_a_call_is_one_line_with_its_outcome(home: Home) -> None:
    (home.work / "notes.txt").write_text("Remember the milk.\n")
    calls = calling(
        ("read", {"path": "notes.txt"}),
        ("read", {"path": "absent.txt"}),
        said="I look.",
    )
    async with serve(calls, text("Milk.")) as server:
        home.serve_from(server.url)
        done = await home.do("run", "what is in my notes?", "--model", MODEL)
    # The answer can be piped on; what was done for it is told beside it.
    assert (done.code, done.out) == (0, "I look.\nMilk.\n")
    good, bad = sorted(done.told.splitlines(), key=lambda line: "absent" in line)
    assert good.startswith("* read notes.txt - ok, ")
    assert bad.startswith("* read absent.txt - failed: ")


async def test_hostile_characters_do_not_reach_the_terminal(home: Home) -> None:
    nasty = "a\x1b[2Jb\x9bc\x07d\re\u202ef\x00\ttab"
    prompt = nasty.replace("\x00", "")
    calls = calling((f"t\x1b[31m{nasty}", {"path": nasty}), said=nasty)
    async with serve(calls, text(nasty)) as server:
        home.serve_from(server.url)
        done = await home.do("run", prompt, "--model", MODEL)
        shown = await home.do("show", (await sessions(home))[0]["id"])  # type: ignore[arg-type]
    assert "a[2Jbcdef\ttab" in done.out
    assert "\\x1b[2Jb" in done.err
    for out in (done.out, done.err, shown.out):
        assert not set(out) & set("\x1b\x9b\x07\r\u202e\x00")


async def test_a_stream_is_the_log_of_the_session_with_deltas_and_the_result(
    home: Home,
) -> None:
    (home.work / "a.txt").write_text("A\n")
    calls = calling(("read", {"path": "a.txt"}))
    async with serve(calls, text("Done."), text("Again.")) as server:
        home.serve_from(server.url)
        first = await home.do("run", "go", "--model", MODEL, *STREAM)
        id = first.lines()[0]["session_id"]
        second = await home.do("run", "more", "--session", id, *STREAM)
        log = await home.do("log", id, "--json")
    assert first.code == second.code == 0
    durable = [
        [one for one in done.lines() if "seq" in one] for done in (first, second)
    ]
    assert [event["seq"] for event in durable[0]] == list(range(len(durable[0])))
    assert [event["kind"] for event in durable[0]][:2] == [
        "session.created",
        "prompt.admitted",
    ]
    assert durable[1][0]["kind"] == "prompt.admitted"
    assert durable[0] + durable[1] == log.lines()
    assert log.lines()[-1]["kind"] == "execution.ended"
    deltas = [one for one in second.lines() if one["kind"] == "live.delta"]
    assert [(one["what"], one["text"]) for one in deltas] == [("text", "Again.")]
    assert second.lines()[-1]["kind"] == "result"


async def test_json_is_one_object_that_says_what_the_run_came_to(home: Home) -> None:
    (home.work / "a.txt").write_text("A\n")
    used = Answer(
        sse(
            *saying("It is \x1b[31mA."),
            {
                **chunk({}, "stop"),
                "usage": {"prompt_tokens": 7, "completion_tokens": 3},
            },
            "[DONE]",
        )
    )
    calls = calling(("read", {"path": "a.txt"}), said="I look.")
    refused = Answer(b'{"error":{"message":"no"}}', 401, JSON)
    async with serve(calls, used, refused) as server:
        home.serve_from(server.url)
        done = await home.do("run", "go", "--model", MODEL, "--json")
        failed = await home.do("run", "more", "-c", "--output-format", "json")
    [told] = done.lines()
    assert done.code == 0
    assert told.pop("elapsed") >= 0
    assert str(told.pop("session")).startswith("ses_")
    assert told == {
        "kind": "result",
        "outcome": "succeeded",
        "finish": "stop",
        "text": "It is \x1b[31mA.",
        "output": None,
        "model": MODEL,
        "steps": 2,
        "usage": {
            "input": 7,
            "output": 3,
            "reasoning": None,
            "cache_read": None,
            "cache_write": None,
        },
        "cost": None,
        "cost_is_whole": False,
        "error": None,
        "exit_code": 0,
    }
    assert "\x1b" not in done.out
    [told] = failed.lines()
    assert (
        (told["outcome"], told["exit_code"]) == ("failed", failed.code) == ("failed", 1)
    )
    assert told["error"]["code"] == "provider.authentication"


def test_what_cannot_begin_is_an_object_too(do: Callable[..., Done]) -> None:
    done = do("run", "hi", "--json", "--session", "ses_none")
    [told] = done.lines()
    assert (done.code, told["exit_code"], told["session"]) == (2, 2, None)
    assert told["error"]["code"] == "session.not_found"
    assert "[session.not_found]" in done.err


async def test_an_answer_can_be_held_to_a_schema(home: Home) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    (home.work / "schema.json").write_text(json.dumps({**schema, "required": ["n"]}))
    async with serve(text('{"n": 3}')) as server:
        home.serve_from(server.url)
        arguments = ("--model", MODEL, "--json", "--schema", "schema.json")
        done = await home.do("run", "count", *arguments)
    assert done.lines()[0]["output"] == {"n": 3}


async def test_limits_and_a_fork_and_a_short_id(home: Home) -> None:
    (home.work / "a.txt").write_text("A\n")
    reading = calling(("read", {"path": "a.txt"}))
    async with serve(reading, text("Aside.")) as server:
        home.serve_from(server.url)
        first = await home.do("run", "go", "-m", MODEL, "--max-steps", "1", "--json")
        [told] = first.lines()
        assert (first.code, told["outcome"]) == (3, "paused")
        short = told["session"][:-8]
        aside = await home.do("run", "aside", "-s", short, "--fork", "--json")
    assert aside.code == 0
    assert aside.lines()[0]["session"] != told["session"]
    assert len(await sessions(home)) == 2


async def test_a_run_whose_time_is_up_is_interrupted(home: Home) -> None:
    def held(request: Request) -> Answer:
        return Answer(sse(*saying("Half")), end="silent", released=anyio.Event())

    async with serve(held) as server:
        home.serve_from(server.url)
        for limit in longer(500):
            done = await home.do(
                "run", "go", "-m", MODEL, "--timeout", f"{limit / 1000}s"
            )
            assert done.code == 124
            assert "its time is up" in done.err
            if server.requests:
                # It was up while the model answered, and not before it was asked.
                break


async def test_a_file_is_attached_to_the_prompt(home: Home) -> None:
    shot = b"\x89PNG\r\n\x1a\nshot"
    (home.work / "shot.png").write_bytes(shot)
    async with serve(text("A shot.")) as server:
        home.serve_from(server.url)
        done = await home.do("run", "see", "--image", "shot.png", "--model", MODEL)
        gone = await home.do("run", "see", "--file", "gone.png", "--model", MODEL)
        (home.work / "no.png").write_text("just words")
        none = await home.do("run", "see", "--image", "no.png", "--model", MODEL)
    assert (done.code, done.out) == (0, "A shot.\n")
    assert base64.b64encode(shot) in server.requests[0].body
    assert gone.code == 2
    assert (none.code, "no.png is no image" in none.err) == (2, True)


async def test_the_prompt_may_come_from_standard_input(home: Home) -> None:
    async with serve(text("One."), text("Two.")) as server:
        home.serve_from(server.url)
        await home.do("run", "--model", MODEL, input="Grüße\nzwei".encode())
        await home.do("run", "-", "--model", MODEL, input=b"dash")
    said = [request.json()["messages"][-1]["content"] for request in server.requests]
    assert ["Grüße\nzwei" in str(said[0]), "dash" in str(said[1])] == [True, True]


async def test_what_is_piped_in_beside_a_prompt_follows_it(home: Home) -> None:
    async with serve(text("One."), text("Two.")) as server:
        home.serve_from(server.url)
        await home.do("run", "explain this", "--model", MODEL, input=b"a log\nof it")
        await home.do("run", "--continue", "and this", input=b"another")
    said = [request.json()["messages"][-1]["content"] for request in server.requests]
    assert "explain this\n\na log\nof it" in str(said[0])
    assert "and this\n\nanother" in str(said[1])


def test_an_open_pipe_that_brings_nothing_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    with open(reader) as pipe, open(writer, "w") as held:
        monkeypatch.setattr(sys, "stdin", pipe)
        monkeypatch.setattr(piped, "PATIENCE", 0.01)
        assert piped.is_piped()
        assert piped.read_piped(100, Terminal(), wanted=False) is None
        assert "going on without it" in capsys.readouterr().err
        held.write("more than it may be")
        held.close()
        assert piped.read_piped(9, Terminal(), wanted=True) == "more than"


async def test_a_model_that_cannot_be_asked_leaves_nothing(home: Home) -> None:
    absent = await home.do("run", "hi", "--model", "absent/m")
    assert absent.code == 2
    assert "offered here: 'openai/" in absent.err
    keyless = {"OPENAI_API_KEY": None}
    done = await home.do("run", "hi", "--model", MODEL, environment=keyless)
    assert (done.code, done.out) == (1, "")
    assert "[provider.key_missing]" in done.err
    assert await sessions(home) == []


async def test_how_to_go_on_names_another_model_than_the_one_that_is_gone(
    home: Home,
) -> None:
    async with serve(text("One.")) as server:
        home.serve_from(server.url)
        await home.do("run", "hi", "--model", MODEL)
    home.environment["DOVETAIL_DISABLE_PLUGINS"] = "openai"
    for prompt in (["more"], []):
        done = await home.do("run", "--continue", *prompt)
        assert done.code == 2
        assert "[model.unknown]" in done.err
        [hint] = [line for line in done.err.splitlines() if "to go on" in line]
        assert "--model provider/name" in hint
        assert hint.endswith('"..."') == bool(prompt)


async def test_a_new_session_is_named_after_its_first_line(home: Home) -> None:
    async with serve(text("Yes.")) as server:
        home.serve_from(server.url)
        await home.do("run", f"\n  {'wide ' * 20}\nmore", "--model", MODEL)
    title = str((await sessions(home))[0]["title"])
    assert len(title) == 60
    assert title.startswith("wide wide wide")


async def test_continue_takes_the_newest_session_of_the_directory(home: Home) -> None:
    elsewhere = home.path / "elsewhere"
    elsewhere.mkdir()
    async with serve(*(text("Yes.") for _ in range(4))) as server:
        home.serve_from(server.url)
        await home.do("run", "first", "--model", MODEL)
        await home.do("run", "second", "--model", MODEL)
        await home.do("run", "third", "--model", MODEL, "--location", str(elsewhere))
        done = await home.do("run", "fourth", "--continue")
    assert done.code == 0
    said = json.dumps(server.requests[-1].json()["messages"])
    assert ["second" in said, "first" in said, "third" in said] == [True, False, False]


async def test_the_model_may_be_configured_and_changed(home: Home) -> None:
    config = home.path / "mine.toml"
    config.write_text('model = "openai/configured"\n')
    mine = {"DOVETAIL_CONFIG": str(config)}
    async with serve(text("One."), text("Two."), text("Three.")) as server:
        home.serve_from(server.url)
        await home.do("run", "hi", environment=mine)
        other = ("--model", "openai/other")
        await home.do("run", "hi", "--continue", *other, environment=mine)
        await home.do("run", "hi", "--continue", environment=mine)
    models = [request.json()["model"] for request in server.requests]
    assert models == ["configured", "other", "other"]


async def test_the_default_database_is_a_private_file_of_the_person(home: Home) -> None:
    data = home.path / "data"
    nobody_said = {"DOVETAIL_DB": None, "XDG_DATA_HOME": str(data)}
    done = await home.do("sessions", "--json", environment=nobody_said)
    assert (done.code, done.out) == (0, "")
    folder = data / "dovetail"
    assert (folder / "dovetail.db").is_file()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


# --- what cannot be done ----------------------------------------------------------


async def test_without_a_model_it_says_how_to_name_one_and_leaves_nothing(
    home: Home,
) -> None:
    keyless = {"OPENAI_API_KEY": None}
    done = await home.do("run", "hi", environment=keyless)
    assert (done.code, done.out) == (2, "")
    key, toml, demo = done.err.splitlines()
    assert "OPENAI_API_KEY" in key
    assert "--model" in key
    # With a key, what it is good for is offered instead, and nothing else. At another
    # address than its own a provider has no usual model.
    elsewhere = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    offers = (await home.do("run", "hi", environment=elsewhere)).err.splitlines()[0]
    assert "openai/..." in offers
    assert "anthropic/" not in offers
    assert "dovetail.toml" in toml
    assert "dovetail demo" in demo
    assert await sessions(home) == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["run", "hi", "--session", "ses_no", "--model", MODEL], "session.not_found"),
        (["run", "hi", "--model", "nonsense"], "model.unknown"),
        (["run", "hi", "--agent", "nobody", "--model", MODEL], "agent.not_found"),
        (["run", "hi", "--location", "/no/such", "--model", MODEL], "location."),
        (["run", " ", "--model", MODEL], "prompt.invalid"),
        (["run", "hi", "--continue", "--model", MODEL], "usage"),
        (["run", "hi", "--session", "x", "--continue"], "usage"),
        (["run", "hi", "--session", "x", "--location", "."], "usage"),
        (["run", "hi", "--allow", ""], "usage"),
        (["run", "hi", "--allow", "bash:"], "usage"),
        (["run", "hi", "--allow", "ba sh:x"], "usage"),
        (["run", "hi", "--frobnicate"], "usage"),
        (["run", "hi", "--db", "nonsense:///x", "--model", MODEL], "store.unknown_url"),
        (["frobnicate"], "usage"),
        (["show", "ses_no"], "session.not_found"),
        (["log", "ses_no"], "session.not_found"),
        (["log", "ses_no", "--after", "-2"], "usage"),
        (["sessions", "--cursor", "nonsense"], "cursor.invalid"),
        (["sessions", "--limit", "0"], "usage"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    do: Callable[..., Done], arguments: list[str], code: str
) -> None:
    done = do(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert done.err.startswith("error: ")
    assert f"[{code}" in done.err
    assert do("sessions", "--json").out == ""


async def test_an_empty_input_is_refused(home: Home) -> None:
    done = await home.do("run", "--model", MODEL)
    assert done.code == 2
    assert "standard input is empty; say what to do" in done.err


async def test_what_is_missing_is_named_with_where_it_was_looked_for(
    home: Home,
) -> None:
    nothing = {"OPENAI_API_KEY": None, "ANTHROPIC_API_KEY": None}
    unknown = await home.do("run", "hello", "--model", "x/y", environment=nothing)
    assert "ANTHROPIC_API_KEY" in unknown.err
    assert "OPENAI_API_KEY" in unknown.err
    without = {"DOVETAIL_DISABLE_PLUGINS": "sqlite"}
    told = (await home.do("sessions", environment=without)).err
    assert "'sqlite' is disabled: DOVETAIL_DISABLE_PLUGINS names it" in told


async def test_a_prompt_that_is_not_text_is_refused(home: Home) -> None:
    done = await home.do("run", "--model", MODEL, input=b"\xff\xfe")
    assert done.code == 2
    assert "not UTF-8" in done.err


def test_a_broken_configuration_is_one_line(
    home: Home, do: Callable[..., Done]
) -> None:
    (home.work / "dovetail.toml").write_text("model = [\n")
    done = do("run", "hi", "--model", MODEL)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "[config.invalid]" in done.err


def test_a_file_that_is_no_database_is_one_line(
    home: Home, do: Callable[..., Done]
) -> None:
    (home.path / "sessions.db").write_bytes(b"This is a poem, not a database.\n" * 40)
    done = do("sessions")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "[store." in done.err


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(b'{"error":{"message":"no"}}', 401, JSON), "provider.authentication"),
        (Answer(b'{"error":{"message":"x"}}', 400, JSON), "provider.invalid_request"),
    ],
)
async def test_a_run_that_fails_says_why_and_how_to_go_on(
    home: Home, answer: Answer, code: str
) -> None:
    async with serve(answer, text("Better.")) as server:
        home.serve_from(server.url)
        done = await home.do("run", "hi", "--model", MODEL)
        assert done.code == 1
        error, *_, hint = done.told.splitlines()
        assert error.startswith("error: ")
        assert error.endswith(f"[{code}]")
        id = str((await sessions(home))[0]["id"])
        assert hint == f'to go on: dovetail run --session {id} "..."'
        again = await home.do("run", "again", "--session", id)
    assert (again.code, again.out) == (0, "Better.\n")
    assert "sk-test" not in done.err


async def test_a_reader_who_leaves_is_no_error(home: Home) -> None:
    (home.work / "a.txt").write_text("A\n")
    left = anyio.Event()
    first = calling(("read", {"path": "a.txt"}), said="First.")
    second = evolve(text("Second."), before=left)
    # It may find out at the call already, and then asks for nothing more.
    async with serve(first, second, strict=False) as server:
        home.serve_from(server.url)
        reading, writing = os.pipe()
        async with home.started("run", "hi", "--model", MODEL, stdout=writing) as child:
            os.close(writing)
            await anyio.wait_readable(reading)
            os.close(reading)
            left.set()
            done = await child.end()
    # What was done until then may be told; that nobody reads is no error.
    assert (done.code, "error" in done.err) == (1, False)


# --- interruption -----------------------------------------------------------------


@pytest.mark.law("execution.5")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupted_session_is_whole_and_goes_on(
    home: Home, number: signal.Signals
) -> None:
    held = Answer(sse(*saying("Half a ")), end="silent", released=anyio.Event())
    async with serve(held, text("The rest.")) as server:
        home.serve_from(server.url)
        async with home.started("run", "tell me", "--model", MODEL) as child:
            await child.until("Half a ")
            child.send(number)
            done = await child.end()
        assert done.code == 130
        assert done.out == "Half a \n"
        [info] = await sessions(home)
        assert f'dovetail run --session {info["id"]} "..."' in done.err
        assert info["outcome"]["status"] == "interrupted"  # type: ignore[index]
        again = await home.do("run", "go on", "--session", str(info["id"]))
    assert (again.code, again.out) == (0, "The rest.\n")
    roles = [one["role"] for one in server.requests[1].json()["messages"]]
    assert roles[0] == "system"
    assert roles.count("user") >= 2


async def test_a_second_interrupt_ends_it_and_loses_nothing(home: Home) -> None:
    held = Answer(sse(*saying("Half a ")), end="silent", released=anyio.Event())
    async with serve(held, text("The rest.")) as server:
        home.serve_from(server.url)
        async with home.started("run", "tell me", "--model", MODEL) as child:
            await child.until("Half a ")
            child.send(signal.SIGINT)
            child.send(signal.SIGINT)
            done = await child.end()
        # It may come when nobody listens any more. A shell shows both as 130.
        assert done.code in (130, -signal.SIGINT)
        [info] = await sessions(home)
        again = await home.do("run", "go on", "--session", str(info["id"]))
    assert again.code == 0
    said = json.dumps(server.requests[1].json()["messages"])
    assert "tell me" in said
    assert "go on" in said


# --- permissions without a person -------------------------------------------------


def touching(name: str) -> Answer:
    return calling(("bash", {"command": f"touch {name}"}))


async def test_a_permission_that_nobody_can_give_pauses_the_run(home: Home) -> None:
    async with serve(touching("made"), touching("made"), text("Made.")) as server:
        home.serve_from(server.url)
        done = await home.do("run", "make it", "--model", MODEL)
        assert done.code == 3
        assert not (home.work / "made").exists()
        [info] = await sessions(home)
        which, hint = done.told.splitlines()[-2:]
        assert which.endswith("bash: touch made")
        allow = "--allow 'bash:touch made'"
        id = info["id"]
        assert hint == f'to allow it: dovetail run --session {id} {allow} "..."'
        again = await home.do(
            "run", "go on", "--session", str(id), "--allow", "bash:touch made"
        )
    assert again.code == 0
    assert (home.work / "made").exists()


@pytest.mark.parametrize(
    ("pattern", "made"),
    [
        ("bash", True),
        ("bash:touch *", True),
        ("bash:tou?h made", True),
        ("*:touch made", True),
        ("bash:touch", False),
        ("bash:rm *", False),
        ("edit", False),
    ],
)
async def test_allow_answers_what_its_pattern_covers(
    home: Home, pattern: str, made: bool
) -> None:
    async with serve(touching("made"), text("Made."), strict=made) as server:
        home.serve_from(server.url)
        done = await home.do("run", "make", "--model", MODEL, "--allow", pattern)
    assert (done.code, (home.work / "made").exists()) == (0 if made else 3, made)


@pytest.mark.law("access.9")
@pytest.mark.parametrize("form", ["./made.txt", "{work}/made.txt", "*/made.txt"])
async def test_allow_means_the_file_that_it_names(home: Home, form: str) -> None:
    making = calling(("write", {"path": "made.txt", "content": "x"}))
    pattern = form.format(work=home.work.resolve())
    async with serve(making, text("Made.")) as server:
        home.serve_from(server.url)
        done = await home.do(
            "run", "make", "--model", MODEL, "--allow", f"edit:{pattern}"
        )
    assert (done.code, (home.work / "made.txt").exists()) == (0, True)


async def test_an_option_that_allows_what_nothing_asks_is_told(home: Home) -> None:
    async with serve(text("Done.")) as server:
        home.serve_from(server.url)
        done = await home.do("run", "hi", "--model", MODEL, "--allow", "write")
    assert done.code == 0
    [line] = [line for line in done.err.splitlines() if line.startswith("warning:")]
    assert "--allow write: no tool here is known to ask for 'write'" in line
    assert "edit" in line


async def test_yes_allows_what_no_rule_denies(home: Home) -> None:
    (home.work / "dovetail.toml").write_text(
        "[permissions]\nrules = [{ action = 'bash', resource = 'touch denied', "
        "effect = 'deny' }]\n"
    )
    calls = calling(
        ("bash", {"command": "touch denied"}), ("bash", {"command": "touch made"})
    )
    async with serve(calls, text("Done.")) as server:
        home.serve_from(server.url)
        done = await home.do("run", "make them", "--model", MODEL, "--yes")
    assert done.code == 0
    assert sorted(path.name for path in home.work.iterdir()) == [
        "dovetail.toml",
        "made",
    ]


async def test_other_text_in_the_same_stream_is_kept_apart(home: Home) -> None:
    """Reasoning goes to a terminal only: elsewhere nothing tells it apart."""
    thinking = chunk({"role": "assistant", "reasoning_content": "Hmm."})
    answer = Answer(sse(thinking, *saying("Yes."), chunk({}, "stop"), "[DONE]"))
    async with serve(answer) as server:
        home.serve_from(server.url)
        done = await home.do("run", "hi", "--model", MODEL)
        shown = await home.do("show", str((await sessions(home))[0]["id"]))
    assert done.out == "Yes.\n"
    assert "(thinking) Hmm.\n" in shown.out
