"""Text of any origin is laid out without obeying any of it."""

import re

import pytest
from dovetail.plugins.chat.changes import changed_lines, patch_lines
from dovetail.plugins.chat.rendering import Renderer
from dovetail.plugins.console.folding import cells, fold
from dovetail.plugins.console.terminal import drawable
from hypothesis import given, settings, strategies as st

SGR = re.compile(r"\x1b\[[0-9;]*m")
HOSTILE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
BACKGROUND = re.compile(r"\x1b\[[0-9;]*(?<=[\[;])(?:4[0-8]|10[0-7])[;m]")

MARKDOWN = """# Title

Some *emphasis*, `code` and a [link](https://example.org/x).

```python
def f(x):  # a comment
    return "s" * 2
```

| name | value |
|---|---|
| a | 日本語 |

> quoted
"""


def bare(text: str) -> str:
    return SGR.sub("", text)


def test_markdown_is_laid_out_and_coloured() -> None:
    shown = Renderer().markdown(MARKDOWN, 60)
    assert "\x1b[" in shown
    assert "Title\n" in bare(shown)
    assert '  def f(x):  # a comment\n      return "s" * 2\n' in bare(shown)
    assert "a link (https://example.org/x)." in bare(shown)
    assert "日本語" in shown


def test_without_colour_there_is_no_escape_at_all() -> None:
    assert "\x1b" not in Renderer(colour=False).markdown(MARKDOWN, 60)
    assert "\x1b" not in Renderer(colour=False).diff(["+a", "-b"], 60, 9)


def test_no_colour_vanishes_on_a_light_or_a_dark_ground() -> None:
    shown = Renderer().markdown(MARKDOWN, 60) + Renderer().diff(["+a", "-b"], 60, 9)
    assert not BACKGROUND.search(shown)
    # Black, yellow, blue, white, and whatever is not of the first eight.
    for code in re.findall(r"\x1b\[([0-9;]*)m", shown):
        parts = {int(part) for part in code.split(";") if part}
        assert not parts & {30, 33, 34, 37, 38, *range(90, 98)}


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    shown = bare(Renderer().markdown(MARKDOWN + "long " * 50 + "x" * 300, width))
    assert max(cells(line) for line in shown.split("\n")) <= width


@pytest.mark.parametrize(
    "text",
    [
        "a \x1b[31mred\x1b[0m \x1b]0;title\x07 b",
        "entities &#x202E;evil &#27;[2J &#13;over &#x9b;31m",
        "\u202ereversed\u202c \u200bzero \u2066iso\u2069",
        "tab\there\rover",
        "`code \x1b[2J`",
        "```\n\x1b[2J \u202e\n```",
        "[a\x1b[2J](http://x/\x1b[31m)",
    ],
)
def test_nothing_hostile_comes_through(text: str) -> None:
    shown = bare(Renderer().markdown(text, 60))
    assert not HOSTILE.search(shown.replace("\n", ""))


def test_what_looks_like_html_is_shown() -> None:
    shown = Renderer(colour=False).markdown("a <!-- rm -rf / --> b <b>c</b>", 60)
    assert "<!-- rm -rf / -->" in shown
    assert "<b>c</b>" in shown


def test_a_flood_of_combining_signs_is_bounded() -> None:
    assert len(drawable("e" + "\u0301" * 5000)) < 10


def test_colours_of_programs_are_left_out_as_a_whole() -> None:
    assert drawable("\x1b[1;31mfailed\x1b[0m\r\nok") == "failed\nok"


def test_code_that_is_too_long_to_colour_is_shown() -> None:
    code = "x = 1\n" * 10_000
    shown = Renderer().markdown(f"```python\n{code}```", 60)
    assert shown.count("x = 1") == 10_000


def test_a_diff_is_bounded_and_says_so() -> None:
    lines = [f"+{n}" for n in range(100)]
    shown = bare(Renderer().diff(lines, 40, 10))
    assert shown.splitlines()[-1].strip() == "… 90 more lines"
    assert len(shown.splitlines()) == 11


def test_an_edit_is_shown_by_its_lines() -> None:
    assert changed_lines("a\nb\nc", "a\nB\nc") == [" a", "-b", "+B", " c"]
    patch = "*** Begin Patch\n*** Update File: x\n-a\n+b\n*** End Patch"
    assert patch_lines(patch) == ["@ Update File: x", "-a", "+b"]


@given(
    st.text(alphabet="ab  日é👍", max_size=60),
    st.integers(4, 20),
)
@settings(max_examples=60)
def test_folding_leaves_nothing_out_and_fits(text: str, width: int) -> None:
    lines = fold(text, width)
    assert all(cells(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
