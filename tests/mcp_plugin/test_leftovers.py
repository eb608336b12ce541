"""Servers that outlived a dovetail that was killed: ended, and nothing else."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from dovetail.plugins.mcp.leftovers import VARIABLE, end_left, marked, owner_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="seen on Linux only")

WAITS = "import signal; print(flush=True); signal.pause()"


@contextmanager
def waiting(mark: str, stdin: int = subprocess.PIPE, **how: Any) -> Iterator[Any]:
    """Begin what waits for ever, and yield it when it does."""
    command = [sys.executable, "-I", "-S", "-c", WAITS]
    environment = {VARIABLE: mark}
    with subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, env=environment, **how
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


@pytest.mark.law("mcp.1")
def test_a_server_whose_owner_is_gone_is_ended_and_nothing_else_is() -> None:
    with waiting("") as owner:
        gone, alive = owner_of(owner.pid), marked({})[VARIABLE]
    # Its number may have been given to another one, which began later.
    again = f"{alive.rpartition(' ')[0]} 1"
    elsewhere = f"another system {gone.split()[-2]} 5"
    own = {"start_new_session": True}
    with (
        waiting(gone, **own) as left,
        waiting(again, **own) as later,
        waiting(alive, **own) as ours,
        waiting(gone, subprocess.DEVNULL, **own) as daemon,
        waiting(gone) as child,
        waiting(elsewhere, **own) as other,
    ):
        # Another process that begins servers now, such as another test, may come first.
        end_left()
        assert [left.wait(), later.wait()] == [-9, -9]
        assert [one.poll() for one in (ours, daemon, child, other)] == [None] * 4
