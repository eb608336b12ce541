"""What is removed is given back to the system, while others read and write."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from dovetail.kernel import Runtime, Session, open_runtime
from dovetail.kernel.testing import ScriptedProvider, text
from dovetail.storage.plugin import plugin as sqlite
from support.bounds import HANG
from support.hosts import host

LONG = "x" * 200_000


async def long_session(runtime: Runtime, turns: int) -> Session:
    session = await runtime.sessions.create(id="s", location="/", model="scripted/m")
    for number in range(turns):
        await session.prompt(f"say more {number}")
        with anyio.fail_after(HANG):
            await session.wait()
    return session


def saying(count: int) -> ScriptedProvider:
    return ScriptedProvider(*[text(f"{LONG}{number}") for number in range(count)])


def files(folder: Path) -> int:
    """Return how many bytes the database and what is beside it have."""
    found = [folder / f"test.db{suffix}" for suffix in ("", "-wal", "-shm")]
    return sum(file.stat().st_size for file in found if file.exists())


@pytest.mark.law("storage.8")
async def test_pruning_says_how_much_less_the_files_take(tmp_path: Path) -> None:
    async with host(tmp_path, saying(4)) as runtime:
        await long_session(runtime, 4)
        before = files(tmp_path)
        done = await runtime.sessions.prune("s", ("transcript",))
        assert done.disk_before == before
        assert done.disk_after == files(tmp_path)
        # Of 800 kB of answers nothing is left but what stands for them.
        assert done.disk_before - done.disk_after > 700_000
        assert (tmp_path / "test.db-wal").stat().st_size == 0
        assert (await runtime.sessions.verify("s"))[0].sound


@pytest.mark.law("storage.8")
async def test_space_is_given_back_while_others_read_and_write(tmp_path: Path) -> None:
    async with host(tmp_path, saying(9)) as runtime:
        session = await long_session(runtime, 4)
        with closing(sqlite3.connect(tmp_path / "test.db")) as reader:
            reader.execute("BEGIN")
            [(count,)] = reader.execute("SELECT count(*) FROM event")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(runtime.sessions.prune, "s", ("transcript",))
                other = await runtime.sessions.create(id="o", location="/")
                for number in range(20):
                    await other.rename(str(number))
            # Who reads sees what was there when they began.
            assert reader.execute("SELECT count(*) FROM event").fetchall() == [(count,)]
            whole = "SELECT sum(length(data)) FROM event"
            assert reader.execute(whole).fetchone()[0] > 100
            reader.execute("COMMIT")
        done = await runtime.sessions.prune("s", ("transcript",))
        assert done.events == 0
        assert done.disk_after < 200_000
        assert [one.text for one in (await session.messages()).items]


@pytest.mark.law("storage.9")
async def test_all_that_is_beside_the_database_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "deep"
    old = os.umask(0)
    try:
        os.chmod(tmp_path, 0o755)
        model = saying(1)
        async with open_runtime(
            f"sqlite:///{folder / 'test.db'}",
            plugins=[sqlite, model],
            load_entry_points=False,
            environment={"DOVETAIL_CONFIG": ""},
        ) as runtime:
            await long_session(runtime, 1)
            found = {file.name: file.stat().st_mode for file in folder.iterdir()}
    finally:
        os.umask(old)
    assert found.keys() >= {"test.db", "test.db.lock", "test.db-wal", "test.db-shm"}
    assert {stat.S_IMODE(mode) for mode in found.values()} == {0o600}
    for made in (folder, folder.parent):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert stat.S_IMODE(os.stat(tmp_path).st_mode) == 0o755
