"""Verification and repair: what was changed is found, and what is sound stays."""

from typing import Any

import pytest
from attrs import evolve
from dovetail.kernel import (
    Event,
    EventOwnerError,
    EventSetAside,
    LiveEvent,
    SessionBusyError,
    SessionNotFoundError,
    SessionRepaired,
    UnreadableEvent,
)
from dovetail.kernel.log.commit import EventLog, LogTransaction
from dovetail.kernel.log.reading import PAGE
from dovetail.kernel.log.tail import RuntimeTail, Tail
from dovetail.kernel.ports import LeaseRow
from dovetail.kernel.testing.clock import ManualClock
from dovetail.kernel.upkeep.verification import Repaired, Verified, repair, verify
from hypothesis import given, settings, strategies as st
from support.damage import SqliteDesk, harm
from support.logs import Medium, created, fill, seqs, titled
from support.sessions import conversation

ON_DISK = pytest.mark.parametrize("medium", ["sqlite"], indirect=True)


async def verified(log: EventLog, session_id: str = "s") -> Verified:
    return await log.read(lambda rows: verify(rows, session_id))


async def repaired(log: EventLog) -> Repaired:
    return await log.commit(lambda tx: repair(tx, "s"))


@pytest.mark.law("events.9")
@pytest.mark.parametrize("count", [0, 5, 511, 512, 1030])
async def test_a_sound_log_is_said_to_be_sound(log: EventLog, count: int) -> None:
    await fill(log, "s", count)
    found = await verified(log)
    head = await log.read(lambda rows: rows.head("s"))

    assert found.sound
    assert head is not None
    assert found == Verified("s", count + 1, 0, count, head.hash.hex())
    assert await repaired(log) == Repaired(found, 0, count)
    assert await log.read(lambda rows: rows.head("s")) == head


COLUMNS = ("kind", "version", "created", "data", "hash", "digest", "seq")


@pytest.mark.law("events.9")
@settings(deadline=None, max_examples=150)
@given(
    seq=st.integers(0, 30),
    column=st.sampled_from(COLUMNS),
    place=st.integers(0, 10_000),
    bit=st.integers(0, 7),
)
def test_any_changed_bit_is_found_where_it_is_and_all_before_it_opens(
    seq: int, column: str, place: int, bit: int
) -> None:
    desk = SqliteDesk()
    tx = LogTransaction(desk.rows, ManualClock())
    events = conversation()
    tx.append(*events)
    tx.finish()
    before = desk.rows.events("s")
    [(value,)] = desk.connection.execute(
        f"SELECT CAST({column} AS BLOB) FROM event WHERE seq = ?", (seq,)
    )
    if column in ("version", "created", "seq"):
        number = int(value) ^ (1 << (place * 8 + bit) % 62)
        if column == "seq" and 0 <= number < len(events):
            number = -1 - number
        changed: Any = number
    elif column == "digest":
        changed = bytes(place % 70)
    else:
        made = bytearray(value)
        made[place % len(made)] ^= 1 << bit
        changed = bytes(made)
    kind = "TEXT" if column == "kind" else "NUMERIC"
    new = (
        f"CAST(? AS {kind})" if column in ("kind", "version", "created", "seq") else "?"
    )
    desk.connection.execute(
        f"UPDATE event SET {column} = {new} WHERE seq = ?", (changed, seq)
    )

    found = verify(desk.rows, "s")
    assert (found.first_bad, found.last_sound) == (seq, seq - 1)
    assert found.problem

    tx = LogTransaction(desk.rows, ManualClock())
    done = repair(tx, "s")
    tx.finish()
    after = desk.rows.events("s", limit=20_000)
    assert verify(desk.rows, "s").sound
    if column == "hash":
        # What the events say is proven by the hashes behind it: nothing is lost.
        assert (done.set_aside, done.seq) == (0, before[-1].seq)
        assert [evolve(one, position=0) for one in after] == [
            evolve(one, position=0) for one in before
        ]
        desk.close()
        return
    # No number is missing, none came back, and what was sound is what it was.
    assert [one.seq for one in after] == list(range(done.seq + 1))
    assert done.seq > before[-1].seq
    assert after[:seq] == before[:seq]
    # Where the first event is lost, what the session is stays known.
    assert after[0].kind == "session.created"
    assert {one.kind for one in after[max(seq, 1) : -1]} <= {"event.set_aside"}
    aside = desk.rows.events_set_aside("s")
    if column != "seq":
        assert len(aside) == done.set_aside == len(before) - seq
        assert [one.hash for one in aside[1:]] == [
            one.hash for one in before[seq + 1 :]
        ]
    again = LogTransaction(desk.rows, ManualClock())
    if seq:
        again.append(titled("s", 1))
        again.finish()
        row = desk.rows.session("s")
        assert row is not None
        assert row.title == "1"
        assert verify(desk.rows, "s").sound
    desk.close()


