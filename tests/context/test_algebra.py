"""The algebra of System Context: observing, rendering, and what counts as a change."""

from collections.abc import Awaitable, Callable

import anyio
import pytest
from dovetail.kernel import ContextSource, ContextUnavailableError, Observation
from dovetail.kernel.context.algebra import (
    MAX_TEXT,
    Absent,
    Observed,
    Result,
    Snapshot,
    Unavailable,
    Update,
    changes,
    digests,
    observe,
    render_baseline,
    told,
)
from hypothesis import given, strategies as st
from support.bounds import HANG

Answer = Callable[[], Awaitable[Observation | None]]


def says(key: str, baseline: str, update: str | None = None) -> ContextSource:
    async def answer() -> Observation:
        return Observation(baseline, update)

    return ContextSource(key, answer)


def raises(key: str, error: Exception) -> ContextSource:
    async def answer() -> Observation:
        raise error

    return ContextSource(key, answer)


def snapshot(**results: Result) -> Snapshot:
    return Snapshot({f"t/{name}": results[name] for name in sorted(results)})


def seen(baseline: str, update: str | None = None) -> Observed:
    return Observed(Observation(baseline, update))


# --- observing --------------------------------------------------------------------


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
    assert digests(taken) == {}


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
        "no answer within 0.01 s", broken=True
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
    assert list(digests(forward).items()) == list(digests(backward).items())


# --- changes ----------------------------------------------------------------------


@pytest.mark.law("context.2")
def test_an_unchanged_source_says_nothing() -> None:
    before = snapshot(a=seen("A"), b=seen("B", "b"))
    assert changes(digests(before), before) is None


def test_a_changed_value_is_told_whole_by_its_update_text() -> None:
    before = digests(snapshot(a=seen("day 1", "now day 1"), b=seen("B")))
    after = snapshot(a=seen("day 2", "now day 2"), b=seen("B"))
    assert changes(before, after) == Update("now day 2", {"t/a": digests(after)["t/a"]})


def test_without_an_update_text_the_baseline_text_is_told() -> None:
    after = snapshot(a=seen("new"))
    assert changes({"t/a": "old"}, after) == Update("new", digests(after))


def test_a_change_that_only_one_of_the_texts_shows_is_a_change() -> None:
    before = digests(snapshot(a=seen("one", "see above")))
    update = changes(before, snapshot(a=seen("two", "see above")))
    assert update is not None
    assert update.text == "see above"


def test_a_new_source_is_told_and_texts_are_in_key_order() -> None:
    after = snapshot(c=seen("C"), a=seen("A"), b=seen("B"))
    known = {"t/b": digests(after)["t/b"]}
    update = changes(known, after)
    assert update is not None
    assert update.text == "A\n\nC"
    assert list(update.sources) == ["t/a", "t/c"]


@pytest.mark.parametrize("after", [snapshot(a=Absent()), snapshot()])
def test_a_value_that_is_gone_is_told_as_removed_by_its_key(after: Snapshot) -> None:
    update = changes({"t/a": "digest"}, after)
    assert update is not None
    assert update.sources == {"t/a": None}
    assert "t/a" in update.text
    assert "no longer" in update.text


@pytest.mark.law("context.2")
def test_an_unavailable_source_is_never_told_as_removed_and_keeps_its_digest() -> None:
    before = digests(snapshot(a=seen("A"), b=seen("B")))
    after = snapshot(a=Unavailable("away"), b=seen("B2"))
    update = changes(before, after)
    assert update is not None
    assert update.text == "B2"
    assert told(before, update.sources)["t/a"] == before["t/a"]
    assert changes(before, snapshot(a=Unavailable("away"), b=seen("B"))) is None


texts = st.text(min_size=1).map(str.strip).filter(bool)
results = st.one_of(
    st.builds(Observation, texts, st.none() | texts).map(Observed),
    st.just(Absent()),
    st.just(Unavailable("away")),
)
snapshots = st.dictionaries(st.sampled_from(["a/a", "b/b", "c/c", "d/d"]), results).map(
    lambda made: Snapshot(dict(sorted(made.items())))
)


@pytest.mark.law("context.2")
@given(st.lists(snapshots, min_size=1, max_size=6))
def test_whatever_comes_after_another_an_update_brings_the_model_up_to_date(
    taken: list[Snapshot],
) -> None:
    known: dict[str, str] = digests(taken[0])
    for one in taken[1:]:
        update = changes(known, one)
        kept = {key: known[key] for key in one.unavailable if key in known}
        if update is not None:
            assert update.text
            assert not update.sources.keys() & one.unavailable.keys()
            known = told(known, update.sources)
        assert known == {**digests(one), **kept}
        assert changes(known, one) is None  # told once, not again


@given(texts, texts, texts, texts)
def test_digests_are_equal_only_when_both_texts_are(
    baseline: str, update: str, other_baseline: str, other_update: str
) -> None:
    one = digests(snapshot(a=seen(baseline, update)))
    other = digests(snapshot(a=seen(other_baseline, other_update)))
    same = (baseline, update) == (other_baseline, other_update)
    assert (one == other) is same
