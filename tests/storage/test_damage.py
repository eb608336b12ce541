"""One changed byte, wherever it is, is named or set aside; nobody else notices."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
from dovetail.kernel import (
    DovetailError,
    EventDamagedError,
    PromptConflictError,
    StoreDamagedError,
)
from dovetail.kernel.testing import ScriptedProvider, text
from dovetail.storage.sql.checks import is_sound, summed
from dovetail.storage.sql.tables import TABLES
from hypothesis import given, settings, strategies as st
from support.bounds import HANG
from support.damaged import MODEL, Harm, consult, copied, fill, harms
from support.hosts import host

REFUSALS = (PromptConflictError,)
"""What healthy sessions say too: ``other`` has used the key for another text."""

NAMES = [*(table._meta.table_name for table in TABLES), "migration", "sqlite_master"]


@pytest.fixture(scope="module")
def filled() -> Iterator[Path]:
    """A folder with a store whose every table has rows, and room for a copy of it."""
    with TemporaryDirectory() as folder:
        anyio.run(fill, Path(folder))
        yield Path(folder)


@pytest.fixture(scope="module")
def healthy(filled: Path) -> dict[str, Any]:
    """What a store says that nothing happened to."""
    return anyio.run(consult, copied(filled / "test.db", filled / "copy").parent)


def test_a_healthy_store_answers_everything(healthy: dict[str, Any]) -> None:
    assert {name for name, said in healthy.items() if _is_error(said)} == set()
    assert all(one.sound for one in healthy["verify"])


def _is_error(said: Any) -> bool:
    return isinstance(said, DovetailError) and not isinstance(said, REFUSALS)


def _is_named(said: dict[str, Any]) -> bool:
    """Whether anybody said that something is wrong."""
    if any(map(_is_error, said.values())):
        return True
    return any(not one.sound for one in said["verify"])


def _told(said: dict[str, Any]) -> dict[str, Any]:
    """Return what sessions say that happened before anybody went on with them."""
    names = ("messages", "history", "inbox", "events", "export")
    return {
        name: answer for name, answer in said.items() if name.partition(" ")[2] in names
    }


UNTOUCHED = ("info", "messages", "history", "inbox", "export", "wait")


def check(filled: Path, healthy: dict[str, Any], harm: Harm) -> None:
    """Harm a copy of the store, and check what it says of itself then."""
    path = copied(filled / "test.db", filled / "copy")
    if not harm.do(path):
        return
    said = anyio.run(consult, path.parent, harm.session)
    for name, answer in said.items():
        id, _, question = name.partition(" ")
        if question in UNTOUCHED and harm.session not in (None, id):
            assert not _is_error(answer), f"{harm}: {name}"
        if question == "inbox after" and answer and not _is_error(answer):
            # What was accepted is answered: by an outcome or an error, not by nothing.
            assert _is_error(said[f"{id} wait"]), f"{harm}: {name}"
    if not _is_named(said):
        told, before = _told(said), _told(healthy)
        assert told == {name: before[name] for name in told}, str(harm)


@pytest.mark.law("storage.6")
@pytest.mark.law("storage.7")
@pytest.mark.parametrize("table", NAMES)
def test_any_changed_column_of_any_row_is_named_or_set_aside(
    filled: Path, healthy: dict[str, Any], table: str
) -> None:
    # Every column once; of which row, and by which change, is chosen.
    todo = [one for one in harms(filled / "test.db", 1) if one.table == table]
    Random(11).shuffle(todo)
    for harm in {one.column: one for one in todo if one.session != "other"}.values():
        check(filled, healthy, harm)


@pytest.mark.law("storage.6")
@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_any_change_at_random_is_named_or_set_aside(
    filled: Path, healthy: dict[str, Any], data: st.DataObject
) -> None:
    check(filled, healthy, data.draw(st.sampled_from(harms(filled / "test.db"))))


@pytest.mark.law("storage.5")
@pytest.mark.law("storage.6")
@settings(deadline=None, max_examples=12)
@given(place=st.integers(0, 2**20), bit=st.integers(0, 7))
def test_a_changed_bit_of_the_file_is_an_error_or_nothing(
    filled: Path, healthy: dict[str, Any], place: int, bit: int
) -> None:
    path = copied(filled / "test.db", filled / "copy")
    stored = bytearray(path.read_bytes())
    stored[place % len(stored)] ^= 1 << bit
    path.write_bytes(stored)
    said = anyio.run(consult, path.parent)
    assert "open" in said or _is_named(said) or _told(said) == _told(healthy)


@pytest.mark.law("storage.5")
async def test_a_schema_that_is_no_text_any_more_is_a_damaged_store(
    filled: Path,
) -> None:
    path = copied(filled / "test.db", filled / "copy")
    stored = path.read_bytes()
    assert stored.count(b'CREATE TABLE "approval"') == 1
    # The driver cannot even say what SQLite says of it.
    path.write_bytes(stored.replace(b'TABLE "approval"', b'TA\xcfLE "approval"'))
    with pytest.raises(StoreDamagedError, match="malformed"):
        async with host(path.parent, ScriptedProvider()):
            pass


# --- what becomes of a session ----------------------------------------------------


def change(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "test.db")) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


async def test_a_session_says_how_far_anybody_verified_it(tmp_path: Path) -> None:
    async with host(tmp_path, ScriptedProvider(text("a"))) as runtime:
        session = await runtime.sessions.create(id="s", location="/", model=MODEL)
        await session.prompt("first")
        await session.wait()
        assert (await session.info()).verified is None
        [found] = await runtime.sessions.verify("s")
        assert (await session.info()).verified == found.last_sound
        [listed] = await runtime.sessions.list()
        assert listed.verified == found.last_sound
    change(
        tmp_path,
        "UPDATE event SET data = CAST(replace(data, 'first', 'fjrst') AS BLOB)",
    )
    async with host(tmp_path, ScriptedProvider()) as runtime:
        session = await runtime.sessions.get("s")
        info = await session.info()
        # Nobody has read it yet, and it says no more than that.
        assert (info.damage, info.verified) == (None, None)
        await runtime.sessions.verify("s")
        info = await session.info()
        assert info.damage is not None
        assert info.verified is None


@pytest.mark.law("storage.7")
async def test_a_prompt_to_a_damaged_session_is_refused_until_it_is_repaired(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(*[text(word) for word in ("a", "b", "c", "d")])
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(id="s", location="/", model=MODEL)
        await session.prompt("first")
        await session.wait()
        await session.prompt("second")
        await session.wait()
        await session.prompt("waits", key="later", resume=False)
    change(
        tmp_path,
        "UPDATE event SET data = CAST(replace(data, 'second', 'sfcond') AS BLOB)",
    )

    async with host(tmp_path, provider, resume="always") as runtime:
        session = await runtime.sessions.get("s")
        with anyio.fail_after(HANG), pytest.raises(EventDamagedError) as caught:
            await session.wait()
        bad = caught.value.seq
        info = await session.info()
        assert info.damage is not None
        assert info.damage.code == "event.damaged"
        assert f"event {bad} " in info.damage.message
        for refused in (
            partial(session.prompt, "more"),
            session.resume,
            session.history,
            session.continuation,
        ):
            with pytest.raises(EventDamagedError) as caught:
                await refused()
            assert caught.value.seq == bad
        exported = session.export()
        sound = [(await anext(exported)).seq for _ in range(bad)]
        assert sound == list(range(bad))
        with pytest.raises(EventDamagedError):
            await anext(exported)
        assert len(provider.requests) == 2

        done = await runtime.sessions.repair("s")
        assert (done.found.first_bad, done.admitted) == (bad, 1)
        assert (await session.info()).damage is None
        [waiting] = await session.pending()
        assert (waiting.prompt.text, waiting.key) == ("waits", "later")
        again = await session.prompt("waits", key="later")
        assert again.id == waiting.id
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        assert await session.pending() == []
        assert all(one.sound for one in await runtime.sessions.verify())


LOST = [
    ("prompt", "UPDATE admission SET key = 'latex' WHERE key = 'later'"),
    ("prompt", "UPDATE admission SET aggregate = 77 WHERE key = 'later'"),
    ("wait", "UPDATE work SET aggregate = 77"),
    ("opening", "UPDATE work SET aggregate = 77"),
    ("pending", "UPDATE work SET aggregate = 2"),
    ("opening", "UPDATE work SET aggregate = 2"),
    ("wait", "UPDATE work SET what = 'inpuu'"),
    ("opening", "UPDATE input SET aggregate = 77"),
    ("messages", "UPDATE message SET aggregate = 77 WHERE aggregate = 1 AND seq < 6"),
    ("prompt", "DELETE FROM message WHERE aggregate = 1"),
]
"""What is asked first, and what leaves a sound row where nobody looks, or none."""


@pytest.mark.law("storage.10")
@pytest.mark.parametrize(("first", "lost"), LOST)
async def test_a_row_that_nobody_would_find_is_missed(
    tmp_path: Path, first: str, lost: str
) -> None:
    provider = ScriptedProvider(*[text(word) for word in ("a", "b", "c")])
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(id="s", location="/", model=MODEL)
        await session.prompt("first", key="first")
        await session.wait()
        receipt = await session.prompt("waits", key="later", resume=False)
        other = await runtime.sessions.create(id="other", location="/", model=MODEL)
        await other.prompt("well")
        await other.wait()
        before = list(await session.messages())
    change(tmp_path, lost)

    by_itself = first == "opening"
    policy: Any = "always" if by_itself else "report"
    async with host(tmp_path, provider, resume=policy) as runtime:
        session = await runtime.sessions.get("s")
        other = await runtime.sessions.get("other")
        if first == "wait":
            outcome = await session.wait()
            assert (outcome.status, outcome.reason and outcome.reason.code) == (
                "idle",
                "input.waiting",
            )
        if first in ("wait", "pending"):
            assert [one.id for one in await session.pending()] == [receipt.id]
        if first == "messages":
            assert list(await session.messages()) == before
        if not by_itself:
            again = await session.prompt("waits", key="later")
            assert again == receipt
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
            assert (await other.wait()).succeeded
        said = [one.text for one in await session.messages(order="asc")]
        assert [one for one in said if one in ("first", "waits", "a", "c")] == [
            "first",
            "a",
            "waits",
            "c",
        ]
        assert await session.pending() == []
        assert await other.pending() == []
        assert len(provider.requests) == 3
        found = await runtime.sessions.verify()
        assert all(one.sound and one.complete for one in found)


@pytest.mark.law("storage.10")
async def test_a_session_whose_row_came_away_is_in_the_list(tmp_path: Path) -> None:
    provider = ScriptedProvider()
    async with host(tmp_path, provider) as runtime:
        for id in ("one", "two", "three"):
            await runtime.sessions.create(id=id, location="/", model=MODEL)
        before = await runtime.sessions.list()
    change(tmp_path, "UPDATE session SET aggregate = 77 WHERE aggregate = 2")

    async with host(tmp_path, provider) as runtime:
        assert await runtime.sessions.list() == before


@pytest.mark.law("storage.5")
async def test_an_index_that_holds_what_its_table_does_not_is_damage(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(text("a"))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(id="s", location="/", model=MODEL)
        await session.prompt("first")
        await session.wait()
    index = "FROM sqlite_master WHERE name = 'message_aggregate_id'"
    change(
        tmp_path,
        f"CREATE TABLE kept AS SELECT type, name, tbl_name, rootpage, sql {index}",
        f"DELETE {index}",
    )
    change(
        tmp_path,
        "DELETE FROM message",
        "INSERT INTO sqlite_master SELECT * FROM kept",
        "DROP TABLE kept",
    )

    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.get("s")
        # No waiting for it to pass.
        with anyio.fail_after(HANG):
            with pytest.raises(StoreDamagedError):
                await session.messages()
            with pytest.raises(StoreDamagedError):
                await session.prompt("more")


@pytest.mark.law("storage.7")
@pytest.mark.law("storage.10")
async def test_what_a_lost_event_leaves_behind_is_all_shown_until_a_repair(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(text("a"))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(id="s", location="/", model=MODEL)
        await session.prompt("first")
        await session.wait()
        receipt = await session.prompt("waits", resume=False)
    change(tmp_path, "DELETE FROM event WHERE kind = 'step.started'")

    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.get("s")
        assert [one.id for one in await session.pending()] == [receipt.id]
        damage = (await session.info()).damage
        assert damage is not None
        assert damage.code == "event.damaged"
        with pytest.raises(EventDamagedError):
            await session.prompt("more")
        assert (await runtime.sessions.repair("s")).admitted == 1
        assert [one.id for one in await session.pending()] == [receipt.id]


@pytest.mark.law("storage.6")
async def test_an_input_that_its_index_does_not_lead_to_keeps_nobody_waiting(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(text("a"), text("b"), text("c"))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(id="s", location="/", model=MODEL)
        await session.prompt("queued", delivery="queue", resume=False)
    index = "FROM sqlite_master WHERE name = 'work_queued'"
    change(
        tmp_path,
        f"CREATE TABLE kept AS SELECT type, name, tbl_name, rootpage, sql {index}",
        "CREATE TABLE row AS SELECT * FROM work",
        "DELETE FROM work",
        f"DELETE {index}",
    )
    change(
        tmp_path,
        "INSERT INTO work SELECT * FROM row",
        "INSERT INTO sqlite_master SELECT * FROM kept",
        "DROP TABLE kept",
        "DROP TABLE row",
    )

    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.get("s")
        await session.prompt("more")
        with anyio.fail_after(HANG), pytest.raises(StoreDamagedError):
            await session.wait()
        trouble = (await session.info()).trouble
        assert trouble is not None
        assert trouble.code == "store.damaged"
        other = await runtime.sessions.create(id="other", location="/", model=MODEL)
        await other.prompt("well")
        assert (await other.wait()).succeeded


@pytest.mark.law("storage.7")
async def test_a_session_without_its_first_event_goes_on_as_what_its_row_says(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(text("a"), text("b"))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(
            id="s", location="/", model=MODEL, title="Mine"
        )
        await session.prompt("first")
        await session.wait()
        change(tmp_path, "UPDATE event SET data = x'7b7d' WHERE seq = 0")

        done = await runtime.sessions.repair("s")
        assert done.found.first_bad == 0
        info = await session.info()
        assert (info.title, info.model, info.location.directory) == ("Mine", MODEL, "/")
        await session.prompt("second")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded


UNSOUND_ROWS = (
    "UPDATE session SET title = 'x', steps = 'many'",
    "UPDATE message SET body_seq = 7 WHERE type = 'user'",
    "UPDATE admission SET receipt = x'7b7d'",
    "UPDATE input SET state = 'pending'",
    "DELETE FROM session",
    "INSERT INTO work VALUES (1, 'input', 'msg_9', 3, 'steer', 0, NULL, 0)",
)
MISSING_ROWS = (
    "DELETE FROM message",
    "UPDATE admission SET key = 'l'",
    "UPDATE input SET aggregate = 9",
)


@pytest.mark.law("storage.6")
async def test_an_input_whose_row_was_lost_is_found_by_whoever_goes_on(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(*[text(word) for word in ("a", "b", "c")])
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(id="s", location="/", model=MODEL)
        await session.prompt("waits", resume=False)
    change(tmp_path, "DELETE FROM work")
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.get("s")
        await session.prompt("and this")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        messages = await session.messages(order="asc")
        said = [one.text for one in messages if one.type == "user"]
        assert sorted(said) == ["and this", "waits"]


@pytest.mark.law("storage.6")
async def test_rows_that_follow_from_the_log_are_made_anew_by_themselves(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(text("a"), text("b"))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(
            id="s", location="/", model=MODEL, title="called"
        )
        receipt = await session.prompt("first", key="k")
        await session.wait()
        before = await session.messages(order="asc")
    for statement in (*UNSOUND_ROWS, *MISSING_ROWS):
        change(tmp_path, statement)
        async with host(tmp_path, provider) as runtime:
            if statement in MISSING_ROWS:
                # What is not there is found by whoever reads the log.
                assert all(one.sound for one in await runtime.sessions.verify())
            session = await runtime.sessions.get("s")
            info = await session.info()
            assert (info.title, info.steps, info.damage) == ("called", 1, None), (
                statement
            )
            assert await session.messages(order="asc") == before, statement
            assert await session.pending() == []
            again = await session.prompt("first", key="k", resume=False)
            assert again == receipt, statement
            assert [one.id for one in await runtime.sessions.list()] == ["s"]
            assert all(one.sound for one in await runtime.sessions.verify())


SCHEMA_CHANGES = {
    "a column": "UPDATE sqlite_master SET sql = replace(sql, 'steps', 'stepz')",
    "an index": "UPDATE sqlite_master SET sql = replace(sql, 'UNIQUE ', '')"
    " WHERE name = 'event_aggregate_seq'",
    "the name of a step": "UPDATE migration SET name = '0001_inltial'",
}


@pytest.mark.law("storage.6")
@pytest.mark.parametrize("what", SCHEMA_CHANGES)
async def test_a_changed_schema_is_named_before_anything_is_done_with_it(
    tmp_path: Path, what: str
) -> None:
    async with host(tmp_path, ScriptedProvider()):
        pass
    change(tmp_path, SCHEMA_CHANGES[what])
    with pytest.raises(StoreDamagedError):
        async with host(tmp_path, ScriptedProvider()):
            pass


# --- sums -------------------------------------------------------------------------

scalars = st.none() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.binary()


@given(row=st.lists(scalars, max_size=6))
def test_a_sum_tells_rows_apart_by_owner_value_and_type(row: list[Any]) -> None:
    made = summed("s", *row)
    assert is_sound("s", made)
    assert not is_sound("t", made)
    assert not is_sound("s", (*row, 1, made[-1]))
    for at, value in enumerate(row):
        if isinstance(value, int):
            changed = (*row[:at], str(value), *row[at + 1 :])
            assert not is_sound("s", (*changed, made[-1]))
