"""The tool write: whole files, atomically."""

import errno
import os
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import PermissionDeniedError, ToolFailure
from support.bounds import HANG


async def test_a_new_file_is_created_with_its_folders(tools: Any, place: Path) -> None:
    shown = await tools.text("write", path="a/b/c.txt", content="héllo\n")
    assert shown == "Created a/b/c.txt (7 bytes)"
    assert (place / "a/b/c.txt").read_bytes() == "héllo\n".encode()
    assert tools.context.asked == [("edit", ("a/b/c.txt",))]
    assert tools.context.saves == [("a/b/c.txt",)]


async def test_an_existing_file_is_replaced_and_keeps_its_mode(
    tools: Any, place: Path, fill: Any
) -> None:
    fill({"run.sh": "old"})
    (place / "run.sh").chmod(0o750)
    assert await tools.text("write", path="run.sh", content="new") == (
        "Replaced run.sh (3 bytes)"
    )
    assert (place / "run.sh").read_text() == "new"
    assert (place / "run.sh").stat().st_mode & 0o7777 == 0o750


async def test_a_new_file_gets_the_mode_that_the_umask_allows(
    tools: Any, place: Path
) -> None:
    (place / "plain").touch()
    await tools.call("write", path="made", content="x")
    assert (place / "made").stat().st_mode == (place / "plain").stat().st_mode


async def test_a_byte_order_mark_is_kept_and_is_never_two(
    tools: Any, place: Path, fill: Any
) -> None:
    fill({"a.txt": "\ufeffold", "b.txt": "old"})
    for path, content, mark in (
        ("a.txt", "new", True),
        ("a.txt", "\ufeffnew", True),
        ("b.txt", "\ufeffnew", True),
        ("c.txt", "\ufeffnew", True),
        ("d.txt", "new", False),
    ):
        await tools.call("write", path=path, content=content)
        expected = b"\xef\xbb\xbfnew" if mark else b"new"
        assert (place / path).read_bytes() == expected


async def test_contents_arrive_byte_for_byte(
    tools: Any, place: Path, corpus: Any
) -> None:
    strings = [*corpus("naughty-strings").json("blns.json"), "a\r\nb\rc\n", "a\0b"]
    for text in strings:
        await tools.call("write", path="a.txt", content=text)
        assert (place / "a.txt").read_bytes() == text.encode()
        (place / "a.txt").unlink()


@pytest.mark.parametrize(
    ("held", "content", "after"),
    [
        (b"a\r\nb\r\n", "a\nc\n", b"a\r\nc\r\n"),
        (b"a\r\nb\r\n", "a\r\nc\n", b"a\r\nc\r\n"),
        (b"\xef\xbb\xbfa\r\n", "c\n", b"\xef\xbb\xbfc\r\n"),
        (b"a\nb\n", "a\r\nc\r\n", b"a\nc\n"),
        (b"a\r\nb\r\nc\n", "x\ny\n", b"x\r\ny\r\n"),
        # Nothing to keep: as many of one kind as of the other, none, or no text.
        (b"a\r\nb\n", "x\ny\r\n", b"x\ny\r\n"),
        (b"a", "x\r\ny\n", b"x\r\ny\n"),
        (b"\0\r\n", "x\n", b"x\n"),
    ],
)
async def test_the_line_endings_that_a_file_had_are_kept(
    tools: Any, place: Path, held: bytes, content: str, after: bytes
) -> None:
    (place / "a.txt").write_bytes(held)
    shown = await tools.text("write", path="a.txt", content=content)
    assert (place / "a.txt").read_bytes() == after
    changed = after.removeprefix(b"\xef\xbb\xbf") != content.encode()
    assert ("line endings were kept" in shown) is changed
    # After a crash it is found to be done.
    assert await check(tools, path="a.txt", content=content)


@pytest.mark.parametrize(
    ("refused", "code"),
    [
        ("replace", errno.EBUSY),  # a mount point, such as a file given to a container
        ("open", errno.EACCES),  # a folder that may not be written
        ("open", errno.EROFS),
        ("fchmod", errno.EPERM),  # a mount that knows no modes
    ],
)
async def test_a_file_that_can_only_be_written_over_is_written_and_this_is_said(
    tools: Any,
    place: Path,
    fill: Any,
    monkeypatch: pytest.MonkeyPatch,
    refused: str,
    code: int,
) -> None:
    fill({"a.txt": "old and longer\n"})
    inode = (place / "a.txt").stat().st_ino
    real = getattr(os, refused)

    def refuse(path: Any, *args: Any, **kwargs: Any) -> Any:
        if refused == "open" and not str(path).endswith(".tmp"):
            return real(path, *args, **kwargs)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, refused, refuse)
    shown = await tools.text("write", path="a.txt", content="new\n")
    assert "Replaced a.txt (4 bytes; written in place and not atomically" in shown
    shown = await tools.text("edit", path="a.txt", old_string="new", new_string="x")
    assert "(1 replacement; written in place and not atomically" in shown
    monkeypatch.undo()
    assert (place / "a.txt").read_text() == "x\n"
    assert (place / "a.txt").stat().st_ino == inode
    assert os.listdir(place) == ["a.txt"]


