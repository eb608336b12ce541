"""The patch format: what is read, where hunks go, and what is said when not."""

from itertools import pairwise

import pytest
from dovetail.builtin_tools._hunks import Patched, apply_hunks
from dovetail.builtin_tools._patch import MAX_PATCH, MAX_SECTIONS, parse_patch
from dovetail.kernel import ToolFailure
from hypothesis import given, strategies as st


def wrapped(*lines: str) -> str:
    return "\n".join(("*** Begin Patch", *lines, "*** End Patch"))


def patched(text: str, *lines: str) -> Patched:
    (section,) = parse_patch(wrapped("*** Update File: a.txt", *lines))
    return apply_hunks(text, section.hunks, "a.txt")


# --- the grammar ------------------------------------------------------------------


def test_a_patch_is_read_in_its_order() -> None:
    sections = parse_patch(
        wrapped(
            "*** Add File: docs/new page.md",
            "+# Title",
            "+",
            "+*** End Patch",
            "*** Delete File: old.txt",
            "*** Update File: src/a.py",
            "*** Move to: src/b.py",
            "@@ class A:",
            "@@     def f(self):",
            "     x = 1",
            "-    y = 2",
            "+    y = 3",
            "*** End of File",
        )
    )
    add, delete, update = sections
    assert (add.kind, add.path, add.number) == ("add", "docs/new page.md", 2)
    assert add.content == "# Title\n\n*** End Patch\n"
    assert (delete.kind, delete.path, delete.number) == ("delete", "old.txt", 6)
    assert update.paths == ("src/a.py", "src/b.py")
    (hunk,) = update.hunks
    assert hunk.anchors == ("class A:", "    def f(self):")
    assert hunk.old == ("    x = 1", "    y = 2")
    assert [line.number for line in hunk.lines] == [11, 12, 13]
    assert hunk.at_end


@pytest.mark.parametrize("opening", ["<<EOF", "<<'EOF'", 'apply_patch <<"EOF"'])
def test_the_wrapper_of_a_heredoc_is_taken_off(opening: str) -> None:
    body = wrapped("*** Delete File: a.txt")
    (section,) = parse_patch(f"\n{opening}\n{body}\nEOF\n")
    assert (section.path, section.number) == ("a.txt", 4)
    with pytest.raises(ToolFailure, match=r"line 4 of the patch: .*'EOF'"):
        parse_patch(f"{opening}\n{body}")


def test_blanks_around_markers_and_headers_and_crlf_in_the_patch_say_nothing() -> None:
    text = "  *** Begin Patch \r\n  *** Delete File: a.txt \r\n *** End Patch\r\n\r\n"
    (section,) = parse_patch(text)
    assert (section.kind, section.path) == ("delete", "a.txt")


def test_a_file_may_move_without_a_change_and_be_added_empty() -> None:
    move, add = parse_patch(
        wrapped("*** Update File: a", "*** Move to: b", "*** Add File: c")
    )
    assert (move.path, move.move, move.hunks) == ("a", "b", ())
    assert add.content == ""


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("", 1, r"\*\*\* Begin Patch"),
        ("diff --git a b", 1, r"\*\*\* Begin Patch"),
        ("*** Begin Patch", 1, r"\*\*\* End Patch"),
        ("*** Begin Patch\n*** End Patch", 2, r"\*\*\* Add File"),
        ("*** Begin Patch\n+a\n*** End Patch", 2, r"\*\*\* Update File"),
        (wrapped("*** Frob File: a"), 2, r"\*\*\* Delete File"),
        (wrapped("*** Add File:  "), 2, "a path after"),
        (wrapped("*** Add File: a", "+x", "y"), 4, r"begins with '\+'"),
        (wrapped("*** Add File: a", "+x", "", "+y"), 5, r"\*\*\* Add File"),
        (wrapped("*** Delete File: a", "-x"), 3, r"\*\*\* Add File"),
        (wrapped("*** Update File: a"), 3, "a hunk"),
        (wrapped("*** Update File: a", "*** Delete File: b"), 3, "a hunk"),
        (wrapped("*** Update File: a", "@@"), 4, "begins with ' ', '-' or"),
        (wrapped("*** Update File: a", "@@", "*** End of File"), 4, "begins with ' '"),
        (wrapped("*** Update File: a", "@@x", "-y"), 3, "'@@'"),
        (wrapped("*** Update File: a", "@@", "-x", "y"), 5, "begins with ' '"),
        (wrapped("*** Update File: a", "@@", "-x", "*y"), 5, "a hunk"),
        (wrapped("*** Update File: a", "-x", "*** Move to: b"), 4, r"\*\*\* Add File"),
        (wrapped("*** Delete File: a") + "\ndone", 4, "as the last line"),
        (wrapped("*** Add File: a", "+\ud800"), 3, "surrogate"),
    ],
)
def test_what_is_no_patch_is_refused_with_its_line(
    text: str, line: int, expected: str
) -> None:
    pattern = f"^line {line} of the patch: .*{expected}.*nothing was changed$"
    with pytest.raises(ToolFailure, match=pattern):
        parse_patch(text)


