"""The conversation at a terminal, as a person sees it: on a screen, row by row.

Each test runs the command at a pseudo-terminal, with a model that is a script on
loopback. What is waited for is seen on the screen or was asked of the model; nothing is
timed.
"""

import json
import os
import signal
from collections.abc import Mapping

import anyio
import pytest
from attrs import evolve
from support.bounds import HANG
from support.commands import MODEL, Home, calling, chunk, saying, text
from support.processes import Pipes
from support.replay import Answer, Request, serve, sse
from support.screens import SeenTerminal, seen

CHAT = ("chat", "--model", MODEL)
READY = "ready"
UP, DOWN, ESC, ENTER = "\x1b[A", "\x1b[B", "\x1b", "\r"
CTRL_C, CTRL_D, CTRL_O, CTRL_R = "\x03", "\x04", "\x0f", "\x12"
QUEUE, NEWLINE = "\x1bq", "\x1b\r"


def said(request: Request) -> str:
    """Return what the person said last."""
    users = [one for one in request.json()["messages"] if one["role"] == "user"]
    content = users[-1]["content"]
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def paused(*pieces: str) -> Answer:
    """Return an answer that begins and does not go on by itself."""
    return Answer(sse(*saying(*pieces)), end="silent", released=anyio.Event())


def thinking(thought: str, answer: str) -> Answer:
    """Return an answer with what the model thought before."""
    thoughts = chunk({"role": "assistant", "reasoning_content": thought})
    return Answer(sse(thoughts, *saying(answer), chunk({}, "stop"), "[DONE]"))


async def say(terminal: SeenTerminal, line: str) -> None:
    await terminal.until(READY)
    await terminal.type(line + ENTER)


async def leave(terminal: SeenTerminal) -> None:
    await terminal.until(READY)
    await terminal.type(CTRL_D)
    assert await terminal.end() == 0


# --- saying something -------------------------------------------------------------


@pytest.mark.parametrize("columns", [40, 80, 200])
async def test_a_prompt_is_answered_in_markdown(home: Home, columns: int) -> None:
    answer = text("# A title\n\nWith `co", "de` and 日本語.\n\n- one\n- two\n")
    async with serve(answer) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT, columns=columns) as terminal:
            await say(terminal, "Hello")
            await terminal.until("> Hello", "A title", "With code and 日本語.", "two")
            await terminal.until(READY, "openai/m")
            assert "# A title" not in terminal.shown
            await leave(terminal)
            assert "--session" in terminal.all
    assert said(server.requests[0]) == "Hello"


async def test_a_conversation_goes_over_a_server(home: Home) -> None:
    touch = calling(("bash", {"command": "touch made"}))
    async with serve(touch, text("Made.")) as server:
        home.serve_from(server.url)
        async with home.started("serve", "--port", "0") as child:
            url = (await child.until("page:")).split("API:")[1].split("/api")[0].strip()
            # Its sessions are those of the server, whatever is here.
            home.environment["DOVETAIL_DB"] = f"sqlite:///{home.path / 'none' / 'db'}"
            async with seen(home, "--server", url, *CHAT) as terminal:
                await say(terminal, "Make it")
                await terminal.until("allow bash: touch made", "y once")
                await terminal.type("y")
                await terminal.until("Made.")
                await leave(terminal)
                assert f"dovetail --server {url} chat --session" in terminal.all
    assert (home.work / "made").exists()


async def test_a_server_that_is_gone_is_told_and_gone_on_with_when_it_is_back(
    home: Home,
) -> None:
    async with serve(text("First."), text("Second.")) as server:
        home.serve_from(server.url)
        async with home.started("serve", "--port", "0") as child:
            url = (await child.until("page:")).split("API:")[1].split("/api")[0].strip()
            async with seen(home, "--server", url, *CHAT) as terminal:
                await say(terminal, "One")
                await terminal.until("First.", READY)
                child.process.terminate()
                await child.process.wait()
                await terminal.until("does not answer", "server gone")
                port = url.rpartition(":")[2]
                async with home.started("serve", "--port", port) as again:
                    await again.until("page:")
                    await terminal.until("answers again", READY)
                    await say(terminal, "Two")
                    await terminal.until("Second.", READY)
                    assert terminal.all.count("First.") == 1
                    await leave(terminal)


