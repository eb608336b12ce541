"""The notebook in sessions: a script plays the model's part, so no model is needed."""

import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import AssistantMessage, Runtime, ToolPart, open_runtime
from dovetail.kernel.testing import (
    CrashEnd,
    CrashScenario,
    CrashWorld,
    ScriptedProvider,
    call,
    calls,
    crash_test,
    text,
)
from dovetail_notebook import plugin
from dovetail_notebook.notebook import MAX_FOUND, Note, Notebook, _connected, file_of


@asynccontextmanager
async def opened(
    folder: Path, model: ScriptedProvider, on_permission: Any = "allow"
) -> AsyncIterator[Runtime]:
    with anyio.fail_after(60):
        async with open_runtime(
            "sqlite://",
            plugins=[plugin, model],
            load_entry_points=True,
            allow_plugins=["sqlite"],
            on_permission=on_permission,
            environment={"DOVETAIL_NOTEBOOK_FOLDER": str(folder / "notes")},
        ) as runtime:
            yield runtime


async def results(runtime: Runtime, where: Path, model: str) -> list[ToolPart]:
    """Prompt once, and return every call with its result."""
    session = await runtime.sessions.create(location=where, model=model)
    await session.prompt("Go.")
    outcome = await session.wait()
    assert outcome.succeeded, outcome
    return [
        part
        for message in await session.history()
        if isinstance(message, AssistantMessage)
        for part in message.calls
    ]


def answers(*made: tuple[str, dict[str, str]]) -> list[Any]:
    """Return answers with these calls, one after another, and with the last word."""
    steps = [
        calls(call(tool, given, id=f"call{at}"))
        for at, (tool, given) in enumerate(made)
    ]
    return [*steps, text("Done.")]


def script(*made: tuple[str, dict[str, str]]) -> ScriptedProvider:
    return ScriptedProvider(*answers(*made))


async def test_a_note_is_written_found_and_read(tmp_path: Path) -> None:
    model = script(
        ("write_note", {"title": "style", "text": "Tabs are 100% out."}),
        ("search_notes", {"words": "100%"}),
        ("search_notes", {"words": "1_0"}),
        ("read_note", {"title": "style"}),
        ("read_note", {"title": "taste"}),
        ("write_note", {"title": "", "text": "no title"}),
    )
    async with opened(tmp_path, model) as runtime:
        told = await results(runtime, tmp_path, model.model)
    assert [part.text for part in told[:4]] == [
        "wrote 'style'",
        '{"titles":["style"],"more":false}',
        '{"titles":[],"more":false}',
        "Tabs are 100% out.",
    ]
    assert [part.state for part in told[4:]] == ["failed", "failed"]


async def test_a_notebook_belongs_to_its_location_and_outlives_the_runtime(
    tmp_path: Path,
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    model = script(("write_note", {"title": "a", "text": "mine"}))
    async with opened(tmp_path, model) as runtime:
        await results(runtime, here, model.model)
        model.then(*answers(("read_note", {"title": "a"})))
        [elsewhere] = await results(runtime, there, model.model)
    assert elsewhere.state == "failed"
    model = script(("read_note", {"title": "a"}))
    async with opened(tmp_path, model) as runtime:
        [again] = await results(runtime, here, model.model)
    assert again.text == "mine"


async def test_what_is_denied_writes_nothing_and_creates_no_file(
    tmp_path: Path,
) -> None:
    model = script(
        ("write_note", {"title": "a", "text": "b"}), ("read_note", {"title": "a"})
    )
    async with opened(tmp_path, model, on_permission="deny") as runtime:
        written, read = await results(runtime, tmp_path, model.model)
    assert written.failure is not None
    assert written.failure.code == "permission.rejected"
    # The plugin's own rule lets the model look.
    assert read.text == "there is no note 'a'; search_notes finds"
    assert not (tmp_path / "notes").exists()


async def test_the_file_closes_with_the_location(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[sqlite3.Connection] = []

    def watched(file: Path) -> sqlite3.Connection:
        made.append(_connected(file))
        return made[-1]

    monkeypatch.setattr("dovetail_notebook.notebook._connected", watched)
    model = script(("write_note", {"title": "a", "text": "b"}))
    async with opened(tmp_path, model) as runtime:
        await results(runtime, tmp_path, model.model)
        [connection] = made
        assert connection.execute("SELECT title FROM note").fetchall() == [("a",)]
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


async def test_a_damaged_file_leaves_the_plugin_out_with_a_reason(
    tmp_path: Path,
) -> None:
    file = file_of(str(tmp_path), tmp_path / "notes")
    file.parent.mkdir()
    file.write_bytes(b"no database" * 100)
    model = ScriptedProvider(text("I have no notebook."))
    async with opened(tmp_path, model) as runtime:
        await results(runtime, tmp_path, model.model)
        known = {
            one.name: one for one in await runtime.location(tmp_path).plugins.list()
        }
    assert known["notebook"].state == "failed"
    assert "not a database" in str(known["notebook"].error)
    assert model.requests[0].tools == ()


async def test_many_writers_of_one_notebook_take_turns(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path / "notes.sqlite")
    await notebook.open()
    try:
        async with anyio.create_task_group() as tasks:
            for at in range(MAX_FOUND):
                tasks.start_soon(notebook.write, f"t{at}", Note(f"n{at}", "x"))
        assert len(await notebook.search("x")) == MAX_FOUND
        assert await notebook.written_by("t7") == "n7"
    finally:
        await notebook.close()
        await notebook.close()
    assert repr(notebook) == "<Notebook closed>"


# --- killed at every instant ------------------------------------------------------


def one_note(world: CrashWorld) -> CrashScenario:
    folder = world.path.with_name("notes")

    def check(end: CrashEnd) -> Iterable[str]:
        [part] = [
            part
            for message in end.histories["main"]
            if isinstance(message, AssistantMessage)
            for part in message.calls
        ]
        # Whatever was lost: the check knows, or it ran; nobody has to guess.
        if part.text != "wrote 'plan'":
            yield f"the model was told {part.text!r}"
        if notes_in(folder, end.location) != [("plan", "Ship it.")]:
            yield "the note is not as it was written"

    return CrashScenario(
        [plugin],
        model=[calls(call("write_note", {"title": "plan", "text": "Ship it."}))],
        options={
            "environment": {
                "DOVETAIL_CONFIG": "",
                "DOVETAIL_NOTEBOOK_FOLDER": str(folder),
            }
        },
        check=check,
    )


def notes_in(folder: Path, location: Path) -> Sequence[tuple[str, str]]:
    connection = sqlite3.connect(file_of(str(location), folder))
    try:
        return connection.execute("SELECT title, text FROM note").fetchall()
    finally:
        connection.close()


def test_a_process_killed_around_the_write_leaves_one_note_and_no_doubt() -> None:
    report = crash_test(
        one_note,
        only=lambda point: "write_note" in point.name,
        # Where nothing was written since, there is nothing new to recover from.
        distinct=True,
    )
    assert report.exercised
    assert report.sound, report
