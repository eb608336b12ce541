"""Two processes and one session: exactly one executes it, whatever happens to it."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import pytest
from dovetail.kernel import AssistantMessage
from dovetail.kernel.testing import ScriptedProvider
from support.bounds import HANG
from support.hosts import host, kinds_of
from support.programs import Forking, Running

WORKER = Path(__file__).with_name("two_owners.py")
Worker = subprocess.Popen[str] | Running


@contextmanager
def worker(folder: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    """Start a process of its own, which its parent can stop and see stop."""
    process = subprocess.Popen(
        [sys.executable, str(WORKER), str(folder), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def heard(process: Worker, words: str) -> None:
    assert process.stdout is not None
    hang = threading.Timer(HANG, process.kill)
    hang.start()
    try:
        assert process.stdout.readline().strip() == words
    finally:
        hang.cancel()


def stop_between_commits(process: subprocess.Popen[str], database: Path) -> None:
    """Stop a process where it holds no lock of the database: one that is stopped in
    the midst of a commit keeps everybody from writing, for as long as it is."""
    connection = sqlite3.connect(database, timeout=0, isolation_level=None)
    with closing(connection):
        while True:
            os.kill(process.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED)
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                os.kill(process.pid, signal.SIGCONT)
            else:
                connection.execute("ROLLBACK")
                return


def say(process: Worker) -> None:
    assert process.stdin is not None
    process.stdin.write("open\n")
    process.stdin.flush()


@pytest.mark.law("execution.1")
def test_of_two_processes_exactly_one_executes_and_both_learn_the_outcome(
    tmp_path: Path, forked: Forking
) -> None:
    first = forked(tmp_path, "a", program=WORKER)
    heard(first, "a prompted")
    heard(first, "a holds")
    second = forked(tmp_path, "b", program=WORKER)
    heard(second, "b prompted")
    say(first)
    heard(first, "a succeeded")
    heard(second, "b succeeded")
    assert _executions(tmp_path) == 1


@pytest.mark.law("execution.1")
def test_when_the_owner_is_killed_the_other_takes_over(
    tmp_path: Path, forked: Forking
) -> None:
    first = forked(tmp_path, "a", program=WORKER)
    heard(first, "a prompted")
    heard(first, "a holds")
    second = forked(tmp_path, "b", program=WORKER)
    heard(second, "b prompted")
    first.kill()
    heard(second, "b holds")
    say(second)
    heard(second, "b succeeded")
    assert _executions(tmp_path) == 2


@pytest.mark.law("execution.2")
def test_an_owner_that_slept_past_its_lease_is_refused_and_stops(
    tmp_path: Path,
) -> None:
    with worker(tmp_path, "a") as first:
        heard(first, "a prompted")
        heard(first, "a holds")
        with worker(tmp_path, "b") as second:
            heard(second, "b prompted")
            stop_between_commits(first, tmp_path / "test.db")
            heard(second, "b holds")
            os.kill(first.pid, signal.SIGCONT)
            say(first)
            say(second)
            heard(second, "b succeeded")
            heard(first, "a succeeded")
    anyio.run(_check_that_only_b_settled, tmp_path)


async def _check_that_only_b_settled(folder: Path) -> None:
    async with host(folder, ScriptedProvider()) as runtime:
        session = await runtime.sessions.get("shared")
        asked = [m for m in await session.history() if isinstance(m, AssistantMessage)]
        results = [part.text for message in asked for part in message.calls]
        assert "held by a" not in results
        assert "held by b" in results
        assert asked[-1].text == "done by b"


def _executions(folder: Path) -> int:
    async def count() -> int:
        async with host(folder, ScriptedProvider()) as runtime:
            session = await runtime.sessions.get("shared")
            return (await kinds_of(session)).count("execution.started")

    return anyio.run(count)
