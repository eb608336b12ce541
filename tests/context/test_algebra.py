"""The algebra of System Context: rendering, and what counts as a change."""

from collections.abc import Awaitable, Callable

import pytest
from dovetail.kernel import ContextSource, Observation
from dovetail.kernel.context.algebra import (
    Absent,
    Observed,
    Result,
    Snapshot,
    Unavailable,
    Update,
    changes,
    digests_after,
    render_baseline,
)
from hypothesis import given, strategies as st

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


# --- changes ----------------------------------------------------------------------


@pytest.mark.law("context.2")
def test_an_unchanged_source_says_nothing() -> None:
    before = snapshot(a=seen("A"), b=seen("B", "b"))
    assert changes(before.digests, before) is None


def test_a_changed_value_is_told_whole_by_its_update_text() -> None:
    before = snapshot(a=seen("day 1", "now day 1"), b=seen("B")).digests
    after = snapshot(a=seen("day 2", "now day 2"), b=seen("B"))
    assert changes(before, after) == Update("now day 2", {"t/a": after.digests["t/a"]})


def test_without_an_update_text_the_baseline_text_is_told() -> None:
    after = snapshot(a=seen("new"))
    assert changes({"t/a": "old"}, after) == Update("new", after.digests)


def test_a_change_that_only_one_of_the_texts_shows_is_a_change() -> None:
    before = snapshot(a=seen("one", "see above")).digests
    update = changes(before, snapshot(a=seen("two", "see above")))
    assert update is not None
    assert update.text == "see above"


def test_a_new_source_is_told_and_texts_are_in_key_order() -> None:
    after = snapshot(c=seen("C"), a=seen("A"), b=seen("B"))
    known = {"t/b": after.digests["t/b"]}
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
    before = snapshot(a=seen("A"), b=seen("B")).digests
    after = snapshot(a=Unavailable("away"), b=seen("B2"))
    update = changes(before, after)
    assert update is not None
    assert update.text == "B2"
    assert digests_after(before, update.sources)["t/a"] == before["t/a"]
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
    known: dict[str, str] = taken[0].digests
    for one in taken[1:]:
        update = changes(known, one)
        kept = {key: known[key] for key in one.unavailable if key in known}
        if update is not None:
            assert update.text
            assert not update.sources.keys() & one.unavailable.keys()
            known = digests_after(known, update.sources)
        assert known == {**one.digests, **kept}
        assert changes(known, one) is None  # told once, not again


@given(texts, texts, texts, texts)
def test_digests_are_equal_only_when_both_texts_are(
    baseline: str, update: str, other_baseline: str, other_update: str
) -> None:
    one = snapshot(a=seen(baseline, update)).digests
    other = snapshot(a=seen(other_baseline, other_update)).digests
    same = (baseline, update) == (other_baseline, other_update)
    assert (one == other) is same


# --- what several sources bring ---------------------------------------------------


def brings(words: str | None, by: str) -> Result:
    if words is None:
        return Observed(Observation("head"))
    part = Observation(
        f"From f ({by}): {words}", f"f: {words}", words, "No f.", common=True
    )
    return Observed(Observation("", parts={"f": part}))


WORDS = st.none() | st.sampled_from(["1", "2"])
WORLDS = st.lists(
    st.tuples(WORDS, st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    min_size=2,
    max_size=8,
)


@pytest.mark.law("context.2")
@pytest.mark.law("context.25")
@given(WORLDS)
def test_what_several_bring_is_told_once_and_gone_when_nobody_may_bring_it(
    worlds: list[tuple[str | None, bool, bool, bool, bool]],
) -> None:
    told: dict[str, str] = {}
    removals: dict[str, str] = {}
    known: str | None = None
    for words, by_a, by_b, a_away, b_away in worlds:
        a: Result = brings(words if by_a else None, "a")
        b: Result = brings(words if by_b else None, "b")
        now = snapshot(
            a=Unavailable("away") if a_away else a,
            b=Unavailable("away") if b_away else b,
        )
        update = changes(told, now, removals)
        said = "" if update is None else update.text
        seen_now = words if (by_a and not a_away) or (by_b and not b_away) else None
        if seen_now is not None:
            assert said.count(f"f: {words}") + said.count(f"): {words}") == (
                known != words
            )
            assert "No f." not in said
            known = words
        elif "No f." in said:
            assert known is not None
            assert said.count("No f.") == 1
            known = None
        elif not a_away and not b_away:
            assert known is None
        if update is not None:
            told = digests_after(told, update.sources)
            removals |= update.removals


def test_a_source_of_which_another_told_everything_says_nothing() -> None:
    both = snapshot(a=brings("1", "a"), b=brings("1", "b"))
    assert render_baseline(both) == "From f (a): 1"
    assert [*both.digests] == ["t/a::f", "t/b::f"]


@pytest.mark.law("context.2")
def test_what_one_drops_is_not_gone_while_the_other_cannot_tell() -> None:
    both = snapshot(a=brings("1", "a"), b=brings("1", "b"))
    away = snapshot(a=Absent(), b=Unavailable("away"))
    assert changes(both.digests, away, both.removals) is None
    gone = changes(both.digests, snapshot(a=Absent(), b=Absent()), both.removals)
    assert gone == Update("No f.", {"t/a::f": None, "t/b::f": None})
