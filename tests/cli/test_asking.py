"""Permission questions at a terminal, and how things look there."""

import json
import os
from typing import Any

import pytest
from attrs import evolve
from dovetail.kernel import (
    PermissionRequest,
    RequestId,
    Saving,
    SessionId,
    open_runtime,
)
from dovetail.plugins.cli.asking import (
    allow_options,
    allowed,
    read_always,
    read_patterns,
)
from dovetail.plugins.console.card import card_lines, request_lines
from dovetail.plugins.console.terminal import without_colours
from support.commands import MODEL, Home, calling, text
from support.replay import Answer, serve


def running(*commands: str) -> Answer:
    return calling(*(("bash", {"command": command}) for command in commands))


async def test_once_allows_this_time_only(home: Home) -> None:
    async with serve(running("touch a"), running("touch a"), text("Ok.")) as server:
        home.serve_from(server.url)
        async with home.at_terminal("run", "do it", "--model", MODEL) as person:
            for _ in range(2):
                await person.until("allow bash: touch a\n")
                await person.until("once (o), always (a) or reject (r)? ")
                await person.type("o\n")
            await person.until("Ok.")
            assert await person.end() == 0
    assert (home.work / "a").exists()


async def test_no_row_of_a_command_looks_like_a_line_of_the_question(
    home: Home,
) -> None:
    # Where a terminal of 80 columns would break the line by itself.
    command = "x" * (80 - len("? allow bash: ")) + "? allow read: a"
    asks = running(command, f"first\n{command}")
    async with serve(asks, text("Ok.")) as server:
        home.serve_from(server.url)
        async with home.at_terminal("run", "do it", "--model", MODEL) as person:
            for _ in range(2):
                await person.until("reject (r)? ")
                await person.type("o\n")
            await person.until("Ok.")
            assert await person.end() == 0
    rows = without_colours(person.shown).split("\n")
    about = [row for row in rows if "xxx" in row or "allow" in row]
    # What was called is told on lines of its own.
    card = [row for row in about if not row.startswith("* ")]
    assert [row for row in card if len(row) >= 80] == []
    ours = [row for row in card if not row.startswith("  ")]
    assert [row[:13] for row in ours] == ["? allow bash:"] * 2


async def test_always_is_remembered_for_later_runs(home: Home) -> None:
    async with serve(
        running("touch a"), text("Ok."), running("touch a"), text("Ok.")
    ) as server:
        home.serve_from(server.url)
        async with home.at_terminal("run", "do it", "--model", MODEL) as person:
            await person.until("reject (r)? ")
            await person.type("always\n")
            assert await person.end() == 0
        (home.work / "a").unlink()
        done = await home.do("run", "again", "--model", MODEL)
    assert done.code == 0
    assert (home.work / "a").exists()


@pytest.mark.law("agents.9")
async def test_what_an_agent_asks_that_works_for_a_run_is_asked_in_its_name(
    home: Home,
) -> None:
    given = {"agent": "build", "prompt": "Touch it."}
    async with serve(
        calling(("subagent", given)), running("touch a"), text("Did."), text("Ok.")
    ) as server:
        home.serve_from(server.url)
        async with home.at_terminal("run", "do it", "--model", MODEL) as person:
            await person.until("build asks this, at work for this session in ses_")
            await person.until("allow bash: touch a\n")
            await person.until("reject (r)? ")
            await person.type("o\n")
            await person.until("Ok.")
            assert await person.end() == 0
        # Who goes on goes on with what a person talked to, and so does who lists.
        [session] = (await home.do("sessions", "--json")).lines()
        assert session["title"] == "do it"
    assert (home.work / "a").exists()


