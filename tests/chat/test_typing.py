"""What is typed: pastes, files that are named, the history, and what a card takes."""

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from dovetail.kernel import (
    PromptCommand,
    PromptInvalidError,
    Question,
    QuestionAnswer,
    QuestionOption,
)
from dovetail.kernel.location.named_files import attached, named_files
from dovetail.plugins.chat import offer as offers
from dovetail.plugins.chat.asks import Ask, Form, Words
from dovetail.plugins.chat.chat_command import ChatCommand
from dovetail.plugins.chat.files import likeness, list_files, quoted, typed_path
from dovetail.plugins.chat.history import MOST, PromptHistory
from dovetail.plugins.chat.offer import FRESH_SECONDS, Offer
from dovetail.plugins.chat.pastes import Pastes, typeable
from dovetail.plugins.chat.status import Status, clock_text, count_text

# --- pastes -----------------------------------------------------------------------


def test_a_long_paste_is_one_mark_and_is_sent_whole() -> None:
    pastes = Pastes()
    text = "".join(f"line {n}\n" for n in range(10_000))
    mark = pastes.fold(text)
    assert mark == "[pasted 10,000 lines]"
    assert pastes.unfold(f"look: {mark}!") == f"look: {text}!"


def test_a_short_paste_stays_as_it_is() -> None:
    assert Pastes().fold("a\r\nb\rc") == "a\nb\nc"


def test_two_pastes_of_one_size_are_told_apart() -> None:
    pastes = Pastes()
    one, two = "a\n" * 10, "b\n" * 10
    marks = [pastes.fold(one), pastes.fold(two), pastes.fold(one)]
    assert marks == ["[pasted 10 lines]", "[pasted 10 lines #2]", "[pasted 10 lines]"]
    assert pastes.unfold("".join(marks)) == one + two + one


def test_a_mark_that_somebody_typed_stands_for_itself() -> None:
    assert Pastes().unfold("[pasted 10 lines]") == "[pasted 10 lines]"


def test_a_mark_within_a_paste_is_not_unfolded_again() -> None:
    pastes = Pastes()
    inner = pastes.fold("x\n" * 10)
    outer = pastes.fold(f"{inner}\n" * 20)
    assert pastes.unfold(outer) == f"{inner}\n" * 20


def test_a_mark_goes_as_one_sign() -> None:
    pastes = Pastes()
    mark = pastes.fold("x\n" * 10)
    assert pastes.mark_at_end(f"a {mark}") == mark
    assert pastes.mark_at_end(f"{mark} a") is None
    assert pastes.mark_at_end("[pasted 99 lines]") is None


# --- files ------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.py").write_text("print(1)")
    (tmp_path / "with space.txt").write_text("spaced")
    (tmp_path / "readme.md").write_text("read")
    (tmp_path / ".hidden").write_text("no")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "x.js").write_text("no")
    (tmp_path / "bad\x1bname").write_text("no")
    (tmp_path / 'quo"te').write_text("no")
    return tmp_path


def names(text: str, folder: Path) -> list[str]:
    return [name for name, _ in named_files(text, folder)]


def test_files_that_are_there_are_attached_once_by_content(folder: Path) -> None:
    text = 'see @readme.md, @src/main.py. And @readme.md, @"with space.txt"'
    assert names(text, folder) == ["readme.md", "src/main.py", "with space.txt"]
    assert [one.name for one in attached(text, folder)] == names(text, folder)


def test_what_only_looks_like_a_file_is_text(folder: Path) -> None:
    text = "mail me@readme.md about @property and @src and @gone.txt @"
    assert names(text, folder) == []


def test_a_file_that_cannot_be_taken_says_so(folder: Path) -> None:
    (folder / "big.bin").write_bytes(b"\0" * (8 * 1_048_576 + 1))
    with pytest.raises(PromptInvalidError):
        attached("@big.bin", folder)


def test_without_any_program_hidden_and_generated_files_are_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert list_files(folder) == ["readme.md", "with space.txt", "src/main.py"]


def test_ignored_files_are_not_offered(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".gitignore").write_text("node_modules\n")
    assert sorted(list_files(folder)) == ["readme.md", "src/main.py", "with space.txt"]


