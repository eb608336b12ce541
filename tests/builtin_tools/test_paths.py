"""Which paths tools touch, and that permission comes first."""

import os
import socket
import stat
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.builtin_tools._marks import LaterOutput
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


# --- other names of a file, and what is no file ------------------------------------

PATCH = """\
*** Begin Patch
*** Update File: {path}
@@
-secret
+new
*** End Patch"""


async def touch(tools: Any, tool: str, path: str) -> Any:
    """Call a tool of files on a file that holds the word ``secret``."""
    if tool == "apply_patch":
        return await tools.call(tool, input=PATCH.format(path=path))
    if tool == "glob":
        return await tools.call(tool, pattern="*", path=path)
    if tool == "grep":
        return await tools.call(tool, pattern="secret", path=path)
    return await tools.call(tool, path=path, **dict(FILE_CALLS)[tool])


CHANGING = ("write", "edit", "apply_patch")
ALL = ("read", *CHANGING, "glob", "grep")


@pytest.mark.law("access.21")
@pytest.mark.parametrize("tool", CHANGING)
async def test_changing_one_hard_link_leaves_the_others_as_they_were(
    tools: Any, place: Path, tool: str
) -> None:
    (place / "a.txt").write_text("secret\n")
    outside = place.parent / "twin"
    os.link(place / "a.txt", outside)
    await touch(tools, tool, "a.txt")
    assert (place / "a.txt").read_text().startswith("new")
    assert outside.read_text() == "secret\n"
    assert set(tools.context.asked) <= {("read", ("a.txt",)), ("edit", ("a.txt",))}


async def test_a_hard_link_is_read_and_found_by_its_own_name(
    tools: Any, place: Path
) -> None:
    (place.parent / "twin").write_text("secret\n")
    os.link(place.parent / "twin", place / "a.txt")
    assert await tools.text("read", path="a.txt") == "1\tsecret"
    assert await tools.text("glob", pattern="*") == "a.txt"
    assert await tools.text("grep", pattern="secret") == "a.txt:1:secret"


@pytest.mark.law("access.21")
@pytest.mark.parametrize("tool", ["apply_patch", "glob", "grep"])
async def test_a_tool_of_several_files_opens_no_special_one(
    tools: Any, place: Path, tool: str
) -> None:
    os.mkfifo(place / "fifo")
    with anyio.fail_after(HANG):
        for path in ("fifo", "/dev/null"):
            with pytest.raises(ToolFailure, match="a fifo, a device or a socket"):
                await touch(tools, tool, path)
        # And what lies about is passed by.
        assert "fifo" not in await tools.text("glob", pattern="*")
        assert "fifo" not in await tools.text("grep", pattern="secret")


