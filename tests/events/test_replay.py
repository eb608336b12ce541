"""Replay: a log arrives in another store as it was, or nothing of it does."""

import base64
import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from attrs import evolve
from dovetail.kernel import (
    DovetailError,
    Event,
    EventDamagedError,
    EventOwnerError,
    ExportedEvent,
    InvalidValueError,
    MessageId,
    Prompt,
    PromptAdmitted,
    SessionBusyError,
    SessionId,
    SessionNotFoundError,
    StepStarted,
    UndecodableError,
    event_to_json,
)
from dovetail.kernel.log.commit import EventLog
from dovetail.kernel.log.tail import Tail
from dovetail.kernel.ports import LeaseRow
from dovetail.kernel.testing.memory_store import open_memory_store
from dovetail.kernel.upkeep.replay import Export, Replay, Replayed, claim, release
from support.bounds import HANG
from support.logs import Medium, created, fill, log_on, take, titled
from support.sessions import conversation


async def exported(log: EventLog, session_id: str = "s") -> list[ExportedEvent]:
    with anyio.fail_after(HANG):
        return [one async for one in Export(log, session_id, None, follow=False)]


async def source(events: list[Event]) -> list[ExportedEvent]:
    """Return events as a store of their own exports them."""
    async with open_memory_store() as store:
        log = log_on(store)
        log.clock.advance(12.5)  # type: ignore[attr-defined]
        for event in events:
            await log.append(event)
        return await exported(log, events[0].session_id)


async def replay(
    log: EventLog, events: list[ExportedEvent], owner: str | None = None
) -> Replayed:
    return await log.commit(Replay(events, owner).commit)


def everything(medium: Medium) -> Any:
    """Return all that a store holds, as something that can be compared."""

    async def read() -> Any:
        async with medium.open() as store:
            return await store.read(
                lambda rows: (
                    rows.all_events(limit=10_000),
                    rows.head("s"),
                    rows.session("s"),
                    rows.messages("s", limit=1000),
                    rows.pending_inputs("s"),
                    rows.pending_requests(),
                    rows.epoch("s"),
                )
            )

    return read()


async def test_a_replayed_session_is_the_same_session(log: EventLog) -> None:
    events = conversation()
    travelling = await source(events)
    told: list[Event] = []
    log.observe(told.append)

    assert await replay(log, travelling) == Replayed("s", len(events), len(events) - 1)

    assert await exported(log) == travelling
    stored = [event async for event in Tail(log, "s", None, follow=False)]
    assert told == stored
    assert [evolve(event, seq=-1, created=0) for event in stored] == events
    async with open_memory_store() as other:
        live = log_on(other)
        await live.append(*events)
        for look in ("session", "messages", "epoch", "pending_inputs"):
            ours = await log.read(lambda rows, look=look: getattr(rows, look)("s"))  # type: ignore[misc]
            theirs = await live.read(lambda rows, look=look: getattr(rows, look)("s"))  # type: ignore[misc]
            if look == "session":
                ours = evolve(ours, created=0, updated=0, position=0)
                theirs = evolve(theirs, created=0, updated=0, position=0)
            if look == "pending_inputs":
                ours = [evolve(row, created=0) for row in ours]
                theirs = [evolve(row, created=0) for row in theirs]
            assert ours == theirs


async def test_a_replay_may_come_in_pieces_and_again_and_again(
    medium: Medium, log: EventLog
) -> None:
    travelling = await source(conversation())
    total = len(travelling)
    assert (await replay(log, travelling[:5])).accepted == 5
    assert (await replay(log, travelling[3:9])).accepted == 4
    assert (await replay(log, travelling)).accepted == total - 9
    before = await everything(medium)

    for again in (travelling, travelling[:1], travelling[4:7], travelling[-1:]):
        assert await replay(log, again) == Replayed("s", 0, total - 1)
    assert await everything(medium) == before
    assert await exported(log) == travelling


Change = Callable[[list[ExportedEvent]], list[ExportedEvent]]


def changed(index: int, **fields: Any) -> Change:
    def change(events: list[ExportedEvent]) -> list[ExportedEvent]:
        made = list(events)
        made[index] = evolve(made[index], **fields)
        return made

    return change


def data(index: int, **fields: Any) -> Change:
    def change(events: list[ExportedEvent]) -> list[ExportedEvent]:
        return changed(index, data={**events[index].data, **fields})(events)

    return change


