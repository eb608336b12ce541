"""What stands at the prompt line: who hears it, and whether it answers a question."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from dovetail.kernel import Question, QuestionOption
from dovetail.plugins.chat.answering import STILL_SECONDS, Answering
from dovetail.plugins.chat.asks import Ask, Form, Words
from dovetail.plugins.chat.early import MOST_TOLD, Early, unsent
from dovetail.plugins.chat.fitting import cut, folded
from dovetail.plugins.chat.prompt_line import PromptLine


class Heard(Early):
    """A talk that asks something, and has one command."""

    asked: Ask | None = None

    def is_command(self, line: str) -> bool:
        return line.startswith("/new")


@pytest.fixture
def talk() -> Heard:
    return Heard()


@pytest.fixture
def line(talk: Heard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PromptLine:
    # Where what was sent is kept.
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return PromptLine(lambda: talk)


@pytest.fixture
def answering(talk: Heard, line: PromptLine) -> Answering:
    return Answering(lambda: talk, line)


# --- early ------------------------------------------------------------------------


def test_what_was_typed_early_is_handed_over_once_and_in_order() -> None:
    early, talk = Early(), Early()
    early.submit("one", queue=False)
    early.submit("two\nmore", queue=True)
    assert early.rows(80, 24) == ["> one", "> two"]
    early.hand_over(talk)
    assert talk.rows(80, 24) == ["> one", "> two"]
    assert early.rows(80, 24) == []
    assert early.unsent() == ""
    assert talk.unsent() == "not sent: one\nnot sent: two more\n"


def test_a_long_line_that_nobody_heard_is_told_by_its_beginning() -> None:
    assert unsent("x" * MOST_TOLD) == f"not sent: {'x' * MOST_TOLD}\n"
    assert unsent("x" * 1000) == f"not sent: {'x' * MOST_TOLD}…\n"


# --- the prompt line --------------------------------------------------------------


async def test_a_command_behind_a_prompt_that_was_put_back_goes_alone(
    line: PromptLine,
) -> None:
    line.put_back("Fix it")
    line.insert(" /new")
    assert line.take() == "/new"
    assert line.text == "Fix it"
    line.insert(" now")
    assert line.take() == "Fix it now"
    assert line.text == ""


async def test_what_was_put_back_gives_way_to_what_is_put_back_instead(
    line: PromptLine,
) -> None:
    line.put_back("one")
    line.insert("\nmore")
    line.put_back("two", instead=True)
    assert line.text == "two\nmore"
    line.put_back("three")
    assert line.text == "three\ntwo\nmore"


async def test_a_line_that_ends_in_a_backslash_goes_on_below(line: PromptLine) -> None:
    line.insert("one")
    assert not line.go_on_below()
    line.insert("\\")
    assert line.go_on_below()
    assert line.text == "one\n"


async def test_a_paste_is_a_mark_that_goes_as_one_and_is_whole_when_it_is_sent(
    line: PromptLine,
) -> None:
    line.insert("a")
    line.paste("x\n" * 50)
    assert line.text == "a[pasted 50 lines]"
    assert line.whole == "a" + "x\n" * 50
    line.delete_before()
    assert line.text == "a"


# --- answering --------------------------------------------------------------------


async def test_a_question_takes_the_keys_once_nobody_types_and_gives_the_draft_back(
    talk: Heard, line: PromptLine, answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0])
    line.insert("half a wor")
    answering.typing()
    talk.asked = Ask("", "y or n", {"y": True})
    now[0] += STILL_SECONDS / 2
    answering.look()
    assert answering.waits
    assert answering.question is answering.by_key is None
    assert line.text == "half a wor"
    assert answering.rows(80, 24) == ["a question waits; stop typing"]
    now[0] += STILL_SECONDS
    answering.look()
    assert answering.question is answering.by_key is talk.asked
    assert line.text == ""
    assert answering.rows(80, 24) == ["y or n"]
    talk.asked = None
    answering.look()
    assert answering.question is None
    assert line.text == "half a wor"


async def test_what_answers_nothing_is_typed_on_and_the_question_waits_again(
    talk: Heard, line: PromptLine, answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0])
    line.insert("half a wor")
    talk.asked = Ask("", "y or n", {"y": True})
    answering.look()
    assert answering.by_key is talk.asked
    answering.give_way()
    answering.typing()
    assert answering.waits
    assert line.text == "half a wor"
    line.insert("d")
    now[0] += STILL_SECONDS / 2
    answering.look()
    assert answering.waits
    now[0] += STILL_SECONDS
    answering.look()
    assert answering.by_key is talk.asked
    assert line.text == ""
    talk.asked = None
    answering.look()
    assert line.text == "half a word"


async def test_words_are_typed_and_not_taken_key_by_key(
    talk: Heard, answering: Answering
) -> None:
    talk.asked = Words("", "why?")
    answering.look()
    assert answering.question is talk.asked
    assert answering.by_key is None
    assert answering.form is None


def test_of_many_options_those_around_the_one_at_hand_are_drawn(
    talk: Heard, answering: Answering
) -> None:
    options = tuple(QuestionOption(f"option {n}") for n in range(1, 31))
    talk.asked = form = Form(question=Question("Which?", options=options))
    assert answering.form is form
    form.move(20)
    rows = answering.rows(80, 10)
    assert [row.strip("\x1b[01m ") for row in rows[:-1]][2].startswith("› 21. option")
    assert rows[0] == "  19. option 19"
    assert len(rows) == 6


# --- fitting ----------------------------------------------------------------------


def test_words_are_folded_and_what_is_wider_than_a_row_is_cut() -> None:
    assert folded("y once · n no", 6) == ["y once", "· n no"]
    assert folded("日本語日本語 a", 6) == ["日本…", "a"]
    assert folded("", 6) == []
    assert cut("日本語", 6) == "日本語"


# --- what is imported -------------------------------------------------------------


def test_lines_alone_need_neither_the_toolkit_nor_what_renders() -> None:
    code = (
        "import sys, dovetail.plugins.chat.plain, dovetail.plugins.chat.hosting\n"
        "assert not {'prompt_toolkit', 'pygments', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
