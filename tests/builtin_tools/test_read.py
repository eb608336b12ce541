"""The tool read: pages of text, images, folders, and what it refuses."""

import base64
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from dovetail.builtin_tools._text import read_page
from dovetail.kernel import OutputNotFoundError, ToolFailure
from hypothesis import given, strategies as st

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAA"
    "AABJRU5ErkJggg=="
)


async def test_lines_come_with_their_numbers(tools: Any, fill: Any) -> None:
    fill({"a.txt": "one\n\n\tthree"})
    assert await tools.text("read", path="a.txt") == "1\tone\n2\t\n3\t\tthree"


# --- a result that was cut --------------------------------------------------------


@pytest.mark.law("tools.6")
async def test_the_rest_of_a_result_is_read_by_pages_without_asking(tools: Any) -> None:
    lines = [f"{'é' * (number % 90)}{number}" for number in range(1, 6001)]
    tools.context.outputs["abc"] = "\n".join(lines)
    seen: list[str] = []
    offset: int | None = 1
    while offset is not None:
        page = await tools.call("read", path="managed:abc", offset=offset)
        assert (page.kind, page.path) == ("output", "managed:abc")
        assert len(page.text.split("\n")) <= 2000
        assert len(page.text.encode()) <= 51_200
        text, _, note = page.text.partition("\n\n")
        if page.next is not None:
            last = page.next - 1
            assert note == (
                f"(lines {offset}-{last} of 6,000: go on with offset={page.next})"
            )
        seen += [line.partition("\t")[2] for line in text.split("\n")]
        offset = page.next
    assert seen == lines
    assert tools.context.asked == []
    some = await tools.text("read", path="managed:abc", offset=7, limit=2)
    assert some == (
        f"7\t{lines[6]}\n8\t{lines[7]}\n\n(lines 7-8 of 6,000: go on with offset=9)"
    )


async def test_one_long_line_of_a_result_is_read_in_parts(tools: Any) -> None:
    tools.context.outputs["abc"] = "😀" * 100_000
    offset: int | None = 1
    count = 0
    while offset is not None:
        page = await tools.call("read", path="managed:abc", offset=offset)
        assert len(page.text.encode()) <= 51_200
        count += page.text.count("😀")
        offset = page.next
    assert count == 100_000


async def test_a_result_that_the_session_does_not_have_is_not_found(
    tools: Any,
) -> None:
    with pytest.raises(OutputNotFoundError):
        await tools.call("read", path="managed:abc")
    tools.context.outputs["abc"] = "one\ntwo"
    with pytest.raises(ToolFailure, match="past the end; the output has 2 lines"):
        await tools.call("read", path="managed:abc", offset=3)


async def test_a_file_that_is_called_like_a_result_is_reached_with_its_folder(
    tools: Any, fill: Any
) -> None:
    fill({"managed:abc": "file"})
    assert await tools.text("read", path="./managed:abc") == "1\tfile"


# --- pages of files ---------------------------------------------------------------


async def test_a_page_says_how_to_go_on_and_pages_join_to_the_file(
    tools: Any, fill: Any
) -> None:
    lines = [f"line {number}" for number in range(1, 5001)]
    fill({"a.txt": "\n".join(lines) + "\n"})
    seen: list[str] = []
    offset: int | None = 1
    while offset is not None:
        page = await tools.call("read", path="a.txt", offset=offset)
        assert len(page.text.split("\n")) <= 2000
        assert len(page.text.encode()) <= 51_200
        if page.next is not None:
            assert page.text.endswith(f"go on with offset={page.next})")
        shown = page.text.split("\n\n(")[0].split("\n")
        seen += [line.partition("\t")[2] for line in shown]
        offset = page.next
    assert seen == lines


async def test_a_page_of_long_lines_stays_within_fifty_kilobytes(
    tools: Any, fill: Any
) -> None:
    fill({"a.txt": "é" * 1999 + "\n" + ("\U0001f600" * 5000 + "\n") * 50})
    page = await tools.call("read", path="a.txt")
    assert len(page.text.encode()) <= 51_200
    assert page.next is not None
    assert f"2\t{'😀' * 2000}... (line cut)\n" in page.text
    assert "cut: lines 2, 3" in page.text


