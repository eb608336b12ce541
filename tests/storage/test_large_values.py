"""Large values: stored once, by content, and read back as if nothing had happened."""

import base64
import sqlite3
from pathlib import Path

import pytest
from dovetail.kernel import EventDamagedError, Prompt, PromptFile, UnreadableEvent
from dovetail.kernel.testing import ScriptedProvider
from dovetail.kernel.values.codec import dumps
from dovetail.storage.sql.large_values import LARGE, restore, shrink
from hypothesis import given, strategies as st
from support.hosts import host

PICTURE = base64.b64encode(bytes(range(256)) * 200).decode()


def _rows(path: Path, statement: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


@pytest.mark.law("storage.4")
async def test_the_same_large_value_is_stored_once_however_often_it_is_sent(
    tmp_path: Path,
) -> None:
    prompts = [
        Prompt(f"look at {name}", (PromptFile(name, "image/png", PICTURE),))
        for name in ("a.png", "b.png", "c.png")
    ]
    async with host(tmp_path, ScriptedProvider()) as runtime:
        session = await runtime.sessions.create(location=tmp_path, id="mine")
        for prompt in prompts:
            await session.prompt(prompt, resume=False)
        assert [one.prompt for one in await session.pending()] == prompts
        exported = [one async for one in session.export()]
        assert all(one.hash for one in exported)
        [verified] = await runtime.sessions.verify("mine")
        assert verified.sound
    database = tmp_path / "test.db"
    assert _rows(database, "SELECT count(*) FROM blob") == [(1,)]
    [(longest,)] = _rows(database, "SELECT max(length(data)) FROM event")
    assert isinstance(longest, int)
    assert longest < 1000


@pytest.mark.law("events.9")
async def test_a_changed_large_value_is_found_like_any_other_change(
    tmp_path: Path,
) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        session = await runtime.sessions.create(location=tmp_path, id="mine")
        await session.prompt("x" * (LARGE + 1), resume=False)
    connection = sqlite3.connect(tmp_path / "test.db")
    connection.execute("UPDATE blob SET data = replace(data, 'xx', 'xy')")
    connection.commit()
    connection.close()
    async with host(tmp_path, ScriptedProvider()) as runtime:
        [verified] = await runtime.sessions.verify("mine")
        assert (verified.first_bad, verified.last_sound) == (1, 0)


@pytest.mark.law("events.6")
async def test_a_lost_large_value_is_reported_and_kills_no_reader(
    tmp_path: Path,
) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        session = await runtime.sessions.create(location=tmp_path, id="mine")
        await session.prompt("x" * (LARGE + 1), resume=False)
        await session.prompt("short", resume=False)
    connection = sqlite3.connect(tmp_path / "test.db")
    connection.execute("DELETE FROM blob")
    connection.commit()
    connection.close()
    async with host(tmp_path, ScriptedProvider()) as runtime:
        session = await runtime.sessions.get("mine")
        events = [event async for event in session.events()]
        assert [event.seq for event in events] == [0, 1, 2]
        assert isinstance(events[1], UnreadableEvent)
        assert events[1].failure.code == EventDamagedError.code


@given(
    value=st.dictionaries(
        st.text(),
        st.one_of(
            st.text(),
            st.integers(-(2**63), 2**63),
            st.lists(st.sampled_from(["y" * LARGE, "z" * (LARGE + 5), "short"])),
        ),
    )
)
def test_whatever_is_shrunk_comes_back_byte_for_byte(value: dict[str, object]) -> None:
    kept: dict[str, bytes] = {}

    def keep(data: bytes) -> str:
        kept[str(len(kept))] = data
        return str(len(kept) - 1)

    data = dumps(value)
    small = shrink(data, keep)
    assert restore(small, kept.get) == data
    assert len(small) <= max(len(data), LARGE)
