"""The feed: nothing durable is missed, however far a reader falls behind."""

import anyio
import pytest
from dovetail.kernel import (
    Event,
    ExecutionEnded,
    LiveDelta,
    LiveEvent,
    StepStarted,
    TextDelta,
    TextEnded,
    open_runtime,
)
from dovetail.kernel.testing.scripted import Gate, ScriptedProvider, finish, text
from dovetail.plugins.cli.transcript import Transcript
from dovetail.plugins.console.feed import Feed
from dovetail.plugins.console.terminal import Style
from support.bounds import HANG


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


MANY = 6000
"""More deltas than a live subscriber may fall behind."""


async def drained(feed: Feed) -> list[LiveEvent]:
    with anyio.fail_after(HANG):
        return [event async for event in feed]


def assert_gap_free(events: list[LiveEvent], first: int = 0) -> None:
    seqs = [event.seq for event in events if isinstance(event, Event)]
    assert seqs == list(range(first, first + len(seqs)))


async def test_it_brings_deltas_and_durable_events_in_order(tmp_path: object) -> None:
    provider = ScriptedProvider(text("Hel", "lo"))
    async with open_runtime("sqlite://", plugins=[provider]) as runtime:
        session = await runtime.sessions.create(location=".", model=provider.model)
        feed = Feed(runtime, session)
        feed.begin(-1)
        await session.prompt("hi")
        await session.wait()
        feed.end()
        events = await drained(feed)
    assert_gap_free(events)
    kinds = [event.kind for event in events]
    assert kinds[0] == "session.created"
    assert kinds[-1] == "execution.ended"
    at = kinds.index("live.delta")
    assert kinds[at - 1 : at + 3] == [
        "step.started",
        "live.delta",
        "live.delta",
        "text.ended",
    ]


async def test_a_reader_that_fell_behind_misses_nothing_durable() -> None:
    pieces = [TextDelta("0", f"{number} ") for number in range(MANY)]
    provider = ScriptedProvider([*pieces, finish()], text("Second."))
    async with open_runtime("sqlite://", plugins=[provider]) as runtime:
        session = await runtime.sessions.create(location=".", model=provider.model)
        feed = Feed(runtime, session)
        feed.begin(-1)
        await session.prompt("count")
        await session.wait()
        # It reads only now, and the second prompt comes while it does.
        events: list[LiveEvent] = []
        with anyio.fail_after(HANG):
            async for event in feed:
                events.append(event)
                if isinstance(event, ExecutionEnded):
                    break
        await session.prompt("again")
        await session.wait()
        feed.end()
        events += await drained(feed)
        logged = [event async for event in session.events()]
    assert_gap_free(events)
    assert [event for event in events if isinstance(event, Event)] == logged
    deltas = [event for event in events if isinstance(event, LiveDelta)]
    assert 0 < len(deltas) < MANY
    # Deltas are trusted again from the next Step on.
    assert deltas[-1].text == "Second."

    transcript = Transcript(Style(), reasoning=False, watched=False, failures=True)
    shown = "".join(transcript.take(event) for event in events)
    ended = [event.text for event in events if isinstance(event, TextEnded)]
    assert shown.endswith(f"{ended[0]}\n\n> again\n\nSecond.\n")
    assert shown.count("5999") == 1


async def test_a_reader_that_is_ended_while_behind_still_gets_all() -> None:
    pieces = [TextDelta("0", ".") for _ in range(MANY)]
    provider = ScriptedProvider([*pieces, finish()])
    async with open_runtime("sqlite://", plugins=[provider]) as runtime:
        session = await runtime.sessions.create(location=".", model=provider.model)
        feed = Feed(runtime, session)
        feed.begin(-1)
        await session.prompt("go")
        await session.wait()
        feed.end()
        events = await drained(feed)
    assert_gap_free(events)
    assert isinstance(events[-1], ExecutionEnded)


async def test_it_begins_where_it_is_told_to() -> None:
    provider = ScriptedProvider(text("One."), text("Two."))
    async with open_runtime("sqlite://", plugins=[provider]) as runtime:
        session = await runtime.sessions.create(location=".", model=provider.model)
        await session.prompt("one")
        await session.wait()
        feed = Feed(runtime, session)
        receipt = await session.prompt("two")
        feed.begin(receipt.cursor - 1)
        await session.wait()
        feed.end()
        events = await drained(feed)
    assert events[0].kind == "prompt.admitted"
    assert_gap_free(events, receipt.cursor)


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_what_another_process_records_is_not_missed(
    tmp_path: object, elsewhere: bool
) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    gate = Gate()
    provider = ScriptedProvider([gate, TextDelta("0", "Done."), finish()])
    async with (
        open_runtime(url, plugins=[provider]) as worker,
        open_runtime(url, plugins=[ScriptedProvider()]) as watcher,
    ):
        working = await worker.sessions.create(location=".", model=provider.model)
        session = await watcher.sessions.get(working.id)
        feed = Feed(watcher, session, elsewhere=elsewhere)
        feed.begin(-1)
        await working.prompt("go")
        with anyio.fail_after(HANG):
            await gate.reached()
            if elsewhere:
                # It is seen while it happens.
                async for event in feed:
                    if isinstance(event, StepStarted):
                        break
            gate.open()
            await working.wait()
        await session.rename("seen by both")
        feed.end()
        rest = await drained(feed)
    assert [event.kind for event in rest][-2:] == ["execution.ended", "session.titled"]
    if not elsewhere:
        assert_gap_free(rest)


async def test_closing_it_ends_it_at_once() -> None:
    async with open_runtime("sqlite://", plugins=[ScriptedProvider()]) as runtime:
        session = await runtime.sessions.create(location=".")
        feed = Feed(runtime, session)
        feed.begin(-1)
        feed.close()
        feed.close()
        assert await drained(feed) == []
