"""Sampling: when Context Sources are observed, and how long that may take."""

import threading
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import anyio
import pytest
from anyio import to_thread
from dovetail.kernel import (
    ContextSource,
    ContextUnavailableError,
    Observation,
    SessionSource,
    SessionView,
)
from dovetail.kernel.context import sampling
from dovetail.kernel.context.algebra import (
    Absent,
    Observed,
    Snapshot,
    Unavailable,
    render_baseline,
)
from dovetail.kernel.context.answers import MAX_TEXT
from dovetail.kernel.context.registry import ContextRegistry
from dovetail.kernel.context.sampling import Sampler, observe
from dovetail.kernel.lifecycle import own_time
from dovetail.kernel.lifecycle.aside import look_aside
from dovetail.kernel.lifecycle.registrations import Registrations
from dovetail.kernel.testing.scripted import Gate
from dovetail.kernel.values.ids import SessionId
from support.bounds import HANG


def says(key: str, baseline: str, update: str | None = None) -> ContextSource:
    async def answer() -> Observation:
        return Observation(baseline, update)

    return ContextSource(key, answer)


def raises(key: str, error: Exception) -> ContextSource:
    async def answer() -> Observation:
        raise error

    return ContextSource(key, answer)


def seen(baseline: str, update: str | None = None) -> Observed:
    return Observed(Observation(baseline, update))


# --- one sample -------------------------------------------------------------------


async def test_all_sources_are_observed_at_the_same_time_and_each_once() -> None:
    arrived: list[str] = []
    all_there = anyio.Event()

    def gated(key: str) -> ContextSource:
        async def answer() -> Observation:
            arrived.append(key)
            if len(arrived) == 3:
                all_there.set()
            await all_there.wait()  # passes only when the others run too
            return Observation(key)

        return ContextSource(key, answer)

    with anyio.fail_after(HANG):
        taken = await observe([gated("t/c"), gated("t/a"), gated("t/b")])
    assert sorted(arrived) == ["t/a", "t/b", "t/c"]
    assert list(taken.results) == ["t/a", "t/b", "t/c"]
    assert render_baseline(taken) == "t/a\n\nt/b\n\nt/c"


async def test_nothing_to_say_is_absent() -> None:
    async def nothing() -> None:
        return None

    sources = [ContextSource("t/none", nothing), says("t/blank", " \n")]
    taken = await observe(sources)
    assert taken == Snapshot({"t/blank": Absent(), "t/none": Absent()})
    assert render_baseline(taken) == ""
    assert taken.digests == {}


@pytest.mark.law("context.2")
async def test_a_source_that_cannot_tell_is_unavailable_and_not_broken() -> None:
    taken = await observe([raises("t/a", ContextUnavailableError("t/a", "disk gone"))])
    assert taken == Snapshot({"t/a": Unavailable("disk gone")})


@pytest.mark.law("plugins.1")
async def test_a_source_that_raises_is_named_and_disturbs_no_other() -> None:
    taken = await observe(
        [raises("t/bad", ZeroDivisionError("oh")), says("t/ok", "ok")]
    )
    assert taken.results["t/ok"] == seen("ok")
    assert taken.unavailable == {
        "t/bad": Unavailable("ZeroDivisionError: oh", broken=True)
    }
    assert isinstance(taken.unavailable["t/bad"].error, ZeroDivisionError)


@pytest.mark.law("plugins.1")
async def test_a_source_that_hangs_is_unavailable_after_its_time_limit() -> None:
    cancelled = anyio.Event()

    async def hang() -> Observation | None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()
        return None

    sources = [ContextSource("t/hang", hang), says("t/ok", "ok")]
    with anyio.fail_after(HANG):
        taken = await observe(sources, time_limit=0.01)
    assert cancelled.is_set()
    assert taken.results["t/ok"] == seen("ok")
    assert taken.results["t/hang"] == Unavailable(
        "no answer within 0.01 s", broken=True, late=True
    )


@pytest.mark.parametrize(
    "answer",
    [
        "text",
        Observation(7),  # type: ignore[arg-type]
        Observation("ok", 7),  # type: ignore[arg-type]
        Observation("x" * (MAX_TEXT + 1)),
        Observation("ok", "x" * (MAX_TEXT + 1)),
    ],
    ids=["text", "number", "update", "endless", "endless update"],
)
async def test_an_answer_that_is_no_observation_is_unavailable(
    answer: Observation,
) -> None:
    async def give() -> Observation:
        return answer

    taken = await observe([ContextSource("t/a", give)])
    assert taken.unavailable["t/a"].broken


