"""Retention: content goes, and every promise about it stays."""

from typing import Any

import pytest
from attrs import evolve
from dovetail.kernel import (
    DovetailError,
    Event,
    EventDamagedError,
    EventOwnerError,
    InvalidValueError,
    PromptAdmitted,
    SessionBusyError,
    SessionId,
    SessionNotFoundError,
    SessionPruned,
    UnreadableEvent,
    kinds,
)
from dovetail.kernel.history.history import History
from dovetail.kernel.log.commit import EventLog, LogTransaction
from dovetail.kernel.log.reading import event_of
from dovetail.kernel.log.reduction import REMOVED, reduced, seal
from dovetail.kernel.log.tail import Tail
from dovetail.kernel.ports import EventRecord, LeaseRow
from dovetail.kernel.testing.clock import ManualClock
from dovetail.kernel.testing.memory_store import open_memory_store
from dovetail.kernel.upkeep.rebuild import rebuild
from dovetail.kernel.upkeep.replay import Export, Replay
from dovetail.kernel.upkeep.retention import Pruned, prune
from dovetail.kernel.upkeep.verification import verify
from dovetail.kernel.values.events import Retention, encode_event, payload_digest
from hypothesis import given, settings
from support.damage import DESKS
from support.logs import created, log_on, titled
from support.sessions import Writer, conversation, sessions, written

BOTH: tuple[Retention, ...] = ("trace", "transcript")


async def pruned(
    log: EventLog, classes: Any = BOTH, before: int | None = None, name: str = "s"
) -> Pruned:
    return await log.commit(lambda tx: prune(tx, SessionId(name), classes, before))


async def stored(log: EventLog) -> list[Event]:
    return [event async for event in Tail(log, "s", None, follow=False)]


def record_of(event: Event) -> EventRecord:
    data = encode_event(event)
    return EventRecord("s", 0, event.kind, event.version, 0, data, b"")


def test_every_kind_that_may_lose_content_says_what_is_left() -> None:
    """A new kind or version that is not kept for ever needs a rule of its own."""
    whole = {event.kind: event for event in conversation()}
    for kind, declared in kinds().items():
        if declared.retention == "forever":
            assert kind not in whole or reduced(record_of(whole[kind])) is None
        elif kind in whole:
            rest = reduced(record_of(whole[kind]))
            assert rest is not None or kind == "session.created", kind
            if rest is None:
                continue  # it has no title, and everything else of it stays
            assert b"secret" not in rest.data
            assert b"Fix it" not in rest.data
            assert not isinstance(event_of(rest), UnreadableEvent)
    missing = {kind for kind, one in kinds().items() if one.retention != "forever"}
    assert not missing - set(whole)


@pytest.mark.law("storage.4")
@pytest.mark.parametrize("kind", DESKS)
@settings(deadline=None)
@given(events=sessions)
def test_pruning_changes_no_row_and_the_rest_replays_and_verifies(
    kind: str, events: list[Event]
) -> None:
    desk, clock = DESKS[kind](), ManualClock()
    tx = LogTransaction(desk.rows, clock)
    tx.append(*events)
    tx.finish()
    row = desk.rows.session("s")
    assert row is not None
    before, whole = desk.projections(), desk.rows.events("s", limit=1000)
    tx = LogTransaction(desk.rows, clock)
    if row.status == "running":
        with pytest.raises(SessionBusyError):
            prune(tx, SessionId("s"), BOTH)
        desk.close()
        return
    done = prune(tx, SessionId("s"), BOTH)
    tx.finish()

    # But for the title, which was said, too.
    assert desk.projections()[1:] == before[1:]
    assert desk.rows.session("s") in (row, evolve(row, title=None))
    pruned = desk.projections()
    rebuild(desk.rows, "s")
    assert desk.projections() == pruned
    after = desk.rows.events("s", limit=1000)
    assert len(after) == len(whole) + bool(done.events)
    for old, new in zip(whole, after, strict=False):
        assert evolve(new, data=old.data, digest=None) == old
        assert not isinstance(event_of(new), UnreadableEvent)
    found = verify(desk.rows, "s")
    assert found.sound
    assert found.removed == done.events
    history = History("s")
    history.catch_up(desk.rows)
    assert history.seq == after[-1].seq
    desk.close()


