"""Nobody takes the write-ahead log away from whoever has the file open."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from anyio import to_thread
from dovetail.kernel import Runtime, StoreDamagedError
from dovetail.kernel.testing import ScriptedProvider
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
