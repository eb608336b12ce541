"""The tool edit: exact replacement, and what it says when it does not fit."""

import os
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.builtin_tools._text import line_ending, with_ending
from dovetail.kernel import PermissionDeniedError, ToolFailure
from hypothesis import given, strategies as st
from support.bounds import HANG


async def edit(tools: Any, old: str, new: str, **more: Any) -> Any:
    return await tools.call(
        "edit", path="a.txt", old_string=old, new_string=new, **more
    )


async def test_a_text_that_is_there_once_is_replaced_literally(
    tools: Any, place: Path, fill: Any
) -> None:
    r"""Nothing in the new text has a meaning: no ``$&``, no ``\1``."""
    fill({"a.txt": "one\ntwo\nthree\n"})
    await edit(tools, "two", r"$& \1 \n $$")
    assert (place / "a.txt").read_text() == "one\n$& \\1 \\n $$\nthree\n"
    # Whether a text is there tells what is in the file, so reading is asked for first.
    assert tools.context.asked == [("read", ("a.txt",)), ("edit", ("a.txt",))]


async def test_the_change_is_shown_with_the_lines_around_it(
    tools: Any, fill: Any
) -> None:
    fill({"a.txt": "1\n2\n3\n4\n5\n6\n7\n"})
    shown = await tools.text("edit", path="a.txt", old_string="4", new_string="x\ny")
    assert shown == (
        "Edited a.txt (1 replacement)\n@@ line 4 @@\n 2\n 3\n-4\n+x\n+y\n 5\n 6"
    )


async def test_the_shown_change_is_bounded(tools: Any, fill: Any) -> None:
    fill({"a.txt": ("x" * 100_000 + "\n") * 100})
    output = await edit(tools, "x" * 100_000 + "\n", "y" * 100_000, replace_all=True)
    assert output.replacements == 100
    assert len(output.preview) < 5000
    assert output.preview.endswith("... and 97 more places")


async def test_an_ambiguous_text_changes_nothing_unless_all_are_meant(
    tools: Any, place: Path, fill: Any
) -> None:
    fill({"a.txt": "a\nb\na\n"})
    with pytest.raises(ToolFailure, match=r"more than once, on lines 1, 3;"):
        await edit(tools, "a", "c")
    assert (place / "a.txt").read_text() == "a\nb\na\n"
    output = await edit(tools, "a", "c", replace_all=True)
    assert output.replacements == 2
    assert (place / "a.txt").read_text() == "c\nb\nc\n"


async def test_overlapping_places_are_ambiguous_too(tools: Any, fill: Any) -> None:
    fill({"a.txt": "aaa"})
    with pytest.raises(ToolFailure, match="more than once"):
        await edit(tools, "aa", "b")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [("a", "a", "the same text"), ("a\ud800", "b", "lone surrogate")],
)
async def test_senseless_input_is_refused_before_anything_is_asked(
    tools: Any, fill: Any, old: str, new: str, why: str
) -> None:
    fill({"a.txt": "a"})
    with pytest.raises(ToolFailure, match=why):
        await edit(tools, old, new)
    assert tools.context.asked == []


def test_an_empty_old_string_cannot_even_be_asked_for(tools: Any) -> None:
    with pytest.raises(ValueError, match="old_string"):
        tools.tools["edit"].input(path="a", old_string="", new_string="x")


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        ("a\r\nb\r\n", "a\nb", "x\ny", "x\r\ny\r\n"),
        ("a\r\nb\r\n", "a\r\nb", "x\ny\r\nz", "x\r\ny\r\nz\r\n"),
        ("a\nb\n", "a\r\nb", "x\r\ny", "x\ny\n"),
        ("a\r\nb\nc", "b\nc", "x\ny", "a\r\nx\ny"),
        ("\ufeffa\n", "a", "b", "\ufeffb\n"),
        ("no newline", "no", "a\r\n", "a\r\n newline"),
    ],
)
async def test_line_endings_and_the_mark_stay_as_they_are(
    tools: Any, place: Path, fill: Any, before: str, old: str, new: str, after: str
) -> None:
    fill({"a.txt": before})
    await edit(tools, old, new)
    assert (place / "a.txt").read_bytes() == after.encode()


