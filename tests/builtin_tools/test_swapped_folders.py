"""Searches while another process puts a link in the place of a folder, and takes it
away again: nothing is shown but what has the path that is shown."""

import io
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any
from unittest import mock

import pytest
from dovetail.builtin_tools import _proofs, _search, _walk
from dovetail.builtin_tools._proofs import FoundLine, files_there, lines_there
from dovetail.builtin_tools._search import find_ripgrep
from hypothesis import example, given, strategies as st

MINE = "needle\nneedle of both\n"
THEIRS = "needle secret\nneedle of both\n"


@pytest.fixture(params=["outside", "denied"])
def swapped(request: pytest.FixtureRequest, place: Path, fill: Any) -> Path:
    """A Location with a folder ``x`` and a ``link`` to a folder of others."""
    theirs = place / "s" if request.param == "denied" else place.parent / "outside"
    fill({"x/a": MINE, "z": "needle\n"})
    theirs.mkdir()
    for name in ("a", "secret", "secret.env"):
        (theirs / name).write_text(THEIRS)
    (place / "link").symlink_to(os.path.relpath(theirs, place))
    return place


def swap(place: Path) -> None:
    os.rename(place / "x", place / "y")
    os.rename(place / "link", place / "x")


def swap_back(place: Path) -> None:
    os.rename(place / "x", place / "link")
    os.rename(place / "y", place / "x")


class Watched:
    """The module ``os``, with something done before each look at the file system."""

    def __init__(self, before: Callable[[], None]) -> None:
        self._before = before

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in ("open", "scandir", "stat", "fstat"):
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            self._before()
            return real(*args, **kwargs)

        return call


@contextmanager
def swapping(place: Path, first: int, last: int) -> Iterator[list[int]]:
    """Swap before one look of the search and back before another; yield their count."""
    looks = [0]

    def before() -> None:
        if looks[0] == first:
            swap(place)
        elif looks[0] == last:
            swap_back(place)
        looks[0] += 1

    with mock.patch.object(_walk, "os", Watched(before)):
        yield looks
    if first < looks[0] <= last:
        swap_back(place)


def at_each_moment(place: Path, act: Callable[[], object]) -> int:
    """Do something once for each pair of moments at which the folder is swapped."""
    runs = first = 0
    while True:
        last = first + 1
        while True:
            with swapping(place, first, last) as looks:
                act()
            runs += 1
            if looks[0] <= last:
                break
            last += 1
        if looks[0] <= first:
            return runs
        first += 1


def lowest_free() -> int:
    descriptor = os.dup(0)
    os.close(descriptor)
    return descriptor


@pytest.mark.law("access.7")
@pytest.mark.parametrize("pattern", ["needle", None])
def test_our_own_search_reads_no_other_folder_whenever_one_is_swapped(
    swapped: Path, monkeypatch: pytest.MonkeyPatch, pattern: str | None
) -> None:
    """At each look at the file system, and back at each later one."""
    monkeypatch.setattr(_walk, "rules_above", lambda root: None)
    request = {"pattern": pattern, "include": "[xyz]/**", "stdin": False}
    request |= {"skip": False, "also": "x/a"}
    mine = {f"{name}/a".encode() for name in "xy"}
    free = lowest_free()
    met = set()

    def search() -> None:
        out = io.BytesIO()
        with mock.patch.object(sys, "stdout", mock.Mock(buffer=out)):
            assert _walk.main([json.dumps(request)]) == 0
        found = out.getvalue()
        assert b"secret" not in found
        names = {one.split(b"\0")[0] for one in found.splitlines() if b"\0" in one}
        if pattern is None:
            names = set(found.split(b"\0")) - {b""}
        assert names <= mine
        met.update(names)

    with chdir(swapped):
        assert at_each_moment(swapped, search) > 20
    assert met == mine
    assert lowest_free() == free