def test_a_name_is_nearer_than_a_path_than_scattered_letters() -> None:
    paths = ["main.py", "src/remain.py", "mx/ax/ix/nx", "domain/x"]
    found = [likeness("main", path) for path in paths]
    assert None not in found
    assert sorted(paths, key=lambda path: likeness("main", path) or 0) == [
        "main.py",
        "src/remain.py",
        "domain/x",
        "mx/ax/ix/nx",
    ]
    assert likeness("zz", "main.py") is None


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("@", ""),
        ("look at @src/ma", "src/ma"),
        ('look at @"with sp', "with sp"),
        ("me@src", None),
        ("@done ", None),
    ],
)
def test_what_is_typed_of_a_path_is_found(text: str, path: str | None) -> None:
    assert typed_path(text) == path


def test_a_path_with_spaces_is_quoted() -> None:
    assert quoted("a b") == '@"a b"'
    assert quoted("a") == "@a"


# --- how a line may begin ---------------------------------------------------------


class Here:
    """A Location whose plugins have these commands."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def commands(self) -> Sequence[PromptCommand]:
        async def write(given: object) -> str:
            return ""

        return [PromptCommand(name, write, "Says it") for name in self.names]


async def nothing(talk: object, rest: str) -> None: ...


async def test_plugins_are_asked_anew_when_their_commands_were_listed_long_ago(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, asked = [100.0], []
    monkeypatch.setattr(offers, "time", SimpleNamespace(monotonic=lambda: now[0]))
    command = ChatCommand("new", "", "Begin", nothing)
    offer = Offer([command], folder, lambda: asked.append(now[0]))
    here = Here()
    assert list(offer.completions("/n")) == [("/new", "/new", "Begin", 2)]
    # Not while they are listed, the first time or again.
    assert asked == []
    here.names = ["news"]
    assert await offer.list_prompts(here)  # type: ignore[arg-type]
    assert not await offer.list_prompts(here)  # type: ignore[arg-type]
    assert [one[0] for one in offer.completions("/n")] == ["/new", "/news"]
    assert asked == []
    now[0] += FRESH_SECONDS + 1
    assert list(offer.completions("@read")) != []
    assert asked == []
    assert len([*offer.completions("/n"), *offer.completions("/n")]) == 4
    assert asked == [now[0]]
    assert offer.has("/news today")
    assert not offer.has("/newer")
    assert offer.nearest("newz") in ("new", "news")
    assert offer.command("new") is command
    assert offer.command("news") is None


# --- the history ------------------------------------------------------------------


def test_history_is_kept_for_this_person_only(tmp_path: Path) -> None:
    path = tmp_path / "state" / "prompts"
    history = PromptHistory(lambda: path)
    history.append_string("one\ntwo")
    history.append_string("three \u202e\udc80")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(PromptHistory(lambda: path).load_history_strings()) == [
        "three ",
        "one\ntwo",
    ]


def test_a_history_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "prompts"
    path.write_text('"old"\n')
    path.chmod(0o644)
    history = PromptHistory(lambda: path)
    assert list(history.load_history_strings()) == []
    history.append_string("secret")
    assert "secret" not in path.read_text()


def test_a_history_behind_a_link_is_not_used(tmp_path: Path) -> None:
    aim = tmp_path / "aim"
    aim.write_text("")
    aim.chmod(0o600)
    path = tmp_path / "prompts"
    path.symlink_to(aim)
    PromptHistory(lambda: path).append_string("secret")
    assert aim.read_text() == ""


def test_a_pipe_in_the_place_of_the_history_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "prompts"
    os.mkfifo(path, 0o600)
    history = PromptHistory(lambda: path)
    assert list(history.load_history_strings()) == []
    history.append_string("nobody reads it")


def test_a_folder_in_the_place_of_the_history_disturbs_nobody(tmp_path: Path) -> None:
    history = PromptHistory(lambda: tmp_path)
    assert list(history.load_history_strings()) == []
    history.append_string("kept nowhere")


def test_rubbish_in_the_history_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "prompts"
    deep, number = b"[" * 100_000, b"1" * 5_000
    path.write_bytes(b"\n".join([deep, number, b"\xff\x00", b'"said"', b"{}", b""]))
    path.chmod(0o600)
    assert list(PromptHistory(lambda: path).load_history_strings()) == ["said"]


def test_a_damaged_line_is_passed_over_and_a_long_file_gets_shorter(
    tmp_path: Path,
) -> None:
    path = tmp_path / "prompts"
    lines = [f'"{n}"' for n in range(3 * MOST)]
    path.write_text("\n".join([*lines, '"cut', '{"no": 1}', '"last"']) + "\n")
    path.chmod(0o600)
    found = list(PromptHistory(lambda: path).load_history_strings())
    assert found[0] == "last"
    assert len(found) == MOST
    assert path.read_text().count("\n") == MOST


# --- what is asked ----------------------------------------------------------------

FRUIT = Question(
    "Which?",
    options=(QuestionOption("Apple"), QuestionOption("Pear"), QuestionOption("Fig")),
    multiple=True,
)


def test_a_card_takes_one_of_its_keys_and_no_other() -> None:
    ask = Ask("", "y or n", {"y": "once", "n": "reject"})
    assert not ask.press("x")
    assert ask.answer is None
    assert ask.press("y")
    assert ask.press("n")
    assert ask.answer == "once"


def test_a_line_answers_a_card_by_its_word() -> None:
    ask = Ask("", "y or n", {"y": True, "n": False})
    assert ask.enter("perhaps") == "y or n"
    assert ask.enter("yes") is None
    assert ask.answer is True


def test_a_form_is_answered_by_keys() -> None:
    form = Form(question=FRUIT)
    form.toggle()
    form.move(-1)
    form.toggle()
    assert [hand for hand, _ in form.rows()] == [False, False, True]
    assert form.enter("") is None
    assert form.answer == QuestionAnswer(("Apple", "Fig"))


def test_a_form_is_answered_by_numbers_or_words() -> None:
    form = Form(question=FRUIT)
    assert form.enter("7") is not None
    assert form.enter("1 2") is None
    assert form.answer == QuestionAnswer(("Apple", "Pear"))
    free = Form(question=Question("Why?"))
    assert free.enter("because") is None
    assert free.answer == QuestionAnswer(text="because")


def test_words_may_be_none() -> None:
    words = Words()
    assert words.enter("  ") is None
    assert words.answer == ""


# --- the status line --------------------------------------------------------------


def test_a_status_line_leaves_out_what_matters_least() -> None:
    status = Status(
        "working", "openai/m", "build", 1000, 120, 4321, "at least $0.0100", 75
    )
    assert status.text(200) == (
        "working · openai/m · build · 12% of 1.0k · 4.3k tokens · at least $0.0100 · "
        "1:15"
    )
    assert (
        status.text(60) == "working · openai/m · 12% of 1.0k · at least $0.0100 · 1:15"
    )
    assert status.text(20) == "working · openai/m"
    assert status.text(5) == "work…"


def test_numbers_are_short() -> None:
    assert [count_text(n) for n in (9, 1500, 150_000, 2_500_000)] == [
        "9",
        "1.5k",
        "150k",
        "2.5M",
    ]
    assert clock_text(3725) == "1:02:05"


def test_what_cannot_be_seen_does_not_come_to_the_prompt_line() -> None:
    assert typeable("a\u202eb\x1b[31mc\x07\u200bd") == "abcd"
    assert typeable("one\n\ttwo é日👨\u200d👩") == "one\n\ttwo é日👨\u200d👩"


def test_enter_alone_chooses_nothing_where_no_option_is_at_hand() -> None:
    for question in (FRUIT, Question("Why?")):
        form = Form(question=question, hint="a number", plain=True)
        assert form.enter(" ") == "a number"
        assert form.enter("") == "a number"
        assert form.answer is None


def test_a_line_answers_a_card_by_a_whole_word_only() -> None:
    ask = Ask("", "y once", {"y": "once", "n": "reject"})
    for line in ("you should not", "y please", "nothing of it", ""):
        assert ask.enter(line) == "y once"
    assert ask.answer is None
    assert ask.enter(" Yes ") is None
    assert ask.answer == "once"
