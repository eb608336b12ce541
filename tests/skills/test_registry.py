"""The skill registry: which skill a name means, what is told, what a failure costs."""

from collections.abc import Sequence

import anyio
import anyio.lowlevel
import pytest
from dovetail.kernel import (
    InvalidValueError,
    Observation,
    Skill,
    SkillNotFoundError,
    SkillProblem,
    SkillSource,
)
from dovetail.kernel.context import sampling
from dovetail.kernel.lifecycle.registrations import Registrations
from dovetail.kernel.skills import registry as skills
from dovetail.kernel.skills.registry import (
    CUT,
    MAX_DESCRIPTION,
    MAX_LISTING,
    SkillRegistry,
    skills_source,
)
from support.bounds import HANG

Items = Sequence[Skill | SkillProblem]


def skill(name: str, description: str = "d", **more: object) -> Skill:
    return Skill(name, description, "body", **more)  # type: ignore[arg-type]


def source(key: str, *items: Skill | SkillProblem) -> SkillSource:
    async def find() -> Items:
        return items

    return SkillSource(key, find)


def make_registry(*sources: SkillSource, time_limit: float = 5) -> SkillRegistry:
    registry = SkillRegistry(Registrations[SkillSource](), time_limit)
    for rank, one in enumerate(sources):
        registry.register(one, f"plugin{rank}", rank)
    return registry


async def test_skills_are_in_name_order() -> None:
    registry = make_registry(
        source("t/a", skill("c"), skill("a")), source("t/b", skill("b"))
    )
    assert [one.name for one in await registry.skills()] == ["a", "b", "c"]
    assert registry.problems() == []


async def test_of_equal_names_the_later_source_wins_and_the_hidden_one_is_named() -> (
    None
):
    # The later owner has the earlier key: the order of owners decides.
    first = source("t/z", skill("a", "first", directory="/x/a"))
    registry = make_registry(first, source("t/a", skill("a", "second")))
    assert [one.description for one in await registry.skills()] == ["second"]
    (problem,) = registry.problems()
    assert problem.path == "/x/a"
    assert "t/a" in problem.problem


async def test_a_source_hides_an_earlier_one_of_its_key_until_it_closes() -> None:
    registry = make_registry(source("t/a", skill("old")))
    made = registry.register(source("t/a", skill("new")), "plugin9", 9)
    assert [one.name for one in await registry.skills()] == ["new"]
    made.close()
    assert [one.name for one in await registry.skills()] == ["old"]


@pytest.mark.parametrize("key", ["skills", "T/a", ""])
def test_a_bad_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidValueError):
        make_registry(source(key))


async def test_an_unknown_name_is_told_with_the_names_there_are() -> None:
    registry = make_registry(source("t/a", skill("one"), skill("two")))
    assert (await registry.get("one")).name == "one"
    with pytest.raises(SkillNotFoundError) as caught:
        await registry.get("three")
    assert caught.value.code == "skill.not_found"
    assert "one, two" in str(caught.value)
    with pytest.raises(SkillNotFoundError, match="no skills were found"):
        await make_registry().get("one")


async def test_the_names_in_an_error_are_bounded() -> None:
    registry = make_registry(source("t/a", *(skill(f"s{n:04}") for n in range(900))))
    with pytest.raises(SkillNotFoundError, match="and 850 more") as caught:
        await registry.get("x")
    assert len(str(caught.value)) < 1_000


@pytest.mark.law("plugins.1")
async def test_a_broken_source_is_named_and_the_others_go_on() -> None:
    async def explode() -> Items:
        raise ZeroDivisionError("oh")

    registry = make_registry(SkillSource("t/bad", explode), source("t/ok", skill("a")))
    assert [one.name for one in await registry.skills()] == ["a"]
    (problem,) = registry.problems()
    assert problem.path == "t/bad"
    assert "ZeroDivisionError: oh" in problem.problem


@pytest.mark.law("plugins.1")
async def test_a_hanging_source_is_named_and_the_others_go_on() -> None:
    async def hang() -> Items:
        await anyio.sleep_forever()
        return []

    sources = [SkillSource("t/bad", hang), source("t/ok", skill("a"))]
    registry = make_registry(*sources, time_limit=0.01)
    with anyio.fail_after(HANG):
        assert [one.name for one in await registry.skills()] == ["a"]
    assert [one.path for one in registry.problems()] == ["t/bad"]


@pytest.mark.law("plugins.1")
@pytest.mark.law("plugins.1")
async def test_a_source_that_ignores_its_cancellation_is_left_and_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(skills, "PATIENCE", 0.01)
    release, times = anyio.Event(), 0

    async def stubborn() -> Items:
        nonlocal times
        times += 1
        with anyio.CancelScope(shield=True):
            await release.wait()
        return [skill("late")]

    bad, good = SkillSource("t/bad", stubborn), source("t/ok", skill("a"))
    registry = make_registry(bad, good, time_limit=0.01)
    try:
        with anyio.fail_after(HANG):
            for _ in range(3):
                assert [one.name for one in await registry.skills()] == ["a"]
                registry.invalidate()
        assert times == 1
        assert [one.path for one in registry.problems()] == ["t/bad"]
    finally:
        release.set()
    with anyio.fail_after(HANG):
        while [one.name for one in await registry.skills()] == ["a"]:
            registry.invalidate()
            await anyio.lowlevel.checkpoint()
    assert times == 2