# The store has the first six events of the same session.
REFUSED: dict[str, tuple[Change, str]] = {
    "another session": (changed(9, session_id="other"), "event.wrong_aggregate"),
    "a number left out": (lambda e: [*e[:8], *e[9:]], "event.gap"),
    "a number twice": (lambda e: [*e[:8], e[7], *e[8:]], "event.gap"),
    "out of order": (lambda e: [*e[:8], e[9], e[8], *e[10:]], "event.gap"),
    "a beginning after the end": (lambda e: e[7:], "event.gap"),
    "a number below zero": (lambda e: [evolve(e[0], seq=-1)], "event.gap"),
    "other stored content": (
        lambda e: [
            evolve(e[0], hash=None),
            evolve(data(1, cause="x")(e)[1], hash=None),
        ],
        "event.diverged",
    ),
    "another history before it": (
        lambda e: [evolve(e[6], hash="00" * 32)],
        "event.diverged",
    ),
    "another history, unhashed": (
        lambda e: [*(evolve(one, hash=None, created=1) for one in e)],
        "event.diverged",
    ),
    "an unknown kind": (changed(8, kind="weather.changed"), "event.unknown_kind"),
    "an unknown version": (changed(8, version=2), "event.unknown_version"),
    "fields of another kind": (changed(8, data={"x": 1}), "event.damaged"),
    "no fields": (changed(8, data=None), "event.damaged"),
    "other content under its hash": (data(8, text="x"), "event.damaged"),
    "another time under its hash": (changed(8, created=5), "event.damaged"),
    "another hash": (changed(8, hash="ab" * 32), "event.damaged"),
    "half a hash": (changed(8, hash="ab"), "event.damaged"),
    "no hexadecimal": (changed(8, hash="x" * 64), "event.damaged"),
    "a digest without removal": (changed(8, digest="ab" * 32), "event.damaged"),
    "two beginnings": (
        lambda e: [*e[:8], evolve(e[0], seq=8), *e[9:]],
        "event.damaged",
    ),
    "what never follows": (
        lambda e: [
            *e[:8],
            *(evolve(one, hash=None) for one in data(8, input_id="msg_x")(e)[8:]),
        ],
        "event.damaged",
    ),
    "no text for a kind": (changed(8, kind=3), "value.undecodable"),
    "no whole number": (changed(8, seq=8.0), "value.undecodable"),
    "no list": (changed(8, data={"text": {1, 2}}), "value.undecodable"),
    "a large time": (changed(8, created=2**70), "event.damaged"),
}


@pytest.mark.law("events.7")
@pytest.mark.parametrize("why", REFUSED)
async def test_a_foreign_replay_is_refused_and_nothing_is_written(
    medium: Medium, log: EventLog, why: str
) -> None:
    travelling = await source(conversation())
    # Number 8 of the conversation is a text without which the rest is refused too.
    await replay(log, travelling[:6])
    change, code = REFUSED[why]
    if why == "what never follows":
        promoted = next(
            i for i, e in enumerate(travelling) if e.kind == "prompt.promoted"
        )
        foreign = [
            evolve(e, hash=None) for e in data(promoted, input_id="msg_x")(travelling)
        ]
    else:
        foreign = change(travelling)
    before = await everything(medium)
    told: list[Event] = []
    log.observe(told.append)

    with pytest.raises(DovetailError) as caught:
        await replay(log, foreign)

    assert caught.value.code == code
    assert told == []
    assert await everything(medium) == before
    assert (await replay(log, travelling)).accepted == len(travelling) - 6


@pytest.mark.law("events.7")
@pytest.mark.parametrize("first", ["session.titled", "session.created twice"])
async def test_a_log_begins_with_the_creation_of_its_session(
    medium: Medium, log: EventLog, first: str
) -> None:
    events = await source([created("s"), titled("s", 1)])
    foreign = [evolve(events[1], seq=0, hash=None)]
    if first != "session.titled":
        foreign = [events[0], evolve(events[0], seq=1, hash=None)]

    with pytest.raises(EventDamagedError):
        await replay(log, foreign)
    assert await log.read(lambda rows: rows.head("s")) is None


@pytest.mark.parametrize("name", ["", "a b", "x" * 200, "ä", "../s", "a\0"])
async def test_a_session_id_that_nobody_could_choose_is_refused(
    log: EventLog, name: str
) -> None:
    events = await source([created("s")])
    with pytest.raises(InvalidValueError):
        await replay(log, [evolve(events[0], session_id=name, hash=None)])


# --- ownership --------------------------------------------------------------------


