"""Nobody takes the write-ahead log away from whoever has the file open."""

import errno
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from anyio import to_thread
from dovetail.kernel import Runtime, StoreDamagedError, StoreLockedError
from dovetail.kernel.ports import Transaction
from dovetail.kernel.testing import ScriptedProvider
from dovetail.storage.sqlite import hold
from dovetail.storage.sqlite.store import open_sqlite
from support.hosts import host

STRANGER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
for statement in sys.argv[2:]:
    print(connection.execute(statement).fetchall())
connection.commit()
connection.close()
"""


def stranger(path: Path, *statements: str) -> str:
    """Have another process open the file, run statements, and close it."""
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(path), *statements],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def beside(path: Path) -> list[Path]:
    """Return the log and what indexes it, where they are."""
    return sorted(path.parent.glob("test.db-*"))


COUNT = "SELECT COUNT(*) FROM session"


async def _copied(folder: Path) -> None:
    for file in ("test.db", "test.db-shm"):
        shutil.copy(folder / file, folder / f"copy of {file}")


async def _read(folder: Path) -> None:
    for file in ("test.db", "test.db-wal", "test.db-shm"):
        (folder / file).read_bytes()


async def _opened_twice(folder: Path) -> None:
    async with host(folder, ScriptedProvider()) as runtime:
        await runtime.sessions.list()


async def create(runtime: Runtime, name: str) -> None:
    await runtime.sessions.create(id=name, location="/")


@pytest.mark.law("storage.11")
@pytest.mark.parametrize("closing_it", [_copied, _read, _opened_twice])
async def test_a_process_that_closes_the_file_elsewhere_keeps_its_log(
    tmp_path: Path, closing_it: Callable[[Path], object]
) -> None:
    path = tmp_path / "test.db"
    async with host(tmp_path, ScriptedProvider()) as runtime:
        await create(runtime, "one")
        await closing_it(tmp_path)  # type: ignore[misc]
        await to_thread.run_sync(stranger, path, COUNT)
        await create(runtime, "two")
        # Another process sees what was confirmed, and would if this one died here.
        assert await to_thread.run_sync(stranger, path, COUNT) == "[(2,)]\n"
    assert stranger(path, COUNT) == "[(2,)]\n"
    assert beside(path) == []


@pytest.mark.law("storage.11")
async def test_nothing_is_confirmed_into_a_log_that_was_taken_away(
    tmp_path: Path,
) -> None:
    path = tmp_path / "test.db"
    async with host(tmp_path, ScriptedProvider()) as runtime:
        await create(runtime, "one")
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for file in beside(path):
            file.unlink()
        written = await to_thread.run_sync(stranger, path, "CREATE TABLE theirs (x)")
        assert written == "[]\n"
        with pytest.raises(StoreDamagedError, match="removed or replaced"):
            await create(runtime, "two")
        with pytest.raises(StoreDamagedError, match="removed or replaced"):
            await runtime.sessions.list()
    # Closing it did not write over what others have written since.
    found = stranger(path, "PRAGMA integrity_check", "SELECT * FROM theirs", COUNT)
    assert found == "[('ok',)]\n[]\n[(1,)]\n"


TURN = """
import sys
from pathlib import Path
from dovetail.storage.sqlite.hold import Hold

hold = Hold(Path(sys.argv[1]))
print(hold.begin_turn(0), flush=True)
sys.stdin.read()
"""


def has_turn(path: Path) -> bool:
    """Say if another process may write now."""
    done = subprocess.run(
        [sys.executable, "-c", TURN, str(path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout == "True\n"


@pytest.mark.law("storage.11")
async def test_nobody_else_writes_during_a_commit_whatever_the_process_closes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "test.db"

    def write(rows: Transaction) -> bool:
        for file in (path, *beside(path)):
            file.read_bytes()
        return has_turn(path)

    async with open_sqlite(path) as store:
        assert not await store.transact(write)
        assert await to_thread.run_sync(has_turn, path)


def having_turn(path: Path) -> subprocess.Popen[bytes]:
    """Return another process that writes until it is ended."""
    other = subprocess.Popen(
        [sys.executable, "-c", TURN, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"True\n"
    return other


@pytest.mark.law("storage.5")
async def test_who_waits_in_vain_for_its_turn_is_told_that_the_store_is_locked(
    tmp_path: Path,
) -> None:
    path = tmp_path / "test.db"
    async with open_sqlite(path, busy_timeout=0.05) as store:
        with await to_thread.run_sync(having_turn, path) as other:
            with pytest.raises(StoreLockedError):
                await store.transact(lambda rows: None)
            other.terminate()
        await store.transact(lambda rows: None)


FORKS = """
import os, sys
from pathlib import Path
from dovetail.storage.sqlite.hold import Hold

hold = Hold(Path(sys.argv[1]))
assert hold.begin_turn(0)
if os.fork():
    os._exit(0)
print("forked", flush=True)
sys.stdin.read()
"""


@pytest.mark.law("storage.11")
async def test_a_forked_process_holds_nothing_of_one_that_died(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    async with open_sqlite(path) as store:
        await store.transact(lambda rows: None)

        def outlived() -> bool:
            with subprocess.Popen(
                [sys.executable, "-c", FORKS, str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            ) as parent:
                assert parent.stdout is not None
                assert parent.stdout.readline() == b"forked\n"
                parent.wait()
                return has_turn(path)

        assert await to_thread.run_sync(outlived)


async def test_a_file_system_without_such_locks_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(hold, "_lock", refused)
    for _ in range(2):
        async with open_sqlite(tmp_path / "here.db"):
            pass
    said = [one for one in caplog.messages if "open-file-description" in one]
    assert len(said) == 1
    assert str(tmp_path / "here.db") in said[0]
    assert "destroy it" in said[0]
