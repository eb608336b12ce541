"""Output: whatever a tool returns, the model is shown a bounded part of it."""

import base64
from typing import Any

import pytest
from attrs import evolve
from dovetail.kernel import (
    Content,
    FileContent,
    InvalidValueError,
    ManagedPage,
    TextContent,
)
from dovetail.kernel.tools.output import Bounded, OutputLimits, bound, page_of
from hypothesis import given, settings, strategies as st

SMALL = OutputLimits(lines=9, bytes=1024)


def lines_of(text: str) -> int:
    return text.count("\n") + (text != "" and not text.endswith("\n"))


def texts(bounded: Bounded) -> list[str]:
    return [one.text for one in bounded.content if isinstance(one, TextContent)]


def within(bounded: Bounded, limits: OutputLimits) -> bool:
    shown = texts(bounded)
    return (
        sum(map(lines_of, shown)) <= limits.lines
        and sum(len(text.encode()) for text in shown) <= limits.bytes
    )


@pytest.mark.parametrize("mode", ["middle", "end"])
@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a\n",
        "\n" * 2000,
        "line\n" * 2000,
        "line\n" * 1999 + "last",
        "x" * 51200,
        "é" * 25600,
        "\r\n \t\x00",
    ],
)
def test_output_within_the_limits_is_unchanged(text: str, mode: str) -> None:
    content = [TextContent(text)]

    assert bound(content, mode) == Bounded(tuple(content))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["line\n" * 2001, "line\n" * 2000 + "last", "x" * 51201, "é" * 25601]
)
@pytest.mark.law("tools.6")
def test_output_just_over_a_limit_is_cut_and_says_so(text: str) -> None:
    bounded = bound([TextContent(text)])

    assert bounded.full_text == text
    assert bounded.cut is not None
    assert within(bounded, OutputLimits())
    assert "left out here; what was left out is lost" in texts(bounded)[0]


def test_the_middle_is_cut_by_lines() -> None:
    text = "".join(f"{number}\n" for number in range(100))

    bounded = bound([TextContent(text)], "middle", SMALL)

    assert texts(bounded) == [
        "0\n1\n2\n3\n"
        "[... 92 lines (270 bytes) left out here; what was left out is lost ...]\n"
        "96\n97\n98\n99\n"
    ]


def test_the_end_is_cut_by_lines() -> None:
    text = "".join(f"{number}\n" for number in range(100))

    bounded = bound([TextContent(text)], "end", SMALL)

    assert texts(bounded) == [
        "0\n1\n2\n3\n4\n5\n6\n7\n"
        "[... 92 lines (274 bytes) left out here; what was left out is lost ...]"
    ]


def test_the_marker_names_the_place_of_the_complete_output() -> None:
    """The tool's own text is never mistaken for the marker."""
    text = "{managed} [... left out here ...]\n" * 100
    bounded = bound([TextContent(text)], "middle", SMALL)

    kept = bounded.kept_as("out_{managed}").kept_as("out_0199")

    assert (
        'left out here; to see them, read path="managed:out_0199" with offset=5 ...]'
    ) in texts(kept)[0]
    assert texts(kept)[0].startswith("{managed}")
    assert texts(kept)[0].endswith("left out here ...]\n")
    assert within(kept, SMALL)
    assert kept.full_text == text


@pytest.mark.parametrize("mode", ["middle", "end"])
@pytest.mark.parametrize("lines", [3, 4, 5, 6])
@pytest.mark.parametrize("end", ["", "\n"])
def test_one_huge_line_among_as_many_as_are_allowed(
    lines: int, mode: str, end: str
) -> None:
    """The cut breaks it in two and adds the marker: still no line too many."""
    for huge in range(lines):
        rows = [str(number) for number in range(lines)]
        rows[huge] = "x" * 5000
        text = "\n".join(rows) + end
        small = OutputLimits(lines=lines, bytes=1024)

        bounded = bound([TextContent(text)], mode, small)  # type: ignore[arg-type]

        assert within(bounded, small)
        assert bounded.full_text == text
        if mode == "middle" and huge != lines - 1:
            assert texts(bounded)[0].endswith(rows[-1] + end)
        if huge != 0:
            assert texts(bounded)[0].startswith("0\n")


def test_there_is_always_room_for_the_longest_key() -> None:
    bounded = bound([TextContent("x" * 10**7)], "middle", OutputLimits(bytes=1024))

    kept = bounded.kept_as("k" * 160)

    assert within(kept, OutputLimits(bytes=1024))
    assert len(texts(kept)[0]) > 900


def test_a_key_that_could_break_the_bounds_is_refused() -> None:
    bounded = bound([TextContent("x\n" * 100)], "middle", SMALL)

    assert within(bounded.kept_as("k" * 160), SMALL)
    for key in ("k" * 161, "é" * 81, "two\nlines"):
        with pytest.raises(InvalidValueError):
            bounded.kept_as(key)