def test_a_patch_is_bounded() -> None:
    with pytest.raises(ToolFailure, match="too large"):
        parse_patch(wrapped("*** Add File: a", "+" + "x" * MAX_PATCH))
    many = [f"*** Delete File: {number}" for number in range(MAX_SECTIONS + 1)]
    assert len(parse_patch(wrapped(*many[1:]))) == MAX_SECTIONS
    with pytest.raises(ToolFailure, match=f"line {MAX_SECTIONS + 2} .* several"):
        parse_patch(wrapped(*many))


# --- where hunks go ---------------------------------------------------------------


def test_hunks_go_in_the_order_of_the_file() -> None:
    done = patched("1\n2\n3\n4\n", "@@", "-1", "+one", "@@", " 3", "-4", "+four")
    assert (done.text, done.added, done.removed) == ("one\n2\n3\nfour\n", 2, 2)
    with pytest.raises(ToolFailure, match=r"line 5 of the patch .* at line 1"):
        patched("1\n2\n", "@@", "-2", "@@", "-1")


def test_the_first_hunk_may_go_without_its_marker() -> None:
    assert patched("1\n2\n", " 1", "-2", "+two").text == "1\ntwo\n"


def test_an_anchor_says_where_the_lines_come_first_below_it() -> None:
    text = "class A:\n    x = 1\nclass B:\n    x = 1\nclass C:\n    x = 1\n"
    done = patched(text, "@@ class B:", "-    x = 1", "+    x = 2")
    assert done.text == text.replace("B:\n    x = 1", "B:\n    x = 2")


def test_anchors_follow_one_another() -> None:
    text = "class A:\n  def f():\n    1\nclass B:\n  def f():\n    1\n"
    done = patched(text, "@@ class B:", "@@   def f():", "-    1", "+    2")
    assert done.text == "class A:\n  def f():\n    1\nclass B:\n  def f():\n    2\n"


def test_lines_that_are_only_added_go_below_their_anchor_or_to_the_end() -> None:
    assert patched("1\n2\n3\n", "@@ 2", "+x", "+y").text == "1\n2\nx\ny\n3\n"
    assert patched("1\n\n", "@@", "+x").text == "1\n\nx\n"
    assert patched("1\n2\n", "@@ 1", "+x", "*** End of File").text == "1\n2\nx\n"
    assert patched("", "@@", "+x").text == "x\n"
    # They do not hold up the hunks that follow.
    assert patched("1\n2\n", "@@", "+x", "@@", "-1", "+one").text == "one\n2\nx\n"


def test_what_fits_in_two_places_goes_nowhere() -> None:
    with pytest.raises(ToolFailure, match="more than one place, such as lines 1 and 3"):
        patched("a\nb\na\n", "@@", "-a", "+c")
    with pytest.raises(ToolFailure, match="more than one place, such as lines 2 and 4"):
        patched("f\n1\nf\n1\n", "@@ f", "-1")
    with pytest.raises(ToolFailure, match="more than one place, such as lines 2 and 3"):
        patched("f\nf\n", "@@ f", "+1")


def test_two_hunks_that_fill_both_places_are_not_ambiguous() -> None:
    done = patched("a\nb\na\n", "@@", "-a", "+x", "@@", "-a", "+y")
    assert done.text == "x\nb\ny\n"


def test_a_hunk_at_the_end_of_the_file_is_not_looked_for_elsewhere() -> None:
    done = patched("a\nb\na\n", "@@", "-a", "+c", "*** End of File")
    assert done.text == "a\nb\nc\n"
    with pytest.raises(ToolFailure, match="at line 1 and not at the end"):
        patched("a\nb\n", "@@", "-a", "*** End of File")


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        ("x = 1  ", "x = 1"),
        ("    x = 1", "x = 1"),
        ("a \u2014 b", "a - b"),
        ("\u201cso\u201d", '"so"'),
        ("it\u2019s", "it's"),
        ("a\u00a0b", "a b"),
    ],
)
def test_lines_are_compared_more_loosely_step_by_step(there: str, wanted: str) -> None:
    """And a line that stays is left as it is in the file."""
    done = patched(f"{there}\nend\n", "@@", f" {wanted}", "-end", "+END")
    assert done.text == f"{there}\nEND\n"
    assert done.loose == (3,)
    # What fits exactly goes first, and is not ambiguous with what fits loosely.
    exact = patched(f"{there}\n{wanted}\n", "@@", f"-{wanted}")
    assert (exact.text, exact.loose) == (f"{there}\n", ())


def test_empty_lines_behind_a_hunk_are_taken_only_where_they_are() -> None:
    assert patched("a\n", "@@", "-a", "+b", "").text == "b\n"
    assert patched("a\n\nc\n", "@@", "-a", "+b", "", " c").text == "b\n\nc\n"
    assert patched("a\n\n", "@@", "+b", "").text == "a\n\nb\n"
    with pytest.raises(ToolFailure, match="no line is ''"):
        patched("a\n", "@@", "+b", " ")


