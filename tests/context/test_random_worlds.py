"""Random worlds: whatever sources say, fail to say and stop saying, over restarts and
other agents, a model knows what is so and is told nothing twice."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import (
    ContextUnavailableError,
    ContextUpdated,
    EpochStarted,
    MessageId,
    NoticeMessage,
    Observation,
    SessionId,
)
from dovetail.kernel.context.algebra import (
    Absent,
    Observed,
    Snapshot,
    Unavailable,
    changes,
    digests_after,
)
from dovetail.kernel.context.epoch import CurrentEpoch, NoChange, decide
from dovetail.kernel.history.history import History
from dovetail.kernel.testing import ScriptedProvider, text
from dovetail.kernel.testing.memory_store import MemoryState
from hypothesis import given, settings, strategies as st
from support.bounds import HANG
from support.crashes import copied, on
from support.worlds import Says, World

NAMES = ("one", "two", "three")


def says(name: str, value: int | str) -> Says:
    if value == "gone":
        return None
    if value == "away":
        return ContextUnavailableError(f"t/{name}", "not now")
    if value == "broken":
        return LookupError(name)
    return Observation(
        f"{name}={value}.",
        f"{name} is now {value}.",
        value={"number": value} if name == "two" else None,
        removal=f"{name} is gone." if name != "three" else None,
    )


values = st.sampled_from([1, 2, 3, "gone", "away", "broken"])
worlds = st.fixed_dictionaries(dict.fromkeys(NAMES, values))
moments = st.tuples(worlds, st.sampled_from(["", "", "restart", "calm", "loud"]))


def knows(words: str, name: str) -> str | None:
    """Return the last that a text says of a source."""
    found = {
        **{words.rfind(f"{name}={n}."): f"{n}" for n in (1, 2, 3)},
        **{words.rfind(f"{name} is now {n}."): f"{n}" for n in (1, 2, 3)},
        words.rfind(f"{name} is gone."): "gone",
        words.rfind(f"'t/{name}' no longer applies"): "gone",
    }
    return found[max(found)] if max(found) >= 0 else None


@pytest.mark.law("context.1")
@pytest.mark.law("context.2")
@pytest.mark.law("context.9")
@pytest.mark.law("context.10")
@settings(max_examples=10, deadline=None)
@given(story=st.lists(moments, min_size=2, max_size=6))
def test_a_model_knows_what_is_so_and_is_told_nothing_twice(
    story: Sequence[tuple[dict[str, Any], str]],
) -> None:
    anyio.run(_live, story)


async def _live(story: Sequence[tuple[dict[str, Any], str]]) -> None:
    state = MemoryState()
    requests: list[Any] = []
    lives, at, agent = 0, 0, "calm"
    known: dict[str, str | None] = dict.fromkeys(NAMES)
    while at < len(story):
        world = World(**dict.fromkeys(NAMES))
        model = ScriptedProvider(*(text(f"{n}") for n in range(len(story))))
        async with on(state, plugins=[model, world], lives=lives) as runtime:
            session = await runtime.sessions.create(
                id="it", location=Path("/"), model=model.model, agent=agent
            )
            first = True
            while at < len(story) and (first or story[at][1] != "restart"):
                first, (now, act) = False, story[at]
                at += 1
                world.now.update({name: says(name, now[name]) for name in NAMES})
                epochs = len(await _of(session, EpochStarted))
                if act in ("calm", "loud"):
                    agent = act
                    await session.switch_agent(agent)
                with anyio.fail_after(HANG):
                    await session.prompt(f"{at}")
                    assert (await session.wait()).succeeded
                begun = len(await _of(session, EpochStarted)) > epochs
                request, messages = model.requests[-1], model.histories[-1]
                notices = [m.text for m in messages if isinstance(m, NoticeMessage)]
                requests.append((request.system, [m.id for m in messages]))
                words = "\n".join([*request.system, *notices])
                for name in NAMES:
                    value = now[name]
                    if value in ("away", "broken"):
                        # As it was told, and never as gone; a new epoch leaves it out.
                        known[name] = None if begun else known[name]
                    elif value == "gone":
                        told = not begun and known[name] not in (None, "gone")
                        known[name] = "gone" if told else known[name]
                        known[name] = None if begun else known[name]
                    else:
                        known[name] = f"{value}"
                    assert knows(words, name) == known[name], (name, now, words)
            state = copied(state)
            updates = await _of(session, ContextUpdated)
        lives += 1
    assert all(one.text for one in updates)
    for (system, before), (after_system, after) in pairwise(requests):
        if system == after_system:
            assert after[: len(before)] == before


async def _of(session: Any, kind: type[Any]) -> list[Any]:
    return [event async for event in session.events() if isinstance(event, kind)]


texts = st.text(alphabet="ab", min_size=1, max_size=3)
observations = st.builds(
    Observation,
    texts,
    st.none() | texts,
    value=st.none() | st.integers(0, 2),
    removal=st.none() | texts,
)
results = st.one_of(
    observations.map(Observed),
    st.builds(
        lambda head, parts: Observed(Observation(head, parts=parts)),
        texts,
        st.dictionaries(st.sampled_from(["x", "y", "z:z"]), observations, min_size=1),
    ),
    st.just(Absent()),
    st.just(Unavailable("away")),
)
snapshots = st.dictionaries(st.sampled_from(["a/a", "a/a.b", "b/b"]), results).map(
    lambda made: Snapshot(dict(sorted(made.items())))
)


@pytest.mark.law("context.2")
@pytest.mark.law("context.11")
@given(st.lists(snapshots, min_size=1, max_size=6))
def test_what_was_told_is_told_once_and_what_is_away_stays(
    taken: list[Snapshot],
) -> None:
    known: dict[str, str] = dict(taken[0].digests)
    removals = dict(taken[0].removals)
    for one in taken[1:]:
        update = changes(known, one, removals)
        before = dict(known)
        if update is not None:
            assert update.text.strip()
            assert not {key.partition(":")[0] for key in update.sources} & (
                one.unavailable.keys()
            )
            known = digests_after(known, update.sources)
            for key, digest in update.sources.items():
                assert before.get(key) != digest
                removals.pop(key, None)
            removals.update(update.removals)
        assert changes(known, one, removals) is None
        away = {key for key in before if key.partition(":")[0] in one.unavailable}
        assert known.keys() == one.digests.keys() | away


@given(st.lists(snapshots, min_size=1, max_size=5), st.integers(0, 4))
def test_the_fold_of_events_knows_what_was_told(
    taken: list[Snapshot], again: int
) -> None:
    """A worker that reads the events decides as the one that wrote them."""

    fold = History("s").epoch
    for number, one in enumerate(taken):
        new = fold.baseline is None or number == again
        epoch = None
        if not new:
            assert fold.baseline is not None
            epoch = CurrentEpoch(fold.baseline, fold.sources, fold.removals)
        decision = decide(epoch, one, cause="x")
        if isinstance(decision, NoChange):
            continue
        if hasattr(decision, "baseline"):
            event: Any = decision.event(SessionId("s"))
        else:
            event = decision.event(SessionId("s"), MessageId(f"msg_{number}"))
        fold.apply(event, here=True)
        assert changes(fold.sources, one, fold.removals) is None
