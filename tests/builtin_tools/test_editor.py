"""Changes of files that an editor writes: through its buffers, seen on the disk."""

import os
from pathlib import Path
from typing import Any

import pytest
from dovetail.kernel import ToolFailure

PATCH = """\
*** Begin Patch
*** Update File: a.txt
@@
-one
+two
*** Add File: deep/er/b.txt
+new
*** Delete File: c.txt
*** End Patch"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def save(path: str, content: str) -> None:
    Path(path).write_text(content)


def real(path: Path) -> str:
    return os.path.realpath(path)


class FakeEditor:
    """Writes what it is given, or what ``saves`` makes of it."""

    def __init__(self, context: Any) -> None:
        self.given: list[tuple[str, str]] = []
        self.saves: Any = lambda text: text
        self.error: ToolFailure | None = None
        self.takes = True
        context.writes = self.write

    async def write(self, path: str, text: str) -> bool:
        if not self.takes:
            return False
        self.given.append((path, text))
        saved = self.saves(text)
        if saved is not None:
            # As many editors do: into the file that is there.
            save(path, saved)
        if self.error is not None:
            raise self.error
        return True


@pytest.fixture
def editor(tools: Any) -> FakeEditor:
    return FakeEditor(tools.context)


@pytest.mark.law("tools.20")
async def test_write_edit_and_patch_go_through_the_editor(
    tools: Any, place: Path, fill: Any, editor: FakeEditor
) -> None:
    fill({"a.txt": "zero\n", "c.txt": "gone\n"})
    shown = await tools.text("write", path="a.txt", content="one\n")
    assert shown == "Replaced a.txt (4 bytes)"
    await tools.call("apply_patch", input=PATCH)
    await tools.call("edit", path="a.txt", old_string="two", new_string="three")
    there = real(place)
    assert editor.given == [
        (f"{there}/a.txt", "one\n"),
        (f"{there}/a.txt", "two\n"),
        (f"{there}/deep/er/b.txt", "new\n"),
        (f"{there}/a.txt", "three\n"),
    ]
    assert (place / "a.txt").read_text() == "three\n"
    assert not (place / "c.txt").exists()
    # Each was asked for before, as always.
    assert [one for one, _ in tools.context.asked].count("edit") == 3
    assert tools.context.changes[0] == (f"{there}/a.txt", b"zero\n", b"one\n")


@pytest.mark.law("tools.20")
async def test_what_the_editor_saved_instead_is_what_counts(
    tools: Any, place: Path, fill: Any, editor: FakeEditor
) -> None:
    fill({"a.py": "x=1\n"})
    editor.saves = lambda text: text.replace("=", " = ")
    shown = await tools.text("edit", path="a.py", old_string="1", new_string="2")
    assert "saved another text than it was given" in shown
    assert tools.context.changes == [(real(place / "a.py"), b"x=1\n", b"x = 2\n")]
    # The next one finds what is there, which our own call left.
    await tools.call("edit", path="a.py", old_string="x = 2", new_string="x=3")
    assert (place / "a.py").read_text() == "x = 3\n"


@pytest.mark.law("tools.20")
async def test_a_refusal_is_told_and_nothing_goes_past_it(
    tools: Any, place: Path, fill: Any, editor: FakeEditor
) -> None:
    fill({"a.txt": "one\n"})
    editor.saves = lambda text: None
    editor.error = ToolFailure("the editor would not write it: it is protected")
    with pytest.raises(ToolFailure, match="it is protected; the file is as it was"):
        await tools.call("write", path="a.txt", content="two\n")
    with pytest.raises(ToolFailure, match="there is no such file"):
        await tools.call("write", path="folder/new.txt", content="two\n")
    assert (place / "a.txt").read_text() == "one\n"
    assert sorted(os.listdir(place)) == ["a.txt"]
    # It may come yet: nobody is to restore what is not known.
    assert [one[1:] for one in tools.context.changes] == [(None, None), (None, None)]


@pytest.mark.law("tools.20")
async def test_an_editor_that_only_says_that_it_wrote_is_not_believed(
    tools: Any, place: Path, fill: Any, editor: FakeEditor
) -> None:
    fill({"a.txt": "one\n"})
    editor.saves = lambda text: None
    with pytest.raises(ToolFailure, match="the disk does not show"):
        await tools.call("write", path="a.txt", content="two\n")


async def test_one_that_wrote_and_did_not_say_so_did(
    tools: Any, place: Path, fill: Any, editor: FakeEditor
) -> None:
    fill({"a.txt": "one\n"})
    editor.error = ToolFailure("the editor did not answer")
    await tools.call("edit", path="a.txt", old_string="one", new_string="two")
    assert (place / "a.txt").read_text() == "two\n"
    editor.saves = lambda text: "half"
    with pytest.raises(ToolFailure, match="holds another text since"):
        await tools.call("write", path="a.txt", content="whole")


@pytest.mark.law("tools.20")
async def test_what_an_editor_would_not_keep_is_written_to_the_disk(
    tools: Any, place: Path, fill: Any, editor: FakeEditor, tmp_path_factory: Any
) -> None:
    fill({"marked.txt": "\ufeffone", "linked.txt": "one", "large.txt": "one"})
    os.link(place / "linked.txt", place / "other.txt")
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "out.txt"
    await tools.call("write", path="marked.txt", content="two")
    await tools.call("write", path="linked.txt", content="two")
    await tools.call("write", path="large.txt", content="x" * (2 * 1024 * 1024 + 1))
    await tools.call("write", path="zero.txt", content="a\0b")
    await tools.call("write", path=str(elsewhere), content="two")
    assert editor.given == []
    assert (place / "marked.txt").read_bytes() == b"\xef\xbb\xbftwo"
    # The other name keeps what it had.
    assert (place / "other.txt").read_text() == "one"
    assert elsewhere.read_text() == "two"


async def test_where_the_editor_takes_no_writes_the_disk_does(
    tools: Any, place: Path, editor: FakeEditor
) -> None:
    editor.takes = False
    await tools.call("write", path="a.txt", content="one")
    assert (place / "a.txt").read_text() == "one"
    assert editor.given == []


@pytest.mark.law("access.2")
async def test_what_is_not_the_approved_file_any_more_never_reaches_the_editor(
    tools: Any, place: Path, fill: Any, editor: FakeEditor
) -> None:
    fill({"a.txt": "one\n", "secret.txt": "secret\n"})

    async def swap() -> None:
        (place / "a.txt").unlink()
        (place / "a.txt").symlink_to(place / "secret.txt")

    tools.context.decide = lambda action, _: swap() if action == "edit" else None
    with pytest.raises(ToolFailure):
        await tools.call("write", path="a.txt", content="two")
    assert editor.given == []
    assert (place / "secret.txt").read_text() == "secret\n"


async def test_a_command_is_shown_as_it_prints(tools: Any) -> None:
    await tools.call("bash", command="printf 'a\\n\\033[31mb\\n'")
    assert tools.context.shown == b"a\n\x1b[31mb\n"