@pytest.mark.law("storage.4")
@pytest.mark.law("storage.3")
async def test_what_was_said_is_gone_and_how_it_went_stays(log: EventLog) -> None:
    events = conversation()
    await log.append(*events)
    size = sum(len(one.data) for one in await log.read(lambda rows: rows.events("s")))

    done = await pruned(log)

    records = await log.read(lambda rows: rows.events("s"))
    kept = b"".join(one.data for one in records)
    for gone in (b"secret thought", b"secret answer", b"secret text", b"Fix it"):
        assert gone not in kept
    assert done.session_id == "s"
    assert done.events > 10
    assert done.bytes == size - (len(kept) - len(records[-1].data))
    shown = await stored(log)
    last = shown.pop()
    assert isinstance(last, SessionPruned)
    assert (last.events, last.bytes, last.classes) == (done.events, done.bytes, BOTH)
    assert [one.kind for one in shown] == [one.kind for one in events]
    prompts = [one for one in shown if isinstance(one, PromptAdmitted)]
    originals = [one for one in events if isinstance(one, PromptAdmitted)]
    assert [one.key for one in prompts] == [one.key for one in originals]
    assert {one.prompt.text for one in prompts} == {REMOVED}
    assert await pruned(log) == Pruned(SessionId("s"), 0, 0)
    assert len(await stored(log)) == len(events) + 1


@pytest.mark.law("storage.4")
async def test_the_title_goes_with_what_was_said_and_only_then(log: EventLog) -> None:
    async def title() -> str | None:
        row = await log.read(lambda rows: rows.session("s"))
        assert row is not None
        await log.commit(lambda tx: rebuild(tx.rows, "s"))
        assert await log.read(lambda rows: rows.session("s")) == row
        return row.title

    await log.append(created("s", title="Leave my wife"), titled("s", 1))
    await pruned(log, ("trace",))
    assert await title() == "1"

    await pruned(log, before=1)
    assert await title() == "1"
    assert b"wife" not in (await log.read(lambda rows: rows.events("s")))[0].data

    await pruned(log)
    assert await title() is None
    await log.append(titled("s", 2))
    assert await title() == "2"


async def test_only_the_named_classes_go_and_only_before_the_cursor(
    log: EventLog,
) -> None:
    writer = Writer()
    for act in ("epoch", "step", "epoch", "step"):
        getattr(writer, act)()
    await log.append(*writer.events)
    whole = await stored(log)
    second = [i for i, one in enumerate(whole) if one.kind == "step.started"][1]

    assert (await pruned(log, ("trace",), before=1)).events == 0
    done = await pruned(log, ("trace",))
    after = await stored(log)
    changed = [old.kind for old, new in zip(whole, after, strict=False) if old != new]
    traces = [kind for kind, one in kinds().items() if one.retention == "trace"]
    assert {*changed} <= {*traces}
    assert len(changed) == done.events

    await pruned(log, ("transcript",), before=second)
    after = await stored(log)
    assert after[second : len(whole)] == whole[second:]
    assert after[2:second] != whole[2:second]


async def test_what_is_still_needed_is_never_removed(log: EventLog) -> None:
    """Input that the model has not seen, the Baseline in force, an unsettled Step."""
    writer = Writer()
    for act in ("epoch", "admit", "promote", "step", "epoch", "admit", "admit"):
        getattr(writer, act)()
    writer.step(settled=False)
    writer.admit("late")
    await log.append(*writer.events)
    whole = await stored(log)

    await pruned(log)

    after = await stored(log)
    kept = [new == old for old, new in zip(whole, after, strict=False)]
    opened = next(
        i for i, one in reversed([*enumerate(whole)]) if one.kind == "step.started"
    )
    epochs = [i for i, one in enumerate(whole) if one.kind == "context.epoch_started"]
    prompts = [i for i, one in enumerate(whole) if one.kind == "prompt.admitted"]
    assert all(kept[opened:])
    assert [kept[i] for i in epochs] == [False, True]
    assert [kept[i] for i in prompts] == [False, True, True, True]


@pytest.mark.parametrize("classes", [("forever",), ("trace", "all"), ("",)])
async def test_what_is_kept_for_ever_cannot_be_named(
    log: EventLog, classes: Any
) -> None:
    await log.append(created("s"))
    with pytest.raises(InvalidValueError):
        await pruned(log, classes)


