"""Writes the tables and screens of docs/chat.md that are made from the code.

Run it after a change: ``python docs/make_chat.py``. A test fails while the page differs
from what this would write. A part stands between ``<!-- made: NAME -->`` and
``<!-- end -->``.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from dovetail.kernel import (
    ExecutionEnded,
    ExecutionStarted,
    MessageId,
    PermissionRequest,
    Prompt,
    PromptAdmitted,
    PromptPromoted,
    Question,
    QuestionOption,
    ReasoningEnded,
    RequestId,
    SessionId,
    TextContent,
    TextEnded,
    Todo,
    TodosReplaced,
    ToolCalled,
    ToolSucceeded,
)
from dovetail.plugins.chat.asks import Form
from dovetail.plugins.chat.cards import (
    permission_card,
    permission_hint,
    question_card,
    question_hint,
)
from dovetail.plugins.chat.commands import COMMANDS
from dovetail.plugins.chat.key_names import KEYS
from dovetail.plugins.chat.rendering import Renderer
from dovetail.plugins.chat.script import Script
from dovetail.plugins.chat.sheet import Sheet
from dovetail.plugins.chat.status import Status
from dovetail.plugins.console.terminal import Style

PAGE = Path(__file__).resolve().parent / "chat.md"


def keys() -> str:
    """Return the keys and what each does."""
    rows = [(f"`{one.shown}`", one.help) for one in KEYS]
    return table(("key", "does"), rows)


def commands() -> str:
    """Return the commands of the prompt line."""
    rows = [
        (f"`/{one.name} {one.takes}`".replace(" `", "`"), one.help) for one in COMMANDS
    ]
    return table(("command", "does"), rows)


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


SESSION, MESSAGE = SessionId("ses_1"), MessageId("msg_1")
WIDTH = 72
EDIT = {
    "path": "calc.py",
    "old_string": "def mean(xs):\n    return sum(xs) / len(xs)\n",
    "new_string": "def mean(xs):\n    return sum(xs) / len(xs) if xs else 0.0\n",
}
ANSWER = """\
`mean` divided by the length of an **empty list**. Now:

1. it returns `0.0` for one,
2. the test for it passes.
"""
TODOS = (
    Todo("1", "Find the failing test", "completed"),
    Todo("2", "Repair `mean`", "in_progress"),
)


def work() -> str:
    """Return what is shown of a prompt, what the model does, and its answer."""
    script = Script(Sheet(Renderer(colour=False), Style(), lambda: WIDTH))
    of = {"session_id": SESSION, "message_id": MESSAGE}
    events = (
        ExecutionStarted(session_id=SESSION, owner="o", created=1000),
        PromptAdmitted(
            session_id=SESSION,
            input_id=MESSAGE,
            prompt=Prompt("Fix the failing test"),
            delivery="steer",
        ),
        PromptPromoted(session_id=SESSION, input_id=MESSAGE),
        ReasoningEnded(**of, text="The list may be empty, then len is 0."),
        TodosReplaced(**of, call_id="a", todos=TODOS),
        _called("b", "bash", {"command": "python -m unittest"}, 1000),
        ToolSucceeded(
            **of,
            call_id="b",
            content=(TextContent("FAILED"),),
            data={"exit_code": 1},
            created=1412,
        ),
        _called("c", "edit", EDIT, 2000),
        ToolSucceeded(**of, call_id="c", content=(), created=2031),
        TextEnded(**of, text=ANSWER),
        ExecutionEnded(session_id=SESSION, status="succeeded", created=9000),
    )
    shown = "".join(script.take(event) for event in events)
    return screen(f"{shown}> \n{_status('ready').text(WIDTH)}")


def _called(
    call_id: str, tool: str, arguments: Mapping[str, str], created: int
) -> ToolCalled:
    return ToolCalled(
        session_id=SESSION,
        message_id=MESSAGE,
        call_id=call_id,
        tool=tool,
        arguments=json.dumps(arguments),
        created=created,
    )


def _status(state: str) -> Status:
    cost = "at least $0.0312"
    return Status(state, "openai/gpt-5.2", "build", 400_000, 21_300, 48_210, cost, 8)


def card() -> str:
    """Return a card, the keys that answer it, and the status line."""
    request = PermissionRequest(
        id=RequestId("req_1"),
        session_id=SESSION,
        agent="build",
        action="bash",
        resources=("python -m unittest && git push",),
        save=("python -m unittest && git push",),
        folder=".",
        message_id=None,
        call_id=None,
        metadata={"description": "run the tests and push"},
        created=0,
    )
    shown = permission_card(request, None, Style(), WIDTH)
    status = _status("waits for you").text(WIDTH)
    return screen(f"{shown}{permission_hint(request)}\n? \n{status}")


def form() -> str:
    """Return a question as a form."""
    options = (
        QuestionOption("SQLite", "one file, nothing to run"),
        QuestionOption("PostgreSQL", "a server that is there already"),
    )
    question = Question("Where are the results kept?", options=options)
    rows = "".join(
        f"{'›' if at_hand else ' '} {text}\n"
        for at_hand, text in Form(question=question).rows()
    )
    shown = question_card(question, Style(), WIDTH)
    status = _status("waits for you").text(40)
    return screen(f"{shown}{rows}{question_hint(question)}\n> \n{status}")


def screen(text: str) -> str:
    """Return what is shown as a block of the page."""
    lines = [line.rstrip() for line in text.strip("\n").split("\n")]
    return "\n".join(["```text", *lines, "```"])


PARTS: Mapping[str, Callable[[], str]] = {
    "keys": keys,
    "commands": commands,
    "work": work,
    "card": card,
    "form": form,
}


def made(text: str) -> str:
    """Return the page with each of its parts as it should be."""
    for name, make in PARTS.items():
        start, end = f"<!-- made: {name} -->\n", "<!-- end -->"
        before, found, rest = text.partition(start)
        if not found:
            raise LookupError(f"the page has no part {name!r}")
        text = f"{before}{start}{make()}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(made(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
