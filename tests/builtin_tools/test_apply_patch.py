"""The tool apply_patch: what is asked, checked and done, and told when it fails."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from dovetail.builtin_tools import _changes
from dovetail.builtin_tools._files import Files
from dovetail.kernel import Deed, PermissionDeniedError, ToolFailure
from support.bounds import HANG
from support.corpora import find_corpus

CORPUS = find_corpus("codex-apply-patch")


def wrapped(*lines: str) -> str:
    return "\n".join(("*** Begin Patch", *lines, "*** End Patch"))


async def patch(tools: Any, *lines: str) -> str:
    """Apply a patch and return what the model is told."""
    told: str = await tools.text("apply_patch", input=wrapped(*lines))
    return told


def tree(place: Path) -> dict[str, str]:
    """Return the content of all files below a folder, by their path."""
    return {
        str(path.relative_to(place)): path.read_bytes().decode()
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def unchanged(place: Path) -> Callable[[], None]:
    """Return what checks that the files are those of the first time it was called."""
    known: list[dict[str, str]] = []

    def check() -> None:
        known.append(tree(place))
        assert known[-1] == known[0]

    return check


# --- what it does -----------------------------------------------------------------


async def test_files_are_added_changed_deleted_and_moved_in_order(
    tools: Any, place: Path, fill: Any
) -> None:
    fill({"a.py": "one\ntwo\n", "old.txt": "x\n", "b.py": "b\nc\n", "c.bin": "\0"})
    told = await patch(
        tools,
        "*** Add File: docs/new.md",
        "+# New",
        "*** Update File: a.py",
        "@@",
        " one",
        "-two",
        "+2",
        "+3",
        "*** Delete File: old.txt",
        "*** Update File: b.py",
        "*** Move to: lib/b.py",
        "@@",
        "-b",
        "+B",
        "*** Update File: c.bin",
        "*** Move to: d.bin",
    )
    assert tree(place) == {
        "docs/new.md": "# New\n",
        "a.py": "one\n2\n3\n",
        "lib/b.py": "B\nc\n",
        "d.bin": "\0",
    }
    assert told == (
        "Success. Updated the following files:\n"
        "A docs/new.md (+1 -0)\n"
        "M a.py (+2 -1)\n"
        "D old.txt\n"
        "M b.py (+1 -1)\n"
        "R b.py -> lib/b.py\n"
        "R c.bin -> d.bin"
    )
    files = {
        str(Path(path).relative_to(place)): digest
        for path, digest in tools.context.files.items()
    }
    assert files["old.txt"] is files["b.py"] is files["c.bin"] is None
    for name, text in tree(place).items():
        assert files[name] == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.law("access.1")
async def test_everything_is_asked_for_before_anything_is_looked_at(
    tools: Any, place: Path, fill: Any, tmp_path: Path
) -> None:
    fill({"a.txt": "a\n"})
    lines = (
        "*** Update File: a.txt",
        "*** Move to: b.txt",
        "@@",
        "-a",
        "+b",
        f"*** Add File: {tmp_path}/out/x",
        "+x",
        f"*** Add File: {tmp_path}/out/y",
        "+y",
        "*** Delete File: missing.txt",
    )
    outside = f"{tmp_path}/*"
    everything = (
        "a.txt",
        "b.txt",
        f"{tmp_path}/out/x",
        f"{tmp_path}/out/y",
        "missing.txt",
    )
    with pytest.raises(ToolFailure, match=r"'missing.txt': there is no such file"):
        await patch(tools, *lines)
    assert tools.context.asked == [
        ("external_directory", (outside,)),
        ("read", ("a.txt",)),
        ("edit", everything),
    ]
    assert tools.context.metadata[-1]["patch"] == wrapped(*lines)
    assert tree(place) == {"a.txt": "a\n"}
    for denied in ("external_directory", "read", "edit"):
        tools.context.deny = (denied,)
        with pytest.raises(PermissionDeniedError):
            await patch(tools, *lines)


@pytest.mark.law("tools.13")
async def test_a_later_section_that_does_not_fit_leaves_everything_as_it_was(
    tools: Any, fill: Any, unchanged: Any
) -> None:
    fill({"a.txt": "a\n", "b.txt": "b\n"})
    unchanged()
    for last in (
        ("*** Update File: b.txt", "@@", "-nowhere"),
        ("*** Update File: nothing.txt", "@@", "-x"),
        ("*** Delete File: nothing.txt",),
        ("*** Update File: nothing.txt", "*** Move to: c.txt"),
    ):
        with pytest.raises(ToolFailure):
            await patch(
                tools,
                "*** Add File: new/x",
                "+x",
                "*** Delete File: a.txt",
                *last,
            )
        unchanged()
    assert tools.context.deeds == []


async def test_a_file_that_is_there_is_replaced_and_that_is_told(
    tools: Any, place: Path, fill: Any
) -> None:
    """As the origin does, and as ``write``: the person sees it, and so does the
    model."""
    fill({"a.txt": "\ufeffold\r\n", "b.txt": "b\n", "c.txt": "c\n"})
    (place / "a.txt").chmod(0o750)
    told = await patch(
        tools,
        "*** Add File: a.txt",
        "+new",
        "+lines",
        "*** Update File: b.txt",
        "*** Move to: c.txt",
    )
    assert tree(place) == {"a.txt": "\ufeffnew\r\nlines\r\n", "c.txt": "b\n"}
    assert (place / "a.txt").stat().st_mode & 0o777 == 0o750
    assert tools.context.metadata[-1]["replaces"] == ["a.txt", "c.txt"]
    assert "M a.txt (+2 -0; a file that was of this name is replaced)" in told
    assert "R b.txt -> c.txt (a file that was there is replaced)" in told


async def test_a_moved_file_keeps_its_mode_and_its_other_bytes(
    tools: Any, place: Path, fill: Any
) -> None:
    fill({"run.sh": "\ufeffecho a\r\necho b"})
    (place / "run.sh").chmod(0o755)
    await patch(
        tools,
        "*** Update File: run.sh",
        "*** Move to: bin/go.sh",
        "@@",
        "-echo a",
        "+echo c",
    )
    assert (place / "bin/go.sh").read_bytes().decode() == "\ufeffecho c\r\necho b"
    assert (place / "bin/go.sh").stat().st_mode & 0o777 == 0o755


async def test_a_hunk_that_fitted_loosely_is_told(tools: Any, fill: Any) -> None:
    fill({"a.txt": "a  \nb\n"})
    told = await patch(tools, "*** Update File: a.txt", "@@", " a", "-b", "+c")
    assert "the hunk at line 3 of the patch fitted only with other blanks" in told


# --- several sections, one file ---------------------------------------------------


async def test_sections_of_one_file_become_one_change_of_it(
    tools: Any, place: Path, fill: Any
) -> None:
    fill({"a.txt": "1\n2\n", "b.txt": "old\n"})
    told = await patch(
        tools,
        "*** Update File: a.txt",
        "@@",
        "-1",
        "+one",
        "*** Update File: ./a.txt",
        "@@",
        "-one",
        "+eins",
        "*** Delete File: b.txt",
        "*** Add File: b.txt",
        "+new",
        "*** Add File: c.txt",
        "+c",
        "*** Update File: c.txt",
        "@@",
        "-c",
        "+C",
    )
    assert tree(place) == {"a.txt": "eins\n2\n", "b.txt": "new\n", "c.txt": "C\n"}
    assert [deed.text for deed in tools.context.deeds] == [
        "update a.txt",
        "replace b.txt",
        "add c.txt",
    ]
    assert "M a.txt (+2 -2)" in told


UPDATE = ("@@", "-a", "+b")


@pytest.mark.law("tools.13")
@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (("*** Delete File: a", "*** Update File: a", *UPDATE), "another delete of it"),
        (("*** Delete File: a", "*** Delete File: a"), "another delete of it"),
        (("*** Update File: a", *UPDATE, "*** Delete File: a"), "another update of it"),
        (("*** Update File: a", *UPDATE, "*** Add File: a"), "another update of it"),
        (("*** Add File: n", "*** Add File: n"), "another add of it"),
        (("*** Add File: n", "*** Delete File: n"), "another add of it"),
        (("*** Add File: n", "*** Update File: n", "*** Move to: m"), "made above"),
        (("*** Update File: a", "*** Move to: m", "*** Delete File: a"), "moved away"),
        (("*** Update File: a", "*** Move to: m", "*** Add File: a"), "moved away"),
        (
            ("*** Update File: a", "*** Move to: m", "*** Update File: m", *UPDATE),
            "another move of it",
        ),
        (
            ("*** Add File: m", "*** Update File: a", "*** Move to: m"),
            "another change of 'm'",
        ),
        (("*** Update File: a", "*** Move to: a"), "onto itself"),
        (("*** Update File: a", "*** Move to: ./a"), "onto itself"),
        (("*** Update File: a", "*** Move to: hard"), "another name of the same file"),
        (
            ("*** Update File: a", *UPDATE, "*** Update File: hard", *UPDATE),
            "another name of the same file",
        ),
        (("*** Add File: New", "*** Add File: new"), "for case or accents"),
        (("*** Add File: \u00e9", "*** Add File: e\u0301"), "for case or accents"),
        (("*** Add File: n", "*** Add File: n/x"), "is a file in the same patch"),
        (("*** Add File: a/x",), "not a directory"),
        (("*** Add File: d",), "it is a folder"),
        (("*** Delete File: d",), "it is a folder"),
        (("*** Update File: a", "*** Move to: d"), "it is a folder"),
        (("*** Update File: d", *UPDATE), "it is a folder"),
        (("*** Update File: fifo", *UPDATE), "a fifo, a device or a socket"),
        (("*** Delete File: fifo",), "a fifo, a device or a socket"),
        (("*** Add File: fifo", "+x"), "a fifo, a device or a socket"),
        (("*** Update File: a", "*** Move to: /dev/null"), "a fifo, a device"),
        (("*** Delete File: link",), "it is a symbolic link"),
        (("*** Update File: link", "*** Move to: m"), "it is a symbolic link"),
        (("*** Add File: dangling", "+x"), "leads to nothing"),
        (("*** Add File: ../x", "+x"), "may not leave the Location"),
        (("*** Add File: n/", "+x"), "does not end in '/'"),
        (("*** Update File: a", "*** Move to: n/"), "ends in '/'"),
        (("*** Update File: latin", "@@", "-a"), "not valid UTF-8"),
        (("*** Update File: a", "@@", " a"), "changes nothing"),
    ],
)
async def test_what_cannot_be_meant_is_refused_before_anything_is_done(
    lines: tuple[str, ...],
    why: str,
    tools: Any,
    place: Path,
    fill: Any,
) -> None:
    fill({"a": "a\n", "d/x": "x\n"})
    (place / "latin").write_bytes(b"a\xe9\n")
    os.link(place / "a", place / "hard")
    os.symlink("a", place / "link")
    os.symlink("nowhere", place / "dangling")
    os.mkfifo(place / "fifo")
    before = sorted(os.listdir(place))
    with pytest.raises(ToolFailure, match=rf"(?s){why}.*nothing was changed"):
        await patch(tools, *lines)
    assert sorted(os.listdir(place)) == before
    assert (place / "a").read_text() == "a\n"
    assert tools.context.deeds == []


async def test_a_hard_link_keeps_what_it_had_and_a_link_leads_to_its_file(
    tools: Any, place: Path, fill: Any
) -> None:
    fill({"a.txt": "a\n", "b.txt": "b\n", "c.txt": "c\n"})
    os.link(place / "a.txt", place / "other.txt")
    os.link(place / "b.txt", place / "kept.txt")
    os.symlink("c.txt", place / "link")
    await patch(
        tools,
        "*** Update File: a.txt",
        "@@",
        "-a",
        "+A",
        "*** Delete File: b.txt",
        "*** Update File: link",
        "@@",
        "-c",
        "+C",
    )
    assert (place / "link").is_symlink()
    assert tree(place) == {
        "a.txt": "A\n",
        "other.txt": "a\n",
        "kept.txt": "b\n",
        "c.txt": "C\n",
        "link": "C\n",
    }


async def test_files_that_are_too_large_are_not_patched(
    tools: Any, place: Path, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_changes, "MAX_FILE", 100)
    monkeypatch.setattr(_changes, "MAX_ALL", 150)
    fill({"large": "x" * 101, "a": "a\n" * 40, "b": "b\n" * 40})
    with pytest.raises(ToolFailure, match="it has 101 bytes, over 100"):
        await patch(tools, "*** Update File: large", "@@", "+x")
    with pytest.raises(ToolFailure, match="it would have over 100 bytes"):
        await patch(tools, "*** Update File: a", "@@", f"+{'x' * 40}")
    more = ("*** Update File: b", "@@", "+x")
    with pytest.raises(ToolFailure, match="with the files above it has over 150 bytes"):
        await patch(tools, "*** Update File: a", "@@", "+x", *more)


# --- between the approval and the change ------------------------------------------


@pytest.mark.law("access.2")
async def test_a_file_that_became_another_one_meanwhile_is_not_touched(
    tools: Any, place: Path, fill: Any
) -> None:
    fill({"a.txt": "a\n", "b.txt": "b\n"})

    def swap(action: str, resources: Any) -> None:
        if action == "edit":
            (place / "new").write_text("b\n")
            (place / "new").rename(place / "b.txt")

    tools.context.decide = swap
    with pytest.raises(ToolFailure, match="moved or replaced after the permission"):
        await patch(tools, "*** Delete File: a.txt", "*** Delete File: b.txt")
    assert tree(place) == {"a.txt": "a\n", "b.txt": "b\n"}


SWAPPED = {
    "update": ("*** Update File: folder/a.txt", "@@", "-secret", "+new"),
    "delete": ("*** Delete File: folder/a.txt",),
    "replace": ("*** Add File: folder/a.txt", "+new"),
    "move": ("*** Update File: folder/a.txt", "*** Move to: b.txt"),
    "onto": ("*** Update File: own.txt", "*** Move to: folder/a.txt"),
    "into": ("*** Update File: own.txt", "*** Move to: folder/new/b.txt"),
    "add": ("*** Add File: folder/new/b.txt", "+new"),
}


@pytest.mark.law("access.2")
@pytest.mark.parametrize("kind", SWAPPED)
@pytest.mark.parametrize("swap", ["link", "other", "folder_link", "folder", "fifo"])
@pytest.mark.parametrize("late", [False, True], ids=["asked", "checked"])
async def test_what_was_swapped_is_not_touched(
    kind: str, swap: str, late: bool, tools: Any, place: Path, fill: Any
) -> None:
    """While permission is asked for, or after everything was checked."""
    if kind in ("into", "add") and not swap.startswith("folder"):
        return  # these have no file there that could be swapped
    secret = place.parent / "elsewhere"
    secret.mkdir()
    (secret / "a.txt").write_text("secret\n")
    fill({"folder/a.txt": "secret\n", "folder/spare": "secret\n", "own.txt": "own\n"})
    folder, target = place / "folder", place / "folder" / "a.txt"

    def swapped() -> None:
        if swap == "link":
            target.unlink()
            target.symlink_to(secret / "a.txt")
        elif swap == "other":
            os.replace(folder / "spare", target)
        elif swap == "folder_link":
            folder.rename(place / "gone")
            folder.symlink_to(secret)
        elif swap == "folder":
            folder.rename(place / "gone")
            secret.rename(folder)
            secret.mkdir()
        else:
            target.unlink()
            os.mkfifo(target)

    async def does(text: str, data: Any = None) -> None:
        swapped()

    if late:
        tools.context.does = does
    else:
        tools.context.decide = lambda action, _: swapped() if action == "edit" else None
    with anyio.fail_after(HANG), pytest.raises(ToolFailure, match="moved or replaced"):
        await patch(tools, *SWAPPED[kind])
    assert (place / "own.txt").read_text() == "own\n"
    found = {path for path in place.parent.rglob("*.txt") if path.is_file()}
    for path in found - {place / "own.txt"}:
        assert path.read_text() == "secret\n"
    assert len(found) >= 2 + (swap != "fifo")


@pytest.mark.law("tools.13")
async def test_what_changes_after_the_check_is_told_with_what_was_applied(
    tools: Any, place: Path, fill: Any
) -> None:
    """Another program changes files while the first change of the patch is made."""
    fill({"b.txt": "b\n", "c.txt": "c\n", "d.txt": "d\n"})
    lines = (
        "*** Add File: a.txt",
        "+a",
        "*** Update File: b.txt",
        "@@",
        "-b",
        "+B",
        "*** Delete File: c.txt",
        "*** Update File: d.txt",
        "*** Move to: e.txt",
    )

    async def does(text: str, data: Any = None) -> None:
        tools.context.deeds.append(Deed(text, data))
        (place / "c.txt").write_text("of somebody else\n")

    tools.context.does = does
    with pytest.raises(ToolFailure) as failed:
        await patch(tools, *lines)
    assert str(failed.value) == (
        "the patch was applied only in part. Applied, in this order:\n"
        "A a.txt (+1 -0)\n"
        "M b.txt (+1 -1)\n"
        "Failed: cannot patch 'c.txt': its content changed meanwhile; nothing was "
        "written; read it again\n"
        "Not begun:\n"
        "move d.txt to e.txt"
    )
    assert tree(place) == {
        "a.txt": "a\n",
        "b.txt": "B\n",
        "c.txt": "of somebody else\n",
        "d.txt": "d\n",
    }


@pytest.mark.law("access.2")
async def test_a_place_that_was_taken_meanwhile_is_left_to_who_took_it(
    tools: Any, place: Path, fill: Any
) -> None:
    fill({"a.txt": "a\n"})

    async def does(text: str, data: Any = None) -> None:
        (place / "b.txt").write_text("of somebody else\n")

    tools.context.does = does
    for lines in (
        ("*** Update File: a.txt", "*** Move to: b.txt"),
        ("*** Add File: b.txt", "+mine"),
    ):
        (place / "b.txt").unlink(missing_ok=True)
        with pytest.raises(ToolFailure, match="moved or replaced after"):
            await patch(tools, *lines)
        assert tree(place) == {"a.txt": "a\n", "b.txt": "of somebody else\n"}


async def test_a_patch_that_was_begun_is_finished_when_the_call_is_cancelled(
    tools: Any, place: Path
) -> None:
    finished: list[str] = []
    with anyio.CancelScope() as scope:

        async def does(text: str, data: Any = None) -> None:
            scope.cancel()
            await anyio.lowlevel.checkpoint()

        tools.context.does = does
        lines = ("*** Add File: a", "+a", "*** Add File: b", "+b")
        finished.append(await patch(tools, *lines))
    assert tree(place) == {"a": "a\n", "b": "b\n"}
    assert finished == [
        "Success. Updated the following files:\nA a (+1 -0)\nA b (+1 -0)"
    ]


async def test_a_patch_that_is_cancelled_before_it_was_begun_does_nothing(
    tools: Any, place: Path, fill: Any
) -> None:
    fill({"a": "a\n"})
    with anyio.CancelScope() as scope:
        tools.context.decide = lambda action, resources: scope.cancel()
        await patch(tools, "*** Delete File: a")
    assert scope.cancelled_caught
    assert tree(place) == {"a": "a\n"}


# --- after a crash ----------------------------------------------------------------


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.mark.law("recovery.9")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("text", "name", "number"),
    [
        ("add a.txt", "replace", 1),
        ("update b.txt", "replace", 2),
        ("delete c.txt", "remove", 3),
        ("move d.txt to e.txt", "rename", 4),
    ],
)
async def test_what_became_of_a_patch_is_seen_in_its_last_change(
    text: str,
    name: str,
    number: int,
    after: bool,
    tools: Any,
    fill: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However far a killed patch came, the check says where it was cut."""
    fill({"b.txt": "b\n", "c.txt": "c\n", "d.txt": "d\n"})
    tool = tools.tools["apply_patch"]
    given = tool.input(
        wrapped(
            "*** Add File: a.txt",
            "+a",
            "*** Update File: b.txt",
            "@@",
            "-b",
            "+B",
            "*** Delete File: c.txt",
            "*** Update File: d.txt",
            "*** Move to: e.txt",
        )
    )
    assert await tool.check(given, tools.context) is None
    method = getattr(Files, name)

    def dying(*args: Any, **named: Any) -> Any:
        if tools.context.deeds[-1].text != text:
            return method(*args, **named)
        if after:
            method(*args, **named)
        raise KilledError

    monkeypatch.setattr(Files, name, dying)
    with pytest.raises(KilledError):
        await tool.execute(given, tools.context)
    tools.context.changes.clear()
    if after and number == 4:
        found = await tool.check(given, tools.context)
        # What these held before is not known any more: whoever goes back is told.
        named = [os.path.basename(path) for path, *_ in tools.context.changes]
        assert named == ["a.txt", "b.txt", "c.txt", "d.txt", "e.txt"]
        assert tools.show("apply_patch", found).endswith("had ended)")
        return
    said = "this was done" if after else "this was not done"
    expected = rf"^{text}: {said}.*; {4 - number} of 4 changes"
    with pytest.raises(ToolFailure, match=expected):
        await tool.check(given, tools.context)


# --- the scenarios of the origin --------------------------------------------------


def scenarios() -> Iterator[Path]:
    if CORPUS is not None:
        yield from sorted((CORPUS.path / "scenarios").iterdir())


@pytest.mark.skipif(CORPUS is None, reason="the scenarios are not beside the checkout")
@pytest.mark.parametrize("scenario", [*scenarios()], ids=lambda path: path.name)
async def test_the_scenarios_of_the_origin_come_out_as_there(
    scenario: Path, tools: Any, place: Path, fill: Any
) -> None:
    def files(folder: str) -> Mapping[str, str]:
        return tree(scenario / folder) if (scenario / folder).is_dir() else {}

    fill(files("input"))
    text = (scenario / "patch.txt").read_bytes().decode()
    try:
        await tools.text("apply_patch", input=text)
    except ToolFailure:
        assert files("expected") == files("input")
    assert tree(place) == files("expected")