@pytest.mark.law("access.21")
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("tool", ALL)
async def test_proc_is_outside_and_its_links_are_named_by_what_they_lead_to(
    tools: Any, place: Path, tool: str
) -> None:
    """A link of /proc to an open file is no way round the rules about that file."""
    (place / "a.txt").write_text("secret\n")
    (place / "link").symlink_to("/proc/self")
    with pytest.raises(ToolFailure, match="leads out"):
        await touch(tools, tool, "link")
    assert tools.context.asked == []
    tools.context.deny = ("external_directory",)
    with pytest.raises(PermissionDeniedError):
        await touch(tools, tool, "/proc/self/environ")
    assert {action for action, _ in tools.context.asked} == {"external_directory"}
    tools.context.asked.clear()
    tools.context.deny = ("read", "edit", "glob", "grep")
    where = place if tool in ("glob", "grep") else place / "a.txt"
    descriptor = os.open(where, os.O_RDONLY)
    try:
        with pytest.raises(PermissionDeniedError):
            await touch(tools, tool, f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    assert names(tools)[0] != "external_directory"
    assert (place / "a.txt").read_text() == "secret\n"


@pytest.fixture
def folding(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """Let the Location's file system fold case and accents when a name is looked up."""

    short = {"s\u00e9cre~1.env": "s\u00e9cret.env"}

    def plain(name: str) -> str:
        seen = "".join(one for one in name if one not in "\u200b\u00ad\ufe0f")
        found = unicodedata.normalize("NFC", seen).casefold().rstrip(".")
        return short.get(found, found)

    def stored(path: Any) -> Any:
        text = os.fspath(path)
        if not isinstance(text, str) or not text.startswith(f"{place}/"):
            return path
        found = str(place)
        for part in text[len(found) + 1 :].split("/"):
            near = os.listdir(found) if os.path.isdir(found) else []
            same = [one for one in near if plain(one) == plain(part)]
            found = f"{found}/{same[0] if same else part}"
        return found

    def looking(look: Any) -> Any:
        def folded(path: Any, **how: Any) -> Any:
            return look(path if how.get("dir_fd") else stored(path), **how)

        return folded

    (place / "Kept").mkdir()
    (place / "Kept" / "S\u00e9cret.env").write_text("secret\n")
    monkeypatch.setattr(os, "lstat", looking(os.lstat))
    monkeypatch.setattr(os, "stat", looking(os.stat))


@pytest.mark.law("access.9")
@pytest.mark.law("access.21")
@pytest.mark.usefixtures("folding")
@pytest.mark.parametrize("tool", ["read", *CHANGING])
@pytest.mark.parametrize(
    "path",
    [
        *("KEPT/S\u00c9CRET.ENV", "kept/Se\u0301cret.env", "Kept/s\u00e9cret.env"),
        # What is not seen, a dot at the end, and a short name.
        *(
            "Kept/S\u00e9cret\u200b.env",
            "Kept/S\u00e9cret.env.",
            "Kept\u00ad/S\u00e9cret.env",
        ),
        "Kept/S\u00c9CRE~1.ENV",
    ],
)
async def test_a_file_that_answers_to_many_names_is_asked_about_by_its_own(
    tools: Any, place: Path, tool: str, path: str
) -> None:
    tools.context.deny = ("read", "edit")
    for given in (path, f"{place}/{path}"):
        with pytest.raises(PermissionDeniedError):
            await touch(tools, tool, given)
    assert {named for _, named in tools.context.asked} == {("Kept/S\u00e9cret.env",)}
    tools.context.deny = ()
    await touch(tools, tool, path)
    assert os.listdir(place / "Kept") == ["S\u00e9cret.env"]


@pytest.mark.law("access.21")
@pytest.mark.usefixtures("folding")
@pytest.mark.parametrize("name", ["1\u200b23", "123."])
async def test_a_name_without_letters_has_other_spellings_too(
    tools: Any, place: Path, name: str
) -> None:
    (place / "123").write_text("secret\n")
    await touch(tools, "read", name)
    assert tools.context.asked == [("read", ("123",))]


@pytest.mark.law("access.21")
async def test_the_output_of_a_job_is_read_from_a_file_of_its_own_only(
    place: Path,
) -> None:
    """A command of the same user may put something else in its place."""
    folder = place / "outputs"
    later = LaterOutput(folder)
    name, descriptor = later.create("ses_1", "token")
    os.write(descriptor, b"printed")
    os.close(descriptor)
    found = later.open("ses_1", name)
    assert found is not None
    os.close(found)
    path = later.path_of("ses_1", name)
    assert path is not None
    (place / "secret").write_text("secret")
    for put in (
        lambda: os.mkfifo(path),
        lambda: path.symlink_to(place / "secret"),
        lambda: os.link(place / "secret", path),
        lambda: path.symlink_to("/dev/zero"),
        path.mkdir,
    ):
        path.unlink()
        put()
        with anyio.fail_after(HANG):
            opened = await anyio.to_thread.run_sync(later.open, "ses_1", name)
        assert opened is None
    for other in ("../ses_2", "/etc/passwd", f"../{name}", ""):
        assert later.open("ses_1", other) is None


@pytest.mark.law("access.9")
@pytest.mark.usefixtures("folding")
@pytest.mark.parametrize("tool", ["glob", "grep"])
async def test_what_is_searched_is_named_as_it_is_stored(tools: Any, tool: str) -> None:
    shown = tools.show(tool, await touch(tools, tool, "KEPT"))
    assert shown.startswith("Kept/S\u00e9cret.env")


async def test_two_files_that_differ_in_case_stay_two(tools: Any, place: Path) -> None:
    (place / "a.txt").write_text("small")
    (place / "A.txt").write_text("large")
    assert await tools.text("read", path="a.txt") == "1\tsmall"
    assert await tools.text("read", path="A.txt") == "1\tlarge"
    (place / "A.txt").unlink()
    os.link(place / "a.txt", place / "A.txt")
    tools.context.asked.clear()
    await tools.call("read", path="A.txt")
    assert tools.context.asked == [("read", ("A.txt",))]


@pytest.fixture
def mount() -> Iterator[Callable[[Path], None]]:
    """Return a function that mounts an empty file system; skips where it may not."""
    mounted: list[Path] = []

    def mount(folder: Path) -> None:
        if sys.platform != "linux":
            pytest.skip("mounts as Linux does")
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            pytest.skip(f"mount cannot be run: {error}")
        if done.returncode:
            pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
        mounted.append(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.law("access.21")
async def test_a_file_system_below_the_location_is_part_of_it(
    tools: Any, place: Path, mount: Callable[[Path], None]
) -> None:
    folder = place / "folder"
    folder.mkdir()
    mount(folder)
    for tool in ("glob", "grep", "read", *CHANGING):
        (folder / "a.txt").write_text("secret\n")
        path = "folder" if tool in ("glob", "grep") else "folder/a.txt"
        await touch(tools, tool, path)
        found = (folder / "a.txt").read_text()
        assert found.startswith("new" if tool in CHANGING else "secret")
    assert "folder/a.txt:1:new" in await tools.text("grep", pattern="new")
    assert "external_directory" not in names(tools)


@pytest.mark.law("access.2")
@pytest.mark.parametrize("tool", ALL)
async def test_what_is_mounted_over_an_approved_folder_is_not_touched(
    tools: Any, place: Path, mount: Callable[[Path], None], tool: str
) -> None:
    folder = place / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("secret\n")

    def decide(*_: object) -> None:
        if not os.path.ismount(folder):
            mount(folder)
            (folder / "a.txt").write_text("secret\n")

    tools.context.decide = decide
    path = "folder" if tool in ("glob", "grep") else "folder/a.txt"
    with pytest.raises(ToolFailure, match="moved or replaced"):
        await touch(tools, tool, path)
    assert (folder / "a.txt").read_text() == "secret\n"


MOVE = """\
*** Begin Patch
*** Update File: {path}
*** Move to: {to}
@@
-secret
+new
*** End Patch"""


@pytest.mark.law("access.21")
async def test_a_move_over_the_edge_of_a_mount_is_refused_before_anything_changes(
    tools: Any, place: Path, mount: Callable[[Path], None]
) -> None:
    folder = place / "folder"
    folder.mkdir()
    mount(folder)
    for path, to in (("a.txt", "folder/b.txt"), ("folder/c.txt", "d.txt")):
        (place / path).write_text("secret\n")
        with pytest.raises(ToolFailure, match="on another file system; add the new"):
            await tools.call("apply_patch", input=MOVE.format(path=path, to=to))
        assert (place / path).read_text() == "secret\n"
        assert not (place / to).exists()


@pytest.mark.law("access.21")
@pytest.mark.skipif(sys.platform != "linux", reason="devices as Linux makes them")
@pytest.mark.parametrize("tool", ALL)
async def test_a_device_below_the_location_is_not_opened(
    tools: Any, place: Path, tool: str
) -> None:
    try:
        # The one that never ends, and a disk.
        os.mknod(place / "zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
        os.mknod(place / "disk", 0o666 | stat.S_IFBLK, os.makedev(7, 0))
    except PermissionError:
        pytest.skip("devices cannot be made here")
    with anyio.fail_after(HANG):
        for name in ("zero", "disk"):
            with pytest.raises(ToolFailure, match="a fifo, a device or a socket"):
                await touch(tools, tool, name)
        assert "zero" not in await tools.text("grep", pattern=".")
