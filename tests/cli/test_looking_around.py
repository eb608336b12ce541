"""``config``, ``doctor``, ``stats``, ``skills`` and ``completion``: what is here."""

import io
import json
import os
import subprocess
from collections.abc import Callable

import anyio
import anyio.lowlevel
import click
import pytest
from dovetail.kernel import Spending, Usage
from dovetail.plugins.cli import doctor, stats
from dovetail.plugins.cli.named import the_one
from dovetail.plugins.console.listing import ago
from dovetail.plugins.console.spinner import Spinner
from dovetail.plugins.console.terminal import Terminal
from support.commands import Done, Home


def write_mine(home: Home, text: str) -> None:
    folder = home.path / ".config" / "dovetail"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dovetail.toml").write_text(text)


# --- config -----------------------------------------------------------------------


def test_a_value_is_set_checked_and_shown_with_where_it_is_from(
    home: Home, do: Callable[..., Done]
) -> None:
    write_mine(home, '# mine\nagent = "build" # the usual\n')
    assert do("config", "set", "model", "openai/m").code == 0
    file = do("config", "path").out.strip()
    with open(file, encoding="utf-8") as written:
        assert written.read() == (
            '# mine\nagent = "build" # the usual\nmodel = "openai/m"\n'
        )
    shown = {one["setting"]: one for one in do("config", "show", "--json").lines()}
    assert shown["model"] == {
        "setting": "model",
        "value": "openai/m",
        "source": file,
        "counts": True,
    }
    assert shown["DOVETAIL_DB"]["source"] == "environment"
    wrong = do("config", "set", "modle", "x")
    assert (wrong.code, wrong.err.count("did you mean 'model'?")) == (2, 1)
    assert wrong.err.count("did you mean") == 1
    assert do("config", "set", "model", "noslash").code == 2
    odd = do("config", "set", "model_titles", "perhaps")
    assert (odd.code, "[config.invalid]" in odd.err) == (2, True)
    assert do("config", "set", "model", "--unset").code == 0
    with open(file, encoding="utf-8") as written:
        assert written.read() == '# mine\nagent = "build" # the usual\n'


def test_what_a_file_says_that_nobody_vouches_for_does_not_count(
    home: Home, do: Callable[..., Done]
) -> None:
    write_mine(home, 'model = "openai/m"\n')
    file = home.work / "dovetail.toml"
    file.write_text('model = "openai/theirs"\n[tools.bash]\nmodels = ["x/*"]\n')
    shown = do("config", "show", "--json").lines()
    counts = {one["value"]: one["counts"] for one in shown if one["setting"] == "model"}
    assert counts == {"openai/m": True, "openai/theirs": False}
    [other] = [one for one in shown if one["setting"] == "tools.bash.models"]
    assert not other["counts"]

    file.write_text("model = [")
    broken = do("config", "show")
    assert (broken.code, "openai/m" in broken.out) == (1, True)


def test_no_secret_is_shown_and_no_key_is_taken(
    home: Home, do: Callable[..., Done]
) -> None:
    write_mine(
        home,
        "[providers.acme]\n"
        'base_url = "https://host.example/v1?key=SECRET"\n'
        'api_key = "SECRET"\n'
        'api_key_env = "ACME_KEY"\n'
        'headers = { x = "SECRET" }\n'
        '[plugins.weather]\ntoken = "SECRET"\n'
        '[plugins.weather.deep]\nit = ["SECRET"]\n',
    )
    for arguments in (["config", "show"], ["config", "show", "--json"]):
        done = do(*arguments)
        assert "SECRET" not in done.out + done.err
    done = do("config", "set", "providers.acme.api_key", "SECRET")
    assert (done.code, "dovetail keys set acme" in done.err) == (2, True)


# --- doctor -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "bad"),
    [
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 1), True),
        ((3, 6, 23), False),
    ],
)
def test_releases_of_sqlite_with_the_reset_bug_are_known(
    version: tuple[int, ...], bad: bool
) -> None:
    assert doctor.has_wal_reset_bug(version) is bad


