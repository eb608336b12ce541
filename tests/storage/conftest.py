"""What the tests of the SQLite store share: files, other processes, small disks."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dovetail.kernel.ports import EventRecord, Transaction


@pytest.fixture
def tmp_path(disk_path: Path) -> Path:
    """On a disk, as the files of those who use the store are."""
    return disk_path


def record(session_id: str, seq: int, data: bytes = b"{}") -> EventRecord:
    return EventRecord(session_id, seq, "text.ended", 1, 0, data, bytes(32))


@pytest.fixture
def append() -> Callable[..., Callable[[Transaction], None]]:
    """Return a function that makes a transaction appending one event."""

    def appending(
        session_id: str, seq: int, data: bytes = b"{}"
    ) -> Callable[[Transaction], None]:
        return lambda transaction: transaction.append([record(session_id, seq, data)])

    return appending


@pytest.fixture
def bare() -> Iterator[Callable[[Path], sqlite3.Connection]]:
    """Return a function that opens a file as another program would."""
    opened: list[sqlite3.Connection] = []

    def connect(path: Path) -> sqlite3.Connection:
        opened.append(sqlite3.connect(path, isolation_level=None))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Return a function that mounts a file system; skips where that is not allowed."""
    mounts: list[Path] = []

    def mount(*options: str, source: str = "tmpfs") -> Path:
        folder = tmp_path / f"mount{len(mounts)}"
        folder.mkdir()
        command = ["mount", *options, source, str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            pytest.skip(f"mount cannot be run: {error}")
        if done.returncode:
            pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
        mounts.append(folder)
        return folder

    yield mount
    for folder in reversed(mounts):
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def child() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Return a function that starts a Python program as another process."""
    started: list[subprocess.Popen[str]] = []

    @contextmanager
    def closing(process: "subprocess.Popen[str]") -> Iterator[None]:
        yield
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def start(code: str, *arguments: object) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with closing(process):
            pass