@pytest.mark.law("access.15")
async def test_who_answers_at_a_terminal_says_where_it_holds_and_sees_what_it_allows(
    home: Home,
) -> None:
    async with serve(
        running("touch a"), text("Ok."), running("touch a"), text("Ok.")
    ) as server:
        home.serve_from(server.url)
        async with home.at_terminal("run", "do it", "--model", MODEL) as person:
            await person.until("ae: everywhere")
            await person.until("reject (r)? ")
            await person.type("ae+ 8h\n")
            assert await person.end() == 0
        assert (await home.do("run", "again", "--model", MODEL)).code == 0
    [saved] = (await home.do("permissions", "list", "--json")).lines()
    assert (saved["scope"], saved["agent"], saved["kind"]) == (
        "everywhere",
        None,
        "exact",
    )
    assert saved["expires"] - saved["created"] > 7 * 3_600_000
    shown = (await home.do("permissions", "list")).out
    for told in ("exactly: touch a", "everywhere", "every agent", saved["request_id"]):
        assert told in shown
    log = (await home.do("permissions", "log", "--json")).lines()
    first, second = [one["use"]["by"] for one in log if "use" in one]
    assert first == [f"request {saved['request_id']}"]
    assert second == [f"approval {saved['id']}"]
    told = (await home.do("permissions", "log", "--approval", saved["id"])).out
    assert "bash (" in told
    assert f"allowed by approval {saved['id']}" in told
    assert "person" not in told


@pytest.mark.law("access.18")
async def test_who_is_asked_at_a_terminal_is_told_when_another_door_answers(
    home: Home,
) -> None:
    async with serve(running("touch a"), text("Ok.")) as server:
        home.serve_from(server.url)
        async with home.at_terminal("run", "do it", "--model", MODEL) as person:
            await person.until("reject (r)? ")
            async with open_runtime(home.url) as runtime:
                [request] = await runtime.requests.pending()
                await runtime.requests.reply(request.id, "once", by="policy")
            await person.until("answered by policy")
            await person.until("Ok.")
            assert await person.end() == 0
    assert (home.work / "a").exists()


@pytest.mark.parametrize(
    ("typed", "saving"),
    [
        ("a", Saving()),
        ("always", Saving()),
        ("as", Saving("session")),
        ("a+", Saving(any_agent=True)),
        ("ae+ 2d", Saving("everywhere", any_agent=True, expires=172_800_001)),
        ("a 30m", Saving(expires=1_800_001)),
        ("a b", None),
        ("sure", None),
        ("a 8", None),
        ("", None),
    ],
)
def test_a_typed_always_is_read(typed: str, saving: Saving | None) -> None:
    assert read_always(typed, 1) == saving


async def test_a_word_of_advice_goes_to_the_model(home: Home) -> None:
    async with serve(running("touch a"), text("As you say.")) as server:
        home.serve_from(server.url)
        async with home.at_terminal("run", "do it", "--model", MODEL) as person:
            await person.until("reject (r)? ")
            await person.type("r\n")
            await person.until("what to do instead")
            await person.type("call it b, please\n")
            await person.until("As you say.")
            assert await person.end() == 0
    assert not (home.work / "a").exists()
    assert "call it b, please" in json.dumps(server.requests[1].json()["messages"])


async def test_what_was_pasted_answers_no_question_that_it_did_not_see(
    home: Home,
) -> None:
    async with serve(running("touch a"), text("As you say.")) as server:
        home.serve_from(server.url)
        async with home.at_terminal("run", "do it", "--model", MODEL) as person:
            await person.until("reject (r)? ")
            await person.type("perhaps\no\n")
            await person.until("reject (r)? ")
            await person.type("r\nremove everything\n")
            await person.until("what to do instead")
            await person.until("? ")
            await person.type("call it b\n")
            await person.until("As you say.")
            assert await person.end() == 0
    assert not (home.work / "a").exists()
    told = json.dumps(server.requests[1].json()["messages"])
    assert "call it b" in told
    assert "remove everything" not in told


async def test_a_rejection_without_advice_stops_the_run(home: Home) -> None:
    async with serve(running("touch a")) as server:
        home.serve_from(server.url)
        async with home.at_terminal("run", "do it", "--model", MODEL) as person:
            await person.until("reject (r)? ")
            await person.type("r\n")
            await person.until("what to do instead")
            await person.type("\n")
            await person.until("to go on: dovetail run --session ")
            assert await person.end() == 130
    assert not (home.work / "a").exists()