async def test_a_limit_and_an_offset_choose_the_lines(tools: Any, fill: Any) -> None:
    fill({"a.txt": "a\nb\nc\nd\n"})
    page = await tools.call("read", path="a.txt", offset=2, limit=2)
    assert page.text.startswith("2\tb\n3\tc\n\n(lines 2-3 of a file of 8 bytes")
    assert page.next == 4
    last = await tools.call("read", path="a.txt", offset=4, limit=2)
    assert (last.text, last.next) == ("4\td", None)


async def test_an_offset_past_the_end_tells_the_number_of_lines(
    tools: Any, fill: Any
) -> None:
    fill({"a.txt": "a\nb\n", "empty.txt": ""})
    with pytest.raises(ToolFailure, match="the file has 2 lines"):
        await tools.call("read", path="a.txt", offset=3)
    with pytest.raises(ToolFailure, match="the file has 0 lines"):
        await tools.call("read", path="empty.txt", offset=2)
    assert await tools.text("read", path="empty.txt") == "(the file is empty)"


async def test_line_endings_and_a_mark_are_told_and_not_shown(
    tools: Any, fill: Any
) -> None:
    fill({"crlf.txt": "a\r\nb\r\n", "bom.txt": "\ufeffa\n", "mixed.txt": "a\r\nb\nc"})
    crlf = await tools.text("read", path="crlf.txt")
    assert crlf == "1\ta\n2\tb\n\n(lines end with CRLF)"
    bom = await tools.text("read", path="bom.txt")
    assert bom == "1\ta\n\n(the file begins with a UTF-8 byte order mark)"
    mixed = await tools.text("read", path="mixed.txt")
    assert mixed == "1\ta\n2\tb\n3\tc\n\n(line endings are mixed; CRLF ends line 1)"


async def test_bytes_that_are_not_utf8_are_replaced_as_the_web_does_and_flagged(
    tools: Any, place: Path, corpus: Any
) -> None:
    folder = corpus("utf8tests").path
    # Without its NUL bytes, which would make it no text at all.
    raw = (folder / "utf8tests.bin").read_bytes().replace(b"\0", b"")
    (place / "a.txt").write_bytes(raw)
    page = await tools.call("read", path="a.txt")
    body, _, notes = page.text.rpartition("\n\n(")
    shown = "\n".join(line.partition("\t")[2] for line in body.split("\n"))
    expected = (folder / "utf8.replace.ref.txt").read_bytes().decode()
    assert shown == expected.replace("\0", "").removesuffix("\n")
    assert "not UTF-8" in notes


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"a\0b", "binary data"),
        (b"text\n" * 30_000 + b"\0", "binary data"),
        (b"%PDF-1.7\nplain", "PDF"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"PK\x03\x04rest", "ZIP"),
        ("text".encode("utf-16"), "UTF-16"),
        (b"SQLite format 3\0", "SQLite"),
    ],
)
async def test_what_is_not_text_is_named_with_its_size(
    tools: Any, place: Path, data: bytes, what: str
) -> None:
    (place / "a").write_bytes(data)
    if len(data) > 100_000:
        with pytest.raises(ToolFailure, match=what):
            await tools.call("read", path="a", offset=29_000)
    else:
        with pytest.raises(ToolFailure, match=f"{what}.*{len(data)} bytes"):
            await tools.call("read", path="a")


async def test_an_image_comes_as_a_file(tools: Any, place: Path) -> None:
    (place / "a.bin").write_bytes(PNG)
    page = await tools.call("read", path="a.bin")
    assert page.kind == "image"
    assert page.text == f"a.bin is an image (image/png, {len(PNG)} bytes)"
    assert page.file.mime == "image/png"
    assert base64.b64decode(page.file.data) == PNG
    assert page.file.name == "a.bin"