def test_output_that_was_not_cut_needs_no_key() -> None:
    bounded = bound([TextContent("short")])

    assert bounded.kept_as("out_1") is bounded


def test_empty_output_is_shown_as_a_text() -> None:
    shown = (TextContent("(no output)"),)

    assert bound([]).content == shown
    assert bound([TextContent("")]).content == shown
    assert bound([TextContent(""), TextContent("a")]).content == (TextContent("a"),)


def test_lone_surrogates_become_replacement_characters() -> None:
    assert bound([TextContent("a\ud800b")]).content == (TextContent("a\ufffdb"),)


# --- what is kept of the whole ------------------------------------------------------


@pytest.mark.law("tools.7")
def test_of_an_output_without_measure_its_two_ends_are_kept_and_the_loss_is_told() -> (
    None
):
    text = "first\n" + "é" * 40_000_000 + "\nlast\n"

    bounded = bound([TextContent(text)]).kept_as("KEY")

    kept = bounded.full_text or ""
    assert len(kept.encode()) <= OutputLimits().kept + 100
    assert kept.startswith("first\né")
    assert kept.endswith("é\nlast\n")
    lost = len(text.encode()) - OutputLimits().kept
    assert f"\n[... {lost} bytes were not kept ...]\n" in kept
    [shown] = texts(bounded)
    assert f"and {lost} bytes more that were too much to keep; to see them, " in shown
    assert within(bounded, OutputLimits())


@settings(deadline=None)
@given(st.lists(st.text("aé\n", max_size=900), max_size=6), st.integers(1024, 2000))
@pytest.mark.law("tools.7")
def test_whatever_the_texts_no_more_than_the_limit_is_kept(
    parts: list[str], kept: int
) -> None:
    limits = OutputLimits(lines=4, bytes=1024, kept=kept)
    whole = sum(len(part.encode()) for part in parts)

    bounded = bound([TextContent(part) for part in parts], "middle", limits)

    assert within(bounded, limits)
    if bounded.full_text is None:
        return
    lost = bounded.cut.lost if bounded.cut else 0
    assert (lost > 0) is (whole > kept)
    # The ends of lines between the texts, and the notice.
    assert len(bounded.full_text.encode()) <= kept + len(parts) + 60
    assert whole - lost <= len(bounded.full_text.encode())


lengths = st.integers(0, 400)
pieces = st.one_of(
    st.text(max_size=40),
    st.builds(lambda count: "\n" * count, st.integers(0, 12)),
    st.builds(lambda one, count: one * count, st.sampled_from("xé€😀"), lengths),
    st.builds(lambda count: "€x\n" * count, st.integers(0, 12)),
)
long_texts = st.lists(pieces, max_size=12).map("".join)
limits = st.builds(
    OutputLimits, lines=st.integers(3, 12), bytes=st.integers(1024, 1400)
)
modes = st.sampled_from(["middle", "end"])


@settings(deadline=None, max_examples=400)
@given(long_texts, modes, limits, st.none() | st.text("abcé", max_size=80))
@pytest.mark.law("tools.6")
def test_whatever_the_text_the_result_is_within_bounds_and_true(
    text: str, mode: str, within_limits: OutputLimits, key: str | None
) -> None:
    bounded = bound([TextContent(text)], mode, within_limits)  # type: ignore[arg-type]
    if key is not None:
        bounded = bounded.kept_as(key)

    assert within(bounded, within_limits)
    if bounded.cut is None:
        assert texts(bounded) == [text or "(no output)"]
        assert bounded.full_text is None
        return
    [shown] = texts(bounded)
    cut = bounded.cut
    tail = shown[cut.end :].removeprefix("\n")
    assert text.endswith(tail)
    assert mode == "middle" or tail == ""
    # The marker is on a line of its own: an end of line before it may be its own.
    head = shown[: cut.start]
    if len((head + tail).encode()) + cut.bytes > len(text.encode()):
        head = head.removesuffix("\n")
    assert text.startswith(head)
    gone = text[len(head) : len(text) - len(tail)]
    assert len(gone.encode()) == cut.bytes
    assert lines_of(gone) == cut.lines
    assert f"{cut.lines} line" in shown[cut.start : cut.end]
    assert f"({cut.bytes} bytes)" in shown[cut.start : cut.end]
    assert bounded.full_text == text
    # Whoever reads on from the line that the marker names misses nothing.
    lines = page_of(bounded.full_text).lines
    start = sum(map(len, lines[: cut.first - 1]))
    read = len(head.replace("\n", ""))
    assert start <= read <= start + len(lines[cut.first - 1])


