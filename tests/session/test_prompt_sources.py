"""What a person says by name: commands written out, and what is attached."""

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from dovetail.kernel import (
    LocationHandle,
    Place,
    Prompt,
    PromptArgument,
    PromptCommand,
    PromptFile,
    PromptInvalidError,
    PromptSource,
    Register,
    hookimpl,
    open_runtime,
)


class Says:
    """A plugin that offers sources."""

    def __init__(self, *sources: PromptSource) -> None:
        self._sources = sources

    @hookimpl
    def dovetail_register_prompts(
        self, register: Register[PromptSource], place: Place
    ) -> None:
        for one in self._sources:
            register(one)


@asynccontextmanager
async def location(folder: Path, *plugins: object) -> AsyncIterator[LocationHandle]:
    async with (
        open_runtime("sqlite://", plugins=[*plugins]) as runtime,
        runtime.location(folder) as here,
    ):
        yield here


def source(key: str, *commands: PromptCommand, **parts: Any) -> PromptSource:
    async def listed() -> Sequence[PromptCommand]:
        return commands

    return PromptSource(key, listed, **parts)


async def shown(given: Mapping[str, str]) -> str:
    return f"given {dict(given)}"


TRIAGE = PromptCommand(
    "tracker:triage",
    shown,
    "Look at an issue.",
    [PromptArgument("issue", required=True), PromptArgument("note")],
)


@pytest.mark.law("plugins.11")
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("/tracker:triage 42", {"issue": "42"}),
        ("/tracker:triage issue=42", {"issue": "42"}),
        ("/tracker:triage note=x 42", {"note": "x", "issue": "42"}),
        ("/tracker:triage 42 is this old", {"issue": "42", "note": "is this old"}),
        ("/tracker:triage '4 2' it's", {"issue": "'4", "note": "2' it's"}),
        ("/tracker:triage '4 2' \n now", {"issue": "4 2", "note": "now"}),
        ("/tracker:triage\n42 @x:y", {"issue": "42", "note": "@x:y"}),
    ],
)
async def test_a_command_is_written_out_with_its_arguments(
    typed: str, said: dict[str, str], tmp_path: Path
) -> None:
    async with location(tmp_path, Says(source("a/b", TRIAGE))) as here:
        assert (await here.prompt(typed)).text == f"given {said}"


@pytest.mark.parametrize("typed", ["/tracker:triage", "/other", "/a/b", "/", "Do /x"])
async def test_what_is_no_command_is_left_as_it_is_and_what_is_missing_is_said(
    typed: str, tmp_path: Path
) -> None:
    async with location(tmp_path, Says(source("a/b", TRIAGE))) as here:
        if typed == "/tracker:triage":
            with pytest.raises(PromptInvalidError, match="issue="):
                await here.prompt(typed)
        else:
            assert await here.prompt(typed) == Prompt(typed)


async def test_more_than_a_command_takes_is_refused(tmp_path: Path) -> None:
    bare = PromptCommand("bare", shown)
    async with location(tmp_path, Says(source("a/b", bare))) as here:
        assert (await here.prompt("/bare")).text == "given {}"
        with pytest.raises(PromptInvalidError, match="no arguments"):
            await here.prompt("/bare x")


@pytest.mark.law("plugins.11")
async def test_a_source_that_fails_hides_no_other_and_names_itself(
    tmp_path: Path,
) -> None:
    async def broken(*_: object) -> Any:
        raise OSError("nobody is there")

    bad = PromptCommand("bad", broken)
    sources = (
        source("a/good", TRIAGE),
        PromptSource("b/broken", broken),
        source("c/wrong", PromptCommand("a b", shown)),
        source("d/bad", bad),
    )
    async with location(tmp_path, Says(*sources)) as here:
        assert [one.name for one in await here.commands()] == ["bad", "tracker:triage"]
        with pytest.raises(PromptInvalidError, match="nobody is there"):
            await here.prompt("/bad")
        assert (await here.prompt("/tracker:triage 1")).text.startswith("given")


async def test_the_later_of_two_commands_of_one_name_is_said(tmp_path: Path) -> None:
    async def other(given: Mapping[str, str]) -> str:
        return "other"

    async def find(name: str) -> PromptCommand | None:
        return PromptCommand("same", other) if name == "same" else None

    first = Says(source("a/first", PromptCommand("same", shown)))
    async with location(tmp_path, first, Says(source("b/next", find=find))) as here:
        assert (await here.prompt("/same")).text == "other"


@pytest.mark.law("plugins.11")
async def test_what_is_named_is_attached_once_and_not_by_what_others_wrote(
    tmp_path: Path,
) -> None:
    asked: list[str] = []

    async def attach(name: str) -> Sequence[PromptFile] | None:
        asked.append(name)
        if not name.startswith("box:"):
            return None
        return [PromptFile.of(name.encode(), name=name)]

    async def write(given: Mapping[str, str]) -> str:
        return "Read @box:secret"

    box = source("a/box", PromptCommand("box:read", write), attach=attach)
    async with location(tmp_path, Says(box)) as here:
        said = await here.prompt('See @box:a, @box:a and @"box:b c" of a@box:d @else.')
        assert [base64.b64decode(one.data) for one in said.files] == [
            b"box:a",
            b"box:b c",
        ]
        assert asked == ["box:a", "box:b c", "else"]
        assert (await here.prompt("/box:read")).files == ()


async def test_what_cannot_be_attached_is_said(tmp_path: Path) -> None:
    async def attach(name: str) -> Any:
        return "no file" if name == "odd" else 1 / 0

    async with location(tmp_path, Says(source("a/b", attach=attach))) as here:
        for name in ("odd", "broken"):
            with pytest.raises(PromptInvalidError, match=name):
                await here.prompt(f"See @{name}")
