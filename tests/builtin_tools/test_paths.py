"""Which paths tools touch, and that permission comes first."""

import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import PermissionDeniedError, ToolFailure
from support.bounds import HANG

FILE_CALLS = [
    ("read", {}),
    ("write", {"content": "new"}),
    ("edit", {"old_string": "secret", "new_string": "new"}),
]


def names(tools: Any) -> list[str]:
    return [action for action, _ in tools.context.asked]


@pytest.mark.law("access.1")
@pytest.mark.parametrize(("tool", "more"), FILE_CALLS)
async def test_a_denied_permission_touches_nothing(
    tools: Any, place: Path, monkeypatch: pytest.MonkeyPatch, tool: str, more: Any
) -> None:
    """Not even an open: any attempt to open a file would fail this test."""
    (place / "a.txt").write_text("secret")
    tools.context.deny = ("read", "edit")

    def refuse(*args: Any, **kwargs: Any) -> int:
        raise AssertionError(f"opened {args}")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionDeniedError):
        await tools.call(tool, path="a.txt", **more)
    monkeypatch.undo()
    assert (place / "a.txt").read_text() == "secret"


@pytest.mark.law("access.1")
@pytest.mark.parametrize(("tool", "more"), FILE_CALLS)
async def test_a_denial_does_not_tell_whether_the_file_is_there(
    tools: Any, tool: str, more: Any
) -> None:
    tools.context.deny = ("read", "edit")
    with pytest.raises(PermissionDeniedError):
        await tools.call(tool, path="missing.txt", **more)


@pytest.mark.law("access.1")
async def test_a_search_or_command_that_is_denied_starts_no_process(
    tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools.context.deny = ("glob", "grep", "bash")

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"started {args}")

    monkeypatch.setattr("subprocess.Popen", refuse)
    for tool, given in (
        ("glob", {"pattern": "*"}),
        ("grep", {"pattern": "x"}),
        ("bash", {"command": "touch made"}),
    ):
        with pytest.raises(PermissionDeniedError):
            await tools.call(tool, **given)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../outside.txt", "may not leave"),
        ("a/../../outside.txt", "may not leave"),
        ("~/x", "not expanded"),
        ("~", "not expanded"),
        ("a\0b", "NUL"),
        ("a\ud800b", "not valid Unicode"),
        ("x" * 5000, "too long"),
        ("link", "leads out"),
        ("linked/new/file.txt", "leads out"),
        ("dangling", "leads to nothing"),
        ("dangling/below", "leads to nothing"),
        ("file/below", "not a directory"),
        ("loop", "symbolic links"),
    ],
)
@pytest.mark.parametrize(("tool", "more"), FILE_CALLS)
async def test_a_path_that_leads_astray_is_refused_before_anything_is_asked(
    tools: Any, place: Path, path: str, why: str, tool: str, more: Any
) -> None:
    (place.parent / "outside.txt").write_text("secret")
    (place / "file").write_text("secret")
    (place / "link").symlink_to(place.parent / "outside.txt")
    (place / "linked").symlink_to(place.parent)
    (place / "dangling").symlink_to(place / "nothing")
    (place / "loop").symlink_to(place / "loop")
    with pytest.raises(ToolFailure, match=why):
        await tools.call(tool, path=path, **more)
    assert tools.context.asked == []
    assert (place.parent / "outside.txt").read_text() == "secret"
    assert not (place / "nothing").exists()


async def test_a_folder_called_tilde_can_be_named(tools: Any, place: Path) -> None:
    (place / "~").mkdir()
    (place / "~" / "a").write_text("text")
    assert await tools.text("read", path="./~/a") == "1\ttext"


async def test_a_link_inside_the_location_is_followed_and_named_by_its_target(
    tools: Any, place: Path
) -> None:
    (place / "real.txt").write_text("text")
    (place / "link").symlink_to("real.txt")
    assert await tools.text("read", path="link") == "1\ttext"
    assert tools.context.asked == [("read", ("real.txt",))]
    await tools.call("write", path="link", content="new")
    assert (place / "link").is_symlink()
    assert (place / "real.txt").read_text() == "new"


async def test_an_absolute_path_inside_needs_no_more_than_a_relative_one(
    tools: Any, place: Path
) -> None:
    (place / "a.txt").write_text("text")
    for path in (str(place / "a.txt"), f"/{place}/./a.txt", f"{place}/x/../a.txt"):
        assert await tools.text("read", path=path) == "1\ttext"
    assert set(tools.context.asked) == {("read", ("a.txt",))}


async def test_an_absolute_path_outside_asks_for_its_folder_first(
    tools: Any, place: Path
) -> None:
    outside = place.parent / "outside.txt"
    outside.write_text("text")
    assert await tools.text("read", path=str(outside)) == "1\ttext"
    folder = f"{place.parent}/*"
    assert tools.context.asked == [
        ("external_directory", (folder,)),
        ("read", (str(outside),)),
    ]
    assert tools.context.saves == [(folder,), (str(outside),)]


@pytest.mark.law("access.1")
@pytest.mark.parametrize(("tool", "more"), FILE_CALLS)
async def test_a_denied_folder_outside_is_not_asked_about_further(
    tools: Any, place: Path, tool: str, more: Any
) -> None:
    (place.parent / "outside.txt").write_text("secret")
    tools.context.deny = ("external_directory",)
    with pytest.raises(PermissionDeniedError):
        await tools.call(tool, path=str(place.parent / "outside.txt"), **more)
    assert names(tools) == ["external_directory"]
    assert (place.parent / "outside.txt").read_text() == "secret"


