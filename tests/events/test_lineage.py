"""Lineage in the log: what the first event says of it stays, wherever the log goes."""

from typing import Any

import pytest
from dovetail.kernel import DovetailError, SessionCreated
from dovetail.kernel.log.commit import EventLog, LogTransaction
from dovetail.kernel.ports import Reader, SessionRow
from dovetail.kernel.testing.clock import ManualClock
from dovetail.kernel.testing.memory_store import open_memory_store
from dovetail.kernel.upkeep.rebuild import rebuild
from dovetail.kernel.upkeep.replay import Export, Replay
from dovetail.kernel.upkeep.verification import repair, verify
from support.damage import SqliteDesk
from support.logs import created, log_on, titled

FORK: dict[str, Any] = {"parent": "one", "forked_from": "two", "forked_seq": 7}


def lineage(found: SessionRow | SessionCreated | None) -> dict[str, Any]:
    return {name: getattr(found, name) for name in FORK}


def children(rows: Reader) -> list[str]:
    return [row.id for row in rows.sessions(parent="one")]


@pytest.mark.law("events.11")
async def test_a_fork_and_a_child_are_told_apart_wherever_the_log_goes(
    log: EventLog,
) -> None:
    async with open_memory_store() as store:
        origin = log_on(store)
        await origin.append(created("s", **FORK), titled("s", 1))
        travelling = [one async for one in Export(origin, "s", None, follow=False)]

    # Neither of those that it names need have come along.
    await log.commit(Replay(travelling).commit)

    assert lineage(await log.read(lambda rows: rows.session("s"))) == FORK
    assert await log.read(children) == ["s"]
    assert (await log.read(lambda rows: verify(rows, "s"))).sound
    await log.commit(lambda tx: rebuild(tx.rows, "s"))
    assert lineage(await log.read(lambda rows: rows.session("s"))) == FORK
    assert await log.read(children) == ["s"]


@pytest.mark.law("events.11")
def test_a_repair_that_loses_the_first_event_keeps_its_lineage() -> None:
    desk = SqliteDesk()
    tx = LogTransaction(desk.rows, ManualClock())
    tx.append(created("s", **FORK))
    tx.finish()
    desk.connection.execute("UPDATE event SET data = x'7b7d'")

    tx = LogTransaction(desk.rows, ManualClock())
    assert repair(tx, "s").set_aside == 1
    tx.finish()
    rebuild(desk.rows, "s")

    assert lineage(desk.rows.session("s")) == FORK
    desk.close()


NO_LINEAGE = {
    "a fork from nowhere in a past": {"forked_from": "two"},
    "a place in nobody's past": {"forked_seq": 3},
    "a place before every past": {"forked_from": "two", "forked_seq": -1},
    "a place that no log has": {"forked_from": "two", "forked_seq": 2**60},
    "its own child": {"parent": "s"},
    "its own fork": {"forked_from": "s", "forked_seq": 0},
    "a parent that can be none": {"parent": "\n"},
    "an origin that can be none": {"forked_from": "", "forked_seq": 0},
}


@pytest.mark.parametrize("what", NO_LINEAGE)
async def test_a_lineage_that_cannot_be_is_not_taken_in(
    log: EventLog, what: str
) -> None:
    async with open_memory_store() as store:
        origin = log_on(store)
        await origin.append(created("s", **NO_LINEAGE[what]))
        travelling = [one async for one in Export(origin, "s", None, follow=False)]

    with pytest.raises(DovetailError):
        await log.commit(Replay(travelling).commit)
    assert await log.read(lambda rows: rows.head("s")) is None
