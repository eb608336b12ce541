"""Events: every kind is stored as what it means, for ever, and its hash covers it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from dovetail.kernel import (
    AgentSwitched,
    AskedText,
    AvailabilityChanged,
    Budget,
    ChildAsked,
    ChildSpent,
    CompactionEnded,
    CompactionFailed,
    CompactionRequested,
    CompactionStarted,
    ContextUpdated,
    ContinuationAccepted,
    ContinuationReported,
    Deed,
    EpochStarted,
    Event,
    EventDamagedError,
    EventKindError,
    EventSetAside,
    EventUnwritableError,
    EventVersionError,
    ExecutionEnded,
    ExecutionStarted,
    FactsRecorded,
    Failure,
    FallbackSet,
    FileChange,
    FileContent,
    FileMade,
    FilesRestored,
    Generation,
    GenerationSet,
    JobEnded,
    JobId,
    JobStarted,
    JobWanted,
    LiveDelta,
    MessageId,
    ModelFellBack,
    ModelSwitched,
    NoticeAdded,
    OutputAccepted,
    OutputRefused,
    OutputsShortened,
    PluginDisabled,
    ProcessMark,
    Prompt,
    PromptAdmitted,
    PromptFile,
    PromptPromoted,
    PromptRedelivered,
    PromptWithdrawn,
    ReasoningEnded,
    RequestAnswered,
    RequestAsked,
    RequestId,
    RetryScheduled,
    SentRequest,
    SessionBudgeted,
    SessionCreated,
    SessionId,
    SessionInstructed,
    SessionMoved,
    SessionPruned,
    SessionRemoved,
    SessionRepaired,
    SessionReverted,
    SessionTitled,
    SessionUnreverted,
    StepEnded,
    StepFailed,
    StepStarted,
    TextContent,
    TextEnded,
    TitleFailed,
    Todo,
    TodosReplaced,
    ToolCalled,
    ToolFailed,
    ToolProceeded,
    ToolSpawned,
    ToolStarted,
    ToolSucceeded,
    UndecodableError,
    Usage,
    UserWords,
    event_to_json,
    kinds,
)
from dovetail.kernel.values.events import (
    NO_HASH,
    LeftOut,
    chain_hash,
    decode_event,
    encode_event,
    payload_digest,
    written_event,
)
from hypothesis import given, settings, strategies as st

GOLDEN = Path(__file__).parent / "golden"

MESSAGE, REQUEST = MessageId("msg_1"), RequestId("per_1")
ENVELOPE: dict[str, Any] = {
    "session_id": SessionId("ses_1"),
    "seq": 7,
    "created": 1_700_000_000_123,
}
FAILURE = Failure("tool.failed", "no such file: “ä”")
USAGE = Usage(input=10, output=20, reasoning=5, cache_read=3, cache_write=2)

CHANGE = FileChange("/w/a", "0" * 64, None)
SAMPLES: list[Event] = [
    SessionCreated(
        directory="/work",
        workspace="w",
        title="A title",
        agent="build",
        model="openai/gpt",
        parent="ses_0",
        forked_from="ses_2",
        forked_seq=41,
        **ENVELOPE,
    ),
    ModelSwitched(model="anthropic/claude", **ENVELOPE),
    AgentSwitched(agent="plan", **ENVELOPE),
    SessionTitled(title="Näher", usage=USAGE, cost=0.25, **ENVELOPE),
    PromptAdmitted(
        input_id=MESSAGE,
        prompt=Prompt("Fix it", (PromptFile("a.txt", "text/plain", "YQ=="),)),
        delivery="queue",
        key="ticket-42",
        **ENVELOPE,
    ),
    PromptPromoted(input_id=MESSAGE, **ENVELOPE),
    PromptWithdrawn(input_id=MESSAGE, **ENVELOPE),
    PromptRedelivered(input_id=MESSAGE, delivery="steer", **ENVELOPE),
    ExecutionStarted(owner="own_1", **ENVELOPE),
    ExecutionEnded(status="failed", reason=FAILURE, **ENVELOPE),
    EpochStarted(
        baseline="You are\n…",
        sources={"core/date": "d1"},
        cause="first",
        instructions="Be calm.",
        removals={"core/date": "Time is over."},
        **ENVELOPE,
    ),
    SessionInstructed(instructions="Answer in Latin.", **ENVELOPE),
    GenerationSet(generation=Generation(temperature=0.5), **ENVELOPE),
    OutputAccepted(
        input_id=MESSAGE, message_id=MESSAGE, value={"total": 3}, **ENVELOPE
    ),
    FileMade(
        message_id=MESSAGE,
        mime="image/png",
        bytes=4,
        managed="0" * 64,
        metadata={"attached": {"thoughtSignature": "s"}},
        **ENVELOPE,
    ),
    OutputRefused(
        input_id=MESSAGE,
        message_id=MESSAGE,
        problem="$.total: required and missing",
        final=True,
        **ENVELOPE,
    ),
    SessionBudgeted(
        budget=Budget(steps=3, tokens=9, cost=0.5, seconds=60.0), **ENVELOPE
    ),
    FactsRecorded(
        agent="build",
        model="openai/gpt",
        tools={"read": "0123456789abcdef"},
        rules="fedcba9876543210",
        approvals=("apr_1",),
        plugins={"tools": "0.1.0"},
        **ENVELOPE,
    ),
    ContinuationReported(digest="abc", report={"calls": [], "moved": []}, **ENVELOPE),
    ContinuationAccepted(digest="abc", by="policy", attempt=2, **ENVELOPE),
    ModelFellBack(
        model="a/one",
        next="b/two",
        failure=FAILURE,
        message_id=MESSAGE,
        **ENVELOPE,
    ),
    FallbackSet(models=("b/two", "c/three"), **ENVELOPE),
    RetryScheduled(
        message_id=MESSAGE,
        attempt=2,
        delay_ms=2000,
        failure=FAILURE,
        usage=USAGE,
        cost=0.25,
        unpriced=1,
        **ENVELOPE,
    ),
    AvailabilityChanged(
        unavailable={"acme/team": LeftOut("acme", "nobody is there")},
        ended=("acme/gone",),
        **ENVELOPE,
    ),
    TitleFailed(
        failure=FAILURE,
        asked=(
            AskedText(
                "openai/gpt-mini",
                "Fix it",
                SentRequest(
                    digest="9" * 64,
                    bytes=300,
                    made_of="8" * 32,
                    prefix=299,
                    prefix_digest="7" * 64,
                ),
            ),
        ),
        **ENVELOPE,
    ),
    ContextUpdated(
        message_id=MESSAGE,
        text="The date changed",
        sources={"core/date": "d2", "core/gone": None},
        removals={"core/date": "Time is over."},
        **ENVELOPE,
    ),
    NoticeAdded(message_id=MESSAGE, text="interrupted", **ENVELOPE),
    CompactionRequested(**ENVELOPE),
    CompactionStarted(
        reason="asked",
        strategy="summary",
        model="openai/gpt-mini",
        tokens=9_000,
        limit=12_000,
        requested=4,
        **ENVELOPE,
    ),
    CompactionEnded(
        message_id=MESSAGE,
        text="What was said before …",
        kept=5,
        longest=1_000,
        replaced=12,
        tokens_before=9_000,
        tokens_after=3_000,
        said=(UserWords(2, "Fix it"),),
        skills=("release",),
        names=("src/ä.py", "#W1"),
        model="openai/gpt-mini",
        usage=USAGE,
        cost=0.25,
        requested=4,
        **ENVELOPE,
    ),
    CompactionFailed(failure=FAILURE, usage=USAGE, cost=0.25, requested=4, **ENVELOPE),
    OutputsShortened(
        before=5,
        longest=200,
        spared=("skill",),
        results=3,
        tokens_before=9_000,
        tokens_after=5_000,
        **ENVELOPE,
    ),
    JobStarted(
        job_id=JobId("job_1"),
        message_id=MESSAGE,
        call_id="call_1",
        tool="bash",
        title="npm run build",
        output="running:0",
        process=ProcessMark(7, "123", "boot ns"),
        worker="realm.5.99",
        **ENVELOPE,
    ),
    JobWanted(message_id=MESSAGE, call_id="call_1", **ENVELOPE),
    JobEnded(
        job_id=JobId("job_1"),
        state="failed",
        exit_code=3,
        said="why",
        by="person",
        input_id=MessageId("msg_2"),
        **ENVELOPE,
    ),
    TodosReplaced(
        todos=(Todo("1", "look"), Todo("2", "leap", "in_progress", "high")),
        message_id=MESSAGE,
        call_id="call_1",
        **ENVELOPE,
    ),
    StepStarted(message_id=MESSAGE, agent="build", model="openai/gpt", **ENVELOPE),
    StepEnded(message_id=MESSAGE, finish="tool_calls", usage=USAGE, **ENVELOPE),
    StepFailed(message_id=MESSAGE, failure=FAILURE, usage=USAGE, **ENVELOPE),
    TextEnded(message_id=MESSAGE, text="Done.\n", **ENVELOPE),
    ReasoningEnded(
        message_id=MESSAGE, text="Hm", metadata={"signature": "s"}, **ENVELOPE
    ),
    ToolCalled(
        message_id=MESSAGE,
        call_id="call_1",
        tool="read",
        arguments='{"path": "a"}',
        effect="pure",
        metadata={"thought": [1, None, True]},
        **ENVELOPE,
    ),
    ToolStarted(message_id=MESSAGE, call_id="call_1", **ENVELOPE),
    ToolSpawned(
        message_id=MESSAGE,
        call_id="call_1",
        process=ProcessMark(4711, "123456", "boot:7"),
        **ENVELOPE,
    ),
    ToolProceeded(
        message_id=MESSAGE,
        call_id="call_1",
        deed=Deed("remove old.txt", {"path": "/work/old.txt", "after": None}),
        **ENVELOPE,
    ),
    ToolSucceeded(
        message_id=MESSAGE,
        call_id="call_1",
        content=(TextContent("shown"), FileContent("image/png", "AAAA", "a.png")),
        data={"lines": 2**63, "nested": {"a": [1.5]}},
        managed="out_1",
        **ENVELOPE,
    ),
    ToolFailed(
        message_id=MESSAGE, call_id="call_1", failure=FAILURE, managed="o", **ENVELOPE
    ),
    RequestAsked(
        request_id=REQUEST,
        what="permission",
        agent="build",
        body={"action": "edit", "resources": ["a.py", "b.py"], "save": ["*.py"]},
        message_id=MESSAGE,
        call_id="call_1",
        expires=1_700_000_000_000,
        **ENVELOPE,
    ),
    RequestAnswered(
        request_id=REQUEST,
        outcome="answered",
        by="person",
        answer={"reply": "reject", "message": "fine"},
        **ENVELOPE,
    ),
    PluginDisabled(plugin="weather", failure=FAILURE, **ENVELOPE),
    SessionMoved(directory="/other", workspace="w", **ENVELOPE),
    SessionReverted(
        message_id=MESSAGE,
        first=3,
        files=(CHANGE,),
        tools={"/w/a": "write"},
        todos=2,
        **ENVELOPE,
    ),
    SessionUnreverted(files=(CHANGE,), tools={"/w/a": "write"}, todos=-1, **ENVELOPE),
    FilesRestored(of=4, done=("/w/a",), left={"/w/b": "why"}, **ENVELOPE),
    SessionPruned(classes=("trace", "transcript"), events=3, bytes=4096, **ENVELOPE),
    SessionRemoved(cause="ses_2", **ENVELOPE),
    SessionRepaired(first=3, last=6, failure=FAILURE, **ENVELOPE),
    EventSetAside(**ENVELOPE),
    ChildSpent(child="ses_3", usage=USAGE, cost=0.25, **ENVELOPE),
    ChildAsked(
        child="ses_3",
        request_id=REQUEST,
        what="permission",
        agent="explore",
        **ENVELOPE,
    ),
]


def decoded(sample: Event, data: bytes) -> Event:
    return decode_event(
        sample.kind,
        sample.version,
        data,
        sample.session_id,
        sample.seq,
        sample.created,
    )


def golden_file(kind: str, version: int) -> Path:
    return GOLDEN / f"{kind}.v{version}.json"


def test_every_kind_has_a_sample_and_every_released_version_a_golden_file() -> None:
    """A new kind or version needs a sample above and a new file; a file that is there
    is never edited."""
    assert sorted(sample.kind for sample in SAMPLES) == sorted(kinds())
    for kind, declared in kinds().items():
        for version in range(1, declared.version + 1):
            assert golden_file(kind, version).is_file(), (kind, version)
    known = {
        golden_file(kind, version)
        for kind, declared in kinds().items()
        for version in range(1, declared.version + 1)
    }
    assert set(GOLDEN.iterdir()) <= known


@pytest.mark.law("events.6")
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.kind)
def test_what_was_ever_stored_still_loads_as_the_same_fact(sample: Event) -> None:
    for version in range(1, sample.version + 1):
        golden = json.loads(golden_file(sample.kind, version).read_text("utf-8"))
        data = golden["data"].encode()
        event = decode_event(
            golden["kind"],
            golden["version"],
            data,
            golden["session_id"],
            golden["seq"],
            golden["created"],
        )
        assert event == sample
        digest = chain_hash(
            NO_HASH,
            golden["session_id"],
            golden["seq"],
            golden["kind"],
            golden["version"],
            golden["created"],
            payload_digest(data),
        )
        assert digest.hex() == golden["hash"]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.kind)
def test_the_current_version_is_stored_byte_for_byte_as_its_golden_file(
    sample: Event,
) -> None:
    golden = json.loads(golden_file(sample.kind, sample.version).read_text("utf-8"))

    assert encode_event(sample).decode() == golden["data"]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.kind)
def test_the_envelope_is_not_stored_twice(sample: Event) -> None:
    stored = json.loads(encode_event(sample))

    assert not {"session_id", "seq", "created", "kind", "version"} & set(stored)


json_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.text(), json_data, max_size=4)
optional = st.none() | st.text()
counts = st.none() | st.integers(0, 2**40)
ids = st.text(min_size=1)
usages = st.builds(Usage, counts, counts, counts, counts, counts)
failures = st.builds(Failure, st.text(), st.text())
contents = st.builds(TextContent, st.text()) | st.builds(
    FileContent, st.text(), st.text(), optional
)
prompts = st.builds(
    Prompt,
    st.text(),
    st.lists(st.builds(PromptFile, st.text(), st.text(), st.text()), max_size=2).map(
        tuple
    ),
)
envelope = {
    "session_id": st.text(),
    "seq": st.integers(0, 2**53),
    "created": st.integers(0, 2**47),
}
events = st.one_of(
    st.builds(
        SessionCreated,
        directory=st.text(),
        workspace=optional,
        title=optional,
        agent=optional,
        model=optional,
        parent=optional,
        forked_from=optional,
        forked_seq=st.none() | st.integers(0, 2**53),
        **envelope,
    ),
    st.builds(
        PromptAdmitted,
        input_id=ids,
        prompt=prompts,
        delivery=st.sampled_from(["steer", "queue"]),
        key=optional,
        **envelope,
    ),
    st.builds(
        ExecutionEnded,
        status=st.sampled_from(["succeeded", "failed", "interrupted", "paused"]),
        reason=st.none() | failures,
        **envelope,
    ),
    st.builds(
        ContextUpdated,
        message_id=ids,
        text=st.text(),
        sources=st.dictionaries(st.text(), optional, max_size=3),
        **envelope,
    ),
    st.builds(StepFailed, message_id=ids, failure=failures, usage=usages, **envelope),
    st.builds(
        ToolCalled,
        message_id=ids,
        call_id=ids,
        tool=st.text(),
        arguments=st.text(),
        effect=st.sampled_from([None, "pure", "idempotent", "reconcilable", "unsafe"]),
        metadata=objects,
        **envelope,
    ),
    st.builds(
        ToolSucceeded,
        message_id=ids,
        call_id=ids,
        content=st.lists(contents, max_size=4).map(tuple),
        data=json_data,
        managed=optional,
        **envelope,
    ),
    st.builds(
        RequestAsked,
        request_id=ids,
        what=st.text(),
        agent=st.text(),
        body=objects,
        message_id=optional,
        call_id=optional,
        expires=counts,
        **envelope,
    ),
)


@settings(deadline=None)
@given(events)
def test_every_event_reads_back_as_it_was(event: Event) -> None:
    data = encode_event(event)
    again = decoded(event, data)

    assert again == event
    assert encode_event(again) == data
    json.dumps(event_to_json(event))


@pytest.mark.law("events.6")
def test_an_unknown_kind_is_named_with_its_place() -> None:
    with pytest.raises(EventKindError) as caught:
        decode_event("weather.changed", 1, b"{}", "ses_1", 3, 0)

    assert caught.value.code == "event.unknown_kind"
    assert (caught.value.aggregate, caught.value.seq) == ("ses_1", 3)
    assert "weather.changed" in str(caught.value)


@pytest.mark.law("events.6")
@pytest.mark.parametrize("version", [0, 2, -1, 1000])
def test_a_version_of_another_release_is_named_with_its_place(version: int) -> None:
    with pytest.raises(EventVersionError) as caught:
        decode_event("text.ended", version, b"{}", "ses_1", 3, 0)

    assert caught.value.code == "event.unknown_version"
    assert f"version {version}" in str(caught.value)


@pytest.mark.law("events.6")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"{}",
        b'{"message_id":"m"}',
        b'{"message_id":"m","text":3}',
        b'{"message_id":"m","text":null}',
        b'{"message_id":"m","text":"t","more":1}',
        b'{"message_id":"m","text":"t","text2":"t"}',
    ],
)
def test_data_that_does_not_fit_is_damage_with_its_place(data: bytes) -> None:
    with pytest.raises(EventDamagedError) as caught:
        decode_event("text.ended", 1, data, "ses_1", 3, 0)

    assert caught.value.code == "event.damaged"
    assert "event 3 of 'ses_1'" in str(caught.value)


def test_an_event_that_json_cannot_say_is_never_stored() -> None:
    for bad in ("\ud800", 2**64, float("nan"), object()):
        event = ToolSucceeded(
            message_id=MESSAGE, call_id="c", content=(), data=bad, **ENVELOPE
        )
        with pytest.raises(UndecodableError):
            encode_event(event)


@pytest.mark.law("events.9")
def test_every_part_of_an_event_changes_its_hash() -> None:
    parts: dict[str, Any] = {
        "previous": NO_HASH,
        "session_id": "ses_1",
        "seq": 1,
        "kind": "text.ended",
        "version": 1,
        "created": 12,
        "payload": payload_digest(b"{}"),
    }
    changes: dict[str, Any] = {
        "previous": bytes(31) + b"\x01",
        "session_id": "ses_2",
        "seq": 2,
        "kind": "text.endee",
        "version": 2,
        "created": 13,
        "payload": payload_digest(b"{ }"),
    }
    hashes = {chain_hash(**parts)}
    for name, value in changes.items():
        hashes.add(chain_hash(**{**parts, name: value}))

    assert len(hashes) == 1 + len(changes)
    assert {len(one) for one in hashes} == {32}
    # Digits do not wander from one number to the next.
    assert chain_hash(**{**parts, "seq": 11, "created": 2}) != chain_hash(
        **{**parts, "seq": 1, "created": 12}
    )


@pytest.mark.law("events.9")
def test_the_chain_verifies_without_the_removed_data() -> None:
    data = encode_event(SAMPLES[0])

    assert payload_digest(data) == hashlib.sha256(data).digest()


def test_writing_gives_the_place_and_the_time_and_changes_nothing_else() -> None:
    fresh = TextEnded(session_id=SessionId("ses_1"), message_id=MESSAGE, text="t")
    assert fresh.seq == -1

    data, placed = written_event(fresh, 4, 99)

    assert data == encode_event(fresh)
    assert placed == TextEnded(
        session_id=SessionId("ses_1"), message_id=MESSAGE, text="t", seq=4, created=99
    )
    assert fresh.seq == -1


@settings(deadline=None)
@given(events)
def test_what_is_written_is_what_its_reader_will_have(event: Event) -> None:
    data, placed = written_event(event, 7, 8)

    assert data == encode_event(event)
    assert placed == decode_event(
        event.kind, event.version, data, event.session_id, 7, 8
    )


@pytest.mark.law("events.12")
@pytest.mark.parametrize(
    "wrong",
    [
        {"call_id": 3},
        {"call_id": None},
        {"effect": "harmless"},
        {"arguments": b"{}"},
        {"arguments": "\ud800"},
        {"message_id": object()},
        {"arguments": float("nan")},
    ],
)
def test_what_nobody_could_read_again_is_named_and_not_written(wrong: Any) -> None:
    good: dict[str, Any] = {
        "message_id": MESSAGE,
        "call_id": "c",
        "tool": "bash",
        "arguments": "{}",
        "effect": "unsafe",
    }
    written_event(ToolCalled(**{**good, **ENVELOPE}), 4, 99)

    with pytest.raises(
        EventUnwritableError, match=r"event 4 of .* a tool\.called"
    ) as e:
        written_event(ToolCalled(**{**good, **ENVELOPE, **wrong}), 4, 99)

    assert e.value.code == "event.unwritable"


def test_doors_show_the_envelope_first_and_the_same_names() -> None:
    shown = event_to_json(SAMPLES[4])

    assert list(shown)[:3] == ["seq", "kind", "version"]
    assert shown == {
        "seq": 7,
        "kind": "prompt.admitted",
        "version": 1,
        "session_id": "ses_1",
        "created": 1_700_000_000_123,
        "input_id": "msg_1",
        "prompt": {
            "text": "Fix it",
            "files": [{"name": "a.txt", "mime": "text/plain", "data": "YQ=="}],
        },
        "delivery": "queue",
        "key": "ticket-42",
        "budget": None,
        "job_id": None,
        "generation": None,
        "output": None,
    }


def test_a_live_delta_has_no_place_in_the_log() -> None:
    shown = event_to_json(LiveDelta(SessionId("ses_1"), MESSAGE, "text", "0", "more"))

    assert shown == {
        "kind": "live.delta",
        "session_id": "ses_1",
        "message_id": "msg_1",
        "what": "text",
        "part": "0",
        "text": "more",
    }
