"""Prompts and keys: what is refused is refused before anything is recorded."""

from typing import Any

import pytest
from dovetail.kernel import KeyInvalidError, Prompt, PromptFile, PromptInvalidError
from dovetail.kernel.values.prompt import MAX_PROMPT_BYTES, check_key, prompt_digest
from hypothesis import given, settings, strategies as st

FILE = PromptFile("a.png", "image/png", "AAAA")


@settings(deadline=None)
@given(st.text().filter(str.strip))
def test_text_is_taken_unchanged(text: str) -> None:
    assert Prompt.of(text) == Prompt(text)


def test_a_prompt_may_be_nothing_but_a_file() -> None:
    assert Prompt.of(Prompt("", (FILE,))).files == (FILE,)


def test_files_in_a_list_become_the_same_prompt() -> None:
    assert Prompt.of(Prompt("a", [FILE])) == Prompt("a", (FILE,))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("", "says nothing"),
        (" \n\t", "says nothing"),
        (None, "must be text"),
        (b"bytes", "must be text"),
        (3, "must be text"),
        ("a\ud800", "lone surrogate at character 1"),
        ("x" * (MAX_PROMPT_BYTES + 1), "are over 1048576"),
        ("é" * (MAX_PROMPT_BYTES // 2 + 1), "are over 1048576"),
        (Prompt("a", (PromptFile("f", "a/b", "A" * 12582912),)), "are over"),
        (Prompt("a", (PromptFile("f" * 1048576, "a/b", "AAAA"),)), "are over"),
        (Prompt("a", ["a.png"]), "give a PromptFile"),  # type: ignore[arg-type]
        (Prompt("a", "a.png"), "give a list of PromptFile"),  # type: ignore[arg-type]
        (Prompt("a", (PromptFile("f", "a/b", "A"),)), "base64"),
        (Prompt("a", (PromptFile("f", "a/b", "not base64!"),)), "base64"),
        (Prompt("a", (PromptFile("\ud800", "a/b", "AAAA"),)), "must be text"),
        (Prompt("a", (PromptFile("f", "a/b", None),)), "base64"),  # type: ignore[arg-type]
    ],
)
def test_a_prompt_that_no_provider_takes_is_refused(prompt: Any, says: str) -> None:
    with pytest.raises(PromptInvalidError) as caught:
        Prompt.of(prompt)

    assert caught.value.code == "prompt.invalid"
    assert says in str(caught.value)
    assert len(str(caught.value)) < 300


def test_the_longest_prompt_is_taken() -> None:
    assert Prompt.of("x" * MAX_PROMPT_BYTES).text


def test_every_naughty_string_is_a_prompt_or_says_nothing(corpus: Any) -> None:
    for string in corpus("naughty-strings").json("blns.json"):
        if string.strip():
            assert Prompt.of(string).text == string
        else:
            with pytest.raises(PromptInvalidError):
                Prompt.of(string)


@pytest.mark.parametrize("key", ["a", "ticket-42", "a b", "~" * 255, "!"])
def test_a_sound_key_is_taken_unchanged(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize(
    "key", ["", " a", "a ", "a\n", "a\x00b", "é", "\x7f", "a" * 256, None, 3, b"a"]
)
def test_an_unsound_key_is_refused(key: Any) -> None:
    with pytest.raises(KeyInvalidError) as caught:
        check_key(key)

    assert caught.value.code == "prompt.key_invalid"


def test_equal_bytes_have_equal_digests_and_others_have_not() -> None:
    assert prompt_digest(b"a") == prompt_digest(b"a") != prompt_digest(b"b")