def test_a_hanging_source_is_given_up_before_the_listing_is() -> None:
    assert skills.TIME_LIMIT < sampling.TIME_LIMIT


@pytest.mark.law("context.2")
async def test_a_source_that_fails_later_has_not_lost_its_skills() -> None:
    answers: list[Items | Exception] = [[skill("a")], OSError("gone"), [skill("b")]]

    async def find() -> Items:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    registry = make_registry(SkillSource("t/a", find))
    names, problems = [], []
    for _ in range(3):
        names.append([one.name for one in await registry.skills()])
        problems.append(len(registry.problems()))
        registry.invalidate()
    assert names == [["a"], ["a"], ["b"]]
    assert problems == [0, 1, 0]


async def test_many_tasks_share_one_search_and_its_result_is_kept() -> None:
    searches = 0
    begun, go = anyio.Event(), anyio.Event()

    async def find() -> Items:
        nonlocal searches
        searches += 1
        begun.set()
        await go.wait()
        return [skill("a")]

    registry = make_registry(SkillSource("t/a", find))
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(registry.skills)
            # All five began in one turn of the loop, the search in a later one.
            await begun.wait()
            go.set()
        await registry.get("a")
        assert searches == 1
        registry.invalidate()
        await registry.skills()
        assert searches == 2
        registry.register(source("t/b", skill("b")), "other")
        assert len(await registry.skills()) == 2
        assert searches == 3


async def test_a_source_that_comes_during_a_search_is_searched_next_time() -> None:
    async def find() -> Items:
        registry.register(source("t/b", skill("b")), "late")
        return [skill("a")]

    registry = make_registry()
    made = registry.register(SkillSource("t/a", find), "early")
    assert [one.name for one in await registry.skills()] == ["a"]
    made.close()
    assert [one.name for one in await registry.skills()] == ["b"]


@pytest.mark.parametrize(
    "bad",
    [
        skill(""),
        skill(" \n"),
        skill("x" * 129),
        skill("a\x1b[2Jb"),
        skill("a", "  "),
        SkillProblem("/p", "why"),
        "text",
        None,
    ],
)
async def test_what_is_no_usable_skill_becomes_one_problem(bad: Skill) -> None:
    registry = make_registry(source("t/a", bad, skill("ok")))
    assert [one.name for one in await registry.skills()] == ["ok"]
    assert len(registry.problems()) == 1


async def test_lone_surrogates_never_leave_the_registry() -> None:
    registry = make_registry(source("t/a", Skill("a\ud800", "b\ud800", "c\ud800")))
    (found,) = await registry.skills()
    assert found == Skill("a\ufffd", "b\ufffd", "c\ufffd")


# --- what a model is told ---------------------------------------------------------


async def listing(*skills: Skill) -> str:
    observation = await skills_source(make_registry(source("t/a", *skills))).observe()
    assert observation is not None
    return observation.baseline


async def test_without_skills_there_is_nothing_to_say() -> None:
    observe = skills_source(make_registry()).observe
    assert await observe() == Observation("")
    hidden = skill("a", offered=False)
    hiding = skills_source(make_registry(source("t/a", hidden)))
    assert await hiding.observe() == Observation("")


async def test_a_model_is_told_names_and_descriptions_and_no_paths() -> None:
    text = await listing(skill("b", "two\n  lines", directory="/home/me/b"), skill("a"))
    assert text.endswith("\n\n- a: d\n- b: two lines")
    assert "/home" not in text
    assert "body" not in text


async def test_a_skill_for_people_only_is_not_told_but_can_be_loaded() -> None:
    registry = make_registry(source("t/a", skill("quiet", offered=False), skill("a")))
    observation = await skills_source(registry).observe()
    assert observation is not None
    assert "quiet" not in observation.baseline
    assert (await registry.get("quiet")).name == "quiet"


async def test_a_long_description_is_cut_with_a_mark() -> None:
    exact, over = "x" * MAX_DESCRIPTION, "y" * (MAX_DESCRIPTION + 1)
    text = await listing(skill("a", exact), skill("b", over))
    assert f"- a: {exact}\n" in text
    assert text.endswith(f"- b: {'y' * MAX_DESCRIPTION}{CUT}")


@pytest.mark.parametrize("count", [100, 1_000, 5_000])
async def test_the_whole_listing_is_bounded_and_says_what_is_missing(
    count: int,
) -> None:
    skills = [skill(f"skill-{n:04}", "word " * 100) for n in range(count)]
    text = await listing(*skills)
    assert len(text) < MAX_LISTING + 500
    told = [line for line in text.split("\n") if line.startswith("- skill-")]
    assert told[0].startswith("- skill-0000: ")
    missing = count - len(told)
    assert text.endswith(f"and {missing} more, too many to list]") is (missing > 0)


async def test_a_new_skill_changes_the_update_text() -> None:
    registry = make_registry(source("t/a", skill("a")))
    before = await skills_source(registry).observe()
    registry.register(source("t/b", skill("b")), "other")
    after = await skills_source(registry).observe()
    assert before is not None
    assert after is not None
    assert before != after
    assert after.update is not None
    assert after.update.endswith("- a: d\n- b: d")