@pytest.mark.law("access.7")
def test_what_ripgrep_reports_is_proven_whenever_a_folder_is_swapped(
    swapped: Path,
) -> None:
    lines = [
        FoundLine("x/a", 1, "needle secret"),
        FoundLine("x/a", 2, "needle of both"),
        FoundLine("x/secret", 1, "needle secret"),
        FoundLine("z", 1, "needle"),
    ]
    folder = os.open(swapped, os.O_RDONLY | os.O_DIRECTORY)
    free = lowest_free()
    met = set()

    def prove() -> None:
        kept = lines_there(folder, lines, lambda: None)
        assert lines[3] in kept
        assert set(kept) <= {lines[1], lines[3]}
        there = files_there(folder, ["x/a", "x/secret", "x/../z", "link", "z"])
        assert set(there) <= {"x/a", "z"}
        met.update(kept)

    assert at_each_moment(swapped, prove) > 20
    assert met == {lines[1], lines[3]}
    assert lowest_free() == free
    os.close(folder)


@pytest.mark.law("access.7")
async def test_what_a_ripgrep_that_was_led_astray_reports_is_not_shown(
    tools: Any, swapped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has listed the folder, and opens the link that took its place."""
    real = find_ripgrep(os.environ)
    if real is None:
        pytest.skip("ripgrep is not installed")
    astray = swapped.parent / "astray"
    astray.write_text(
        "#!/bin/sh\n"
        "mv x y; mv link x\n"
        # With a slash behind it the link is followed, as an opened path is.
        'for one do shift; [ "$one" != ./ ] || one=./x/; set -- "$@" "$one"; done\n'
        f'{shlex.quote(real)} "$@"; code=$?\n'
        "mv x link; mv y x\n"
        "exit $code\n"
    )
    astray.chmod(0o755)
    monkeypatch.setattr(_search, "find_ripgrep", lambda environment: str(astray))
    tools.context.closed = ("s/*", "*.env")
    lines = await tools.call("grep", pattern="needle")
    assert [(match.path, match.line) for match in lines.matches] == [("x/a", 2)]
    found = await tools.call("glob", pattern="*")
    assert found.paths == ("x/a",)
    # Nor is counted what is not there.
    assert (lines.left_out, found.left_out) == (0, 0)


@pytest.mark.law("access.7")
async def test_searches_beside_a_process_that_swaps_folders_show_nothing_of_others(
    searching: Any, swapped: Path
) -> None:
    searching.context.closed = ("s/*",)
    done = Event()

    def swap_on() -> None:
        while not done.is_set():
            swap(swapped)
            swap_back(swapped)

    other = Thread(target=swap_on)
    other.start()
    try:
        for _ in range(3):
            lines = await searching.call("grep", pattern="needle")
            assert "secret" not in searching.show("grep", lines)
            found = await searching.call("glob", pattern="**/secret")
            assert found.paths == ()
    finally:
        done.set()
        other.join()


PIECES = st.sampled_from(["a", "é", "\ufeff", "\r", "\n", "\n", "\r\n", "\0", "x" * 9])


@given(st.lists(PIECES, max_size=40).map("".join), st.integers(1, 9))
@example("a" * 2001 + "\n" + "é" * 2000 + "\r\n" + "é" * 9000 + "\nb", 1000)
def test_each_line_of_a_file_is_proven_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, text: str, chunk: int
) -> None:
    place = tmp_path_factory.mktemp("lines", numbered=True)
    (place / "a").write_bytes(text.encode())
    # As the search reads it: nothing comes behind the last line break.
    lines = text.encode().removesuffix(b"\n").split(b"\n") if text else []
    told = [
        FoundLine("a", number, _proofs.shown_line(number, line))
        for number, line in enumerate(lines, 1)
    ]
    wrong = [FoundLine("a", one.number + 1, f"{one.text}!") for one in told]
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    proven = partial(lines_there, folder, alive=lambda: None)
    with mock.patch.object(_proofs, "_CHUNK", chunk):
        assert proven(told) == told
        assert proven(told[1::2]) == told[1::2]
        assert proven(wrong) == []
    os.close(folder)