@pytest.mark.law("events.7")
async def test_a_replica_is_written_by_its_owner_only(
    medium: Medium, log: EventLog
) -> None:
    travelling = await source(conversation())
    await replay(log, travelling[:3], "origin")
    before = await everything(medium)

    for owner in (None, "thief"):
        with pytest.raises(EventOwnerError) as caught:
            await replay(log, travelling, owner)
        assert caught.value.code == "event.foreign_owner"
    with pytest.raises(EventOwnerError):
        await log.append(titled("s", 1))
    with pytest.raises(EventOwnerError):
        await log.commit(lambda tx: claim(tx, "s", "thief"))
    assert await everything(medium) == before

    await replay(log, travelling[:8], "origin")
    await log.commit(lambda tx: release(tx, "s"))
    await log.commit(lambda tx: release(tx, "s"))
    [event] = await log.append(titled("s", 1))
    assert event.seq == 8
    with pytest.raises(DovetailError) as parted:
        await replay(log, travelling, "origin")
    assert parted.value.code == "event.diverged"


async def test_an_ordinary_log_can_be_claimed(log: EventLog) -> None:
    travelling = await source(conversation())
    await replay(log, travelling[:3])
    await log.commit(lambda tx: claim(tx, "s", "origin"))
    await log.commit(lambda tx: claim(tx, "s", "origin"))

    with pytest.raises(EventOwnerError):
        await log.append(titled("s", 1))
    await replay(log, travelling, "origin")


async def test_the_first_owner_who_replays_something_new_has_it(log: EventLog) -> None:
    travelling = await source(conversation())
    await replay(log, travelling[:3])
    # Nothing new: it stays everybody's.
    await replay(log, travelling[:3], "first")
    await replay(log, travelling[:4], "second")

    head = await log.read(lambda rows: rows.head("s"))
    assert head is not None
    assert head.owner == "second"


async def test_owners_of_nothing_and_bad_names_are_refused(log: EventLog) -> None:
    with pytest.raises(SessionNotFoundError):
        await log.commit(lambda tx: claim(tx, "nobody", "origin"))
    with pytest.raises(SessionNotFoundError):
        await log.commit(lambda tx: release(tx, "nobody"))
    travelling = await source([created("s")])
    with pytest.raises(InvalidValueError):
        await replay(log, travelling, "no name")
    await replay(log, travelling)
    with pytest.raises(InvalidValueError):
        await log.commit(lambda tx: claim(tx, "s", ""))


async def test_a_session_that_runs_here_takes_no_foreign_events(log: EventLog) -> None:
    travelling = await source(conversation())
    await replay(log, travelling[:3])
    lease = LeaseRow("s", "worker", 1, lasts=1000)
    await log.commit(lambda tx: tx.rows.put_lease(lease))

    with pytest.raises(SessionBusyError):
        await replay(log, travelling)
    with pytest.raises(SessionBusyError):
        await log.commit(lambda tx: claim(tx, "s", "origin"))
    # What is known already is no write.
    assert (await replay(log, travelling[:2])).accepted == 0
    log.clock.advance(1)  # type: ignore[attr-defined]
    assert (await replay(log, travelling)).accepted == len(travelling) - 3


# --- what travels -----------------------------------------------------------------


async def test_lines_carry_an_event_unchanged(log: EventLog) -> None:
    travelling = await source(conversation())
    lines = [event.to_line() for event in travelling]

    assert [ExportedEvent.from_line(line) for line in lines] == travelling
    assert {tuple(json.loads(line)) for line in lines} == {
        (
            "session_id",
            "seq",
            "kind",
            "version",
            "created",
            "data",
            "hash",
            "digest",
        )
    }


async def test_the_lines_of_a_shown_log_can_be_replayed_too(log: EventLog) -> None:
    """They say the same without the hashes, which are computed to the same."""
    events = conversation()
    travelling = await source(events)
    async with open_memory_store() as store:
        other = log_on(store)
        await replay(other, travelling)
        shown = [
            json.dumps(event_to_json(event))
            async for event in Tail(other, "s", None, follow=False)
        ]
    read = [ExportedEvent.from_line(line) for line in shown]
    assert {event.hash for event in read} == {None}

    await replay(log, read)

    assert await exported(log) == travelling


BAD_LINES = [
    "",
    "{",
    "[]",
    "3",
    "{}",
    '{"session_id":"s"}',
    '{"session_id":"s","seq":"0","kind":"k","version":1,"created":0,"data":{}}',
    '{"session_id":"s","seq":0,"kind":"k","version":1,"created":0}',
    '{"session_id":"s","seq":0,"kind":"text.ended","version":1,"created":0,"text":"t"}',
    '{"session_id":"s","seq":0,"kind":"session.titled","version":9,"created":0}',
    '{"session_id":"s","seq":4,"kind":"session.pruned","version":1,"created":0,'
    '"classes":[],"events":1,"bytes":1}',
    '{"kind":"live.delta","session_id":"s","message_id":"m","what":"text","part":"0",'
    '"text":"t"}',
]


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_line_that_says_no_event_is_refused(line: str) -> None:
    with pytest.raises(DovetailError) as caught:
        ExportedEvent.from_line(line)
    assert caught.value.code in (
        "value.undecodable",
        "event.unknown_kind",
        "event.unknown_version",
        "event.damaged",
    )


