"""Upcasting: an event that an older release stored reads as today's kind."""

from collections.abc import Iterator

import pytest
from attrs import frozen
from dovetail.kernel import Event, ExportedEvent, UnreadableEvent
from dovetail.kernel.log.commit import EventLog
from dovetail.kernel.log.tail import Tail
from dovetail.kernel.testing.memory_store import open_memory_store
from dovetail.kernel.upkeep.rebuild import rebuild
from dovetail.kernel.upkeep.replay import Export, Replay
from dovetail.kernel.upkeep.verification import verify
from dovetail.kernel.values.events import declaring as declared, encoding
from support.logs import created, log_on


@frozen(kw_only=True)
class Weather(Event):
    """A kind that has changed twice: one word, then a list, then with a unit."""

    words: tuple[str, ...]
    unit: str


STORED = {
    1: {"word": "rain"},
    2: {"words": ["rain"]},
    3: {"words": ["rain"], "unit": "F"},
}


@pytest.fixture(autouse=True)
def _kinds() -> Iterator[None]:
    declared.event("test.weather", version=3)(Weather)
    declared.upcaster("test.weather", 1)(lambda old: {"words": [old["word"]]})
    declared.upcaster("test.weather", 2)(lambda old: {**old, "unit": "C"})
    yield
    del declared.KINDS["test.weather"]
    for version in (1, 2):
        del declared.UPCASTERS["test.weather", version]
    encoding._SHORTCUTS.pop("test.weather", None)


def travelling(*versions: int) -> list[ExportedEvent]:
    first = ExportedEvent("s", 0, "session.created", 1, 0, {"directory": "/w"})
    return [
        first,
        *(
            ExportedEvent("s", seq, "test.weather", version, 0, STORED[version])
            for seq, version in enumerate(versions, 1)
        ),
    ]


@pytest.mark.law("events.6")
async def test_every_version_reads_as_the_current_one_through_the_chain(
    log: EventLog,
) -> None:
    await log.commit(Replay(travelling(1, 2, 3)).commit)

    events = [event async for event in Tail(log, "s", 0, follow=False)]
    assert [(e.words, e.unit) for e in events if isinstance(e, Weather)] == [
        (("rain",), "C"),
        (("rain",), "C"),
        (("rain",), "F"),
    ]
    assert {event.version for event in events} == {3}
    assert await log.commit(lambda tx: rebuild(tx.rows, "s")) == 4


@pytest.mark.law("events.6")
@pytest.mark.law("events.9")
async def test_an_old_event_is_stored_and_travels_as_it_was_written(
    log: EventLog,
) -> None:
    await log.commit(Replay(travelling(1, 2)).commit)
    exported = [one async for one in Export(log, "s", 0, follow=False)]

    assert [(one.version, one.data) for one in exported] == [
        (1, STORED[1]),
        (2, STORED[2]),
    ]
    assert (await log.read(lambda rows: verify(rows, "s"))).sound
    async with open_memory_store() as store:
        other = log_on(store)
        whole = [one async for one in Export(log, "s", None, follow=False)]
        await other.commit(Replay(whole).commit)
        assert [one async for one in Export(other, "s", None, follow=False)] == whole


@pytest.mark.law("events.6")
async def test_a_chain_with_a_hole_and_an_upcaster_that_breaks_are_reported(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.commit(Replay(travelling(1, 2)).commit)

    def break_(_: object) -> dict[str, object]:
        raise LookupError("no such field")

    monkeypatch.setitem(declared.UPCASTERS, ("test.weather", 1), break_)
    monkeypatch.delitem(declared.UPCASTERS, ("test.weather", 2))

    events = [event async for event in Tail(log, "s", 0, follow=False)]
    failures = [e.failure.code for e in events if isinstance(e, UnreadableEvent)]
    assert failures == ["event.damaged", "event.unknown_version"]


async def test_new_events_are_stored_in_the_current_version(log: EventLog) -> None:
    event = Weather(session_id="s", words=("sun",), unit="C")  # type: ignore[arg-type]
    await log.append(created("s"), event)
    [record] = await log.read(lambda rows: rows.events("s", after=0))

    assert (record.kind, record.version) == ("test.weather", 3)