async def test_a_source_whose_error_cannot_be_shown_is_unavailable() -> None:
    class Unshowable(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    async def give() -> Observation:
        raise Unshowable

    taken = await observe([ContextSource("t/a", give)])
    assert "Unshowable" in taken.unavailable["t/a"].reason


async def test_cancelling_the_observation_cancels_the_sources() -> None:
    started, ended = anyio.Event(), anyio.Event()

    async def wait() -> Observation | None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()
        return None

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as group:
            group.start_soon(observe, [ContextSource("t/a", wait)])
            await started.wait()
            group.cancel_scope.cancel()
    assert ended.is_set()


async def test_lone_surrogates_become_replacement_characters() -> None:
    taken = await observe([says("t/a", "a\ud800b", "\udfff")])
    assert taken.results["t/a"] == seen("a\ufffdb", "\ufffd")


@pytest.mark.law("context.5")
async def test_the_order_of_the_sources_changes_no_byte() -> None:
    sources = [says("b/x", "two"), says("a/x", "one"), says("c/x", "three")]
    forward = await observe(sources)
    backward = await observe(reversed(sources))
    assert (
        render_baseline(forward) == render_baseline(backward) == "one\n\ntwo\n\nthree"
    )
    assert list(forward.digests.items()) == list(backward.digests.items())


# --- whose time a limit measures --------------------------------------------------


@pytest.mark.law("context.7")
async def test_a_loop_that_comes_round_late_makes_no_source_unavailable() -> None:
    """Others hold the loop for many times the limit; the source does little."""
    answered = anyio.Event()

    async def hog() -> None:
        while not answered.is_set():
            time.sleep(0.02)  # noqa: ASYNC251
            await anyio.lowlevel.checkpoint()

    async def answer() -> Observation:
        for _ in range(own_time.LOOKS // 3):
            await anyio.lowlevel.checkpoint()
        return Observation("there")

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hog)
            taken = await observe([ContextSource("t/a", answer)], time_limit=0.05)
            answered.set()
    assert taken.results == {"t/a": seen("there")}


class Crowded:
    """Worker threads that others queue for, until they were looked at so often."""

    def __init__(self, looks: int) -> None:
        self.looks = looks
        self.free = anyio.Event()
        self.tasks_waiting = 1

    def statistics(self) -> "Crowded":
        self.looks -= 1
        if self.looks == 0:
            self.tasks_waiting = 0
            self.free.set()
        return self


@pytest.mark.law("context.7")
async def test_a_queue_for_worker_threads_makes_no_source_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = Crowded(own_time.LOOKS * 3)
    monkeypatch.setattr(to_thread, "current_default_thread_limiter", lambda: threads)

    async def answer() -> Observation:
        await threads.free.wait()
        return Observation("there")

    with anyio.fail_after(HANG):
        taken = await observe([ContextSource("t/a", answer)], time_limit=0.01)
    assert taken.results == {"t/a": seen("there")}


async def test_threads_that_nobody_gives_back_hold_nobody_up_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = Crowded(10**9)
    monkeypatch.setattr(to_thread, "current_default_thread_limiter", lambda: threads)
    with anyio.fail_after(HANG):
        taken = await observe(
            [ContextSource("t/a", threads.free.wait)],  # type: ignore[arg-type]
            time_limit=0.001,
        )
    assert taken.unavailable["t/a"].reason == "no answer within 0.001 s"


# --- samples that are shared ------------------------------------------------------


class Counted:
    """A source that says how often it was observed, one after another."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.count = 0
        self.at_once = 0
        self.source = ContextSource("t/counted", self.observe)

    async def observe(self) -> Observation:
        self.count += 1
        self.at_once += 1
        assert self.at_once == 1
        count = self.count
        try:
            await self.gate.pass_through()
        finally:
            self.at_once -= 1
        return Observation(f"observed {count}")


@pytest.mark.law("context.7")
async def test_who_asks_while_one_goes_on_shares_the_next_sample() -> None:
    counted, found = Counted(), list[Snapshot]()
    sampler = Sampler(lambda: [counted.source])

    async def ask() -> None:
        found.append(await sampler.sample())

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await counted.gate.reached()
            for _ in range(500):
                tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            counted.gate.open()
    said = [one.observed["t/counted"].baseline for one in found]
    # What began before somebody asked is never what he is told.
    assert said == ["observed 1"] + ["observed 2"] * 500


@pytest.mark.law("context.7")
async def test_whose_sample_is_cancelled_takes_nobody_along() -> None:
    counted, found = Counted(), list[Snapshot]()
    sampler = Sampler(lambda: [counted.source])

    async def ask() -> None:
        found.append(await sampler.sample())

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as first:
                    first.start_soon(ask)
                    await counted.gate.reached()
                    tasks.start_soon(ask)
                    await anyio.wait_all_tasks_blocked()
                    scope.cancel()
            counted.gate.open()
        assert [one.observed["t/counted"].baseline for one in found] == ["observed 2"]
        again = await sampler.sample()
    assert again.observed["t/counted"].baseline == "observed 3"


# --- what still holds -------------------------------------------------------------


def holding(
    key: str, holds: Callable[..., bool], asked: list[str], kind: Any = ContextSource
) -> Any:
    async def answer(*_: object) -> Observation:
        asked.append(key)
        return Observation(key, holds=holds)

    return kind(key, answer)


def registry(*sources: Any) -> ContextRegistry:
    made = ContextRegistry(Registrations())
    for source in sources:
        made.register(source, "mine")
    return made


VIEW = SessionView(SessionId("ses_1"), "build")


@pytest.mark.law("context.14")
async def test_where_all_holds_one_thread_looks_at_all_of_it() -> None:
    threads: list[int] = []
    asked: list[str] = []

    def holds(*handed: object) -> bool:
        threads.append(threading.get_ident())
        return True

    sampler = registry(
        holding("t/shared", holds, asked),
        holding("t/own", holds, asked, SessionSource),
    ).of_session("ses_1")
    first = await sampler.sample(VIEW)
    hops: list[object] = []

    async def counted(look: Callable[[], object]) -> None:
        hops.append(look)
        await look_aside(look)

    with mock.patch.object(sampling, "look_aside", counted):
        assert await sampler.sample(VIEW) is first
    assert asked == ["t/shared", "t/own"]
    assert len(hops) == 1
    assert len(threads) == 2
    assert threading.get_ident() not in threads


async def asked_beside_one_that_hangs(
    monkeypatch: pytest.MonkeyPatch, limit: float
) -> list[str]:
    """Return who was observed, when one of two hangs from the second sample on."""
    asked: list[str] = []
    release = threading.Event()
    hang = False

    def own(_: SessionView) -> bool:
        return not hang or release.wait(HANG)

    made = registry(
        holding("t/shared", lambda: True, asked),
        holding("t/own", own, asked, SessionSource),
    )
    sampler = made.of_session("ses_1")
    await sampler.sample(VIEW)
    hang = True
    with monkeypatch.context() as patch:
        patch.setattr(sampling, "TIME_LIMIT", limit)
        try:
            with anyio.fail_after(HANG):
                for _ in range(3):
                    await sampler.sample(VIEW)
                    await made.of_session("ses_1").sample(VIEW)
        finally:
            release.set()
    return asked


@pytest.mark.law("context.14")
@pytest.mark.law("plugins.1")
async def test_a_look_of_one_session_that_hangs_makes_nothing_shared_observed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What is late because of the machine is observed again, and rightly: then it is
    # given longer.
    for limit in (0.05, 0.2, 0.8, 3.2):
        asked = await asked_beside_one_that_hangs(monkeypatch, limit)
        if asked.count("t/shared") == 1:
            break
    assert asked.count("t/shared") == 1


# --- what does not end --------------------------------------------------------------


@pytest.mark.law("plugins.1")
@pytest.mark.law("context.24")
async def test_a_source_that_ignores_its_cancellation_holds_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left behind, named, not asked a second time while it goes on, and asked
    again when it has ended."""
    monkeypatch.setattr(sampling, "TIME_LIMIT", 0.05)
    monkeypatch.setattr(sampling, "PATIENCE", 0.05)
    observe = sampling.observe

    async def shortly(sources: Any, handed: Any = ()) -> Snapshot:
        return await observe(sources, handed, time_limit=0.05)

    monkeypatch.setattr(sampling, "observe", shortly)
    release, times = anyio.Event(), 0

    async def stubborn() -> Observation:
        nonlocal times
        times += 1
        with anyio.CancelScope(shield=True):
            await release.wait()
        return Observation("back")

    stuck = ContextSource("t/stuck", stubborn)
    sampler = Sampler(lambda: [stuck, says("t/ok", "ok")], lambda _: "mine")
    try:
        with anyio.fail_after(HANG):
            for _ in range(5):
                results = (await sampler.sample()).results
                assert results["t/ok"] == seen("ok")
                away = results["t/stuck"]
                assert isinstance(away, Unavailable)
                assert away.late
        assert times == 1
        assert caplog.text.count("goes on though it was cancelled") == 1
    finally:
        release.set()
    with anyio.fail_after(HANG):
        while isinstance(results["t/stuck"], Unavailable):
            results = (await sampler.sample()).results
    assert results["t/stuck"] == seen("back")
    assert times == 2


@pytest.mark.law("context.8")
async def test_a_source_that_was_late_once_is_asked_at_the_next_boundary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Late again and again it is passed over once, then twice, and so on."""
    observe = sampling.observe

    async def shortly(sources: Any, handed: Any = ()) -> Snapshot:
        return await observe(sources, handed, time_limit=0.01 if hangs else HANG)

    monkeypatch.setattr(sampling, "observe", shortly)
    hangs, times = True, 0

    async def answer() -> Observation:
        nonlocal times
        times += 1
        if hangs:
            await anyio.sleep_forever()
        return Observation("back")

    source = ContextSource("t/late", answer)
    sampler = Sampler(lambda: [source])
    with anyio.fail_after(HANG):
        await sampler.sample()
        hangs = False
        assert (await sampler.sample()).results["t/late"] == seen("back")
        hangs, times = True, 0
        asked = []
        for _ in range(8):
            await sampler.sample()
            asked.append(times)
    assert asked == [1, 2, 2, 3, 3, 3, 4, 4]
