"""Looks: whether files are as they were, told without reading them."""

import os
import time
from pathlib import Path

from dovetail.kernel import Looks
from dovetail.kernel.context.looks import COARSE, GRAIN


def later() -> int:
    return time.time_ns() + 2 * COARSE


def looked(*paths: Path) -> Looks:
    looks = Looks(later)
    for path in paths:
        looks.at(path)
    return looks


def test_it_holds_until_a_file_comes_goes_or_is_written(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("a")
    looks = looked(one, other)
    assert looks.hold()
    other.write_text("b")
    assert not looks.hold()
    looks = looked(one, other)
    one.write_text("aa")
    assert not looks.hold()
    looks = looked(one)
    one.unlink()
    assert not looks.hold()


def test_another_file_of_the_same_size_and_time_is_another(tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.write_text("a")
    moment = one.stat()
    looks = looked(one)
    new = tmp_path / "new"
    new.write_text("b")
    os.utime(new, ns=(moment.st_atime_ns, moment.st_mtime_ns))
    new.replace(one)
    assert not looks.hold()


def test_what_else_happens_in_a_folder_is_no_matter(tmp_path: Path) -> None:
    looks = looked(tmp_path)
    (tmp_path / "x").write_text("x")
    assert looks.hold()


def test_what_was_written_just_now_or_later_than_now_does_not_hold(
    tmp_path: Path,
) -> None:
    one = tmp_path / "one"
    one.write_text("a")
    written = one.stat().st_ctime_ns
    for now in (written, written + GRAIN // 2, written - 10 * COARSE):
        looks = Looks(lambda now=now: now)  # type: ignore[misc]
        looks.at(one)
        assert not looks.hold()
    # A file system that counts in seconds shows two writes as one for longer.
    os.utime(one, ns=(0, written // 10**9 * 10**9))
    looks = Looks(lambda: written // 10**9 * 10**9 + COARSE // 2)
    looks.at(one)
    assert not looks.hold()
