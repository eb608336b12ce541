"""Each check of the suite for tools catches its fault, and no other check does."""

import time
import uuid
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from attrs import field, frozen
from dovetail.kernel import (
    Action,
    FileContent,
    PermissionDeniedError,
    Register,
    Tool,
    ToolContext,
    hookimpl,
)
from dovetail.kernel.testing.conformance import (
    ToolConformance,
    ToolExample,
    check,
    suite as conformance_suite,
)
from support.bounds import HANG
from support.faults import (
    LEFT_OPEN,
    assert_caught,
    assert_conforms,
    cases,
    codes_of,
    leave_a_task,
    swallow,
)


@frozen
class Note:
    text: str


@frozen
class Loud:
    text: str = field(converter=str.upper)


class Offering:
    """A plugin with one tool, ``note``, or none."""

    def __init__(self, execute: Any, **changes: Any) -> None:
        self.execute = execute
        self.changes = {"input": Note, "effect": "idempotent", **changes}
        self.description = changes.pop("description", "Keep a note.")

    @hookimpl
    def dovetail_register_tools(self, register: Register[Tool[Any, Any]]) -> None:
        if self.execute is not None:
            fixed = {"name": "note", "description": self.description}
            register(Tool(**{**fixed, **self.changes}, execute=self.execute))


def path_of(context: ToolContext) -> Path:
    return context.location.path / "note.txt"


async def sound(input: Note, context: ToolContext) -> str:
    await context.ask("note", ["note.txt"])
    await checkpoint()
    path_of(context).write_text(input.text)
    return "kept"


async def breaking(input: Note, context: ToolContext) -> str:
    await sound(input, context)
    raise ZeroDivisionError


async def endless(input: Note, context: ToolContext) -> str:
    await sound(input, context)
    return "x" * 9_000_000


def as_a_large_file(output: str) -> list[FileContent]:
    return [FileContent("image/png", "A" * 8_000_000)]


async def talkative(input: Note, context: ToolContext) -> str:
    context.progress("x" * 5_000)
    return await sound(input, context)


async def telling_the_token(input: Note, context: ToolContext) -> str:
    return f"{await sound(input, context)} as {context.effect_token}"


async def writing_first(input: Note, context: ToolContext) -> str:
    path_of(context).write_text(input.text)
    return await sound(input, context)


async def reading_first(input: Note, context: ToolContext) -> str:
    (context.location.path / "other.txt").read_text()
    return await sound(input, context)


async def connecting_first(input: Note, context: ToolContext) -> str:
    try:
        await anyio.connect_tcp("127.0.0.1", 9)
    except OSError:
        return await sound(input, context)
    return "somebody listens there"


async def taking_no_for_an_answer(input: Note, context: ToolContext) -> str:
    try:
        return await sound(input, context)
    except PermissionDeniedError:
        return "fine"


async def asking_for_nothing(input: Note, context: ToolContext) -> str:
    await context.ask("note", [])
    path_of(context).write_text(input.text)
    return "kept"


async def adding(input: Note, context: ToolContext) -> str:
    await context.ask("note", ["note.txt"])
    await checkpoint()
    with path_of(context).open("a") as file:
        file.write(input.text)
    return "kept"


async def believing_its_own_mark(input: Note, context: ToolContext) -> str:
    await context.ask("note", ["note.txt"])
    mark = context.location.path / "done"
    if not mark.exists():
        mark.touch()
        await checkpoint()
        path_of(context).write_text(input.text)
    return "kept"


async def looking_leaves_a_trace(input: Note, context: ToolContext) -> str | None:
    (context.location.path / "seen").touch()
    return "kept" if path_of(context).exists() else None


def mark_then_note(folder: Path, text: str) -> None:
    if not (folder / "done").exists():
        (folder / "done").touch()
        (folder / "note.txt").write_text(text)


async def believing_its_own_mark_in_a_thread(input: Note, context: ToolContext) -> str:
    await context.ask("note", ["note.txt"])
    folder = context.location.path
    await anyio.to_thread.run_sync(mark_then_note, folder, input.text)
    return "kept"


async def done_by_its_mark(input: Note, context: ToolContext) -> str | None:
    return "kept" if (context.location.path / "done").exists() else None


async def swallowing(input: Note, context: ToolContext) -> str:
    answer = await sound(input, context)
    await swallow()
    return answer


