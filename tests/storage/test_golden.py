"""Golden databases: what any release wrote, this one opens, with nothing missing."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from dovetail.kernel import to_json
from dovetail.kernel.testing import ScriptedProvider
from dovetail.storage.sqlite.migrations import STEPS
from support.hosts import host

GOLDEN = Path(__file__).with_name("golden")
FILES = sorted(GOLDEN.glob("schema-*.db"))


def test_the_current_schema_has_a_golden_database() -> None:
    assert FILES[-1].stem == f"schema-{len(STEPS):04}"


@pytest.mark.law("storage.3")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_a_golden_database_opens_and_keeps_everything(
    file: Path, tmp_path: Path
) -> None:
    content = json.loads(file.with_suffix(".json").read_text("utf-8"))
    shutil.copy(file, tmp_path / "test.db")
    async with host(tmp_path, ScriptedProvider()) as runtime:
        found = [info.id for info in await runtime.sessions.list()]
        assert found == content["sessions"]
        children = [info.id for info in await runtime.sessions.list(parent="one")]
        assert children == content["children"]
        one = await runtime.sessions.get("one")
        two = await runtime.sessions.get("two")
        messages = await one.messages(order="asc")
        assert [to_json(message) for message in messages] == content["messages"]
        assert [to_json(item) for item in await two.pending()] == content["pending"]
        for session in (one, two):
            events = [event async for event in session.events()]
            assert [event.seq for event in events] == list(range(len(events)))
            assert len(events) == content["events"][session.id]
            assert "event.unreadable" not in {event.kind for event in events}
        assert all(each.sound for each in await runtime.sessions.verify())
        again = await one.prompt("say something", key="ticket-42", resume=False)
        assert to_json(again) == content["receipt"]
        await runtime.sessions.rebuild()
        messages = await one.messages(order="asc")
        assert [to_json(message) for message in messages] == content["messages"]


@pytest.mark.law("storage.4")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_every_large_value_of_a_golden_database_is_held(
    file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "test.db"
    shutil.copy(file, path)

    def count(what: str) -> int:
        with closing(sqlite3.connect(path)) as connection:
            found: int = connection.execute(f"SELECT count(*) FROM {what}").fetchone()[
                0
            ]
            return found

    kept = count("blob")
    assert kept
    async with host(tmp_path, ScriptedProvider()) as runtime:
        assert count("hold") == kept
        assert count("blob WHERE digest NOT IN (SELECT digest FROM hold)") == 0
        await runtime.sessions.prune("one", ("transcript",))
        assert count("blob") == count("hold") < kept
        assert all(each.sound for each in await runtime.sessions.verify())
