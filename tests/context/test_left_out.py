"""One source that cannot be observed stops no session, and is told when it can."""

from pathlib import Path
from unittest import mock

import anyio
import pytest
from dovetail.kernel import (
    ContextSource,
    ContextUnavailableError,
    ContextUpdated,
    EpochStarted,
    LeftOut,
    NoticeMessage,
    Observation,
    PromptPromoted,
    Register,
    Session,
    StepStarted,
    hookimpl,
)
from dovetail.kernel.context import sampling
from dovetail.kernel.context.algebra import Snapshot, Unavailable
from dovetail.kernel.context.sampling import MAX_REST, Sampler
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from dovetail.kernel.testing.memory_store import MemoryState
from support.bounds import HANG
from support.crashes import copied, on
from support.hosts import host, kinds_of


class Weather:
    """A plugin with a source that says what it is told to say."""

    name = "weather"

    def __init__(self, now: str | Exception | None, *, required: bool = False) -> None:
        self.now = now
        self.required = required

    @hookimpl
    def dovetail_register_context(self, register: Register[ContextSource]) -> None:
        register(ContextSource("t/weather", self.observe, self.required))
        register(ContextSource("t/always", self.always))

    async def always(self) -> Observation:
        return Observation("Always.")

    async def observe(self) -> Observation | None:
        if isinstance(self.now, Exception):
            raise self.now
        return None if self.now is None else Observation(self.now)


AWAY = ContextUnavailableError("t/weather", "the window is shut")


async def asked(session: Session, words: str) -> object:
    with anyio.fail_after(HANG):
        await session.prompt(words)
        return await session.wait()


@pytest.mark.law("context.8")
@pytest.mark.law("context.3")
@pytest.mark.parametrize("error", [AWAY, LookupError("bad")], ids=["says", "breaks"])
async def test_what_cannot_be_observed_is_left_out_by_name_and_told_when_it_can(
    error: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weather = Weather(error)
    model = ScriptedProvider(*(text(f"answer {number}") for number in range(4)))
    async with host(tmp_path, model, plugins=[weather]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await asked(session, "one")
        [begun] = [e async for e in session.events() if isinstance(e, EpochStarted)]
        [(key, why)] = begun.left_out.items()
        assert (key, why.plugin) == ("t/weather", "weather")
        assert why.reason
        assert begun.baseline == "Always."
        assert "'t/weather' of plugin 'weather'" in caplog.text

        await asked(session, "two")
        assert "context.updated" not in await kinds_of(session)

        weather.now = "It is sunny."
        await asked(session, "three")
        events = [event async for event in session.events()]
        [update] = [event for event in events if isinstance(event, ContextUpdated)]
        assert update.text == "It is sunny."
        assert list(update.sources) == ["t/weather"]
        # Durable before it is sent, and after the input, which it is the latest of.
        assert isinstance(events[update.seq - 1], PromptPromoted)
        assert isinstance(events[update.seq + 1], StepStarted)
        [*_, prompt, notice] = model.histories[-1]
        assert isinstance(notice, NoticeMessage)
        assert (notice.text, getattr(prompt, "text", None)) == ("It is sunny.", "three")

        # Told once.
        await asked(session, "four")
        assert (await kinds_of(session)).count("context.updated") == 1
        assert model.histories[-1][: len(model.histories[-2])] == model.histories[-2]


@pytest.mark.law("context.8")
async def test_it_is_told_in_the_middle_of_the_work_too(tmp_path: Path) -> None:
    weather = Weather(AWAY)
    model = ScriptedProvider(calls(call("nothing")), text("done"))

    def appears(*_: object) -> None:
        weather.now = "It is sunny."

    class Sees:
        @hookimpl
        def dovetail_prepare_request(self, request: object) -> None:
            appears()

    async with host(tmp_path, model, plugins=[weather, Sees()]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await asked(session, "go")
        [*_, last] = model.histories[-1]
        assert isinstance(last, NoticeMessage)
        assert last.text == "It is sunny."


@pytest.mark.law("context.8")
async def test_another_worker_knows_what_was_left_out(tmp_path: Path) -> None:
    state = MemoryState()
    model = ScriptedProvider(text("one"))
    async with on(state, plugins=[model, Weather(AWAY)]) as runtime:
        session = await runtime.sessions.create(
            id="it", location=tmp_path, model=model.model
        )
        await asked(session, "one")
        state = copied(state)
    model = ScriptedProvider(text("two"))
    async with on(state, plugins=[model, Weather("It is sunny.")], lives=1) as runtime:
        session = await runtime.sessions.get("it")
        await asked(session, "two")
        assert (await kinds_of(session)).count("context.updated") == 1


@pytest.mark.law("context.4")
async def test_only_a_required_source_stops_a_session_and_says_how_to_do_without(
    tmp_path: Path,
) -> None:
    weather = Weather(AWAY, required=True)
    model = ScriptedProvider(text("done"))
    async with host(tmp_path, model, plugins=[weather]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        outcome = await asked(session, "go")
        assert outcome.status == "failed"  # type: ignore[attr-defined]
        reason = outcome.reason  # type: ignore[attr-defined]
        assert reason.code == "context.unavailable"
        assert "the window is shut" in reason.message
        assert "plugin 'weather'" in reason.message
        assert "disable_plugins" in reason.message
        assert len(await session.pending()) == 1
        weather.now = "It is sunny."
        with anyio.fail_after(HANG):
            assert (await session.resume()).succeeded


async def test_a_location_says_how_each_source_is(tmp_path: Path) -> None:
    for now, state in (("Sunny.", "observed"), (None, "absent"), (AWAY, "unavailable")):
        async with host(
            tmp_path, ScriptedProvider(), plugins=[Weather(now)]
        ) as runtime:
            found = {one.key: one for one in await runtime.location(tmp_path).context()}
        assert found["t/weather"].state == state
        assert found["t/weather"].plugin == "weather"
    assert found["t/weather"].reason == "the window is shut"
    assert found["t/always"].reason is None


@pytest.mark.law("context.8")
async def test_a_source_that_hangs_is_waited_for_less_and_less() -> None:
    times = 0
    answers = False

    async def slow(sources: list[ContextSource], _: object) -> Snapshot:
        nonlocal times
        times += len(sources)
        if answers:
            return await observe(sources)
        late = Unavailable("no answer", broken=True, late=True)
        return Snapshot({one.key: late for one in sources})

    async def say() -> Observation:
        return Observation("here")

    observe = sampling.observe
    source = ContextSource("t/slow", say)
    sampler = Sampler(lambda: [source], lambda key: "mine")
    with mock.patch.object(sampling, "observe", slow):
        for _ in range(2 * MAX_REST):
            taken = (await sampler.sample()).results["t/slow"]
            assert isinstance(taken, Unavailable)
            assert taken.plugin == "mine"
        assert 1 < times < 10
        answers = True
        for _ in range(MAX_REST + 1):
            taken = (await sampler.sample()).results["t/slow"]
        assert not isinstance(taken, Unavailable)
        assert LeftOut("mine", "no answer").plugin == "mine"