async def test_an_answer_that_is_none_is_asked_again(home: Home) -> None:
    async with serve(running("touch a"), text("Ok.")) as server:
        home.serve_from(server.url)
        async with home.at_terminal("run", "do it", "--model", MODEL) as person:
            await person.until("reject (r)? ")
            await person.type("perhaps\n")
            await person.until("reject (r)? ")
            await person.type("once\n")
            assert await person.end() == 0


async def test_two_questions_are_asked_one_after_the_other(home: Home) -> None:
    async with serve(running("touch a", "touch b"), text("Ok.")) as server:
        home.serve_from(server.url)
        async with home.at_terminal("run", "do it", "--model", MODEL) as person:
            # The calls run side by side, so either may come to its question first.
            for asked in (1, 2):
                await person.until("allow bash: touch ")
                await person.until("reject (r)? ")
                assert person.shown.count("allow bash: ") == asked
                await person.type("o\n")
            assert await person.end() == 0
    assert sorted(os.listdir(home.work)) == ["a", "b"]


async def test_leaving_the_terminal_pauses_the_run(home: Home) -> None:
    async with serve(running("touch a")) as server:
        home.serve_from(server.url)
        async with home.at_terminal("run", "do it", "--model", MODEL) as person:
            await person.until("reject (r)? ")
            await person.type("\x04")
            await person.until("paused: this needs a permission: bash: touch a\n")
            assert await person.end() == 3


async def test_an_interrupt_ends_a_question(home: Home) -> None:
    async with serve(running("touch a")) as server:
        home.serve_from(server.url)
        async with home.at_terminal("run", "do it", "--model", MODEL) as person:
            await person.until("reject (r)? ")
            person.process.terminate()
            await person.until("to go on: ")
            assert await person.end() == 130
    assert not (home.work / "a").exists()


async def test_a_question_hides_nothing_of_what_is_asked(home: Home) -> None:
    hidden = "echo a \x1b[8m; touch a\x1b[0m\r# \u202e\ntouch b"
    async with serve(running(hidden)) as server:
        home.serve_from(server.url)
        async with home.at_terminal("run", "do it", "--model", MODEL) as person:
            await person.until(
                "allow bash:\n"
                "  | echo a \\x1b[8m; touch a\\x1b[0m\\r# \\u202e\n"
                "  | touch b\n"
            )
            await person.until("reject (r)? ")
            await person.type("\x04")
            assert await person.end() == 3


@pytest.mark.parametrize("plain", [True, False])
async def test_colours_are_for_those_who_want_them(home: Home, plain: bool) -> None:
    (home.work / "a.txt").write_text("A\n")
    environment = {"NO_COLOR": "1"} if plain else {}
    async with serve(calling(("read", {"path": "a.txt"})), text("Ok.")) as server:
        home.serve_from(server.url)
        async with home.at_terminal(
            "run", "do it", "--model", MODEL, environment=environment
        ) as person:
            assert await person.end() == 0
    assert ("\x1b[32mok\x1b[0m" in person.shown) != plain
    assert ("\x1b" in person.shown) != plain
    assert "* read a.txt - " in person.shown


@pytest.mark.law("access.5")
async def test_a_question_of_a_process_that_died_is_asked_again(home: Home) -> None:
    (home.work / ".env").write_text("TOKEN=1\n")
    async with serve(calling(("read", {"path": ".env"})), text("One.")) as server:
        home.serve_from(server.url)
        async with home.at_terminal("run", "do it", "--model", MODEL) as person:
            await person.until("allow read: .env\n")
            await person.until("reject (r)? ")
            person.process.kill()
        done = await home.do("run", "go on", "--continue")
        assert done.code == 3
        assert "read: .env" in done.err
        async with home.at_terminal("run", "go on", "--continue") as person:
            await person.until("* read .env - ")
            await person.until("accepted by a new prompt")
            await person.until("allow read: .env\n")
            await person.until("reject (r)? ")
            await person.type("o\n")
            await person.until("One.")
            assert await person.end() == 0
    [info] = (await home.do("sessions", "--json")).lines()
    log = (await home.do("log", info["id"], "--json")).lines()
    [replied] = [event for event in log if event["kind"] == "request.answered"]
    assert (replied["answer"]["reply"], replied["by"]) == ("once", "person")


