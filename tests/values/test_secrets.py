"""Keys are taken out of texts, however they are written there, and words stay."""

import base64
import html
import json
import random
import shlex
from collections.abc import Callable, Mapping
from urllib.parse import quote, quote_plus

import pytest
from dovetail.kernel import Redactor
from dovetail.kernel.values.secrets import OVERLAP, WINDOW
from hypothesis import given, strategies as st

KEY = "sk-proj-Ab12_cd/EF+gh=34xyz.Q"
HEX = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"


def each(form: str) -> Callable[[str], str]:
    """Return what writes each character of a key in one form."""
    return lambda key: "".join(form.format(ord(sign), sign) for sign in key)


def mixed(form: str) -> Callable[[str], str]:
    def written(key: str) -> str:
        some = random.Random(key)
        return "".join(
            form.format(ord(sign)) if some.random() < 0.5 else sign for sign in key
        )

    return written


def encoded(before: bytes, after: bytes = b"") -> Callable[[str], str]:
    return lambda key: base64.b64encode(before + key.encode() + after).decode()


def wrapped(key: str) -> str:
    return base64.encodebytes(b"x" * 60 + key.encode()).decode()


FORMS: Mapping[str, Callable[[str], str]] = {
    "as it is": str,
    "bearer": "Bearer {}".format,
    "a URL's query": lambda key: f"https://h/v1?key={quote(key)}&x=1",
    "percent": lambda key: quote(key, safe=""),
    "percent, small": lambda key: quote(key, safe="").replace("%2F", "%2f"),
    "percent, plus": quote_plus,
    "percent, all of it": each("%{0:02X}"),
    "percent, all of it, small": each("%{0:02x}"),
    "percent, some of it": mixed("%{0:02x}"),
    "percent, twice": lambda key: quote(quote(key, safe=""), safe=""),
    "percent of a script": each("%u{0:04x}"),
    "JSON": json.dumps,
    "JSON with slashes escaped": lambda key: json.dumps(key).replace("/", "\\/"),
    "JSON in JSON in JSON": lambda key: json.dumps(json.dumps(json.dumps({"k": key}))),
    "JSON, all of it": each("\\u{0:04x}"),
    "JSON, all of it, big": each("\\u{0:04X}"),
    "JSON, some of it": mixed("\\u{0:04x}"),
    "JSON, all of it, in JSON": lambda key: json.dumps(each("\\u{0:04x}")(key)),
    "a URL in JSON": lambda key: json.dumps({"u": "http://h?k=" + quote(key, safe="")}),
    "Python": lambda key: repr(f"'\"{key}"),
    "Python's bytes": lambda key: repr(key.encode()),
    "bytes in hex": each("\\x{0:02x}"),
    "bytes in octal": each("\\{0:03o}"),
    "a long escape": each("\\U{0:08x}"),
    "a braced escape": each("\\u{{{0:x}}}"),
    "HTML": html.escape,
    "HTML, numbers": each("&#{0};"),
    "HTML, hex": each("&#x{0:X};"),
    "JSON in HTML": lambda key: html.escape(json.dumps({"k": key})),
    "base64": encoded(b""),
    "base64, one before": encoded(b"u:a:"),
    "base64, two before": encoded(b"user:", b"\nHost: h"),
    "base64 for URLs": lambda key: base64.urlsafe_b64encode(key.encode()).decode(),
    "base64 in a URL": lambda key: quote(encoded(b"u:")(key), safe=""),
    "base64 in lines": wrapped,
    "hex": lambda key: key.encode().hex(),
    "hex, big": lambda key: key.encode().hex().upper(),
    "a shell": shlex.quote,
    "a shell, in two": lambda key: f"{key[:5]}'\"'\"'{key[5:]}",
    "a shell, joined": lambda key: f"'{key[:5]}'\"{key[5:]}\"",
    "a shell, each escaped": each("\\{1}"),
    "a shell, ANSI": lambda key: "$'" + each("\\x{0:02x}")(key[:3]) + "'" + key[3:],
    "a shell, on two lines": lambda key: f"{key[:9]}\\\n{key[9:]}",
    "wrapped": lambda key: f"{key[:9]}\n    {key[9:]}",
    "CSV": lambda key: '"' + key + '"',
}


@pytest.mark.law("access.14")
@pytest.mark.parametrize("key", [KEY, HEX])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_key_is_taken_out_however_it_is_written(
    form: Callable[[str], str], key: str
) -> None:
    shown = Redactor([key])(f"before {form(key)} after")
    assert shown.count("[redacted]") == 1
    assert shown.startswith("before ")
    assert shown.rstrip().endswith("after")
    for piece in (key[4:10], key[-8:], base64.b64encode(key.encode()).decode()[4:12]):
        assert piece not in shown


@pytest.mark.law("access.14")
@given(
    st.text(st.characters(codec="utf-8"), max_size=40),
    st.text(st.characters(codec="utf-8"), max_size=40),
    st.sampled_from(sorted(FORMS)),
)
def test_what_is_around_a_key_hides_none_of_it(a: str, b: str, form: str) -> None:
    shown = Redactor([KEY])(f"{a} {FORMS[form](KEY)} {b}")
    assert "[redacted]" in shown
    assert KEY[8:20] not in shown


@pytest.mark.law("access.14")
@given(st.text(max_size=200))
def test_a_text_without_a_key_is_what_it_was(text: str) -> None:
    assert Redactor([KEY])(text) == text


@pytest.mark.law("access.14")
@pytest.mark.parametrize(
    "at", [0, WINDOW - 7, WINDOW, WINDOW + OVERLAP - 3, 3 * WINDOW]
)
def test_a_key_is_found_wherever_it_stands_in_a_large_text(at: int) -> None:
    line = "the quick brown fox\n" * (at // 20 + 1)
    text = line[:at] + KEY + line[: WINDOW + 5]
    assert Redactor([KEY])(text) == text.replace(KEY, "[redacted]")


@pytest.mark.law("access.14")
@pytest.mark.parametrize("key", ["ollama", "none", "dummy", "EMPTY", "not-used"])
def test_a_key_that_is_a_word_is_no_secret_of_other_texts(key: str) -> None:
    text = f"run {key}-server, or {key}s, or not"
    assert Redactor([key])(text) == text
    # What only knows other texts is not told of it at all.
    assert Redactor().with_telling(Redactor([key]))(key) == key
    # Where the provider itself quotes it, it is taken out.
    assert Redactor([key])(f"no such key: {key}") == "no such key: [redacted]"


def test_several_keys_are_taken_out_of_one_text() -> None:
    redact = Redactor([KEY]).with_telling(Redactor([HEX, f"{KEY}-longer"]))
    text = f"{HEX} {KEY}-longer {KEY} {HEX.upper()}"
    assert redact(text).split() == ["[redacted]"] * 3 + [HEX.upper()]
    assert KEY not in repr(redact)
    assert redact.with_telling(Redactor([HEX])) is redact


@pytest.mark.parametrize(
    "text", ["%41", "\\u0041", "\\", "'", "\n", "&#65;", "*", "\\n'\"", "a"]
)
def test_a_large_text_of_escapes_takes_time_in_proportion(text: str) -> None:
    many = text * (600_000 // len(text))
    assert Redactor([KEY])(many) == many