async def test_only_an_idle_session_of_this_store_is_pruned(log: EventLog) -> None:
    await log.append(*written(["admit", "promote", "step", "execution"]))
    with pytest.raises(SessionBusyError):
        await pruned(log)
    await log.append(*written(["execution", "execution"])[-1:])
    lease = LeaseRow("s", "worker", 1, lasts=1000)
    await log.commit(lambda tx: tx.rows.put_lease(lease))
    with pytest.raises(SessionBusyError):
        await pruned(log)
    await log.commit(lambda tx: tx.rows.put_lease(evolve(lease, owner=None)))
    before = await stored(log)
    await log.commit(lambda tx: tx.rows.set_owner("s", "origin"))
    with pytest.raises(EventOwnerError):
        await pruned(log)
    assert await stored(log) == before
    with pytest.raises(SessionNotFoundError):
        await pruned(log, name="nobody")


async def test_a_pruned_log_travels_and_stays_what_it_is(log: EventLog) -> None:
    await log.append(*conversation())
    await pruned(log)
    travelling = [one async for one in Export(log, "s", None, follow=False)]
    async with open_memory_store() as store:
        other = log_on(store)
        done = await other.commit(Replay(travelling).commit)
        assert done.accepted == len(travelling)
        assert (await other.read(lambda rows: verify(rows, "s"))).sound
        again = [one async for one in Export(other, "s", None, follow=False)]
        assert again == travelling
        # A replay of the whole, from somewhere else, changes nothing any more.
        removed = next(one for one in travelling if one.kind == "prompt.admitted")
        assert isinstance(removed.data, dict)
        key = removed.data["key"]
        # The prompt behind the key is gone, so that it cannot be compared.
        assert await other.read(lambda rows: rows.admission("s", key)) is None

        forged = {**removed.data, "prompt": {"text": "obey", "files": []}}
        with pytest.raises(EventDamagedError):
            await other.commit(Replay([evolve(removed, data=forged)]).commit)


async def test_a_whole_and_a_pruned_copy_are_the_same_log(log: EventLog) -> None:
    await log.append(*conversation())
    whole = [one async for one in Export(log, "s", None, follow=False)]
    await pruned(log)
    small = [one async for one in Export(log, "s", None, follow=False)]
    async with open_memory_store() as store:
        other = log_on(store)
        await other.commit(Replay(whole).commit)
        assert (await other.commit(Replay(small).commit)).accepted == 1
        # Each keeps its own content until it is pruned itself.
        assert [one async for one in Export(other, "s", None, follow=False)] == [
            *whole,
            small[-1],
        ]


@pytest.mark.law("events.9")
@pytest.mark.parametrize("change", ["one byte", "resealed", "whole again", "digest"])
async def test_a_change_of_what_is_left_is_found(
    store: Any, log: EventLog, change: str
) -> None:
    await log.append(*conversation())
    whole = await log.read(lambda rows: rows.events("s"))
    await pruned(log)
    records = await log.read(lambda rows: rows.events("s"))
    record = next(one for one in records if one.kind == "text.ended")
    assert record.digest is not None
    data, digest = record.data.replace(b"removed", b"obeyed!"), record.digest
    if change == "resealed":
        digest = seal(digest[:32], data)
    elif change == "whole again":
        data = whole[record.seq].data
    elif change == "digest":
        data, digest = record.data, payload_digest(b"x") + digest[32:]
    harmed = evolve(record, data=data, digest=digest)
    await store.transact(lambda tx: tx.remove_data([harmed]))

    found = await log.read(lambda rows: verify(rows, "s"))
    assert found.first_bad == record.seq


async def test_a_session_goes_on_after_pruning(log: EventLog) -> None:
    await log.append(*written(["epoch", "admit", "promote", "step"]))
    history = History("s")
    await log.read(history.catch_up)
    end = log.observe(history.offer)
    await pruned(log)
    await log.append(titled("s", 1))
    end()

    # What was decoded before is told to begin anew, and does.
    await log.read(history.catch_up)
    fresh = History("s")
    await log.read(fresh.catch_up)
    assert history.messages == fresh.messages
    assert history.seq == fresh.seq
    texts = [getattr(message, "text", "") for message in history.messages]
    assert REMOVED in texts


async def test_damaged_events_are_left_to_whoever_repairs_them(
    store: Any, log: EventLog
) -> None:
    await log.append(*written(["step"]))
    record = (await log.read(lambda rows: rows.events("s")))[3]
    assert record.kind == "text.ended"
    for data in (b"{", b"[]", b"3", b""):
        harmed = evolve(record, data=data)
        await store.transact(lambda tx, harmed=harmed: tx.remove_data([harmed]))
        try:
            await pruned(log)
        except DovetailError as error:
            raise AssertionError(data) from error
        kept = (await log.read(lambda rows: rows.events("s")))[3]
        assert (kept.data, kept.digest) == (data, None)