async def leaving_a_file(input: Note, context: ToolContext) -> str:
    LEFT_OPEN.one_more()
    return await sound(input, context)


async def leaving_a_thread(input: Note, context: ToolContext) -> str:
    LEFT_OPEN.a_thread()
    return await sound(input, context)


async def leaving_a_process(input: Note, context: ToolContext) -> str:
    LEFT_OPEN.a_process()
    return await sound(input, context)


async def leaving_a_task(input: Note, context: ToolContext) -> str:
    await leave_a_task()
    return await sound(input, context)


async def blocking(input: Note, context: ToolContext) -> str:
    time.sleep(0.1)  # noqa: ASYNC251 - this is the fault
    return await sound(input, context)


class Noting(ToolConformance):
    """A suite for a plugin that is sound but for one thing."""

    version = 1
    plugin: object = Offering(sound)
    tool = "note"
    examples = (ToolExample({"text": "hello"}),)
    patience = HANG

    def prepare(self, folder: Path) -> None:
        (folder / "other.txt").write_text("there before\n")


def suite(execute: Any, **changes: Any) -> type[ToolConformance]:
    return type("Faulty", (Noting,), {"plugin": Offering(execute, **changes)})


class NoExample(Noting):
    examples = (ToolExample({"text": 1}, fails=True),)


FAULTS: list[tuple[str, str, type[ToolConformance]]] = [
    ("it offers no tool", "tool.definition", suite(None)),
    ("its input changes what it is given", "tool.schema", suite(sound, input=Loud)),
    ("it breaks", "tool.output", suite(breaking)),
    ("its result has no end", "tool.bounded", suite(endless)),
    (
        "its file is too large to keep",
        "tool.bounded",
        suite(sound, render=as_a_large_file),
    ),
    ("its progress has no end", "tool.bounded", suite(talkative)),
    (
        "its description has an id",
        "tool.words",
        suite(sound, description=f"Note for {uuid.uuid4()}."),
    ),
    ("its result has an id", "tool.words", suite(telling_the_token)),
    ("it writes before it asks", "tool.permission", suite(writing_first)),
    ("it reads before it asks", "tool.permission", suite(reading_first)),
    ("it connects before it asks", "tool.permission", suite(connecting_first)),
    ("it hides a denial", "tool.permission", suite(taking_no_for_an_answer)),
    ("it asks about nothing", "tool.permission", suite(asking_for_nothing)),
    (
        "it asks for what it does not say",
        "tool.permission",
        suite(sound, asks=[Action("other")]),
    ),
    ("it does it twice", "tool.repeat", suite(adding)),
    ("it changes and says pure", "tool.repeat", suite(sound, effect="pure")),
    (
        "its check has an effect",
        "tool.repeat",
        suite(sound, effect="reconcilable", check=looking_leaves_a_trace),
    ),
    ("it takes half for the whole", "tool.kill", suite(believing_its_own_mark)),
    (
        "it takes half for the whole in a thread",
        "tool.kill",
        suite(believing_its_own_mark_in_a_thread),
    ),
    (
        "its check takes half for the whole",
        "tool.kill",
        suite(believing_its_own_mark, effect="reconcilable", check=done_by_its_mark),
    ),
    ("it makes a result of its cancellation", "tool.cancellation", suite(swallowing)),
    ("it leaves a file open", "tool.leak", suite(leaving_a_file)),
    ("it leaves a thread", "tool.leak", suite(leaving_a_thread)),
    ("it leaves a process", "tool.leak", suite(leaving_a_process)),
    ("it leaves a task", "tool.leak", suite(leaving_a_task)),
]


@pytest.mark.parametrize(("code", "faulty"), cases(FAULTS))
def test_a_fault_is_caught_by_its_check_alone(
    code: str, faulty: type[ToolConformance]
) -> None:
    assert_caught(code, faulty)


def test_a_tool_that_holds_the_event_loop_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conformance_suite, "BLOCKED_SECONDS", 0.05)
    report = check(suite(blocking), backend="asyncio")
    assert report.codes == ("tool.cancellation",)


def test_every_check_has_a_fault_that_it_catches() -> None:
    assert {code for _, code, _ in FAULTS} == codes_of(ToolConformance)


def test_without_its_fault_the_plugin_conforms() -> None:
    assert_conforms(Noting)