# --- line endings -----------------------------------------------------------------


def test_crlf_stays_crlf_and_a_mixed_file_gets_what_its_place_has() -> None:
    done = patched("1\r\n2\r\n3\r\n", "@@", " 1", "-2", "+two", "+more")
    assert done.text == "1\r\ntwo\r\nmore\r\n3\r\n"
    mixed = patched("1\r\n2\n3\r\n4\n", "@@", "-1", "+a", "@@", "-4", "+b", "+c")
    assert mixed.text == "a\r\n2\n3\r\nb\nc\n"
    below = patched("1\r\n2\n", "@@ 1", "+x")
    assert below.text == "1\r\nx\r\n2\n"


def test_only_a_last_line_that_stays_can_lack_its_newline() -> None:
    assert patched("1\n2", "@@", "-1", "+one").text == "one\n2"
    assert patched("1\n2", "@@", "-2", "+two").text == "1\ntwo\n"
    assert patched("1\r\n2", "@@", " 2", "+three").text == "1\r\n2\r\nthree\r\n"
    assert patched("1", "@@", "-1").text == ""


def test_only_a_newline_ends_a_line() -> None:
    odd = "a\x0cb\u2028c\rd\n"
    done = patched(f"{odd}end\n", "@@", f" {odd[:-1]}", "-end")
    assert done.text == odd


# --- saying why not ---------------------------------------------------------------


def test_a_hunk_that_does_not_fit_is_told_with_both_lines() -> None:
    with pytest.raises(
        ToolFailure, match=r"line 5 of the patch expects 'TWO' as line 2, found 'two'"
    ):
        patched("one\ntwo\n", "@@", " one", "-TWO", "+2")
    with pytest.raises(ToolFailure, match=r"line 2 is near to it: 'def second\(\):'"):
        patched("first\ndef second():\n", "@@", "-def secnd():")
    with pytest.raises(ToolFailure, match="no line is 'class Q', as its '@@' says"):
        patched("a\n", "@@ class Q", "-a")
    with pytest.raises(ToolFailure, match="'@@' names is not one of the lines below"):
        patched("def f\n1\n", "@@ def f", " def f", "-1")
    with pytest.raises(ToolFailure, match="expects 'c' as line 3, found the end"):
        patched("a\nb\n", "@@", " a", " b", "-c")


# --- any text ---------------------------------------------------------------------

TEXTS = st.lists(st.sampled_from(["a", "b", "c", "", " a"]), max_size=12)


@given(TEXTS, st.data())
def test_hunks_do_what_was_meant_or_nothing(
    before: list[str], data: st.DataObject
) -> None:
    """Made from changes at random places: what could also mean another place is never
    taken, so whatever is accepted gives the text that was meant."""
    places = st.lists(st.integers(0, len(before)), max_size=4, unique=True)
    cuts = data.draw(places.map(sorted))
    hunks: list[str] = []
    after = before[: cuts[0]] if cuts else [*before]
    for start, stop in pairwise([*cuts, len(before)]):
        removed = data.draw(st.integers(0, stop - start))
        new = data.draw(st.lists(st.sampled_from(["new", "a"]), max_size=2))
        # A hunk of only new lines would go to the end: it shows the line below them.
        below = [] if removed else before[start:stop][:1]
        if removed or (new and below):
            hunks += ["@@", *(f"-{line}" for line in before[start : start + removed])]
            hunks += [*(f"+{line}" for line in new), *(f" {line}" for line in below)]
            after += new
        after += before[start + removed : stop]
    if not hunks:
        return
    try:
        done = patched("".join(f"{line}\n" for line in before), *hunks)
    except ToolFailure as error:
        refusal = str(error)
    else:
        assert done.text == "".join(f"{line}\n" for line in after)
        return
    assert "more than one place" in refusal or "not after" in refusal


PIECES = st.sampled_from(
    [
        "*** Begin Patch",
        "*** End Patch",
        "*** Add File: a",
        "*** Update File: b",
        "*** Delete File: c",
        "*** Move to: d",
        "*** End of File",
        "@@",
        "@@ a",
        "+a",
        "-a",
        " a",
        "",
        " ",
        "a",
        "<<EOF",
        "EOF",
        "\r",
        "***",
    ]
)


@given(st.lists(PIECES | st.text(max_size=3), max_size=12), st.booleans(), TEXTS)
def test_any_text_is_a_patch_or_is_refused_with_a_line(
    pieces: list[str], whole: bool, before: list[str]
) -> None:
    text = wrapped(*pieces) if whole else "\n".join(pieces)
    try:
        sections = parse_patch(text)
        for section in sections:
            apply_hunks("\n".join(before), section.hunks, section.path)
    except ToolFailure as error:
        refusal = str(error)
    else:
        assert all(section.path for section in sections)
        return
    assert "of the patch" in refusal
    assert "nothing was changed" in refusal