@pytest.mark.parametrize("again", [True, False])
async def test_what_fails_while_it_is_written_over_is_put_back_or_said_to_be_lost(
    tools: Any, place: Path, fill: Any, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    fill({"a.txt": "old content\n"})
    real = os.write
    fails = 0

    def busy(*_: Any, **__: Any) -> None:
        raise OSError(errno.EBUSY, "busy")

    def full(descriptor: int, data: Any) -> int:
        nonlocal fails
        written = real(descriptor, bytes(data)[:2])
        if bytes(data).startswith(b"ne"):
            return written
        fails += 1
        if fails == 1 or again:
            raise OSError(errno.ENOSPC, "No space left on device")
        return written

    monkeypatch.setattr(os, "replace", busy)
    done = os.fsync
    calls = 0

    def flush(descriptor: int) -> None:
        # The new file beside it can be written; what then is written over cannot.
        nonlocal calls
        calls += 1
        done(descriptor)
        if calls == 1:
            monkeypatch.setattr(os, "write", full)

    monkeypatch.setattr(os, "fsync", flush)
    with pytest.raises(ToolFailure, match="no space left") as caught:
        await tools.call("write", path="a.txt", content="new content, longer\n")
    assert ("a part of it is lost" in str(caught.value)) is again
    assert ((place / "a.txt").read_text() == "old content\n") is not again
    assert os.listdir(place) == ["a.txt"]


async def test_a_content_beyond_all_measure_is_refused(
    tools: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dovetail.builtin_tools.write.MAX_CONTENT", 10)
    with pytest.raises(ToolFailure, match="has 11 bytes, over 10"):
        await tools.call("write", path="a.txt", content="x" * 11)
    assert tools.context.asked == []
    assert os.listdir(place) == []


async def test_a_lone_surrogate_is_refused_before_anything_is_asked(
    tools: Any, place: Path
) -> None:
    with pytest.raises(ToolFailure, match="lone surrogate at character 1"):
        await tools.call("write", path="a.txt", content="a\ud800")
    assert tools.context.asked == []
    assert os.listdir(place) == []


async def test_a_folder_and_a_path_like_one_are_refused(
    tools: Any, place: Path
) -> None:
    (place / "folder").mkdir()
    with pytest.raises(ToolFailure, match="it is a folder"):
        await tools.call("write", path="folder", content="x")
    with pytest.raises(ToolFailure, match="does not end in '/'"):
        await tools.call("write", path="new/", content="x")
    assert not (place / "new").exists()


async def test_a_read_only_file_is_not_replaced_behind_its_back(
    tools: Any, place: Path, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill({"a.txt": "old"})
    monkeypatch.setattr(os, "access", lambda *args, **kwargs: False)
    with pytest.raises(ToolFailure, match="read-only"):
        await tools.call("write", path="a.txt", content="new")
    assert (place / "a.txt").read_text() == "old"


async def test_a_failing_disk_leaves_the_old_file_and_no_debris(
    tools: Any, place: Path, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill({"a.txt": "old"})

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ToolFailure, match="no space left on device"):
        await tools.call("write", path="a.txt", content="new")
    assert os.listdir(place) == ["a.txt"]
    assert (place / "a.txt").read_text() == "old"


async def test_writers_of_one_file_in_one_step_all_come_through(
    tools: Any, place: Path
) -> None:
    """Each is approved on what it saw; what it finds is the work of its siblings."""
    entered = 0
    everybody = anyio.Event()

    async def wait_for_all() -> None:
        nonlocal entered
        entered += 1
        if entered == 8:
            everybody.set()
        await everybody.wait()

    tools.context.decide = lambda *_: wait_for_all()
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(
                    lambda number=number: tools.call(
                        "write", path="a.txt", content=f"{number}" * 1000
                    )
                )
    content = (place / "a.txt").read_text()
    assert content == content[0] * 1000
    assert os.listdir(place) == ["a.txt"]


async def test_a_hard_link_elsewhere_keeps_the_old_content(
    tools: Any, place: Path, fill: Any
) -> None:
    fill({"a.txt": "old"})
    os.link(place / "a.txt", place.parent / "twin")
    await tools.call("write", path="a.txt", content="new")
    assert (place.parent / "twin").read_text() == "old"


# --- after a crash: was it done? --------------------------------------------------


async def check(tools: Any, **given: Any) -> Any:
    tool = tools.tools["write"]
    return await tool.check(tool.input(**given), tools.context)


@pytest.mark.law("recovery.2")
async def test_a_file_that_holds_exactly_the_text_was_written(
    tools: Any, place: Path
) -> None:
    await tools.call("write", path="a/b.txt", content="héllo\n")
    wrote = dict(tools.context.files)
    tools.context.files.clear()
    tools.context.asked.clear()

    found = await check(tools, path="a/b.txt", content="héllo\n")

    assert (found.path, found.created, found.bytes) == ("a/b.txt", None, 7)
    assert tools.show("write", found) == "Wrote a/b.txt (7 bytes)"
    assert tools.context.files == wrote
    # The right to edit may have been given once, for the write itself.
    assert tools.context.asked == [("read", ("a/b.txt",))]


@pytest.mark.law("recovery.2")
async def test_where_there_is_no_file_it_was_not_written(
    tools: Any, place: Path
) -> None:
    assert await check(tools, path="a/b.txt", content="text") is None
    assert await check(tools, path="new/", content="text") is None
    assert await check(tools, path="a.txt", content="\ud800") is None
    assert os.listdir(place) == []
    assert tools.context.asked == []


@pytest.mark.law("recovery.2")
@pytest.mark.parametrize(
    "held", ["", "old", "texT", "text\n", "tex", "\ufeff\ufefftext"]
)
async def test_of_a_file_that_holds_another_text_it_cannot_be_told(
    tools: Any, place: Path, fill: Any, held: str
) -> None:
    """It may be what was there before, or what a person wrote since: that must not be
    written over."""
    fill({"a.txt": held})
    with pytest.raises(ToolFailure, match="does not hold the text"):
        await check(tools, path="a.txt", content="text")
    assert (place / "a.txt").read_text() == held
    assert tools.context.files == {}


async def test_a_byte_order_mark_is_taken_for_what_writing_makes_of_it(
    tools: Any, fill: Any
) -> None:
    fill({"marked.txt": "\ufefftext", "plain.txt": "text"})
    assert (await check(tools, path="marked.txt", content="text")).bytes == 7
    assert (await check(tools, path="marked.txt", content="\ufefftext")).bytes == 7
    assert (await check(tools, path="plain.txt", content="text")).bytes == 4
    with pytest.raises(ToolFailure, match="does not hold the text"):
        await check(tools, path="plain.txt", content="\ufefftext")


@pytest.mark.law("access.1")
async def test_without_the_right_to_read_nothing_is_compared(
    tools: Any, place: Path, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill({"a.txt": "text"})
    opened: list[Any] = []
    real = os.open

    def note(path: Any, *args: Any, **options: Any) -> int:
        opened.append(path)
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", note)
    tools.context.deny = ("read",)
    with pytest.raises(PermissionDeniedError):
        await check(tools, path="a.txt", content="text")
    assert "a.txt" not in opened
    tools.context.deny = ()
    await check(tools, path="a.txt", content="text")
    assert "a.txt" in opened


async def test_outside_the_location_looking_needs_the_right_to_go_there(
    tools: Any, place: Path
) -> None:
    outside = place.parent / "outside.txt"
    outside.write_text("text")
    found = await check(tools, path=str(outside), content="text")
    assert found.path == str(outside)
    assert [action for action, _ in tools.context.asked] == [
        "external_directory",
        "read",
    ]


@pytest.mark.law("access.2")
async def test_what_is_compared_is_what_was_allowed(
    tools: Any, place: Path, fill: Any
) -> None:
    fill({"a.txt": "text"})

    def swap(*_: Any) -> None:
        (place / "a.txt").unlink()
        (place / "a.txt").symlink_to("/etc/hostname")

    tools.context.decide = swap
    with pytest.raises(ToolFailure, match="moved or replaced"):
        await check(tools, path="a.txt", content="text")


def test_its_effect_is_never_called_harmless_to_repeat(tools: Any) -> None:
    effects = {name: tool.effect for name, tool in tools.tools.items()}
    assert effects == {
        "read": "pure",
        "glob": "pure",
        "grep": "pure",
        "skill": "pure",
        "question": "pure",
        "webfetch": "pure",
        "write": "reconcilable",
        "apply_patch": "reconcilable",
        "todowrite": "idempotent",
        "recall": "pure",
        "job": "idempotent",
        "subagent": "idempotent",
        "edit": "unsafe",
        "bash": "unsafe",
    }


@pytest.mark.parametrize(
    ("encoding", "named"), [("utf-16", "UTF-16"), ("utf-32", "UTF-32")]
)
async def test_a_file_in_another_encoding_is_not_changed_without_a_word(
    tools: Any, place: Path, encoding: str, named: str
) -> None:
    wide = "a\r\nb\r\n".encode(encoding)
    (place / "a.txt").write_bytes(wide)
    with pytest.raises(ToolFailure, match=f"it is {named} text"):
        await tools.call("edit", path="a.txt", old_string="a", new_string="c")
    assert (place / "a.txt").read_bytes() == wide
    shown = await tools.text("write", path="a.txt", content="c\n")
    assert f"it was {named} before, and is UTF-8 now" in shown
    assert (place / "a.txt").read_bytes() == b"c\n"