async def test_a_terminal_is_asked_for_a_prompt_on_the_command_line(home: Home) -> None:
    async with home.at_terminal("run", "--model", MODEL) as person:
        assert await person.end() == 2
    assert "say what to do" in person.shown


# --- without a terminal -----------------------------------------------------------


def asked(*resources: str) -> PermissionRequest:
    return PermissionRequest(
        id=RequestId("p"),
        session_id=SessionId("s"),
        agent="build",
        action="bash",
        resources=resources,
        save=(),
        folder=None,
        message_id=None,
        call_id=None,
        metadata={},
        created=0,
    )


def test_the_offered_options_allow_what_was_asked() -> None:
    for resource in ("git status", "a *b?", "line\nline", "one\ttab", "a:b"):
        request = asked(resource)
        options = allow_options(request)
        assert options[0] == "--allow"
        patterns = read_patterns(None, None, options[1:])  # type: ignore[arg-type]
        assert allowed(request, patterns)
        assert not allowed(asked(resource, "rm -rf /"), patterns)


def test_nothing_is_offered_for_a_command_that_cannot_be_written_down() -> None:
    assert allow_options(asked("$CMD x")) == ["--allow", "bash:$CMD x"]
    assert allow_options(asked("$CMD \x1b[0m")) == []


def test_a_request_for_nothing_is_not_allowed_by_a_pattern() -> None:
    assert not allowed(asked(), read_patterns(None, None, ["*"]))  # type: ignore[arg-type]


def test_a_long_request_is_shown_whole() -> None:
    lines = request_lines(asked("a" * 5000 + "\n" * 300 + "; rm -rf /"))
    assert "a" * 5000 in lines[1]
    assert lines[-1].endswith("; rm -rf /")
    assert len(lines) == 302


def test_the_card_shows_the_folder_the_change_and_what_always_would_cover() -> None:
    command = evolve(
        asked("make"),
        action="bash",
        save=("make",),
        folder="vendor",
        metadata={"description": "Build\x1b[2K it"},
    )
    assert card_lines(command, "bash", {"command": "make"}) == [
        "bash: make",
        "  in: vendor",
        "  the model says: Build\\x1b[2K it",
        "  always: bash of exactly this, in vendor, for agent build, here",
    ]
    assert "  in the background: it runs on as a job" in card_lines(
        evolve(command, metadata={"background": True}), "bash", {"command": "make"}
    )
    edit = evolve(asked("a.py"), action="edit", save=("a.py",))
    arguments = {"path": "a.py", "old_string": "x\ny", "new_string": "z"}
    assert card_lines(edit, "edit", {**arguments, "replace_all": True}) == [
        "edit: a.py",
        "  wherever it stands:",
        "  - x",
        "  - y",
        "  + z",
        "  always: edit of exactly this, for agent build, here",
    ]
    written = card_lines(edit, "write", {"path": "a.py", "content": "1\n2"})
    assert written[1:3] == ["  + 1", "  + 2"]
    # Of several files: the patch, whole, and what is lost by it.
    patch = "\n".join(["*** Begin Patch", *(f"+{one}" for one in range(999)), "\x07"])
    said = {"patch": patch, "replaces": ["b.py"]}
    both = ("a.py", "b.py")
    patching = evolve(edit, resources=both, save=both, metadata=said)
    shown = card_lines(patching, "apply_patch", {"input": patch})
    assert shown[:3] == ["edit:", "  | a.py", "  | b.py"]
    assert shown[3] == "  a file is there already and is replaced: b.py"
    assert shown[4:-1] == [f"  | {line}" for line in patch.split("\n")[:-1]] + [
        "  | \\x07"
    ]
    # What a tool says of a call that was another one is not shown in its place.
    other = card_lines(patching, "stamp", {"input": "x"})
    assert "  | input: x" in other
    # Of a tool that nobody here knows: all that it was called with.
    foreign = card_lines(edit, "stamp", {"path": "a.py", "mark": "x\x07"})
    assert foreign[1:4] == ["  stamp with:", "  | mark: x\\x07", "  | path: a.py"]