@given(
    st.lists(
        st.text(st.sampled_from("ab\r\té€😀"), max_size=30)
        | st.integers(1990, 6010).map(lambda size: "x" * size),
        max_size=30,
    ),
    st.integers(1, 40),
    st.sampled_from(["", "\n", "\n\n"]),
)
@pytest.mark.law("tools.6")
def test_every_part_of_a_complete_output_can_be_read_back_by_pages(
    lines: list[str], limit: int, end: str
) -> None:
    text = "\n".join(lines) + end
    seen: list[str] = []
    offset, total = 1, 1
    while offset <= total:
        page = page_of(text, offset, limit)
        assert page.first == offset
        assert len(page.lines) == min(limit, page.total - offset + 1)
        assert all(len(line) <= 2000 for line in page.lines)
        seen += page.lines
        offset, total = offset + limit, page.total
    assert "".join(seen) == text.replace("\n", "")
    if all(len(line) <= 2000 for line in lines):
        assert seen == text.removesuffix("\n").split("\n") or text == ""


@pytest.mark.parametrize(
    ("offset", "limit"), [(0, 1), (-1, 1), (True, 1), (1, 0), (1, 2001), (1, "5")]
)
def test_a_page_that_is_none_is_refused(offset: Any, limit: Any) -> None:
    with pytest.raises(InvalidValueError):
        page_of("text", offset, limit)


def test_a_page_behind_the_end_is_empty_and_says_where_that_is() -> None:
    assert page_of("a\nb\n", 3) == ManagedPage((), 3, 2)
    assert page_of("", 1) == ManagedPage((), 1, 0)


@settings(deadline=None, max_examples=200)
@given(st.lists(long_texts, max_size=6), modes, limits)
def test_several_texts_share_the_bounds(
    many: list[str], mode: str, within_limits: OutputLimits
) -> None:
    file = FileContent("image/png", "AAAA")
    content: list[Content] = [file]
    for text in many:
        content += [TextContent(text), file]

    bounded = bound(content, mode, within_limits)  # type: ignore[arg-type]

    assert within(bounded, within_limits)
    assert [one for one in bounded.content if one == file] == [file] * (len(many) + 1)
    whole = [text for text in many if text]
    if bounded.cut is None:
        assert texts(bounded) == whole
    else:
        assert bounded.full_text == "\n".join(whole)
        assert sum("left out here" in text for text in texts(bounded)) == 1


@settings(deadline=None)
@given(st.integers(1024, 1300), st.sampled_from("é€😀"), modes)
def test_no_character_is_ever_split(size: int, one: str, mode: str) -> None:
    bounded = bound([TextContent(one * 2000)], mode, OutputLimits(bytes=size))  # type: ignore[arg-type]

    [shown] = texts(bounded)
    assert bounded.cut is not None
    rest = shown[: bounded.cut.start] + shown[bounded.cut.end :]
    assert set(rest) <= {one, "\n"}
    # And what could be shown is: all but the marker's room and a broken character.
    assert len(rest.encode()) >= size - 330


def test_a_short_half_gives_its_room_to_the_other() -> None:
    text = "x" * 5000 + "\n" + "short\n" * 20

    bounded = bound([TextContent(text)], "middle", OutputLimits(lines=10, bytes=1024))

    [shown] = texts(bounded)
    assert shown.endswith("short\n" * 5)
    assert shown.startswith("x" * 600)


def test_a_file_over_its_limit_becomes_a_line_of_text() -> None:
    small = evolve(SMALL, file=8, files=16, file_count=3)
    over = FileContent("image/png", "A" * 12, name="big.png")
    content = [FileContent("image/png", "A" * 8)] * 3

    bounded = bound([over, *content], "middle", small)

    note, first, second, third = bounded.content
    assert isinstance(note, TextContent)
    assert "'big.png' (image/png, 9 bytes) left out and not kept" in note.text
    assert (first, second) == (content[0], content[0])
    assert isinstance(third, TextContent)  # 24 are over 16 in total
    one_each = [FileContent("image/png", "AAAA")] * 4
    assert isinstance(bound(one_each, "middle", small).content[3], TextContent)


def test_notes_about_files_are_bounded_like_any_text() -> None:
    files = [FileContent("image/png", "AAAA", name="n" * 5000)] * 1000
    bounded = bound(files, "middle", evolve(SMALL, file=0))

    assert within(bounded, SMALL)
    assert bounded.cut is not None


@pytest.mark.parametrize(
    "file",
    [
        FileContent("image/png", "not base64"),
        FileContent("image/png", "AAA"),
        FileContent("image/png", "é==="),
        FileContent("image/png", ""),
        FileContent("png", "AAAA"),
        FileContent("image/png\r\nX-Evil: 1", "AAAA"),
    ],
)
def test_a_file_that_no_provider_would_take_is_refused(file: FileContent) -> None:
    with pytest.raises(InvalidValueError):
        bound([file])


def test_a_file_within_its_limits_is_unchanged() -> None:
    data = base64.b64encode(bytes(range(256)) * 100).decode()
    file = FileContent("image/png", data, name="a.png")

    assert bound([file]).content == (file,)


@pytest.mark.parametrize(
    "wrong", [{"lines": 2}, {"bytes": 1023}, {"file": -1}, {"lines": True}]
)
def test_limits_that_leave_no_room_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidValueError):
        OutputLimits(**wrong)
