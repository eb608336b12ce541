"""Files that a model makes: kept beside the log, and read by their keys."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner
from dovetail.kernel import (
    AnswerLimits,
    AssistantMessage,
    FileMade,
    FilePart,
    ModelFile,
    OutputNotFoundError,
    Provider,
    TextDelta,
    TextPart,
    hookimpl,
)
from dovetail.kernel.testing import ScriptedProvider, finish, text
from dovetail.plugins.cli.show import show_command
from support.hosts import host

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
DATA = base64.b64encode(PNG).decode()
KEY = hashlib.sha256(PNG).hexdigest()
PICTURE = [
    TextDelta("0", "Here: "),
    ModelFile("1", "image/png", DATA, {"attached": {"thoughtSignature": "s"}}),
    TextDelta("2", "there."),
    finish(),
]


@pytest.mark.law("output.8")
async def test_an_image_is_kept_beside_the_log_and_read_by_its_key(
    tmp_path: Path,
) -> None:
    model = ScriptedProvider(PICTURE, text("It is a dot."))
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create("s", tmp_path, model=model.model)
        await session.prompt("Draw a dot")
        assert (await session.wait()).succeeded
        [answer] = await session.messages(limit=1)
        assert isinstance(answer, AssistantMessage)
        metadata = {"attached": {"thoughtSignature": "s"}}
        assert answer.parts == (
            TextPart("Here: "),
            FilePart("image/png", KEY, len(PNG), metadata),
            TextPart("there."),
        )
        told = [event async for event in session.events()]
        assert DATA[:60] not in repr(told)
        assert [one.managed for one in told if isinstance(one, FileMade)] == [KEY]
        assert await session.file(KEY) == PNG
        fork = await session.fork()
        assert await fork.file(KEY) == PNG
        await session.prompt("What is it?")
        assert (await session.wait()).succeeded
        other = await runtime.sessions.create("t", tmp_path)
        for wrong in (other.file(KEY), session.file("0" * 64), session.file("x")):
            with pytest.raises(OutputNotFoundError):
                await wrong
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.get("s")
        assert await session.file(KEY) == PNG


@pytest.mark.law("output.8")
async def test_pruning_the_transcript_removes_the_file_and_not_that_there_was_one(
    tmp_path: Path,
) -> None:
    model = ScriptedProvider(PICTURE)
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create("s", tmp_path, model=model.model)
        await session.prompt("Draw a dot")
        await session.wait()
        await runtime.sessions.prune("s", ("transcript",))
        [answer] = await session.messages(limit=1)
        assert isinstance(answer, AssistantMessage)
        assert answer.parts[1] == FilePart("image/png", None, len(PNG))
        with pytest.raises(OutputNotFoundError):
            await session.file(KEY)


async def test_files_are_bounded_as_all_of_an_answer_is(tmp_path: Path) -> None:
    class Small(ScriptedProvider):
        @hookimpl
        def dovetail_register_providers(self, register: Any, place: Any) -> None:
            limits = AnswerLimits(files=100)
            register(Provider(self.name, lambda _: self, silence=None, limits=limits))

    model = Small(PICTURE)
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create("s", tmp_path, model=model.model)
        await session.prompt("Draw a dot")
        outcome = await session.wait()
    assert outcome.reason is not None
    assert outcome.reason.code == "provider.answer_limit"


@pytest.mark.parametrize(
    "wrong",
    [
        ModelFile("0", "no type", DATA),
        ModelFile("0", "image/png", "not base64!"),
        ModelFile("0", "image/png", ""),
        ModelFile("0", "image/png", DATA, {"a": object()}),
    ],
)
async def test_what_is_no_file_is_no_part_of_an_answer(
    tmp_path: Path, wrong: ModelFile
) -> None:
    model = ScriptedProvider([wrong, finish()])
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create("s", tmp_path, model=model.model)
        await session.prompt("Draw a dot")
        outcome = await session.wait()
    assert outcome.reason is not None
    assert outcome.reason.code == "provider.invalid_output"


async def draw(folder: Path) -> None:
    model = ScriptedProvider(PICTURE)
    async with host(folder, model) as runtime:
        session = await runtime.sessions.create("s", folder, model=model.model)
        await session.prompt("Draw a dot")
        await session.wait()


def test_show_tells_of_a_file_and_writes_it(tmp_path: Path) -> None:
    anyio.run(draw, tmp_path)
    drawn = f"sqlite:///{tmp_path / 'test.db'}"
    shown = CliRunner().invoke(show_command, ["s", "--db", drawn])
    assert f"the model made image/png, {len(PNG):,} bytes: managed:{KEY}" in (
        shown.output
    )
    folder = tmp_path / "made" / "here"
    wrote = CliRunner().invoke(
        show_command, ["s", "--db", drawn, "--files", str(folder)]
    )
    assert wrote.exit_code == 0, wrote.output
    [path] = folder.iterdir()
    assert path.name == f"{KEY[:16]}.png"
    assert path.read_bytes() == PNG
