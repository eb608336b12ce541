"""Markdown is cut where a piece of it is complete, in whatever pieces it comes."""

import pytest
from dovetail.plugins.chat.blocks import MOST_CHARACTERS, MOST_LINES, MOST_ROWS, Blocks
from hypothesis import given, strategies as st

TEXT = """# Title
First *line*
and second.

1. one

2. two
   more

   a paragraph of it

```python
x = 1

y = 2
```
After the code.

- a
- b
Last"""

PARTS = [
    "# Title",
    "First *line*\nand second.",
    "1. one",
    "2. two\n   more\n\n   a paragraph of it",
    "```python\nx = 1\n\ny = 2\n```",
    "After the code.",
    "- a\n- b\nLast",
]


def cut(text: str, size: int) -> list[str]:
    blocks = Blocks()
    found = []
    for at in range(0, len(text), size):
        found += blocks.feed(text[at : at + size])
    return [*found, *blocks.end()]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_blocks_end_where_markdown_does(size: int) -> None:
    assert cut(TEXT, size) == PARTS


def test_a_block_is_given_as_soon_as_it_is_complete() -> None:
    blocks = Blocks()
    assert blocks.feed("one\n") == []
    assert blocks.rest == "one\n"
    assert blocks.feed("\n") == ["one"]
    assert blocks.rest == ""


def test_a_fence_that_never_ends_comes_in_parts_that_are_code() -> None:
    line = "x = 1\n"
    found = cut("```py\n" + line * (3 * MOST_LINES), 50)
    assert len(found) > 2
    assert all(one.startswith("```py\n") for one in found)
    assert all(one.endswith("\n```") for one in found[:-1])
    assert sum(one.count("x = 1") for one in found) == 3 * MOST_LINES


def test_a_line_that_never_ends_is_given_all_the_same() -> None:
    text = "word " * (MOST_CHARACTERS // 2)
    assert " ".join(cut(text, 1000)).split() == text.split()


@given(st.text(alphabet="ab \n#`-1.", max_size=200), st.integers(1, 9))
def test_nothing_that_is_written_is_left_out(text: str, size: int) -> None:
    found = cut(text, size)
    assert "".join("\n".join(found).split()) == "".join(text.split())
    assert found == cut(text, len(text) + 1)


@pytest.mark.parametrize("rows", [MOST_ROWS - 2, MOST_ROWS - 1, 3 * MOST_ROWS + 7])
def test_a_long_table_is_cut_and_each_part_has_its_head(rows: int) -> None:
    head = "| a | b |\n|---|:-:|"
    lines = [f"| {number} | x |" for number in range(rows)]
    parts = cut("\n".join([head, *lines, "", "After."]), 50)
    assert parts.pop() == "After."
    assert all(part.startswith(f"{head}\n|") for part in parts)
    assert [row for part in parts for row in part.split("\n")[2:]] == lines
    assert max(part.count("\n") for part in parts) <= MOST_ROWS


def test_the_end_of_a_long_table_still_has_its_head() -> None:
    blocks = Blocks()
    blocks.feed("a | b\n--- | ---\n" + "1 | 2\n" * 60 + "3 |")
    shown = blocks.end_of_rest(3000).split("\n")
    assert shown[:2] == ["a | b", "--- | ---"]
    assert shown[-1] == "3 |"
    assert len(shown) < 30