async def test_searching_and_running_outside_ask_for_that_folder(
    tools: Any, place: Path
) -> None:
    other = place.parent / "other"
    other.mkdir()
    (other / "a.txt").write_text("needle")
    assert await tools.text("glob", pattern="*", path=str(other)) == f"{other}/a.txt"
    shown = await tools.text("grep", pattern="need", path=str(other))
    assert shown == f"{other}/a.txt:1:needle"
    assert str(other) in await tools.text("bash", command="pwd", workdir=str(other))
    outside = ("external_directory", (f"{other}/*",))
    assert tools.context.asked == [
        outside,
        ("glob", ("*",)),
        outside,
        ("grep", ("need",)),
        outside,
        ("bash", ("pwd",)),
    ]


@pytest.mark.law("access.2")
@pytest.mark.parametrize(("tool", "more"), FILE_CALLS)
@pytest.mark.parametrize("swap", ["link", "other", "folder_link", "folder", "fifo"])
async def test_what_was_swapped_while_permission_was_asked_is_not_touched(
    tools: Any, place: Path, tool: str, more: Any, swap: str
) -> None:
    secret = place.parent / "elsewhere"
    secret.mkdir()
    (secret / "a.txt").write_text("secret")
    folder = place / "folder"
    folder.mkdir()
    target = folder / "a.txt"
    target.write_text("secret")
    spare = folder / "spare.txt"
    spare.write_text("secret")

    asked = 0

    def decide(action: str, resources: Sequence[str]) -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            return  # edit asks twice; the first time is the earlier one
        if swap == "link":
            target.unlink()
            target.symlink_to(secret / "a.txt")
        elif swap == "other":
            os.replace(spare, target)
        elif swap == "folder_link":
            folder.rename(place / "gone")
            folder.symlink_to(secret)
        elif swap == "folder":
            folder.rename(place / "gone")
            secret.rename(folder)
            (secret.parent / "elsewhere").mkdir()
        else:
            target.unlink()
            os.mkfifo(target)

    tools.context.decide = decide
    with anyio.fail_after(HANG), pytest.raises(ToolFailure, match="moved or replaced"):
        await tools.call(tool, path="folder/a.txt", **more)
    for path in place.parent.rglob("*.txt"):
        if path.is_file():
            assert path.read_text() == "secret"


@pytest.mark.law("access.2")
async def test_a_new_file_is_not_written_where_something_appeared_meanwhile(
    tools: Any, place: Path
) -> None:
    tools.context.decide = lambda *_: (place / "new.txt").write_text("theirs") and None
    with pytest.raises(ToolFailure, match="moved or replaced"):
        await tools.call("write", path="new.txt", content="ours")
    assert (place / "new.txt").read_text() == "theirs"


@pytest.mark.law("access.2")
@pytest.mark.parametrize(
    ("tool", "more"),
    [
        ("read", {}),
        ("glob", {"pattern": "*"}),
        ("grep", {"pattern": "secret"}),
    ],
)
async def test_a_folder_swapped_while_permission_was_asked_is_not_searched(
    tools: Any, place: Path, tool: str, more: Any
) -> None:
    (place / "folder").mkdir()
    elsewhere = place.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret.txt").write_text("secret")

    def decide(action: str, resources: Sequence[str]) -> None:
        if not (place / "folder").is_symlink():
            (place / "folder").rmdir()
            (place / "folder").symlink_to(elsewhere)

    tools.context.decide = decide
    with pytest.raises(ToolFailure, match="moved or replaced"):
        await tools.call(tool, path="folder", **more)


@pytest.mark.law("access.2")
async def test_a_command_does_not_start_in_a_swapped_folder(
    tools: Any, place: Path
) -> None:
    (place / "folder").mkdir()
    elsewhere = place.parent / "elsewhere"
    elsewhere.mkdir()

    def decide(action: str, resources: Sequence[str]) -> None:
        (place / "folder").rmdir()
        (place / "folder").symlink_to(elsewhere)

    tools.context.decide = decide
    with pytest.raises(ToolFailure, match="moved or replaced"):
        await tools.call("bash", command="touch made", workdir="folder")
    assert os.listdir(elsewhere) == []


@pytest.mark.parametrize(("tool", "more"), FILE_CALLS)
async def test_special_files_are_refused_without_opening_them(
    tools: Any, place: Path, tool: str, more: Any
) -> None:
    os.mkfifo(place / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.getcwd()
        os.chdir(place)  # a socket's name may be too long otherwise
        try:
            bound.bind("socket")
        finally:
            os.chdir(here)
        with anyio.fail_after(HANG):
            for path in ("fifo", "socket", "/dev/null"):
                with pytest.raises(ToolFailure, match="a fifo, a device or a socket"):
                    await tools.call(tool, path=path, **more)
    assert stat.S_ISFIFO((place / "fifo").stat().st_mode)


async def test_every_naughty_name_that_is_legal_works_and_no_other_breaks_a_tool(
    tools: Any, place: Path, corpus: Any
) -> None:
    strings = [one for one in corpus("naughty-strings").json("blns.json") if one]
    written = 0
    for text in strings:
        name = f"./{text}"
        try:
            await tools.call("write", path=name, content=text)
        except ToolFailure:
            continue
        written += 1
        assert (place / name).read_bytes() == text.encode()
        if not text.startswith("\ufeff") and "\n" not in text and "\r" not in text:
            assert (await tools.text("read", path=name)).startswith(f"1\t{text}")
    assert written > 300


async def test_the_location_itself_is_named_by_a_dot(tools: Any) -> None:
    await tools.call("read", path=".")
    assert tools.context.asked == [("read", (".",))]