ENDS = {
    "the last event is gone": ("DELETE FROM event WHERE seq = 6", 6, 6),
    "the last events are gone": ("DELETE FROM event WHERE seq > 2", 3, 6),
    "one in the middle is gone": ("DELETE FROM event WHERE seq = 3", 3, 6),
    "all are gone": ("DELETE FROM event", 0, 6),
    "the end is said to be nearer": ("UPDATE aggregate SET seq = 4", 7, 7),
    "the end is said to be farther": ("UPDATE aggregate SET seq = 60", 7, 60),
    "the end is said to be nowhere": ("UPDATE aggregate SET seq = 1 << 60", 7, 7),
    "the end is said to be before": ("UPDATE aggregate SET seq = -4", 7, 5),
    "the end has another hash": ("UPDATE aggregate SET hash = x'00'", 7, 7),
}


@pytest.mark.law("events.9")
@pytest.mark.law("storage.3")
@ON_DISK
@pytest.mark.parametrize("end", ENDS)
async def test_an_end_that_is_not_where_it_was_is_found_and_mended(
    medium: Medium, log: EventLog, end: str
) -> None:
    await fill(log, "s", 6)
    statement, first_bad, last = ENDS[end]
    harm(medium.file, statement, summed=True)

    found = await verified(log)
    assert found.first_bad == first_bad
    done = await repaired(log)

    assert done.found == found
    assert done.seq == last + 1
    assert (await verified(log)).sound
    # A session of which nothing is left takes no events; every other goes on.
    if first_bad > 0:
        [event] = await log.append(titled("s", 1))
        assert event.seq == last + 2
    assert await seqs(Tail(log, "s", None, follow=False)) == list(
        range(last + 2 + (first_bad > 0))
    )


UNREADABLE_ENDS = (
    "seq = 4",
    "seq = 1 << 60",
    "hash = x'00'",
    "owner = 'x'",
    "worker = 'x'",
    "renewed = 'later'",
    "fence = -1",
    "checksum = checksum + 1",
    "id = 77",
)


@pytest.mark.law("storage.6")
@ON_DISK
@pytest.mark.parametrize("change", UNREADABLE_ENDS)
async def test_what_is_only_said_of_a_log_is_mended_from_the_log(
    medium: Medium, log: EventLog, change: str
) -> None:
    await fill(log, "s", 6)
    before = await log.read(lambda rows: rows.events("s"))
    head = await log.read(lambda rows: rows.head("s"))
    harm(medium.file, f"UPDATE aggregate SET {change}")

    assert not (await verified(log)).sound
    done = await repaired(log)

    assert (done.set_aside, done.seq) == (0, 6)
    assert await log.read(lambda rows: rows.head("s")) == head
    after = await log.read(lambda rows: rows.events("s"))
    assert [one.hash for one in after] == [one.hash for one in before]
    lease = await log.read(lambda rows: rows.lease("s"))
    assert lease is not None
    assert (lease.owner, lease.fence > 0) == (None, True)
    await log.append(titled("s", 7))
    assert (await verified(log)).sound


