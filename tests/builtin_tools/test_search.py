"""The tools glob and grep, once with ripgrep and once with our own search."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
from dovetail.builtin_tools import _walk
from dovetail.builtin_tools._search import Search, find_ripgrep
from dovetail.builtin_tools._walk import (
    FilePattern,
    IgnoreRules,
    PatternError,
    is_visible,
)
from dovetail.kernel import PermissionDeniedError, ToolFailure
from hypothesis import example, given, settings, strategies as st
from support.bounds import HANG

TREE = {
    ".gitignore": "*.log\nbuild/\n/only-here.txt\n!keep.log\n!.shown\n",
    ".ignore": "private/\n",
    ".hidden/a.py": "needle",
    ".shown": "needle",
    ".env": "needle",
    ".git/config": "needle",
    "a.py": "first\nneedle here\n",
    "a b/c.py": "needle",
    "a-b/c.py": "needle",
    "a/b/c.py": "needle",
    "a/b.py": "needle",
    "build/x.py": "needle",
    "keep.log": "needle",
    "drop.log": "needle",
    "only-here.txt": "needle",
    "sub/only-here.txt": "needle",
    "sub/.gitignore": "*.tmp\n!drop.log\n",
    "sub/x.tmp": "needle",
    "sub/drop.log": "needle",
    "sub/.hidden.py": "needle",
    "private/x.py": "needle",
    "umlaut-é.py": "needle",
    "binary.bin": b"needle\0needle\n",
    "B.PY": "nothing",
}
VISIBLE = [
    ".shown",
    "B.PY",
    "a/b/c.py",
    "a/b.py",
    "a b/c.py",
    "a-b/c.py",
    "a.py",
    "binary.bin",
    "keep.log",
    "sub/drop.log",
    "sub/only-here.txt",
    "umlaut-é.py",
]


REQUEST = {"include": None, "stdin": False, "skip": False, "also": None}
"""Of the search program, without an expression."""

ROOT = str(Path(__file__).resolve().parents[2])


def in_order(paths: list[str]) -> list[str]:
    return sorted(paths, key=lambda path: os.fsencode(path).split(b"/"))


async def test_visible_files_come_in_the_order_of_their_parts(
    searching: Any, fill: Any
) -> None:
    fill(TREE)
    output = await searching.call("glob", pattern="**")
    assert list(output.paths) == in_order(VISIBLE)
    assert not output.truncated


async def test_lines_come_with_path_and_number(searching: Any, fill: Any) -> None:
    fill(TREE)
    output = await searching.call("grep", pattern="need.e")
    expected = [path for path in VISIBLE if path not in ("B.PY", "binary.bin")]
    assert [match.path for match in output.matches] == in_order(expected)
    assert "a.py:2:needle here" in searching.show("grep", output).split("\n")


# What a pattern means is the same on every event loop: how the tools wait for their
# searches, the other tests try on both.
meaning = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.py", ["a/b/c.py", "a/b.py", "a b/c.py", "a-b/c.py", "a.py", "umlaut-é.py"]),
        ("/*.py", ["a.py", "umlaut-é.py"]),
        ("a/*.py", ["a/b.py"]),
        ("a/**/*.py", ["a/b/c.py", "a/b.py"]),
        ("**/c.py", ["a/b/c.py", "a b/c.py", "a-b/c.py"]),
        ("a*/c.py", ["a b/c.py", "a-b/c.py"]),
        ("{a b,a-b}/c.?y", ["a b/c.py", "a-b/c.py"]),
        ("*.{PY,bin}", ["B.PY", "binary.bin"]),
        ("[b-k]*.[!p]*", ["binary.bin", "keep.log", "sub/drop.log"]),
        ("sub/", ["sub/drop.log", "sub/only-here.txt"]),
        ("!*.py", [".shown", "B.PY", "binary.bin", "keep.log"]),
        ("*.log", ["keep.log", "sub/drop.log"]),
        ("nothing*", []),
    ],
)
@meaning
async def test_patterns(
    searching: Any, fill: Any, pattern: str, found: list[str]
) -> None:
    fill(TREE)
    output = await searching.call("glob", pattern=pattern)
    if pattern.startswith("!"):
        found = [*found, "sub/drop.log", "sub/only-here.txt"]
    assert list(output.paths) == in_order(found)
    lines = await searching.call("grep", pattern="^", include=pattern)
    searched = {match.path for match in lines.matches}
    assert searched == set(found) - {"binary.bin"}


@meaning
async def test_an_absolute_pattern_below_the_folder_is_understood(
    searching: Any, place: Path, fill: Any
) -> None:
    fill(TREE)
    output = await searching.call("glob", pattern=f"{place}/a/*.py")
    assert output.paths == ("a/b.py",)


@pytest.mark.parametrize("pattern", ["/", "!", "a/../b", "{a,b", "{a,b}" * 12])
@pytest.mark.parametrize("tool", ["glob", "grep"])
@meaning
async def test_an_unusable_pattern_is_explained_before_anything_is_asked(
    searching: Any, tool: str, pattern: str
) -> None:
    given = (
        {"pattern": pattern} if tool == "glob" else {"pattern": "x", "include": pattern}
    )
    with pytest.raises(ToolFailure, match="cannot use the pattern"):
        await searching.call(tool, **given)
    assert searching.context.asked == []


@meaning
async def test_a_folder_limits_the_search_and_rules_above_it_hold(
    searching: Any, fill: Any
) -> None:
    fill(TREE)
    output = await searching.call("glob", pattern="*", path="sub")
    assert output.paths == ("sub/drop.log", "sub/only-here.txt")
    lines = await searching.call("grep", pattern="needle", path="./sub")
    assert [match.path for match in lines.matches] == list(output.paths)


@meaning
async def test_a_hidden_or_ignored_folder_is_searched_when_it_is_named(
    searching: Any, fill: Any
) -> None:
    fill(TREE)
    for folder, path in (
        (".hidden", ".hidden/a.py"),
        ("build", "build/x.py"),
        ("private", "private/x.py"),
    ):
        output = await searching.call("glob", pattern="*", path=folder)
        assert output.paths == (path,)


async def test_a_file_can_be_searched_by_its_name_with_the_right_to_read_it(
    searching: Any, fill: Any
) -> None:
    fill(TREE)
    assert await searching.text("grep", pattern="needle", path=".env") == (
        ".env:1:needle"
    )
    assert searching.context.asked == [("grep", ("needle",)), ("read", (".env",))]
    searching.context.deny = ("read",)
    with pytest.raises(PermissionDeniedError):
        await searching.call("grep", pattern="needle", path=".env")


@pytest.mark.law("access.1")
@pytest.mark.law("access.7")
@meaning
async def test_what_may_not_be_read_is_left_out_and_its_content_decides_nothing(
    searching: Any, fill: Any
) -> None:
    """Otherwise grep would be read by another name, one question at a time."""
    names = ["prod.env", "a/b/.hidden.env", "a/prod env.env", "[x]{y}!#\\ .env"]
    fill(dict.fromkeys(names, "needle secret") | {"a.py": "needle"})
    searching.context.closed = ("*.env",)
    seen = set()
    for pattern in ("needle", "secret", "^needle s", "nothing at all"):
        shown = await searching.text("grep", pattern=pattern)
        seen.add(shown.partition("\n")[2])
        assert ("a.py:1:needle" in shown) is (pattern == "needle")
        assert "secret" not in shown
        assert searching.context.asked.pop() == ("grep", (pattern,))
    # A file that is hidden by its name is not seen, and so not left out.
    assert seen == {
        "\n(3 files were left out, because reading is denied there or has to be asked "
        "for; give the path of one to ask)"
    }
    for include in ("prod.env", "a/*.env", ".hidden.env"):
        output = await searching.call("grep", pattern="needle", include=include)
        assert (output.lines, output.left_out) == (0, 1)
    found = await searching.call("glob", pattern="*")
    assert (found.paths, found.left_out) == (("a.py",), 3)
    assert "\n(3 files were left out" in searching.show("glob", found)


@pytest.mark.law("access.7")
@pytest.mark.parametrize("many", [True, False])
async def test_files_that_may_not_be_read_are_not_even_opened(
    searching: Any, place: Path, fill: Any, monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    """Too many for the arguments of a program are no difference."""
    if many:
        monkeypatch.setattr("dovetail.builtin_tools._search.MAX_SKIPPED", 10)
    names = ["public/a.txt", *(f"secret/{number}.txt" for number in range(20))]
    fill(dict.fromkeys(names, "needle"))
    searching.context.closed = ("secret/*",)
    for name in names:
        os.utime(place / name, (1, 2))
    output = await searching.call("grep", pattern="needle")
    assert (output.lines, output.left_out) == (1, 20)
    read = [name for name in names if (place / name).stat().st_atime_ns != 10**9]
    if not read:
        pytest.skip("this file system does not record when a file was read")
    assert read == ["public/a.txt"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (".github/**/*.yml", [".github/workflows/ci.yml"]),
        (".github/**", [".github/CODEOWNERS", ".github/workflows/ci.yml"]),
        (".eslintrc*", [".eslintrc.json", "pkg/.eslintrc.json"]),
        ("pkg/.eslintrc.json", ["pkg/.eslintrc.json"]),
        ("{.eslintrc.json,x.py}", [".eslintrc.json", "pkg/.eslintrc.json"]),
        ("**/.npmrc", ["pkg/.npmrc"]),
        # What is hidden in what is named stays hidden, as in a shell.
        (".github/*/*", [".github/workflows/ci.yml"]),
        ("*.yml", []),
        # Ignored files are named by their very path.
        (".env", [".env"]),
        (".cache/x.bin", [".cache/x.bin"]),
        ("dist/main.js", ["dist/main.js"]),
        ("*.js", []),
        (".git/config", []),
    ],
)
@meaning
async def test_a_pattern_that_names_what_is_hidden_finds_it(
    searching: Any, fill: Any, pattern: str, found: list[str]
) -> None:
    names = (
        ".cache/x.bin .env .eslintrc.json .git/config .github/.secret/x.yml "
        ".github/CODEOWNERS .github/workflows/ci.yml dist/main.js pkg/.eslintrc.json "
        "pkg/.npmrc pkg/a.txt"
    )
    fill(dict.fromkeys(names.split(), "needle"))
    fill({".gitignore": ".env\ndist/\n.cache\n"})
    output = await searching.call("glob", pattern=pattern)
    assert list(output.paths) == found
    lines = await searching.call("grep", pattern="needle", include=pattern)
    assert [match.path for match in lines.matches] == found


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("app/[id]/page.tsx", ["app/[id]/page.tsx", "app/i/page.tsx"]),
        ("app/[...all]/*.tsx", ["app/[...all]/page.tsx"]),
        ("[id].tsx", ["[id].tsx", "app/[id].tsx", "app/d.tsx"]),
        ("app/{slug}/page.tsx", ["app/{slug}/page.tsx"]),
        ("**/[[]id].tsx", ["[id].tsx", "app/[id].tsx"]),
        ("what?*", ["what?*"]),
        ("back\\slash", ["back\\slash"]),
    ],
)
@meaning
async def test_a_pattern_that_is_the_very_path_of_a_file_finds_it(
    searching: Any, fill: Any, pattern: str, found: list[str]
) -> None:
    names = (
        "[id].tsx app/[...all]/page.tsx app/[id].tsx app/[id]/page.tsx app/d.tsx "
        "app/i/page.tsx app/{slug}/page.tsx back\\slash what?*"
    )
    fill(dict.fromkeys(names.split(), "needle"))
    output = await searching.call("glob", pattern=pattern)
    assert list(output.paths) == in_order(found)
    lines = await searching.call("grep", pattern="needle", include=pattern)
    assert [match.path for match in lines.matches] == in_order(found)


async def test_more_than_the_limit_is_said(searching: Any, fill: Any) -> None:
    fill({f"f{number:03}.txt": "x\nx\n" for number in range(150)})
    output = await searching.call("glob", pattern="*")
    assert output.paths == tuple(f"f{number:03}.txt" for number in range(100))
    assert output.truncated
    assert "there are more" in searching.show("glob", output)
    lines = await searching.call("grep", pattern="x", limit=3)
    assert [(match.path, match.line) for match in lines.matches] == [
        ("f000.txt", 1),
        ("f000.txt", 2),
        ("f001.txt", 1),
    ]
    assert lines.truncated
    assert "there are more" in searching.show("grep", lines)
    exact = await searching.call("grep", pattern="x", include="f00[0-4].txt", limit=10)
    assert (exact.lines, exact.truncated) == (10, False)


@meaning
async def test_nothing_found_is_said(searching: Any) -> None:
    assert "no file matches" in await searching.text("glob", pattern="*")
    assert "no line matches" in await searching.text("grep", pattern="x")


@pytest.mark.parametrize("pattern", ["retu(rn", "[", "*x", "a{2,1}"])
@meaning
async def test_an_invalid_expression_is_explained(
    searching: Any, fill: Any, pattern: str
) -> None:
    fill({"a.txt": "x"})
    with pytest.raises(ToolFailure, match=r"cannot search: the expression .* is inv"):
        await searching.call("grep", pattern=pattern)


@pytest.mark.parametrize("pattern", ["a\nb", "a\0b"])
@meaning
async def test_an_expression_over_lines_is_refused(
    searching: Any, pattern: str
) -> None:
    with pytest.raises(ToolFailure, match="cannot search"):
        await searching.call("grep", pattern=pattern)


@meaning
async def test_expressions_that_look_like_options_are_expressions(
    searching: Any, fill: Any
) -> None:
    fill({"a.txt": "--files\n-v\n"})
    for pattern in ("--files", "-v"):
        output = await searching.call("grep", pattern=pattern)
        assert [match.text for match in output.matches] == [pattern]


@meaning
async def test_long_lines_are_cut_and_damaged_ones_shown(
    searching: Any, place: Path, fill: Any
) -> None:
    fill(
        {
            "long.txt": "é" * 3000 + "needle" + "x" * 3_000_000 + "\nneedle\n",
            "damaged.txt": b"needle \xff\xe2\x82 end\r\n",
            "mark.txt": "\ufeffneedle\n",
            "wide.txt": "needle\n".encode("utf-16"),
        }
    )
    output = await searching.call("grep", pattern="needle")
    assert [(match.path, match.line, match.text) for match in output.matches] == [
        ("damaged.txt", 1, "needle \ufffd\ufffd end"),
        ("long.txt", 1, "é" * 2000 + "... (line cut)"),
        ("long.txt", 2, "needle"),
        ("mark.txt", 1, "needle"),
        ("wide.txt", 1, "needle"),
    ]


@meaning
async def test_replaced_bytes_are_those_of_the_reference(
    searching: Any, place: Path, corpus: Any
) -> None:
    folder = corpus("utf8tests").path
    raw = (folder / "utf8tests.bin").read_bytes().replace(b"\0", b"")
    (place / "a.txt").write_bytes(raw)
    expected = (folder / "utf8.replace.ref.txt").read_bytes().decode()
    lines = expected.replace("\0", "").split("\n")
    shown: list[str] = []
    for number in range(10):
        output = await searching.call("grep", pattern=rf"^\d*{number}[.:]")
        shown += [f"{match.line}\t{match.text}" for match in output.matches]
    assert set(shown) == {
        f"{number}\t{line}" for number, line in enumerate(lines, 1) if line
    }


@meaning
async def test_what_turns_out_binary_later_ends_there(
    searching: Any, fill: Any
) -> None:
    fill(
        {
            "a.bin": b"needle\n" + b"x" * 200_000 + b"\nneedle\0\nneedle\n",
            "b.txt": "needle\n",
        }
    )
    output = await searching.call("grep", pattern="needle")
    assert [(match.path, match.line) for match in output.matches] == [
        ("a.bin", 1),
        ("b.txt", 1),
    ]


@meaning
async def test_links_are_neither_followed_nor_listed(
    searching: Any, place: Path, fill: Any
) -> None:
    outside = place.parent / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("needle")
    fill({"a.txt": "needle"})
    (place / "folder").symlink_to(outside)
    (place / "file.txt").symlink_to(outside / "secret.txt")
    (place / "inside.txt").symlink_to("a.txt")
    output = await searching.call("glob", pattern="*")
    assert output.paths == ("a.txt",)
    lines = await searching.call("grep", pattern="needle")
    assert [match.path for match in lines.matches] == ["a.txt"]


@meaning
async def test_a_file_that_is_named_is_found_in_a_folder_that_may_not_be_listed(
    searching: Any, place: Path, fill: Any
) -> None:
    fill({"closed/a.txt": "needle", "b.txt": "needle"})
    (place / "closed").chmod(0o311)
    output = await searching.call("glob", pattern="closed/a.txt")
    assert output.paths == ("closed/a.txt",)
    lines = await searching.call("grep", pattern="needle", include="closed/a.txt")
    assert [match.path for match in lines.matches] == ["closed/a.txt"]
    (place / "closed").chmod(0o700)


@meaning
async def test_names_with_line_breaks_stay_on_one_line(
    searching: Any, fill: Any
) -> None:
    fill({"a\nb:1:fake.txt": "needle\n", "z.txt": "needle\n"})
    shown = await searching.text("grep", pattern="needle")
    assert shown == "a\\nb:1:fake.txt:1:needle\nz.txt:1:needle"
    assert await searching.text("glob", pattern="*") == "a\\nb:1:fake.txt\nz.txt"


@meaning
async def test_a_file_is_no_folder_to_find_files_in(searching: Any, fill: Any) -> None:
    fill({"a.txt": "x"})
    with pytest.raises(ToolFailure, match="it is a file, not a folder"):
        await searching.call("glob", pattern="*", path="a.txt")
    with pytest.raises(ToolFailure, match="there is no such"):
        await searching.call("grep", pattern="x", path="missing")


async def test_the_users_own_ripgrep_settings_do_not_count(
    searching: Any, place: Path, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill({"a.txt": "needle", "rc": "--hidden\n", ".hidden.txt": "needle"})
    monkeypatch.setenv("RIPGREP_CONFIG_PATH", str(place / "rc"))
    output = await searching.call("grep", pattern="needle")
    assert [match.path for match in output.matches] == ["a.txt"]


async def test_an_expression_that_would_run_for_ever_is_stopped_and_said(
    place: Path, fill: Any
) -> None:
    fill({"a.txt": "needle\n", "b.txt": "a" * 60 + "b\n"})
    search = Search(os.environ, ripgrep=False, seconds=1.5)
    where = str(place)
    with anyio.fail_after(HANG), opened(place) as folder:
        found = await search.lines(folder, where, "needle|(a+)+$", None, 10, anything)
    assert found.timed_out
    assert not found.truncated


async def test_cancelling_a_search_ends_its_process(
    place: Path, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill({"b.txt": "a" * 60 + "b\n"})
    started: list[subprocess.Popen[bytes]] = []
    second = threading.Event()
    real = subprocess.Popen

    def watched(*args: Any, **kwargs: Any) -> Any:
        started.append(real(*args, **kwargs))
        if len(started) == 2:
            second.set()
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", watched)
    search = Search(os.environ, ripgrep=False)
    where = str(place)
    with anyio.fail_after(HANG), opened(place) as folder:
        async with anyio.create_task_group() as group:
            group.start_soon(search.lines, folder, where, "(a+)+$", None, 10, anything)
            assert await anyio.to_thread.run_sync(second.wait, HANG)
            group.cancel_scope.cancel()
    # The names were listed by one, the lines are looked for by the other.
    assert [process.returncode for process in started] == [0, -15]


def anything(path: str) -> bool:
    return True


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def test_both_ways_find_the_same_in_this_repository() -> None:
    """A tree of real files, with every pattern that the other tests use."""
    root = ROOT
    if find_ripgrep(os.environ) is None:
        pytest.skip("ripgrep is not installed")
    ways = [Search(os.environ, ripgrep=one) for one in (True, False)]
    with opened(Path(root)) as at:
        for pattern in ("**", "*.py", "tests/**/test_*.py", "!*.py"):
            found = [await way.files(at, root, pattern, 5000, anything) for way in ways]
            assert found[0] == found[1]
            assert len(found[0].paths) > 3
        for pattern, include in (("import", None), (r"def \w+", "kernel/**/*.py")):
            lines = [
                await way.lines(at, root, pattern, include, 5000, anything)
                for way in ways
            ]
            assert lines[0] == lines[1]
            assert len(lines[0].matches) > 50


# --- the rules of visibility against git ------------------------------------------


def git(folder: Path, *arguments: str, given: bytes = b"") -> bytes:
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        input=given,
        capture_output=True,
        env=environment,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def found_repository(root: Path) -> None:
    """Make what git takes for a repository; its `init` takes longer than a test."""
    for folder in ("objects", "refs"):
        (root / ".git" / folder).mkdir(parents=True)
    (root / ".git" / "HEAD").write_text("ref: refs/heads/main\n")


def paths_from(text: str) -> set[str]:
    """Return paths that the patterns of an ignore file may speak of."""
    paths: set[str] = set()
    for line in text.splitlines():
        one = line.strip().removeprefix("!").removeprefix("\\").strip("/")
        if not one or line.startswith("#") or "\0" in one:
            continue
        plain = one.replace("**", "deep/er").replace("*", "star").replace("?", "q")
        start, bracket, rest = plain.partition("[")
        if bracket and "]" in rest:
            inside, _, end = rest.partition("]")
            plain = start + (inside[:1] if inside[:1] not in "!^" else "~") + end
        for path in (plain, f"below/{plain}", f"{plain}/inside.txt", f"{plain}x"):
            parts = path.split("/")
            # Hidden names are another rule, and not one of git's.
            if all(part and part[0] != "." for part in parts) and len(path) < 200:
                paths.add(path)
    return paths


def test_what_ignore_files_hide_is_what_git_hides(tmp_path: Path, corpus: Any) -> None:
    """Every template; paths made from its patterns; as a file and as a folder."""
    if not _has_git():
        pytest.skip("git is not installed")
    folder = corpus("gitignore-templates").path
    texts = [
        one["text"] for one in corpus("gitignore-templates").lines("templates.jsonl")
    ]
    for path in [*folder.glob("ripgrep/*"), *folder.glob("node-ignore/.*")]:
        if path.is_file():
            texts.append(path.read_bytes().decode("utf-8", "replace"))
    found_repository(tmp_path)
    checked = 0
    differing: list[str] = []
    for text in texts:
        (tmp_path / ".gitignore").write_bytes(text.encode())
        paths = sorted(paths_from(text))
        told = git(
            tmp_path,
            *("check-ignore", "-z", "--stdin", "--no-index"),
            given=b"".join(path.encode() + b"\0" for path in paths),
        )
        ignored = set(told.decode().split("\0"))
        for path in paths:
            checked += 1
            # No path exists: git takes each for a file in folders.
            visible = is_visible(path, str(tmp_path), None)
            if visible == (path in ignored):
                differing.append(f"{path!r} in {text[:40]!r}")
    assert checked > 5_000
    assert differing == []


LINES = ["a", "/a", "a/", "!a", "*.x", "!b.x", "b/*", "!b/a", "a/b", "**/b", "b/**"]
LINES += ["!*/", "a/**/", "!a/**/b", "[!a]", "\\a"]
NAMES = ["a", "b", "a.x", "b.x"]
PLACES = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)
FOLDERS = st.sampled_from(["", "a/", "b/", "a/b/"])
RULES = st.lists(st.sampled_from(LINES), min_size=1, max_size=4)


def plant(root: Path, paths: set[str], rules: dict[str, list[str]]) -> None:
    """Make a repository of empty files, with ignore files where folders exist."""
    found_repository(root)
    for path in sorted(paths):
        with suppress(FileExistsError, NotADirectoryError):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).touch(exist_ok=False)
    for file, lines in rules.items():
        if (root / file).parent.is_dir():
            (root / file).write_text("\n".join(lines))


def seen(root: Path) -> set[str]:
    with opened(root) as folder, closing(_walk.Held(folder)) as held:
        above = _walk.rules_above(str(root))
        return set(_walk.visible_files(held, str(root), above))


@settings(max_examples=60, deadline=None)
@given(
    st.sets(PLACES, min_size=1, max_size=12),
    st.dictionaries(FOLDERS.map("{}.gitignore".format), RULES, max_size=3),
)
# Bringing back a folder brings back no hidden name in it, and nothing else in it.
@example(paths={"a/a"}, rules={".gitignore": ["!a"], "a/.gitignore": ["a"]})
@example(paths={"a/b/b.x"}, rules={".gitignore": ["*.x"], "a/.gitignore": ["!b"]})
def test_nested_ignore_files_hide_what_git_and_ripgrep_hide(
    paths: set[str], rules: dict[str, list[str]]
) -> None:
    if not _has_git():
        pytest.skip("git is not installed")
    with TemporaryDirectory() as name:
        root = Path(name).resolve()
        plant(root, paths, rules)
        listed = git(root, "ls-files", "-z", "--others", "--exclude-standard")
        expected = {path for path in listed.decode().split("\0") if path}
        # Hidden names are no matter of git's; here only ignore files have some.
        expected = {path for path in expected if not path.endswith(".gitignore")}
        assert seen(root) == expected
        ripgrep = find_ripgrep(os.environ)
        if ripgrep is not None:
            assert (
                in_folder(root, ripgrep, "--files", "--glob=!.git", "--null")
                == expected
            )


@settings(max_examples=60, deadline=None)
@given(
    st.sets(
        st.lists(st.sampled_from([*NAMES, ".h"]), min_size=1, max_size=4).map("/".join),
        min_size=1,
        max_size=12,
    ),
    st.dictionaries(
        st.builds("{}{}".format, FOLDERS, st.sampled_from(sorted(_walk.IGNORE_FILES))),
        st.lists(st.sampled_from([*LINES, ".h", "!.h"]), min_size=1, max_size=4),
        max_size=4,
    ),
)
@example(paths={"b/a.x"}, rules={".ignore": ["!b"], ".gitignore": ["*.x"]})
@example(paths={"a/a"}, rules={".ignore": ["!a"], ".gitignore": ["a"]})
def test_kinds_of_ignore_files_and_hidden_names_weigh_as_with_ripgrep(
    paths: set[str], rules: dict[str, list[str]]
) -> None:
    ripgrep = find_ripgrep(os.environ)
    if ripgrep is None or not _has_git():
        pytest.skip("ripgrep or git is not installed")
    with TemporaryDirectory() as name:
        root = Path(name).resolve()
        plant(root, paths, rules)
        assert seen(root) == in_folder(
            root, ripgrep, "--files", "--glob=!.git", "--null"
        )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.sampled_from("ab-*?[]!^\\/ #."), min_size=1, max_size=8)
        | st.lists(
            st.sampled_from(["a", "b", "*", "**", "/", "[!a-b]", "[[:alpha:]]", "[]-]"])
        ).map("".join),
        min_size=1,
        max_size=30,
    )
)
@example(["***/?"])
def test_each_pattern_of_an_ignore_file_means_what_it_means_to_git(
    lines: list[str],
) -> None:
    if not _has_git():
        pytest.skip("git is not installed")
    names = ["a", "b", "-", "]", "\\", "ab", "a b", "a ", "[a", "!a", "#", "a/b", "b/a"]
    names += ["a/b/a", "a/a/b", "a-b", "^/b"]
    with TemporaryDirectory() as name:
        root = Path(name).resolve()
        found_repository(root)
        # Its manual says that a `**` behind other characters is a plain `*`, and
        # ripgrep keeps to that; git itself takes `a**/b` for `a` and then `**/b`.
        lines = [
            line
            for line in lines
            if not re.search(r"[^/*]\*\*", line.removeprefix("!"))
        ]
        # Each in a folder of its own, so that git is started once for all.
        for at, line in enumerate(lines):
            (root / str(at)).mkdir()
            (root / str(at) / ".gitignore").write_text(f"{line}\n")
        asked = [f"{at}/{one}" for at in range(len(lines)) for one in names]
        given = b"".join(one.encode() + b"\0" for one in asked)
        told = git(root, "check-ignore", "-z", "--stdin", "--no-index", given=given)
        ignored = set(told.decode().split("\0")) - {""}
        for at, line in enumerate(lines):
            here = str(root / str(at))
            found = {f"{at}/{one}" for one in names if not is_visible(one, here, None)}
            assert found == {one for one in ignored if one.startswith(f"{at}/")}, line


def in_folder(root: Path, *command: str) -> set[str]:
    done = subprocess.run(command, cwd=root, capture_output=True)
    return {path for path in done.stdout.decode().split("\0") if path}


def _has_git() -> bool:
    return shutil.which("git") is not None


def test_an_ignore_file_that_is_hostile_hurts_nobody(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes(b"\xff\xfe[\n!\n***/\n[z-a]\n*.log\n\0\n")
    os.mkfifo(tmp_path / ".ignore")
    (tmp_path / ".rgignore").symlink_to("/dev/zero")
    rules = IgnoreRules(str(tmp_path), None)
    assert rules.decide(str(tmp_path / "a.log"), is_folder=False) is True
    assert rules.decide(str(tmp_path / "a.txt"), is_folder=False) is None


# --- patterns ---------------------------------------------------------------------


def test_no_ignore_file_is_slow(tmp_path: Path) -> None:
    """One that goes back to try again would not come to an end here."""
    (tmp_path / ".gitignore").write_text("*a" * 40 + "b\n" + "**/a*" * 40 + "b\n")
    path = f"{'a' * 200}/" * 40 + "c"
    assert is_visible(path, str(tmp_path), None)


def test_no_pattern_is_slow() -> None:
    """One that goes back to try again would not come to an end here."""
    pattern = FilePattern("*a" * 40 + "/" + "**/" * 40 + "*b" * 40)
    assert not pattern.matches("a" * 200 + "/" + "b/" * 100 + "b" * 200 + "c")


@given(
    st.lists(st.sampled_from(["a", "b", "*", "?", "**", "{a,b}", "[ab]"]), min_size=1),
    st.lists(st.sampled_from(["a", "b", "ab", "ba"]), min_size=1, max_size=5),
)
def test_a_pattern_with_slashes_agrees_with_its_plain_meaning(
    pattern: list[str], parts: list[str]
) -> None:
    """Against a matcher that tries everything, for patterns of whole segments."""
    alone: dict[str, Callable[[str], bool]] = {
        "*": lambda part: True,
        "?": lambda part: len(part) == 1,
        "{a,b}": lambda part: part in ("a", "b"),
        "[ab]": lambda part: part in ("a", "b"),
        "a": lambda part: part == "a",
        "b": lambda part: part == "b",
    }

    def plain(pattern: list[str], parts: list[str]) -> bool:
        if not pattern:
            return not parts
        if pattern == ["**"]:
            return bool(parts)
        if pattern[0] == "**":
            return any(plain(pattern[1:], parts[at:]) for at in range(len(parts) + 1))
        return (
            bool(parts)
            and alone[pattern[0]](parts[0])
            and plain(pattern[1:], parts[1:])
        )

    text = "/" + "/".join(pattern)
    assert FilePattern(text).matches("/".join(parts)) == plain(pattern, parts)


@given(st.text(st.sampled_from("ab*?[]{},!/.\\"), max_size=12))
def test_any_pattern_is_usable_or_refused(text: str) -> None:
    try:
        pattern = FilePattern(text)
    except PatternError:
        return
    assert pattern.matches("a/b.py") in (True, False)


def test_the_search_program_needs_nothing_of_dovetail(tmp_path: Path) -> None:
    """It starts quickly, and a broken installation cannot break it."""
    (tmp_path / "a.txt").write_text("needle\n")
    request = json.dumps({**REQUEST, "pattern": "needle"})
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:];\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(any(name.startswith('dovetail') for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, _walk.__file__, request],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"a.txt\0001:needle\nFalse\n"