def test_a_python_that_is_too_old_is_a_problem() -> None:
    assert [one.state for one in doctor.python((3, 10, 1))] == ["problem"]


def test_the_doctor_names_what_is_wrong_and_what_to_do(
    home: Home, do: Callable[..., Done]
) -> None:
    keys = home.path / ".config" / "dovetail" / "keys.toml"
    write_mine(home, "")
    keys.write_text('groq = "sk-SECRET"\n')
    keys.chmod(0o644)
    done = do("doctor", "--json")
    assert done.code == 1
    found = done.lines()
    assert "SECRET" not in done.out
    [wrong] = [one for one in found if one["advice"] == f"chmod 600 {keys}"]
    assert (wrong["about"], wrong["state"]) == ("files", "problem")
    assert {one["about"] for one in found} >= {
        "python",
        "sqlite",
        "disk",
        "plugins",
        "keys",
        "sessions",
    }
    keys.chmod(0o600)
    assert do("doctor").code == 0


def test_the_doctor_takes_a_plugin_that_a_person_turned_off_for_no_problem(
    home: Home, do: Callable[..., Done]
) -> None:
    write_mine(home, 'disable_plugins = ["cohere"]\n')
    done = do("doctor", "--json")
    assert (done.code, "cohere is left out" in done.out) == (0, False)


# --- stats ------------------------------------------------------------------------


def test_sums_say_at_least_where_a_price_is_unknown() -> None:
    spent = [
        Spending("2026-01-01", "a/m", "/w", 2, Usage(10, 5), 0.5, 0),
        Spending("2026-01-02", "b/m", "/w", 1, Usage(1, 1), None, 1),
    ]
    [all] = stats.sums(spent, lambda one: "all")
    assert (all.steps, all.tokens, all.price) == (3, 17, "at least $0.50")
    assert [one.price for one in stats.sums(spent, lambda one: one.day)] == [
        "$0.50",
        "price unknown",
    ]
    assert stats.bar(1, 1) == "█" * stats.BAR_WIDTH
    assert stats.bar(0, 0).strip() == ""
    assert stats.bar(1e-9, 1).strip() == "▏"


def test_stats_of_nothing_are_told(do: Callable[..., Done]) -> None:
    assert do("sessions").code == 0
    done = do("stats", "--days", "3")
    assert (done.code, done.out) == (0, "")
    assert done.err == "no Steps in the last 3 days\n"


# --- skills and completion --------------------------------------------------------


def test_skills_are_listed_with_what_is_wrong_with_others(
    home: Home, do: Callable[..., Done]
) -> None:
    good = home.work / ".claude" / "skills" / "brew"
    good.mkdir(parents=True)
    (good / "SKILL.md").write_text(
        "---\nname: brew\ndescription: Makes \x1b[31mtea.\n---\nBoil.\n"
    )
    bad = home.work / ".claude" / "skills" / "bad"
    bad.mkdir()
    (bad / "SKILL.md").write_text("no front matter")
    done = do("skills", "--json")
    skill, problem = done.lines()
    assert (skill["name"], skill["directory"]) == ("brew", str(good))
    assert problem["path"].startswith(str(bad))
    assert done.code == 1
    for_people = do("skills")
    assert "brew" in for_people.out
    assert "\x1b" not in for_people.out + for_people.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(do: Callable[..., Done], shell: str) -> None:
    done = do("completion", shell)
    assert done.code == 0
    assert "_DOVETAIL_COMPLETE" in done.out


def test_the_script_of_bash_is_one(do: Callable[..., Done]) -> None:
    script = do("completion", "bash").out
    checked = subprocess.run(["bash", "-n"], input=script.encode(), check=False)
    assert checked.returncode == 0


def test_a_word_is_completed(
    do: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "COMP_WORDS", "dovetail sess")
    monkeypatch.setitem(os.environ, "COMP_CWORD", "1")
    monkeypatch.setitem(os.environ, "_DOVETAIL_COMPLETE", "bash_complete")
    assert do().out.split() == ["plain,sessions"]