async def test_an_image_that_is_too_large_is_refused(tools: Any, place: Path) -> None:
    with (place / "a.png").open("wb") as file:
        file.write(PNG)
        file.truncate(33 * 1024 * 1024)
    with pytest.raises(ToolFailure, match="make a smaller copy"):
        await tools.call("read", path="a.png")


async def test_a_folder_is_listed_in_name_order(
    tools: Any, place: Path, fill: Any
) -> None:
    fill({"b.txt": "", "a/x": "", ".hidden": "", "C": "", "new\nline": ""})
    (place / "link").symlink_to("a")
    page = await tools.call("read", path=".")
    assert page.text == (
        ".hidden\nC\na/\nb.txt\nlink@\nnew\\nline\n\n(@ marks symbolic links)"
    )


async def test_a_large_folder_comes_in_pages(tools: Any, place: Path) -> None:
    for number in range(2500):
        (place / f"f{number:04}").touch()
    first = await tools.call("read", path=".")
    assert first.text.startswith("f0000\nf0001")
    assert f"of 2,500: go on with offset={first.next}" in first.text
    rest = await tools.call("read", path=".", offset=first.next)
    assert rest.text.startswith(f"f{first.next - 1:04}\n")
    assert rest.text.endswith("f2499")
    assert rest.next is None
    with pytest.raises(ToolFailure, match="past the end"):
        await tools.call("read", path=".", offset=2501)


async def test_an_empty_folder_says_so(tools: Any) -> None:
    assert await tools.text("read", path=".") == "(the folder is empty)"


async def test_a_missing_file_names_what_is_near(tools: Any, fill: Any) -> None:
    fill({"src/parser.py": ""})
    with pytest.raises(ToolFailure, match=r"there is 'parser\.py' in that folder"):
        await tools.call("read", path="src/parsers.py")
    with pytest.raises(ToolFailure, match="look for it with glob"):
        await tools.call("read", path="nowhere/at/all.py")


async def test_a_file_that_may_not_be_read_says_so(
    tools: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "a.txt").write_text("secret")
    real = os.open

    def refuse(path: Any, *args: Any, **kwargs: Any) -> int:
        if path == "a.txt":
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ToolFailure, match=r"cannot read 'a\.txt': permission denied"):
        await tools.call("read", path="a.txt")


async def test_a_huge_line_costs_no_memory(tools: Any, place: Path) -> None:
    with (place / "a.txt").open("wb") as file:
        for _ in range(64):
            file.write(b"x" * 1_000_000)
        file.write(b"\nlast\n")
    tracemalloc.start()
    try:
        page = await tools.call("read", path="a.txt", offset=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert page.text == "2\tlast"
    assert peak < 4_000_000


@pytest.mark.parametrize("given", [{"offset": 0}, {"limit": 0}, {"limit": 2001}])
def test_bounds_hold_for_callers_in_code_too(tools: Any, given: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must be (>|<)="):
        tools.tools["read"].input(path="a", **given)


@given(
    st.lists(st.sampled_from([b"a", b"\n", b"\r\n", b"\r", b"\xff", "é".encode()])),
    st.integers(1, 7),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_the_size_of_the_pieces_read_changes_nothing(
    pieces: list[bytes], size: int, offset: int, limit: int
) -> None:
    """Lines are those that splitting the whole file at LF gives."""
    data = b"".join(pieces)

    def source(step: int) -> Any:
        at = 0

        def read(_: int) -> bytes:
            nonlocal at
            at += step
            return data[at - step : at]

        return read

    page = read_page(source(size), offset, limit, lambda: None)
    lines = data.split(b"\n")
    if not lines[-1]:
        del lines[-1]
    expected = [
        (
            line[:-1] if line.endswith(b"\r") and index < data.count(b"\n") else line
        ).decode("utf-8", "replace")
        for index, line in enumerate(lines)
    ][offset - 1 : offset - 1 + limit]
    assert [line.text for line in page.lines] == expected
    assert (page.next is not None) == (len(lines) >= offset + limit)
    assert page.total in (None, len(lines))