@pytest.mark.law("events.9")
@pytest.mark.law("storage.3")
@ON_DISK
async def test_a_session_opens_at_its_last_sound_position(
    medium: Medium, log: EventLog
) -> None:
    for number in range(8):
        await log.append(created("s") if not number else titled("s", number))
    await fill(log, "other", 3)
    everything = RuntimeTail(log, None, follow=False)
    position = [item.cursor async for item in everything][-1]
    harm(medium.file, "UPDATE event SET data = x'7b7d' WHERE seq = 5")
    told: list[LiveEvent] = []
    log.observe(told.append)

    done = await repaired(log)

    assert (done.found.first_bad, done.set_aside, done.seq) == (5, 3, 8)
    row = await log.read(lambda rows: rows.session("s"))
    assert row is not None
    assert row.title == "4"
    events = [event async for event in Tail(log, "s", 3, follow=False)]
    kinds: list[type[Event]] = [type(event) for event in events]
    assert kinds[1:] == [*[EventSetAside] * 3, SessionRepaired]
    record = events[-1]
    assert isinstance(record, SessionRepaired)
    assert (record.first, record.last) == (5, 7)
    assert record.failure.code == "event.damaged"
    assert told == [record]
    # Who follows the whole store learns of all of it, and nothing twice.
    late = [item.event async for item in RuntimeTail(log, position, follow=False)]
    assert late == events[1:]
    aside = await log.read(lambda rows: rows.events_set_aside("s"))
    assert [one.seq for one in aside] == [5, 6, 7]
    assert aside[0].data == b"{}"
    other = await verified(log, "other")
    assert (other.sound, other.last_sound) == (True, 3)


@pytest.mark.law("events.9")
@ON_DISK
async def test_a_session_of_which_nothing_is_sound_is_only_a_record(
    medium: Medium, log: EventLog
) -> None:
    await fill(log, "s", 3)
    harm(
        medium.file, "UPDATE event SET kind = 'x' WHERE seq = 0", "DELETE FROM session"
    )

    done = await repaired(log)

    assert (done.found.last_sound, done.set_aside, done.seq) == (-1, 4, 4)
    assert (await verified(log)).sound
    assert await log.read(lambda rows: rows.session("s")) is None
    assert await seqs(Tail(log, "s", None, follow=False)) == [0, 1, 2, 3, 4]


@ON_DISK
async def test_damage_in_a_late_page_is_found_and_can_be_damaged_again(
    medium: Medium, log: EventLog
) -> None:
    await fill(log, "s", 3 * PAGE)
    for seq in (2 * PAGE + 1, 2 * PAGE + 9, 7):
        harm(medium.file, f"UPDATE event SET created = 1 WHERE seq = {seq}")
        assert (await verified(log)).first_bad == seq
        await repaired(log)
        assert (await verified(log)).sound


@ON_DISK
async def test_kinds_that_only_a_newer_release_knows_are_verified_too(
    medium: Medium, log: EventLog
) -> None:
    await fill(log, "s", 2)
    harm(medium.file, "UPDATE event SET kind = 'weather.changed' WHERE seq = 1")
    events = [event async for event in Tail(log, "s", None, follow=False)]
    assert isinstance(events[1], UnreadableEvent)
    # Unknown, and damaged: somebody changed the kind. A kind that was there from the
    # beginning is covered by its hash like any other.
    assert (await verified(log)).first_bad == 1


@ON_DISK
async def test_only_an_idle_session_of_this_store_is_repaired(
    medium: Medium, log: EventLog
) -> None:
    await fill(log, "s", 3)
    harm(medium.file, "UPDATE event SET created = 1 WHERE seq = 2")
    lease = LeaseRow("s", "worker", 1, lasts=1000)
    await log.commit(lambda tx: tx.rows.put_lease(lease))
    with pytest.raises(SessionBusyError):
        await repaired(log)
    await log.commit(lambda tx: tx.rows.put_lease(LeaseRow("s", None, 1)))
    await log.commit(lambda tx: tx.rows.set_owner("s", "origin"))
    with pytest.raises(EventOwnerError):
        await repaired(log)
    assert (await verified(log)).first_bad == 2
    assert await log.read(lambda rows: rows.events_set_aside("s")) == []


async def test_nobody_is_neither_verified_nor_repaired(log: EventLog) -> None:
    with pytest.raises(SessionNotFoundError):
        await verified(log, "nobody")
    with pytest.raises(SessionNotFoundError):
        await repaired(log)