@pytest.mark.parametrize(
    ("held", "old", "new", "after"),
    [
        # A new line gets the ending of the line that it goes to.
        ("a\r\nb\r\nc\n", "a", "a\nq", "a\r\nq\r\nb\r\nc\n"),
        ("a\r\nb\r\nc\n", "c", "c\nq", "a\r\nb\r\nc\nq\n"),
        ("a\nb\r\nlast", "last", "last\nq", "a\nb\r\nlast\r\nq"),
        # Lines are found whatever ends them, and stay what they were.
        ("a\r\nb\nc\n", "a\nb", "x\ny", "x\r\ny\nc\n"),
        ("a\nb\r\nc\r\n", "b\nc\n", "b\nd\nc\n", "a\nb\r\nd\r\nc\r\n"),
        # A text with a CRLF of its own says what it means.
        ("a\r\nb\nc\n", "a\r\nb", "x", "x\nc\n"),
        ("a\r\nb\nc\n", "b\n", "b\r\n", "a\r\nb\r\nc\n"),
    ],
)
async def test_where_endings_are_mixed_a_text_gets_those_of_its_place(
    tools: Any, place: Path, fill: Any, held: str, old: str, new: str, after: str
) -> None:
    fill({"a.txt": held.encode()})
    await edit(tools, old, new)
    assert (place / "a.txt").read_bytes() == after.encode()


async def test_each_of_all_places_gets_its_own_line_ending(
    tools: Any, place: Path, fill: Any
) -> None:
    fill({"a.txt": b"x\r\n-\nx\n-\r\nx"})
    done = await edit(tools, "x", "x\ny", replace_all=True)
    assert (place / "a.txt").read_bytes() == b"x\r\ny\r\n-\nx\ny\n-\r\nx\r\ny"
    assert done.replacements == 3


@pytest.mark.parametrize("held", ["a", "a\n", "a\r\na\n"])
async def test_what_would_become_too_large_is_refused_before_it_is_made(
    tools: Any, place: Path, fill: Any, held: str
) -> None:
    """40,000 places and 60 KB for each are over 2 GB, never in memory."""
    fill({"a.txt": held * 40_000})
    before = (place / "a.txt").read_bytes()
    with pytest.raises(ToolFailure, match=r"would have about [0-9],[0-9,]+ bytes"):
        await edit(tools, "a", "b" * 60_000, replace_all=True)
    assert (place / "a.txt").read_bytes() == before


@pytest.mark.law("access.1")
async def test_a_file_that_may_not_be_read_tells_nothing_by_what_can_be_edited(
    tools: Any, fill: Any
) -> None:
    fill({"a.txt": "secret\n"})
    tools.context.deny = ("read",)
    for old in ("secret", "nothing"):
        with pytest.raises(PermissionDeniedError):
            await edit(tools, old, "x")


async def test_a_change_of_nothing_but_line_endings_is_refused(
    tools: Any, fill: Any
) -> None:
    fill({"a.txt": "a\nb\n"})
    with pytest.raises(ToolFailure, match="differ only in line endings"):
        await edit(tools, "a\nb", "a\r\nb")


async def test_files_that_are_not_utf8_are_refused_and_untouched(
    tools: Any, place: Path, corpus: Any
) -> None:
    raw = (corpus("utf8tests").path / "utf8tests.bin").read_bytes()
    for number, line in enumerate(raw.split(b"\n")):
        data = b"before\n" + line + b"\nafter\n"
        (place / "a.txt").write_bytes(data)
        try:
            data.decode()
        except UnicodeDecodeError:
            with pytest.raises(ToolFailure, match="not valid UTF-8"):
                await edit(tools, "before", f"{number}")
            assert (place / "a.txt").read_bytes() == data
        else:
            await edit(tools, "before", f"{number}")
            expected = data.replace(b"before", b"%d" % number, 1)
            assert (place / "a.txt").read_bytes() == expected


