"""Markdown is laid out for a terminal, and nothing that was written is hidden by it."""

import re

import pytest
from dovetail.plugins.chat.blocks import Blocks
from dovetail.plugins.chat.rendering import Renderer
from dovetail.plugins.console.folding import cells
from hypothesis import given, settings, strategies as st

RENDERER = Renderer(colour=False)

PIECES = [
    "A [link](https://x.org) and ![a cat](cat.png).\nA line of its own.",
    "- [ ] open\n- [x] done\n  - deeper\n    1. deepest\n\n  of the item",
    "9. nine\n10. ten\n\n    more of ten",
    "1) one\n2) two",
    "```python\ndef f():\n\n    return 1\n```",
    "1. Do:\n   ```sh\n   ls\n\n   pwd\n   ```\n2. Then",
    "```inline``` code at the beginning",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "> quoted\n>\n> - in it",
    "Said[^1].\n\n[^1]: Why.",
    "<details>\n<summary>More</summary>\n\nInside\n\n</details>",
    "~~~~\n~~~\n~~~~",
    "# A heading\nand text",
]


def shown(text: str, width: int = 40) -> list[str]:
    return RENDERER.markdown(text, width).rstrip("\n").split("\n")


def test_an_image_is_its_words_and_its_address_where_it_stands() -> None:
    assert shown('See ![a cat](cat.png "Tom") here.', 80) == [
        'See [image: a cat] (cat.png "Tom") here.'
    ]
    linked = "[![badge](b.svg)](https://x.org)"
    assert shown(linked, 80) == ["[image: badge] (b.svg) (https://x.org)"]


def test_a_link_says_where_it_leads_and_what_it_is_called() -> None:
    assert shown('[here](https://x.org "Home")', 80) == ['here (https://x.org "Home")']
    assert shown("<https://x.org> and <a@x.org>", 80) == ["https://x.org and a@x.org"]
    spoofed = "[https://good.org](https://evil.org)"
    assert shown(spoofed, 80) == ["https://good.org (https://evil.org)"]
    assert "evil.org" in shown("[](https://evil.org)")[0]


def test_boxes_of_tasks_stand_for_the_dots() -> None:
    tasks = "- [ ] open\n- [x] done\n  - [X] deeper\n\n1. [ ] first"
    assert shown(tasks) == [
        " [ ] open",
        " [x] done",
        "    [X] deeper",
        "",
        " 1. [ ] first",
    ]


def test_numbers_keep_what_follows_them() -> None:
    assert shown("9. nine\n10. ten") == ["  9. nine", " 10. ten"]
    assert shown("1) one\n2) two") == [" 1) one", " 2) two"]


def test_lists_in_lists_are_set_in() -> None:
    assert shown("- a\n  - b\n    1. c\n- d") == [
        " • a",
        "    • b",
        "       1. c",
        " • d",
    ]


def test_a_table_that_does_not_fit_is_names_and_values() -> None:
    table = f"| name | what |\n|---|---|\n| a | {'x' * 50} |\n| b | short |"
    assert shown(table, 40) == [
        "name: a",
        "what:",
        "x" * 40,
        "x" * 10,
        "",
        "name: b",
        "what: short",
    ]
    assert shown(table, 80)[0] == "name  what"
    many = "|" + "h|" * 30 + "\n|" + "-|" * 30 + "\n|" + "v|" * 30
    assert "".join(shown(many, 40)).count("v") == 30


def test_what_has_no_column_is_shown_all_the_same() -> None:
    assert "| 1 | 2 | three |" in shown("| a | b |\n|---|---|\n| 1 | 2 | three |")


def test_definitions_and_footnotes_are_seen() -> None:
    text = "[a][1] and[^n].\n\n[1]: https://x.org\n[^n]: Why."
    assert shown(text) == ["[a][1] and[^n].", "", "[1]: https://x.org", "[^n]: Why."]


def test_html_is_shown_line_by_line() -> None:
    assert shown("<b>\n<!-- hidden -->\n</b>") == ["<b>", "<!-- hidden -->", "</b>"]


def test_code_goes_on_below_where_it_is_too_long() -> None:
    code = "```py title=a.py\nx = 'a b " + "c" * 40 + "'\n\ny = 1\n```"
    assert shown(code, 30) == [
        "  title=a.py",
        "  x = 'a b " + "c" * 19,
        "  " + "c" * 21 + "'",
        "",
        "  y = 1",
    ]


def test_code_without_its_end_is_code() -> None:
    assert shown("```js\nlet a = 1\n\n*b*") == ["  let a = 1", "", "  *b*"]


@pytest.mark.parametrize("mark", ["> ", "- ", "1. ", "> - "])
def test_what_is_nested_too_deep_is_shown_as_it_was_written(mark: str) -> None:
    for depth in (5, 14, 29, 200):
        lines = shown(mark * depth + "the end", 40)
        assert "the end" in " ".join(lines)
        assert max(map(cells, lines)) <= 40


def test_what_is_spelled_out_by_entities_is_made_harmless() -> None:
    lines = shown("a&#xE0041;&#x3164;&shy;&#x202e;b&#27;[2J" + "&#x301;" * 50)
    assert lines[0].replace("\u0301", "") == "ab\ufffd[2J"
    assert lines[0].count("\u0301") <= 4
    assert shown('[x](y "&#x202e;z")') == ['x (y "z")']


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_what_streams_in_pieces_is_shown_as_the_whole_is(size: int) -> None:
    for piece in PIECES:
        text = f"Before.\n\n{piece}\n\nAfter."
        blocks = Blocks()
        found = []
        for at in range(0, len(text), size):
            found += blocks.feed(text[at : at + size])
        found += blocks.end()
        rows = [line for block in found for line in shown(block)]
        assert [row for row in rows if row] == [row for row in shown(text) if row]


def test_the_end_of_long_code_that_is_not_complete_is_code_still() -> None:
    blocks = Blocks()
    blocks.feed("1. Do:\n   ```py\n" + "   x = '*a*'\n" * 150)
    rest = blocks.end_of_rest(200)
    assert len(rest) < 300
    assert set(shown(rest)) <= {" 1.", "  x = '*a*'", "     x = '*a*'"}
    assert blocks.end_of_rest(10**6) == blocks.rest


@settings(max_examples=60, deadline=None)
@given(
    st.text(alphabet="ab1 \n\n|-*_`~#>[]()!.:\\&;é日", max_size=120),
    st.sampled_from([20, 40, 80]),
)
def test_no_letter_is_lost_and_no_line_too_long(text: str, width: int) -> None:
    # An address is written as addresses are, and a delimiter row aligns its columns.
    lines = shown(text, width)
    assert max(map(cells, lines)) <= width
    if "&" not in text and "](" not in text and "日" not in text:
        wanted = re.sub(r"[^ab]", "", text)
        assert re.sub(r"[^ab]", "", re.sub(r"\[image: .*?\]", "", "".join(lines)))[
            : len(wanted)
        ] == (wanted)
