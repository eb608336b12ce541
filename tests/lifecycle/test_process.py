"""Which process has ended for certain is known, and nothing else is claimed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dovetail.kernel.lifecycle import process
from dovetail.kernel.lifecycle.process import has_ended, name_of_process

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/ns/pid").is_symlink(), reason="needs the names of Linux"
)


def waiting() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def test_a_process_that_lives_has_not_ended_also_when_it_is_stopped() -> None:
    assert not has_ended(name_of_process())
    with waiting() as child:
        name = name_of_process(child.pid)
        assert name is not None
        os.kill(child.pid, 19)
        assert not has_ended(name)
        child.kill()


def test_one_that_was_killed_has_ended_before_its_parent_asks_and_after() -> None:
    with waiting() as child:
        name = name_of_process(child.pid)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert has_ended(name)
    assert has_ended(name)


def test_a_later_process_of_the_same_number_is_another_one() -> None:
    realm, number, started = str(name_of_process()).split(".")
    assert has_ended(f"{realm}.{number}.{int(started) - 1}")


@pytest.mark.parametrize(
    "name", [None, "", "x", "a.b.c", "{realm}.x.1", "{realm}.-1.1", "other.1.1"]
)
def test_of_what_is_not_known_here_nothing_is_claimed(name: str | None) -> None:
    realm = str(name_of_process()).split(".")[0]
    assert not has_ended(name and name.format(realm=realm))


def test_somebody_elses_process_that_hides_itself_has_not_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(number: int, signal: int) -> None:
        raise PermissionError

    name = name_of_process()
    monkeypatch.setattr(os, "kill", refuse)
    monkeypatch.setattr(process, "_stat", lambda number: None)
    assert not has_ended(name)
