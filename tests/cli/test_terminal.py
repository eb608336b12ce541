"""The terminal: nothing that is said can disturb it or hide on it."""

import io
import unicodedata
from typing import Any

import pytest
from dovetail.plugins.console.listing import table
from dovetail.plugins.console.terminal import Style, Terminal, plain, short, visible
from hypothesis import given, strategies as st

TEXTS = st.text(st.characters())


BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def controls(text: str) -> set[str]:
    return {sign for sign in text if unicodedata.category(sign) in ("Cc", "Cs")}


def characters(text: str) -> str:
    """Return text in which each half of a pair that is alone is U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@given(TEXTS)
def test_text_keeps_all_but_controls(text: str) -> None:
    whole = characters(text)
    hostile = controls(whole) - {"\n", "\t"} | BIDI
    assert plain(text) == "".join(sign for sign in whole if sign not in hostile)


@given(TEXTS, st.integers(0, 40))
def test_text_may_be_cleaned_in_pieces(text: str, at: int) -> None:
    # A pair of surrogates is one character, so it is never in two pieces here.
    text = text.encode("utf-8", "ignore").decode()
    assert plain(text[:at]) + plain(text[at:]) == plain(text)


@given(TEXTS)
def test_a_visible_text_is_one_line_that_hides_nothing(text: str) -> None:
    shown = visible(text)
    assert controls(shown) == set()
    assert not set("\u202e\u2066\u200b\ufeff\u2028") & set(shown)
    assert len(shown) >= len(characters(text))


@given(TEXTS, st.integers(1, 60))
def test_a_short_text_is_no_longer_than_that(text: str, limit: int) -> None:
    assert len(short(text, limit)) <= limit


def test_naughty_strings_are_harmless(corpus: Any) -> None:
    for text in corpus("naughty-strings").json("blns.json"):
        assert controls(plain(text)) <= {"\n", "\t"}
        assert controls(visible(text)) == set()


def test_a_table_stays_within_the_width() -> None:
    rows = [("a", "\x1b[31m" + "x" * 300), ("bb\n", "y")]
    lines = table(("one", "two"), rows, 40, Style()).splitlines()
    assert len(lines) == 3
    assert max(map(len, lines)) == 40
    assert lines[2] == "bb\\n  y"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "styled"),
    [
        ({}, True),
        ({"NO_COLOR": ""}, True),
        ({"NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_styles_are_for_terminals_that_want_them(
    environment: dict[str, str], styled: bool
) -> None:
    assert Terminal(Screen(), Screen(), environment).style.on == styled
    assert not Terminal(io.StringIO(), Screen(), environment).style.on