# --- words ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (3, "just now"),
        (42, "42 seconds ago"),
        (60, "1 minute ago"),
        (3599, "59 minutes ago"),
        (7200, "2 hours ago"),
        (3 * 86_400, "3 days ago"),
        (20 * 86_400, "2 weeks ago"),
        (100 * 86_400, "3 months ago"),
    ],
)
def test_times_are_told_from_now(seconds: int, told: str) -> None:
    assert ago(1_000_000_000_000, 1_000_000_000 + seconds) == told


def test_long_ago_and_not_yet_are_told_by_their_date() -> None:
    assert ago(1_000_000_000_000, 1_000_000_000 + 400 * 86_400).startswith("2001-09-")
    assert ago(1_000_000_000_000, 999_990_000).startswith("2001-09-")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["sesions"], "did you mean sessions"),
        (["permissions", "lst"], "did you mean list"),
        (["sessions", "list"], "`dovetail sessions` alone lists them"),
        (["--server", "localhost:4096", "sessions"], "http://127.0.0.1:4096"),
        (["run", "--modle", "x"], "--model"),
        # What can only be a conversation is one, which needs a terminal.
        (["--plain"], "a conversation needs a terminal"),
        (["-v", "--model=x", "-c"], "a conversation needs a terminal"),
        (["--server", "http://127.0.0.1:1"], "a conversation needs a terminal"),
        (["--plain", "hello"], "did you mean `dovetail chat --plain`?"),
        (["-c", "run"], "did you mean `dovetail chat -c` or `dovetail run -c`?"),
        (["--model"], "`dovetail chat --model`"),
        (["fix the test"], 'a prompt is given to `dovetail run "..."`'),
    ],
)
def test_a_word_that_is_close_is_named(
    do: Callable[..., Done], words: list[str], meant: str
) -> None:
    done = do(*words)
    assert (done.code, meant in done.err) == (2, True)


def test_a_list_of_agents_says_how_one_is_taken_and_added(
    do: Callable[..., Done],
) -> None:
    done = do("agents")
    assert "--agent NAME" in done.err
    assert ".dovetail/agents/NAME.md" in done.err
    assert do("agents", "--json").err == ""


def test_json_of_stats_is_lines(do: Callable[..., Done]) -> None:
    do("sessions")
    assert [json.loads(one) for one in do("stats", "--json").out.splitlines()] == []


def test_an_id_is_shortened_as_long_as_one_begins_like_it() -> None:
    known = ["apr_1", "apr_12", "apr_2"]
    assert the_one("apr_1", known) == "apr_1"
    assert the_one("apr_2", known) == "apr_2"
    assert the_one("apr_12", known) == "apr_12"
    assert the_one("other", known) == "other"
    for several in ("apr", "apr_"):
        with pytest.raises(click.UsageError, match="apr_1, apr_12, apr_2"):
            the_one(several, known)
    assert the_one("", []) == ""


# --- the spinner ------------------------------------------------------------------


class Screen(io.StringIO):
    """A stream that is a terminal, as far as anybody can tell."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


async def test_a_spinner_is_gone_before_anything_else_is_written() -> None:
    screen = Screen()
    turning = Spinner(screen, {"TERM": "xterm"})
    turning.moved(at_start=True)
    turning.later = 0.0
    terminal = Terminal(screen, screen, {})
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(turning.run)
            while not screen.getvalue():
                await anyio.lowlevel.checkpoint()
            terminal.tell("said")
            tasks.cancel_scope.cancel()
    assert screen.getvalue().endswith("\r\x1b[Ksaid\n")


def test_there_is_no_spinner_where_no_terminal_is() -> None:
    assert not Spinner(io.StringIO(), {"TERM": "xterm"}).there
    assert not Spinner(Screen(), {"TERM": "dumb"}).there
