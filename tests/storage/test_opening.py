"""Opening a file: what is created, what is refused, and what is left untouched."""

import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
from dovetail.kernel import (
    RowDamagedError,
    StoreDamagedError,
    StoreError,
    StoreForeignError,
    StoreLockedError,
    StoreNewerError,
    StoreReadOnlyError,
    StoreVersionError,
)
from dovetail.storage.sqlite.database import APPLICATION_ID, Medium
from dovetail.storage.sqlite.migrations import STEPS, Migration
from dovetail.storage.sqlite.opening import open_writer
from dovetail.storage.sqlite.store import open_sqlite
from support.bounds import HANG

Appending = Callable[..., Any]
Bare = Callable[[Path], sqlite3.Connection]


async def refused(path: Path, kind: type[StoreError], **options: Any) -> StoreError:
    """Return the error that opening gives, having checked that it changed nothing."""
    before = contents(path)
    with pytest.raises(kind) as caught:
        async with open_sqlite(path, **options):
            pass
    assert type(caught.value) is kind
    assert contents(path) == before
    assert str(path) in str(caught.value)
    return caught.value


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def contents(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


async def test_a_missing_file_is_created_with_its_folders(
    tmp_path: Path, append: Appending
) -> None:
    path = tmp_path / "deep" / "er" / "a.db"
    async with open_sqlite(path) as store:
        await store.transact(append("a", 0))
    async with open_sqlite(path) as store:
        assert len(await store.read(lambda reader: reader.all_events())) == 1


SETTINGS = (
    *("page_size", "auto_vacuum", "application_id", "user_version", "encoding"),
    *("foreign_keys", "secure_delete", "trusted_schema", "integrity_check"),
)


def test_a_database_in_memory_is_what_the_steps_make_and_nobody_elses() -> None:
    def opened(steps: Sequence[Migration]) -> sqlite3.Connection:
        return open_writer(Medium("sqlite://", None, 5.0), steps)

    # Not the very steps, which are known by what they are and run.
    with closing(opened([*STEPS])) as run, closing(opened(STEPS)) as first:
        for setting in SETTINGS:
            told = [one.execute(f"PRAGMA {setting}").fetchall() for one in (run, first)]
            assert told[0] == told[1], setting
        assert [*first.iterdump()] == [*run.iterdump()]
        first.execute("CREATE TABLE mine (x)")
        with closing(opened(STEPS)) as second:
            assert [*second.iterdump()] == [*run.iterdump()]


class Connecting:
    """Connections as the driver makes them, and in which thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refused: int = -1) -> None:
        self.made: list[sqlite3.Connection] = []
        self.threads: set[int] = set()
        self._refused = refused
        self._connect = sqlite3.connect
        monkeypatch.setattr(sqlite3, "connect", self)

    def __call__(self, *arguments: Any, **options: Any) -> sqlite3.Connection:
        self.threads.add(threading.get_ident())
        if len(self.made) == self._refused:
            raise sqlite3.OperationalError("refused on purpose")
        self.made.append(self._connect(*arguments, **options))
        return self.made[-1]


async def test_the_loop_waits_for_no_file_that_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connecting = Connecting(monkeypatch)
    async with open_sqlite(tmp_path / "a.db") as store:
        assert await store.read(lambda reader: reader.head("a")) is None
    assert len(connecting.made) == 2
    assert threading.get_ident() not in connecting.threads


async def test_a_connection_that_cannot_be_opened_leaves_none_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connecting = Connecting(monkeypatch, refused=1)
    with pytest.raises(StoreError, match="refused on purpose"):
        async with open_sqlite(tmp_path / "a.db"):
            pass
    [writing] = connecting.made
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        writing.execute("SELECT 1")
    assert not {"a.db-wal", "a.db-shm"} & {*names(tmp_path)}


async def test_an_empty_file_is_taken_as_a_new_one(
    tmp_path: Path, append: Appending
) -> None:
    path = tmp_path / "a.db"
    path.touch()
    async with open_sqlite(path) as store:
        await store.transact(append("a", 0))


async def test_only_the_owner_may_read_what_is_created(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with open_sqlite(path) as store:
        await store.transact(lambda tx: tx.put_blob(b"x"))
        for suffix in ("", "-wal", "-shm"):
            mode = os.stat(f"{path}{suffix}").st_mode
            assert stat.S_IMODE(mode) == 0o600, suffix


async def test_the_settings_are_those_that_make_a_commit_durable(
    tmp_path: Path,
) -> None:
    async with open_sqlite(tmp_path / "a.db", busy_timeout=1.5) as store:

        def settings(view: Any) -> list[Any]:
            names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            return [view.one(f"PRAGMA {name}", ())[0] for name in names]

        assert await store.transact(settings) == ["wal", 2, 1, 1500]


async def test_closing_folds_the_log_into_the_file(
    tmp_path: Path, append: Appending
) -> None:
    path = tmp_path / "a.db"
    async with open_sqlite(path) as store:
        await store.transact(append("a", 0))
        await store.read(lambda reader: reader.head("a"))
        assert (tmp_path / "a.db-wal").exists()
    assert not {"a.db-wal", "a.db-shm"} & {*names(tmp_path)}


async def test_a_relative_path_stays_the_same_file_when_the_folder_changes(
    tmp_path: Path, append: Appending, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    async with open_sqlite("a.db") as store:
        assert store.name == "a.db"
        monkeypatch.chdir(tmp_path / "elsewhere")
        await store.transact(append("a", 0))
        data = await store.read(lambda reader: reader.events("a", limit=10**6))
        assert len(data) == 1
    assert names(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("name", ["a b.db", "ä🦊.db", "1%.db", "q?mode=ro.db", "#.db"])
async def test_any_file_name_is_taken_literally(
    name: str, tmp_path: Path, append: Appending
) -> None:
    async with open_sqlite(tmp_path / name) as store:
        await store.transact(append("a", 0))
    assert (tmp_path / name).stat().st_size > 0


# --- refused ----------------------------------------------------------------------


async def test_a_database_of_another_program_is_refused_untouched(
    tmp_path: Path, bare: Bare
) -> None:
    path = tmp_path / "theirs.db"
    connection = bare(path)
    connection.execute("CREATE TABLE event (theirs TEXT)")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    await refused(path, StoreForeignError)
    assert names(tmp_path) == ["theirs.db"]


@pytest.mark.parametrize("data", [b"x", b"hello\n" * 1000, bytes(8192)])
async def test_a_file_that_is_no_database_is_refused_untouched(
    data: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(data)
    await refused(path, StoreForeignError)
    assert names(tmp_path) == ["notes.txt"]


async def test_a_file_of_a_newer_release_is_refused_untouched(
    tmp_path: Path, bare: Bare
) -> None:
    path = tmp_path / "a.db"
    async with open_sqlite(path):
        pass
    connection = bare(path)
    connection.execute("INSERT INTO migration VALUES (999, 'from the future')")
    connection.close()
    error = await refused(path, StoreNewerError)
    assert "999" in str(error)


async def test_a_file_whose_header_says_a_newer_release_is_refused_untouched(
    tmp_path: Path, bare: Bare
) -> None:
    path = tmp_path / "a.db"
    async with open_sqlite(path):
        pass
    connection = bare(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(STEPS),)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert "99" in str(await refused(path, StoreNewerError))


@pytest.mark.law("storage.5")
@pytest.mark.parametrize(
    ("change", "table", "missing", "unknown"),
    [
        ("ALTER TABLE work ADD COLUMN mood TEXT", "work", (), ("mood",)),
        ("ALTER TABLE work DROP COLUMN {last}", "work", ("{last}",), ()),
        (
            "ALTER TABLE work RENAME COLUMN {last} TO mood",
            "work",
            ("{last}",),
            ("mood",),
        ),
    ],
)
async def test_a_file_of_another_version_is_told_as_that_and_left_untouched(
    change: str,
    table: str,
    missing: tuple[str, ...],
    unknown: tuple[str, ...],
    tmp_path: Path,
    bare: Bare,
) -> None:
    """A version between two releases may have other columns at the same step."""
    path = tmp_path / "a.db"
    async with open_sqlite(path):
        pass
    connection = bare(path)
    columns = connection.execute("SELECT name FROM pragma_table_info('work')")
    last = columns.fetchall()[-1][0]
    connection.execute(change.format(last=last))
    connection.close()
    error = await refused(path, StoreVersionError)
    assert isinstance(error, StoreVersionError)
    assert (error.table, error.unknown) == (table, unknown)
    assert error.missing == tuple(one.format(last=last) for one in missing)
    assert "damaged" in str(error)
    assert "dovetail export" in str(error)
    assert not error.may_pass


async def test_what_others_added_to_a_file_makes_it_no_other_version(
    tmp_path: Path, bare: Bare, append: Appending
) -> None:
    path = tmp_path / "a.db"
    async with open_sqlite(path):
        pass
    connection = bare(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.execute("CREATE INDEX theirs_too ON work (seq)")
    connection.close()
    async with open_sqlite(path) as store:
        await store.transact(append("a", 0))


async def test_a_folder_or_a_pipe_is_refused(tmp_path: Path) -> None:
    with anyio.fail_after(HANG):
        await refused(tmp_path, StoreError)
        os.mkfifo(tmp_path / "pipe")
        await refused(tmp_path / "pipe", StoreError)
        (tmp_path / "file").touch()
        await refused(tmp_path / "file" / "a.db", StoreError)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no /proc")
async def test_a_folder_that_takes_no_files_is_not_told_to_be_locked() -> None:
    with pytest.raises(StoreError) as caught:
        async with open_sqlite("/proc/self/a.db", busy_timeout=0):
            pass
    assert not isinstance(caught.value, StoreLockedError)


@pytest.mark.law("storage.5")
async def test_a_read_only_file_system_is_told_as_such(
    tmp_path: Path, mounted: Callable[..., Path]
) -> None:
    source = tmp_path / "source"
    async with open_sqlite(source / "a.db"):
        pass
    folder = mounted("--bind", "-o", "ro", source=str(source))
    await refused(folder / "a.db", StoreReadOnlyError)
    await refused(folder / "new.db", StoreReadOnlyError)
    await refused(folder / "new" / "new.db", StoreReadOnlyError)


UNPRIVILEGED = """
import os, sys, anyio
from dovetail.storage.sqlite.store import open_sqlite

async def attempt(path):
    try:
        async with open_sqlite(path):
            print("opened")
    except Exception as error:
        print(type(error).__name__)

folder = sys.argv[1]
anyio.run(attempt, folder + "/a.db")
os.chmod(folder + "/a.db", 0o444)
os.chmod(folder, 0o555)
# Permissions do not bind the superuser.
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
anyio.run(attempt, folder + "/a.db")
anyio.run(attempt, folder + "/new.db")
anyio.run(attempt, folder + "/new/new.db")
"""


@pytest.mark.law("storage.5")
def test_a_file_or_folder_without_permission_is_told_as_read_only(
    child: Callable[..., Any],
) -> None:
    # Not below pytest's own folder, which only its owner may enter.
    with TemporaryDirectory() as folder:
        said = child(UNPRIVILEGED, folder).communicate(timeout=HANG)[0].split()
        Path(folder).chmod(0o700)
    assert said == ["opened", *["StoreReadOnlyError"] * 3]


@pytest.mark.law("storage.5")
async def test_a_file_with_a_damaged_schema_is_told_as_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with open_sqlite(path):
        pass
    data = bytearray(path.read_bytes())
    assert int.from_bytes(data[68:72]) == APPLICATION_ID
    data[100:4096] = b"\xa5" * 3996
    path.write_bytes(data)
    await refused(path, StoreDamagedError)


@pytest.mark.law("storage.5")
async def test_a_truncated_file_is_told_as_damaged(
    tmp_path: Path, append: Appending
) -> None:
    path = tmp_path / "a.db"
    async with open_sqlite(path) as store:
        for seq in range(200):
            await store.transact(append("a", seq, b"x" * 400))
    with path.open("r+b") as file:
        file.truncate(4096 * 8)
    with pytest.raises(StoreDamagedError):
        async with open_sqlite(path) as store:
            await store.read(lambda reader: reader.all_events())


@pytest.mark.law("storage.5")
async def test_a_file_whose_tables_are_gone_is_told_as_damaged(
    tmp_path: Path, bare: Bare, append: Appending
) -> None:
    path = tmp_path / "a.db"
    async with open_sqlite(path):
        pass
    bare(path).execute("DROP TABLE work")
    with pytest.raises(StoreDamagedError):
        async with open_sqlite(path) as store:
            await store.read(lambda reader: reader.pending_inputs("a"))


@pytest.mark.law("storage.5")
async def test_a_new_file_that_another_process_keeps_locked_is_told_as_locked(
    tmp_path: Path, bare: Bare
) -> None:
    path = tmp_path / "a.db"
    bare(path).execute("BEGIN EXCLUSIVE")
    with anyio.fail_after(HANG), pytest.raises(StoreLockedError) as caught:
        async with open_sqlite(path, busy_timeout=0.1):
            pass
    assert caught.value.waited == 0.1


@pytest.mark.law("storage.1")
async def test_opening_does_not_look_at_projection_rows(
    tmp_path: Path, bare: Bare
) -> None:
    path = tmp_path / "a.db"
    async with open_sqlite(path):
        pass
    connection = bare(path)
    connection.execute(
        "INSERT INTO aggregate (id, session_id, seq, hash, checksum)"
        " VALUES (1, 'a', -1, x'', 0)"
    )
    connection.execute(
        "INSERT INTO input VALUES (1, 'i', 5, 'nonsense', 'x', 9, 9, 9, 9)"
    )
    connection.execute("INSERT INTO work VALUES (1, 'x', 'j', 5, 'x', 9, 9, 9)")
    connection.execute("INSERT INTO message VALUES (1, -7, '', '', 'text', 'text', 9)")
    connection.close()
    async with open_sqlite(path) as store:
        with pytest.raises(RowDamagedError) as caught:
            await store.read(lambda reader: reader.input("a", "i"))
        assert (caught.value.table, caught.value.session_id) == ("input", "a")