@pytest.mark.law("access.16")
def test_the_card_says_why_it_asks_again() -> None:
    again = evolve(asked("make"), again=("the tool 'x\x07' changed",))
    assert card_lines(again, None, None) == [
        "bash: make",
        "  asks again: the tool 'x\\x07' changed",
    ]


def test_the_card_shows_who_led_to_a_url_and_where_a_query_goes() -> None:
    page = evolve(
        asked("https://b.example/"),
        action="webfetch",
        metadata={"format": "text", "redirected_from": "https://a.example/"},
    )
    assert card_lines(page, "webfetch", {"url": "https://a.example/"}) == [
        "webfetch: https://b.example/",
        "  redirected from: https://a.example/",
    ]
    query = evolve(asked("tea"), action="websearch", metadata={"engine": "searxng"})
    assert card_lines(query, "websearch", {"query": "tea"}) == [
        "websearch: tea",
        "  sent to: searxng",
    ]


# --- questions --------------------------------------------------------------------


def wondering(*questions: Any) -> Answer:
    return calling(("question", {"questions": questions}))


COLOUR = {
    "question": "Which colour?",
    "header": "Colour",
    "options": [{"label": "Red", "description": "Loud"}, {"label": "Blue"}],
}


async def test_questions_of_the_model_are_answered_by_number_or_in_words(
    home: Home,
) -> None:
    many: dict[str, Any] = {"question": "Which ones?", "multiple": True}
    many["options"] = [{"label": name} for name in ("a", "b", "c")]
    async with serve(
        wondering(COLOUR, many, {"question": "A name?"}), text("Ok.")
    ) as server:
        home.serve_from(server.url)
        async with home.at_terminal("run", "do it", "--model", MODEL) as person:
            await person.until("[Colour] Which colour?")
            await person.until("1. Red")
            await person.until("to dismiss? ")
            await person.type("7\n")
            await person.until("to dismiss? ")
            await person.type("2\n")
            await person.until("3. c")
            await person.until("to dismiss? ")
            await person.type("3, 1\n")
            await person.until("A name?")
            await person.until("to dismiss? ")
            await person.type("Bo, of course\n")
            await person.until("Ok.")
            assert await person.end() == 0
    told = server.requests[1].json()["messages"][-1]["content"]
    assert told == (
        "Which colour?\n- Blue\n\nWhich ones?\n- a\n- c\n\n"
        "A name?\nIn their own words: Bo, of course"
    )


@pytest.mark.parametrize("instead", ["take red", ""])
async def test_a_question_is_dismissed_with_words_or_without(
    home: Home, instead: str
) -> None:
    answers = [text("As you say.")] if instead else []
    async with serve(wondering(COLOUR), *answers) as server:
        home.serve_from(server.url)
        async with home.at_terminal("run", "do it", "--model", MODEL) as person:
            await person.until("to dismiss? ")
            await person.type("d\n")
            await person.until("what to say instead")
            await person.type(f"{instead}\n")
            await person.until("As you say." if instead else "to go on: dovetail run")
            assert await person.end() == (0 if instead else 130)
    if instead:
        assert instead in json.dumps(server.requests[1].json()["messages"])


async def test_without_a_terminal_a_question_pauses_the_run(home: Home) -> None:
    async with serve(wondering(COLOUR)) as server:
        home.serve_from(server.url)
        done = await home.do("run", "do it", "--model", MODEL)
    assert done.code == 3
    assert "paused: this needs an answer:" in done.err
    assert "Which colour?" in done.err
    last = done.err.splitlines()[-1]
    assert last.startswith("to be asked at a terminal: dovetail run --session ses_")


async def test_who_allows_everything_and_is_not_there_is_not_asked(home: Home) -> None:
    async with serve(wondering(COLOUR), text("I took red.")) as server:
        home.serve_from(server.url)
        done = await home.do("run", "do it", "--yes", "--model", MODEL)
    assert done.code == 0
    assert "nobody can be asked here" in json.dumps(server.requests[1].json())
