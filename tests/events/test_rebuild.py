"""Rebuilding: the log alone says what the rows are."""

import pytest
from dovetail.kernel import (
    Event,
    EventDamagedError,
    EventVersionError,
    SessionNotFoundError,
)
from dovetail.kernel.log.commit import EventLog, LogTransaction
from dovetail.kernel.log.projectors import SUBJECTS
from dovetail.kernel.testing.clock import ManualClock
from dovetail.kernel.upkeep.rebuild import rebuild
from hypothesis import given, settings, strategies as st
from support.damage import DESKS, harm
from support.logs import Medium, created, fill
from support.sessions import conversation, sessions, written


@pytest.mark.law("events.4")
@pytest.mark.parametrize("kind", DESKS)
@settings(deadline=None)
@given(events=sessions, cuts=st.lists(st.integers(1, 5), max_size=20))
def test_rows_rebuilt_from_the_log_equal_those_of_the_live_run(
    kind: str, events: list[Event], cuts: list[int]
) -> None:
    """However the events fell into transactions, and whatever stands beside them."""
    desk, clock = DESKS[kind](), ManualClock()
    other = written(["epoch", "admit", "step", "ask"], "other")
    rest = list(events)
    for size in [*cuts, len(rest)]:
        tx = LogTransaction(desk.rows, clock)
        tx.append(*rest[:size])
        tx.finish()
        del rest[:size]
        clock.advance(1.5)
        if other:
            tx = LogTransaction(desk.rows, clock)
            tx.append(*other)
            tx.finish()
            other = []
    live = desk.projections()

    assert rebuild(desk.rows, "s") == len(events)
    assert desk.projections() == live
    assert rebuild(desk.rows, "s") == len(events)
    assert desk.projections() == live
    desk.close()


@pytest.mark.law("events.4")
@pytest.mark.parametrize("medium", ["sqlite"], indirect=True)
async def test_lost_and_wrong_projections_come_back(
    medium: Medium, log: EventLog
) -> None:
    await log.append(*conversation())
    await fill(log, "other", 2)

    async def look() -> object:
        return await log.read(
            lambda rows: (
                rows.session("s"),
                rows.messages("s", limit=99),
                rows.pending_inputs("s"),
                [rows.input("s", one.id) for one in rows.messages("s", limit=99)],
                rows.sessions_with_work(),
                rows.epoch("s"),
                rows.sessions(),
            )
        )

    before = await look()
    harm(
        medium.file,
        "UPDATE session SET title = 'wrong', steps = 99",
        "DELETE FROM message WHERE seq % 2",
        "DELETE FROM epoch",
        "UPDATE input SET state = 'withdrawn', settled_seq = 0",
        "DELETE FROM work",
        "INSERT INTO work SELECT id, 'input', 'ghost', 0, 'steer', 0, NULL, 0"
        " FROM aggregate",
        "INSERT INTO work SELECT id, 'execution', '', 0, '', 0, NULL, 0 FROM aggregate",
    )

    for name in ("s", "other"):
        await log.commit(lambda tx, name=name: rebuild(tx.rows, name))  # type: ignore[misc]

    assert await look() == before


async def test_operational_rows_are_not_touched(log: EventLog) -> None:
    await log.append(created("s"))
    blob = await log.commit(lambda tx: tx.rows.put_blob(b"x"))
    await log.commit(lambda tx: tx.rows.set_owner("s", "origin"))
    await log.commit(lambda tx: rebuild(tx.rows, "s"))

    assert await log.read(lambda rows: rows.blob(blob)) == b"x"
    head = await log.read(lambda rows: rows.head("s"))
    assert head is not None
    assert head.owner == "origin"


@pytest.mark.parametrize("medium", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("data = x'7b'", EventDamagedError),
        ("version = 7", EventVersionError),
        ("kind = 'weather.changed'", None),
    ],
)
async def test_what_cannot_be_read_is_refused_and_what_is_not_ours_passed_over(
    medium: Medium, log: EventLog, change: str, error: type[Exception] | None
) -> None:
    await fill(log, "s", 4)
    harm(medium.file, f"UPDATE event SET {change} WHERE seq = 2", summed=True)
    before = await log.read(lambda rows: rows.session("s"))

    if error is None:
        assert await log.commit(lambda tx: rebuild(tx.rows, "s")) == 5
    else:
        with pytest.raises(error) as caught:
            await log.commit(lambda tx: rebuild(tx.rows, "s"))
        assert caught.value.seq == 2  # type: ignore[attr-defined]
    assert await log.read(lambda rows: rows.session("s")) == before


async def test_nobody_is_not_rebuilt(log: EventLog) -> None:
    with pytest.raises(SessionNotFoundError):
        await log.commit(lambda tx: rebuild(tx.rows, "nobody"))


def test_a_kind_of_event_is_projected_by_one_subject() -> None:
    projected = [kind for subject in SUBJECTS for kind in subject.PROJECTORS]
    assert len(projected) == len(set(projected)) > 15