async def test_every_naughty_text_is_found_and_replaced_unchanged(
    tools: Any, place: Path, corpus: Any
) -> None:
    strings = [one for one in corpus("naughty-strings").json("blns.json") if one]
    for text in strings:
        (place / "a.txt").write_bytes(f"[[{text}]]".encode())
        await edit(tools, f"[[{text}]]", f"<<{text}{text}>>")
        assert (place / "a.txt").read_bytes() == f"<<{text}{text}>>".encode()


@pytest.mark.parametrize(
    ("content", "old", "hint"),
    [
        ("def f():\n    return 1\n", "1\tdef f():\n2\t    return 1", "line numbers"),
        ("def f():\n    return 1\n", "def f():\n\treturn 1", "other whitespace"),
        ("def first(a, b):\n    pass\n", "def frist(a, b):", "nearest text"),
        ("something\n", "zzzzzzzz qqqqqq", "read the file again"),
        ("something\n", "\t\t\n", "only whitespace"),
    ],
)
async def test_a_text_that_is_not_there_is_explained(
    tools: Any, fill: Any, content: str, old: str, hint: str
) -> None:
    fill({"a.txt": content})
    with pytest.raises(ToolFailure, match="old_string was not found") as caught:
        await edit(tools, old, "x")
    assert hint in str(caught.value)
    if "text" in hint or ("whitespace" in hint and "only" not in hint):
        assert "1\tdef" in str(caught.value)


async def test_the_hint_is_found_quickly_in_a_large_file(
    tools: Any, place: Path
) -> None:
    lines = [f"line {number:06} of many lines" for number in range(200_000)]
    (place / "a.txt").write_text("\n".join(lines))
    with anyio.fail_after(HANG), pytest.raises(ToolFailure, match="was not found"):
        await edit(tools, "line 1234 of more lines\n" * 500, "x")


@pytest.mark.parametrize("path", ["missing.txt", "folder"])
async def test_what_is_no_file_is_refused(tools: Any, place: Path, path: str) -> None:
    (place / "folder").mkdir()
    with pytest.raises(ToolFailure, match=r"no such file|it is a folder"):
        await tools.call("edit", path=path, old_string="a", new_string="b")


async def test_edits_of_one_file_in_one_step_are_all_applied(
    tools: Any, place: Path, fill: Any
) -> None:
    """All are approved on the first state of the file, then done one after another."""
    fill({"a.txt": "\n".join(f"<{number}>" for number in range(8))})
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
                group.start_soon(edit, tools, f"<{number}>", f"done {number}")
    expected = "\n".join(f"done {number}" for number in range(8))
    assert (place / "a.txt").read_text() == expected


async def test_content_that_changes_between_reading_and_writing_is_not_overwritten(
    tools: Any, place: Path, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other writer comes in place, just before the new content would."""
    fill({"a.txt": "one two"})
    real = os.fsync

    def meanwhile(descriptor: int) -> None:
        with (place / "a.txt").open("r+") as file:
            file.write("ONE")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", meanwhile)
    with pytest.raises(ToolFailure, match="its content changed meanwhile"):
        await edit(tools, "two", "2")
    assert (place / "a.txt").read_text() == "ONE two"
    assert os.listdir(place) == ["a.txt"]


async def test_a_hundred_thousand_places_are_counted_and_not_listed(
    tools: Any, place: Path
) -> None:
    (place / "a.txt").write_text("a" * 100_000)
    with anyio.fail_after(HANG):
        output = await edit(tools, "a", "b", replace_all=True)
        assert output.replacements == 100_000
        with pytest.raises(ToolFailure, match="and more"):
            await edit(tools, "b", "c")


@given(st.lists(st.sampled_from(["a", "b", "\n", "\r\n"])).map("".join))
def test_a_text_in_a_files_own_ending_changes_no_ending(text: str) -> None:
    for ending in ("lf", "crlf"):
        converted = with_ending(text, ending)  # type: ignore[arg-type]
        assert line_ending(converted) in (ending, "none")
        same = converted.replace("\r\n", "\n")
        assert same == text.replace("\r\n", "\n")
