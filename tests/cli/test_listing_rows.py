"""Listings on rows: a cell of any text stays within its column."""

import pytest
from dovetail.plugins.console.folding import cells, fitting, rows
from dovetail.plugins.console.listing import table
from dovetail.plugins.console.terminal import Style


@pytest.mark.parametrize("title", ["日本" * 40, "x" * 200, "a\x1b[2J\n\u202eb" * 20])
def test_no_title_leaves_its_row(title: str) -> None:
    shown = table(("id", "title"), [("ses_1", title), ("ses_2", "b")], 60, Style())
    lines = shown.splitlines()
    assert len(lines) == 3
    assert max(map(cells, lines)) <= 60
    assert [line[:7] for line in lines[1:]] == ["ses_1  ", "ses_2  "]


def test_columns_are_counted_in_cells() -> None:
    shown = table(("a", "b"), [("日本", "1"), ("abcd", "2")], 60, Style())
    assert shown.splitlines()[1:] == ["日本  1", "abcd  2"]


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
    ],
)
def test_what_does_not_fit_is_cut_and_says_so(
    text: str, width: int, shown: str
) -> None:
    assert fitting(text, width) == shown


def test_what_goes_on_below_is_set_in() -> None:
    found = rows("1. " + "? allow " * 20, 40)
    assert all(row.startswith("    ") for row in found[1:])
    assert max(map(cells, found)) < 40