async def test_naughty_text_travels_unchanged(log: EventLog, corpus: Any) -> None:
    strings = [s for s in corpus("naughty-strings").json("blns.json") if s]
    events: list[Event] = [created("s")]
    for number, string in enumerate(strings):
        events.append(
            PromptAdmitted(
                session_id=SessionId("s"),
                input_id=f"msg_{number}",  # type: ignore[arg-type]
                prompt=Prompt(f"> {string}"),
                delivery="queue",
            )
        )
    travelling = await source(events)
    lines = [event.to_line() for event in travelling]
    assert not any("\n" in line for line in lines)

    await replay(log, [ExportedEvent.from_line(line) for line in lines])

    got = [event async for event in Tail(log, "s", 0, follow=False)]
    assert [event.prompt.text for event in got] == [  # type: ignore[attr-defined]
        f"> {string}" for string in strings
    ]


def test_foreign_json_is_refused_with_a_typed_error(corpus: Any) -> None:
    cases = list(corpus("json-test-suite").lines("test_parsing.jsonl"))
    assert len(cases) > 100
    for case in cases:
        text = base64.b64decode(case["b64"])
        for line in (text, b'{"data":' + text + b"}"):
            with pytest.raises(UndecodableError):
                ExportedEvent.from_line(line)


async def test_foreign_json_inside_an_event_travels_unchanged_or_is_refused(
    log: EventLog, corpus: Any
) -> None:
    """As what a provider says of a text, which may be anything."""
    step = StepStarted(
        session_id=SessionId("s"),
        message_id=MessageId("m"),
        agent="build",
        model="test/m",
    )
    await replay(log, await source([created("s"), step]))
    travelled = 0
    for case in corpus("json-test-suite").lines("test_parsing.jsonl"):
        text = base64.b64decode(case["b64"])
        line = (
            b'{"session_id":"s","seq":%d,"kind":"text.ended","version":1,"created":0,'
            b'"data":{"message_id":"m","text":"","metadata":{"said":%s}}}'
            % (travelled + 2, text)
        )
        try:
            event = ExportedEvent.from_line(line)
            await replay(log, [event])
        except UndecodableError:
            assert case["expect"] != "accept", case["name"]
            continue
        travelled += 1
        [again] = [one async for one in Export(log, "s", travelled, follow=False)]
        assert again.data == event.data, case["name"]
    assert travelled > 50


async def test_a_key_is_known_at_the_other_end(log: EventLog) -> None:
    events = conversation()
    await replay(log, await source(events))
    admitted = [event for event in events if isinstance(event, PromptAdmitted)]
    for event in admitted:
        row = await log.read(lambda rows, key=event.key: rows.admission("s", key))  # type: ignore[misc]
        assert row is not None
        assert json.loads(row.receipt)["id"] == event.input_id


# --- export -----------------------------------------------------------------------


async def test_an_export_goes_on_after_a_cursor_and_may_follow(log: EventLog) -> None:
    await fill(log, "s", 6)
    whole = await exported(log)

    for after in (-1, 0, 3, 6):
        rest = [one async for one in Export(log, "s", after, follow=False)]
        assert rest == whole[after + 1 :]
    following = Export(log, "s", 5, follow=True)
    assert await take(following, 1) == whole[6:]
    await log.append(titled("s", 9))
    [new] = await take(following, 1)
    assert new.data == {"title": "9"}
    following.close()


async def test_an_export_of_nobody_is_refused(log: EventLog) -> None:
    with pytest.raises(SessionNotFoundError):
        await exported(log, "nobody")


@pytest.mark.law("events.9")
async def test_damage_is_never_exported(store: Any, log: EventLog) -> None:
    await fill(log, "s", 6)
    record = (await log.read(lambda rows: rows.events("s")))[3]
    changed = evolve(record, data=b'{"title":"x"}')
    await store.transact(lambda tx: tx.remove_data([changed]))

    export = Export(log, "s", None, follow=False)
    assert [one.seq for one in await take(export, 3)] == [0, 1, 2]
    for _ in range(2):
        with pytest.raises(EventDamagedError) as caught:
            await anext(export)
        assert (caught.value.aggregate, caught.value.seq) == ("s", 3)


def test_an_exported_event_of_the_wrong_shape_never_reaches_the_store() -> None:
    event = ExportedEvent("s", 0, "session.created", 1, 0, {"directory": 3})
    with pytest.raises(EventDamagedError):
        Replay([event])
    with pytest.raises(UndecodableError):
        Replay([evolve(event, version="1")])
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UndecodableError):
        Replay([evolve(event, data=deep)])