async def test_what_is_typed_while_it_opens_is_sent(home: Home) -> None:
    async with serve(text("Heard.")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            # Before there is a prompt line, and perhaps as soon as there is one.
            await terminal.type("Early" + ENTER)
            await terminal.until("Heard.")
            await leave(terminal)
    assert said(server.requests[0]) == "Early"


async def test_a_line_may_have_lines(home: Home) -> None:
    async with serve(text("Read.")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await terminal.until(READY)
            await terminal.type(
                "one" + NEWLINE + "two\\" + ENTER + "three\nfour" + ENTER
            )
            await terminal.until("Read.")
            await leave(terminal)
    assert said(server.requests[0]) == "one\ntwo\nthree\nfour"


async def test_ten_thousand_pasted_lines_are_shown_as_one_mark(home: Home) -> None:
    pasted = "".join(f"line {n} — é日\n" for n in range(10_000))
    async with serve(text("Read.")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await terminal.until(READY)
            await terminal.type("See ")
            await terminal.paste(pasted)
            await terminal.until("> See [pasted 10,000 lines]")
            await terminal.type(" now" + ENTER)
            await terminal.until("Read.", "more lines")
            await leave(terminal)
    assert said(server.requests[0]) == f"See {pasted} now"


async def test_a_file_is_completed_and_attached(home: Home) -> None:
    (home.work / "src").mkdir()
    (home.work / "src" / "notes.txt").write_text("forty-two")
    async with serve(text("Read.")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await terminal.until(READY)
            await terminal.type("See @not")
            await terminal.until("src/notes.txt")
            await terminal.type("\t")
            await terminal.until("> See @src/notes.txt")
            await terminal.type(" please" + ENTER)
            await terminal.until("Read.", "[src/notes.txt]")
            await leave(terminal)
    assert "forty-two" in json.dumps(server.requests[0].json())


PROMPTS = """
from dovetail.kernel import PromptArgument, PromptCommand, PromptFile, PromptSource
from dovetail.kernel import hookimpl


async def write(given):
    return f"Look at {given['issue']}."


async def commands():
    takes = [PromptArgument("issue", required=True)]
    return [PromptCommand("tracker:triage", write, "Looks at it", takes)]


async def attach(name):
    if name == "tracker:notes":
        return [PromptFile.of(b"forty-two", name=name)]


class Says:
    @hookimpl
    def dovetail_register_prompts(self, register):
        register(PromptSource("tracker/prompts", commands, attach=attach))


plugin = Says()
"""


async def test_a_prompt_of_a_plugin_is_completed_and_said_and_what_it_has_attached(
    home: Home,
) -> None:
    (home.work / "says.py").write_text(PROMPTS)
    async with serve(text("Looked."), text("Read."), text("Run.")) as server:
        home.serve_from(server.url)
        config = home.path / "own.toml"
        config.write_text(f'plugin_files = ["{home.work / "says.py"}"]\n')
        home.environment["DOVETAIL_CONFIG"] = str(config)
        async with seen(home, *CHAT) as terminal:
            await terminal.until(READY)
            await terminal.type("/track")
            await terminal.until("/tracker:triage", "issue=")
            await terminal.type("\t 42" + ENTER)
            await terminal.until("Looked.")
            await say(terminal, "/tracker:triage")
            await terminal.until("it needs issue=", "> /tracker:triage")
            await terminal.type("\x15")
            await say(terminal, "See @tracker:notes")
            await terminal.until("Read.")
            await leave(terminal)
        done = await home.do("run", "/tracker:triage 43", "--model", MODEL)
    assert (done.code, done.out) == (0, "Run.\n")
    assert said(server.requests[0]) == "Look at 42."
    assert "forty-two" in json.dumps(server.requests[1].json())
    assert said(server.requests[2]) == "Look at 43."


async def test_what_was_typed_before_comes_back_in_the_next_conversation(
    home: Home,
) -> None:
    async with serve(text("One."), text("Two.")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "remember me")
            await terminal.until("One.")
            await leave(terminal)
        async with seen(home, *CHAT) as terminal:
            await terminal.until(READY)
            await terminal.type(UP)
            await terminal.until("> remember me")
            await terminal.type(ENTER)
            await terminal.until("Two.")
            await leave(terminal)


# --- while the model works --------------------------------------------------------


async def test_enter_steers_and_another_key_queues(home: Home) -> None:
    first = paused("Begun ")
    async with serve(first, text("Steered."), text("Queued.")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Begin")
            await terminal.until("Begun", "working")
            await terminal.type("later" + QUEUE)
            await terminal.until("> later (queued)")
            await terminal.type("now" + ENTER)
            await terminal.until("> now (waits)")
            assert first.released is not None
            first.released.set()
            await terminal.until("Steered.", "Queued.", READY)
            shown = terminal.all
            assert shown.index("Steered.") < shown.index("> later\n")
            await leave(terminal)


async def test_what_waits_can_be_taken_back(home: Home) -> None:
    first = paused("Begun ")
    async with serve(first, text("Ended.")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Begin")
            await terminal.until("Begun", "working")
            await terminal.type("a mistake" + QUEUE)
            await terminal.until("> a mistake (queued)")
            await terminal.type(UP)
            await terminal.until_gone("(queued)")
            await terminal.until("> a mistake")
            assert first.released is not None
            first.released.set()
            await terminal.until("Ended.", READY)
            # It is on the prompt line again, and goes from there.
            await terminal.type(CTRL_C)
            await terminal.until_gone("a mistake")
            await leave(terminal)
    assert "a mistake" not in json.dumps([one.json() for one in server.requests])


@pytest.mark.parametrize("key", [ESC, CTRL_C])
async def test_a_key_interrupts_the_work_and_not_the_program(
    home: Home, key: str
) -> None:
    async with serve(paused("Begun "), text("Again.")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Begin")
            await terminal.until("Begun", "working")
            await terminal.type(key)
            await terminal.until("interrupted", READY)
            await say(terminal, "Go on")
            await terminal.until("Again.")
            await leave(terminal)


@pytest.mark.parametrize("moment", range(4))
async def test_whenever_it_is_interrupted_it_goes_on(home: Home, moment: int) -> None:
    """The moment is counted in what was written to the terminal by then."""

    def answer(request: Request) -> Answer:
        # What joins the work is said in one message with what began it.
        heard = "heard" if "Go on" in said(request) else "not yet"
        return text(*(f"word {n}\n\n" for n in range(30)), f"{heard}\n")

    async with serve(answer) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Begin")
            written = len(terminal.raw) + 150 * moment
            await terminal.until_true(lambda: len(terminal.raw) >= written)
            await terminal.type(CTRL_C)
            await terminal.until(READY)
            await terminal.type("Go on" + ENTER)
            await terminal.until_ever("heard")
            await leave(terminal)


async def test_ctrl_c_twice_leaves_an_idle_conversation(home: Home) -> None:
    async with seen(home, *CHAT) as terminal:
        await terminal.until(READY)
        await terminal.type("a draft" + CTRL_C)
        await terminal.until_gone("a draft")
        await terminal.type(CTRL_C)
        await terminal.until("once more leaves")
        await terminal.type(CTRL_C)
        assert await terminal.end() == 0


async def test_a_window_that_changes_while_text_streams_shows_all_of_it(
    home: Home,
) -> None:
    first = paused("The first part.\n\nThe second ")
    async with serve(first, text("Ended.")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Begin")
            await terminal.until("The second")
            for columns, rows in ((40, 24), (120, 24), (25, 24), (80, 24)):
                terminal.resize(columns, rows)
                await terminal.type("x")
                await terminal.until("working", "> x")
                await terminal.type("\x7f")
                await terminal.until_gone("> x")
            assert first.released is not None
            first.released.set()
            await terminal.until("Ended.", READY)
            await terminal.until_ever("The first part.")
            await leave(terminal)


# --- tools ------------------------------------------------------------------------


async def test_a_card_says_what_is_done_and_takes_one_key(home: Home) -> None:
    command = {"command": "echo forty-$((40+2))", "description": "count"}
    async with serve(
        calling(("bash", command), said="Look.\n"), text("Done.")
    ) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Count")
            await terminal.until(
                "allow bash: echo forty-$((40+2))", "always:", "y once"
            )
            assert "\x07" in terminal.raw.decode()
            await terminal.type("y")
            await terminal.until("* 1 bash echo forty-$((40+2)) (count) - ok", "Done.")
            await terminal.until(READY)
            await terminal.type(CTRL_O)
            await terminal.until("forty-42")
            await leave(terminal)


async def test_a_card_waits_for_whoever_types_to_stop(home: Home) -> None:
    """Somebody who types a word must not answer with it."""
    answer = calling(("bash", {"command": "echo hi"}))
    answer = Answer(answer.body, before=anyio.Event())
    async with serve(answer) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Go")
            await terminal.until("working")
            await terminal.type("yes, a draft")
            await terminal.until("> yes, a draft")
            assert answer.before is not None
            answer.before.set()
            await terminal.until("y once")
            await terminal.until_gone("yes, a draft")
            await terminal.type("n")
            await terminal.until("failed", "> yes, a draft")
            await terminal.type(CTRL_C + CTRL_C + CTRL_C)
            await terminal.end()


async def test_a_sentence_that_is_typed_at_a_card_answers_nothing(home: Home) -> None:
    """Its first letter is no answer, and the others are none either."""
    calls = calling(("bash", {"command": "echo hi"}))
    async with serve(calls, text("Done.")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Go")
            await terminal.until("y once")
            await terminal.type("Please say no")
            await terminal.until("> Please say no")
            # It takes keys again, and what was typed is put away.
            await terminal.until_gone("> Please say no")
            await terminal.until("y once")
            await terminal.type("y")
            await terminal.until("echo hi - ok", "Done.", "> Please say no", READY)
            await terminal.type(CTRL_C)
            await terminal.until_gone("> Please say no")
            await leave(terminal)


async def test_a_refusal_with_words_tells_the_model(home: Home) -> None:
    answers = (calling(("bash", {"command": "rm x"})), text("As you wish."))
    async with serve(*answers) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Go")
            await terminal.until("y once")
            await terminal.type("f")
            await terminal.until("what to do instead")
            await terminal.type("use mv" + ENTER)
            await terminal.until("As you wish.")
            await leave(terminal)
    assert "use mv" in json.dumps(server.requests[1].json())


async def test_always_is_remembered(home: Home) -> None:
    call = ("bash", {"command": "echo hi"})
    answers = (calling(call), calling(call), text("Done."))
    async with serve(*answers) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Go")
            await terminal.until("y once")
            await terminal.type("a")
            await terminal.until("* 2 bash echo hi - ok", "Done.")
            await say(terminal, "/permissions")
            await terminal.until("bash of echo hi, location")
            await leave(terminal)


async def test_an_edit_is_shown_as_a_change(home: Home) -> None:
    (home.work / "a.py").write_text("one\ntwo\nthree\n")
    edit = {"path": "a.py", "old_string": "two\n", "new_string": "TWO\n"}
    async with serve(calling(("edit", edit)), text("Done.")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Edit")
            await terminal.until("allow edit: a.py", "- two", "+ TWO", "y once")
            await terminal.type("y")
            await terminal.until("* 1 edit a.py - ok", "  -two", "  +TWO", "Done.")
            await leave(terminal)
    assert b"\x1b[31m  -two" in terminal.raw


async def test_questions_are_forms(home: Home) -> None:
    asked = {
        "questions": [
            {
                "question": "Which colour?",
                "options": [
                    {"label": "Red", "description": "as fire"},
                    {"label": "Blue", "description": "as the sea"},
                ],
            },
            {
                "question": "Which fruits?",
                "multiple": True,
                "options": [
                    {"label": "Apple", "description": "a"},
                    {"label": "Pear", "description": "b"},
                ],
            },
            {"question": "Why?", "options": []},
        ]
    }
    async with serve(calling(("question", asked)), text("Thanks.")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Ask")
            # Perhaps before it takes other keys than arrows.
            await terminal.until("Which colour?", "› 1. Red")
            await terminal.type(DOWN)
            await terminal.until("› 2. Blue", "↑ ↓ or numbers")
            await terminal.type(ENTER)
            await terminal.until("Which fruits?", "› [ ] 1. Apple")
            await terminal.type(" ")
            await terminal.until("[x] 1. Apple")
            await terminal.type(ENTER)
            await terminal.until("Why?", "your own words")
            await terminal.type("because" + ENTER)
            await terminal.until("Thanks.")
            await leave(terminal)
    result = json.dumps(server.requests[1].json()["messages"][-1])
    assert all(one in result for one in ("Blue", "Apple", "because"))


async def test_todos_and_thoughts(home: Home) -> None:
    todos = [
        {"id": "1", "content": "First", "status": "completed"},
        {"id": "2", "content": "Second", "status": "in_progress"},
    ]
    last = thinking("A deep thought", "Done.")
    async with serve(calling(("todowrite", {"todos": todos})), last) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Plan")
            await terminal.until("[x] First", "[>] Second", "thought, 3 words", "Done.")
            assert "A deep thought" not in terminal.all
            await terminal.until(READY)
            await terminal.type(CTRL_R)
            await terminal.until("A deep thought")
            await leave(terminal)


async def test_ten_megabytes_of_output_stay_off_the_screen(home: Home) -> None:
    command = {"command": "yes 0123456789abcdef | head -c 10000000"}
    async with serve(calling(("bash", command)), text("Done.")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Flood")
            await terminal.until("y once")
            await terminal.type("y")
            await terminal.until("Done.", READY)
            assert len(terminal.raw) < 200_000
            await terminal.type(CTRL_O)
            await terminal.until("0123456789abcdef", "more lines")
            await terminal.type("q")
            await terminal.until("are not shown", READY)
            await leave(terminal)


HOSTILE = (
    "a\x1b[2J\x1b[31mb \x1b]0;evil title\x07 \x1b]52;c;ZXZpbA==\x07 "
    "\u202ereversed\u202c \u200bzero &#x202E;more\r over\x9b31m\n"
)


async def test_nothing_hostile_moves_the_cursor_or_hides_a_command(home: Home) -> None:
    command = {
        "command": "echo ok \u202e#\x1b[8mrm -rf /\x1b[0m\r\u200b",
        "description": HOSTILE,
    }
    asks = calling(("bash", command), said=HOSTILE)
    async with serve(asks, thinking(HOSTILE, HOSTILE)) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Go")
            await terminal.until("y once")
            shown = terminal.shown.replace("\n", "")
            assert r"echo ok \u202e#\x1b[8mrm -rf /\x1b[0m\r\u200b" in shown
            await terminal.type("f")
            await terminal.until("what to do instead")
            await terminal.type("no" + ENTER)
            await terminal.until("thought", READY)
            await terminal.type(CTRL_R)
            await say(terminal, "/expand 1")
            await terminal.until("command:")
            await leave(terminal)
    assert "evil" not in terminal.title
    for bad in ("\u202e", "\u200b", "\x1b[2J\x1b[31m", "\x1b]0;", "\x1b]52"):
        assert bad.encode() not in terminal.raw
    assert terminal.process.returncode == 0


# --- commands ---------------------------------------------------------------------


async def test_commands_are_completed_and_explained(home: Home) -> None:
    async with seen(home, *CHAT) as terminal:
        await terminal.until(READY)
        await terminal.type("/com")
        await terminal.until("/compact", "Replace older history")
        await terminal.type("\t" + ENTER + ENTER)
        await terminal.until("nothing to summarise yet")
        await say(terminal, "/hepl")
        await terminal.until("did you mean /help?")
        await terminal.type(CTRL_C)
        await terminal.until_gone("/hepl")
        await terminal.type("/quit" + ENTER)
        assert await terminal.end() == 0


async def test_going_back_and_forth(home: Home) -> None:
    (home.work / "a.txt").write_text("one\n")
    write = {"path": "a.txt", "content": "two\n"}
    answers = (text("First."), calling(("write", write)), text("Second."))
    async with serve(*answers) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Begin")
            await terminal.until("First.")
            await say(terminal, "Change it")
            await terminal.until("y once")
            await terminal.type("y")
            await terminal.until("Second.")
            await say(terminal, "/undo")
            await terminal.until("restored", "> Change it")
            assert (home.work / "a.txt").read_text() == "one\n"
            # A command behind a prompt that was put back is none of its words.
            await say(terminal, " /undo")
            await terminal.until("\n> Begin\n")
            await terminal.until_gone("> Change it/")
            await say(terminal, "/redo")
            await terminal.until("is seen again", "\n>\n")
            assert (home.work / "a.txt").read_text() == "two\n"
            await leave(terminal)


async def test_the_first_prompt_is_taken_back_as_any_other(home: Home) -> None:
    async with serve(text("First."), text("Second.")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Begin wrong")
            await terminal.until("First.")
            await say(terminal, "/undo")
            await terminal.until("brings it back")
            await terminal.type(CTRL_C)
            await say(terminal, "Begin right")
            await terminal.until("Second.")
            await leave(terminal)
    sent = str(server.requests[1].json()["messages"])
    assert "Begin right" in sent
    assert "Begin wrong" not in sent


async def test_sessions_are_left_and_gone_on_with(home: Home) -> None:
    answers = (text("One."), text("Two."), text("Three."))
    async with serve(*answers) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "First words")
            await terminal.until("One.")
            await say(terminal, "/new")
            await terminal.until("begins a new session")
            await say(terminal, "Other words")
            await terminal.until("Two.")
            await say(terminal, "/sessions")
            await terminal.until("1. ", "Other words (this one)", "2. ")
            await say(terminal, "/sessions 2")
            await terminal.until("> First words", "One.")
            await say(terminal, "/fork")
            await terminal.until("this is a fork")
            await say(terminal, "Go on")
            await terminal.until("Three.")
            await say(terminal, "/export out.md")
            await terminal.until("written to")
            await leave(terminal)
    asked = [one["content"] for one in server.requests[2].json()["messages"]]
    assert "First words" in json.dumps(asked)
    assert "Other words" not in json.dumps(asked)
    written = (home.work / "out.md").read_text()
    assert "> First words" in written
    assert "Three." in written


async def test_what_was_said_is_shown_when_it_is_gone_on_with(home: Home) -> None:
    async with serve(*(text(f"Answer {n}.") for n in range(4))) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Prompt 0")
            await terminal.until("Answer 0.")
            await leave(terminal)
        async with seen(home, *CHAT, "--continue") as terminal:
            await terminal.until("> Prompt 0", "Answer 0.")
            assert "dovetail show" not in terminal.all
            for number in range(1, 4):
                await say(terminal, f"Prompt {number}")
                await terminal.until(f"Answer {number}.")
            await leave(terminal)
        async with seen(home, *CHAT, "--continue") as terminal:
            await terminal.until("dovetail show ses_")
            await terminal.until("> Prompt 1", "Answer 1.", "> Prompt 3", "Answer 3.")
            assert "Prompt 0" not in terminal.all
            await leave(terminal)


# --- beginning and ending ---------------------------------------------------------


async def test_after_a_crash_the_next_conversation_offers_what_was_left(
    home: Home, pipe: Pipes
) -> None:
    begun = pipe(home.work / "begun")
    gate = pipe(home.work / "gate")
    command = {"command": "echo > begun; read x < gate"}
    async with serve(calling(("bash", command)), text("Settled.")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Go")
            await terminal.until("y once")
            await terminal.type("y")
            await terminal.until("allowed once")
            await begun.line()
            terminal.process.kill()
            await terminal.process.wait()
        gate.release()
        async with seen(home, *CHAT) as terminal:
            await terminal.until("left unfinished", "outcome unknown", "y accept")
            await terminal.type("y")
            await terminal.until("Settled.")
            await leave(terminal)


async def test_what_was_left_may_stay_as_it_is(home: Home) -> None:
    async with serve(paused("Begun ")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Go")
            await terminal.until("Begun")
            terminal.process.kill()
            await terminal.process.wait()
        async with seen(home, *CHAT) as terminal:
            await terminal.until("left unfinished", "y accept")
            await terminal.type("n")
            await terminal.until("stays as it is")
            await leave(terminal)


@pytest.mark.parametrize("typed", ["", "\x03"], ids=["silent", "interrupting"])
async def test_a_conversation_ends_with_its_terminal(home: Home, typed: str) -> None:
    async with serve(paused("Begun ")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Go")
            await terminal.until("Begun")
            await terminal.type(typed)
            terminal.close()
            with anyio.fail_after(HANG):
                code = await terminal.process.wait()
            # Python says 120 where the last of its output went nowhere.
            assert code in (0, 120)


async def test_work_that_a_closed_terminal_stopped_is_told_at_the_next_start(
    home: Home,
) -> None:
    async with serve(paused("Begun "), text("Done.")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await say(terminal, "Long work")
            await terminal.until("Begun")
            terminal.process.send_signal(signal.SIGHUP)
            await terminal.process.wait()
        # Options alone are those of a conversation.
        async with seen(home, *CHAT[1:]) as terminal:
            await terminal.until("stopped in its work: Long work", "goes on with it")
            await say(terminal, "/sessions 1")
            await terminal.until("> Long work")
            await say(terminal, "Go on")
            await terminal.until("Done.")
            await leave(terminal)
        async with seen(home, *CHAT) as terminal:
            await terminal.until(READY)
            assert "stopped in its work" not in terminal.all
            await leave(terminal)


async def test_plain_lines_move_nothing(home: Home) -> None:
    command = {"command": "echo hi"}
    answers = (calling(("bash", command), said="**Look.**\n"), text("Done."))
    async with serve(*answers) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT, "--plain") as terminal:
            await terminal.type("Go\n")
            await terminal.until("**Look.**", "allow bash: echo hi", "y once")
            await terminal.type("y\n")
            await terminal.until("* 1 bash echo hi - ok", "Done.")
            await terminal.type("/quit\n")
            assert await terminal.end() == 0
    assert b"\x1b" not in terminal.raw


async def test_where_there_are_lines_only_words_do_what_keys_do(home: Home) -> None:
    asked = {"header": "Pick", "question": "Which?", "options": [{"label": "A"}]}
    asked["options"].append({"label": "B"})
    answers = (calling(("question", {"questions": [asked]})), text("Done."))
    async with serve(*answers) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT, "--plain") as terminal:
            await terminal.type("/help\n")
            await terminal.until("/dismiss", "/quit")
            assert "Ctrl-O" not in terminal.raw.decode()
            await terminal.type("Go\n")
            await terminal.until("a number, or your own words, Enter · /dismiss")
            await terminal.type("/dismiss\n")
            await terminal.until("what to say instead")
            await terminal.type("Neither\n")
            await terminal.until("Done.")
            await terminal.type("/quit\n")
            assert await terminal.end() == 0


async def test_no_colour_is_shown_where_none_is_wanted(home: Home) -> None:
    async with serve(text("# Title\n\n`code`\n")) as server:
        home.serve_from(server.url)
        no: Mapping[str, str] = {"NO_COLOR": "1"}
        async with seen(home, *CHAT, environment=no) as terminal:
            await say(terminal, "Go")
            await terminal.until("Title", "code", READY)
            await leave(terminal)
    assert b"\x1b[36m" not in terminal.raw
    assert b";3" not in terminal.raw


async def test_a_word_less_command_line_is_a_conversation(home: Home) -> None:
    home.environment["DOVETAIL_CONFIG"] = str(home.path / "own.toml")
    (home.path / "own.toml").write_text(f'model = "{MODEL}"\n')
    async with seen(home) as terminal:
        await terminal.until(READY, MODEL)
        await leave(terminal)


async def test_without_a_model_it_says_how_to_get_one(home: Home) -> None:
    none = {"OPENAI_API_KEY": None}
    async with seen(home, "chat", environment=none) as terminal:
        await terminal.until_ever("no model is configured")
        await terminal.until_ever("Number or name")
        await terminal.type("\x04")
        assert await terminal.end() == 130


async def test_without_a_terminal_there_is_no_conversation(home: Home) -> None:
    done = await home.do("chat")
    assert done.code == 2
    assert "dovetail run" in done.err
    done = await home.do()
    assert "Usage: dovetail" in done.out + done.err


async def test_what_was_stopped_is_drawn_anew_when_it_goes_on(home: Home) -> None:
    async with serve(text("Here.")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await terminal.until(READY)
            before = terminal.raw.count(READY.encode())
            # Whoever stopped it wrote to the terminal meanwhile.
            os.kill(terminal.process.pid, signal.SIGCONT)
            await terminal.until_true(
                lambda: terminal.raw.count(READY.encode()) > before
            )
            await say(terminal, "Still there?")
            await terminal.until("Here.")
            await leave(terminal)


async def test_two_conversations_on_one_session_see_the_same(home: Home) -> None:
    gate = anyio.Event()
    slow = evolve(text("One."), before=gate)
    async with serve(text("Zero."), slow, text("Two.")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as one:
            await say(one, "First")
            await one.until("Zero.", READY)
            async with seen(home, *CHAT, "--continue") as two:
                await two.until("Zero.", READY)
                await say(one, "Slowly")
                # What the other one begins, and what it says.
                await two.until("> Slowly", "working")
                gate.set()
                await two.until("One.", READY)
                await one.until("One.", READY)
                await say(two, "Last")
                await two.until("> Last", "Two.")
                await one.until("> Last", "Two.", READY)
                assert two.all.count("One.") == one.all.count("Two.") == 1
                await leave(two)
            await leave(one)


async def test_lines_that_come_at_once_are_a_paste_and_sent_by_nobody(
    home: Home,
) -> None:
    pasted = "".join(f"line {n} of it\n" for n in range(40))
    async with serve(text("Read.")) as server:
        home.serve_from(server.url)
        async with seen(home, *CHAT) as terminal:
            await terminal.until(READY)
            # A terminal that does not mark what is pasted.
            await terminal.type(pasted.replace("\n", "\r"))
            await terminal.until("> [pasted 40 lines]")
            await terminal.type("and now" + ENTER)
            await terminal.until("Read.")
            await leave(terminal)
    assert said(server.requests[0]) == f"{pasted}and now"
