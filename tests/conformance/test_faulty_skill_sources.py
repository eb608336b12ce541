"""Each check of the suite for skill sources catches its fault, and it alone."""

from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import attrs
import pytest
from anyio.lowlevel import checkpoint
from dovetail.kernel import (
    Place,
    Register,
    Skill,
    SkillProblem,
    SkillSource,
    hookimpl,
)
from dovetail.kernel.testing.conformance import SkillConformance
from support.bounds import HANG
from support.faults import (
    LEFT_OPEN,
    assert_caught,
    assert_conforms,
    cases,
    codes_of,
    swallow,
)

Find = Callable[[Path], Awaitable[Any]]
NUMBERS = count()


class Offering:
    """A plugin with one source, or none."""

    def __init__(self, find: Find | None) -> None:
        self.find = find

    @hookimpl
    def dovetail_register_skills(
        self, register: Register[SkillSource], place: Place
    ) -> None:
        find = self.find
        if find is not None:
            register(SkillSource("acme/recipes", lambda: find(place.location.path)))


async def sound(folder: Path) -> list[Skill | SkillProblem]:
    await checkpoint()
    return [
        Skill(
            "bread",
            "How to bake bread.",
            (folder / "bread.recipe").read_text(),
            str(folder),
            ("bread.recipe",),
        ),
        SkillProblem(str(folder / "stone.recipe"), "it is no recipe"),
    ]


def finding(**changes: Any) -> Find:
    async def find(folder: Path) -> list[Skill | SkillProblem]:
        bread, stone = await sound(folder)
        made = {name: one() if callable(one) else one for name, one in changes.items()}
        return [attrs.evolve(bread, **made), stone]

    return find


async def something_else(folder: Path) -> list[Any]:
    return [*await sound(folder), "butter"]


async def a_silent_problem(folder: Path) -> list[Any]:
    return [*await sound(folder), SkillProblem("butter.recipe", "")]


def remembering() -> Find:
    seen: dict[Path, Any] = {}

    async def find(folder: Path) -> Any:
        if folder not in seen:
            seen[folder] = await sound(folder)
        return seen[folder]

    return find


async def writing(folder: Path) -> Any:
    (folder / "cache").touch()
    return await sound(folder)


async def swallowing(folder: Path) -> Any:
    found = await sound(folder)
    await swallow()
    return found


async def leaving_a_file(folder: Path) -> Any:
    LEFT_OPEN.one_more()
    return await sound(folder)


class Recipes(SkillConformance):
    """A suite for a plugin that is sound but for one thing."""

    version = 1
    plugin: object = Offering(sound)
    skills = ("bread",)
    patience = HANG

    def prepare(self, folder: Path) -> None:
        (folder / "bread.recipe").write_text("Flour, water, salt.")
        (folder.parent / "cake.recipe").write_text("Flour, sugar.")

    def change(self, folder: Path) -> None:
        (folder / "bread.recipe").write_text("Flour, water, salt, time.")


def suite(find: Find | None) -> type[SkillConformance]:
    return type("Faulty", (Recipes,), {"plugin": Offering(find)})


AN_ID = "7f2c1a9e-5b7d-4c38-9e0a-d1a6f3b58c42"

FAULTS: list[tuple[str, str, type[SkillConformance]]] = [
    ("it offers no source", "skill.definition", suite(None)),
    ("it finds another", "skill.definition", suite(finding(name="loaf"))),
    ("it finds something else", "skill.finding", suite(something_else)),
    ("it does not say what is wrong", "skill.finding", suite(a_silent_problem)),
    ("its file is elsewhere", "skill.files", suite(finding(files=("../cake.recipe",)))),
    ("its file is not there", "skill.files", suite(finding(files=("butter",)))),
    (
        "it counts",
        "skill.stable",
        suite(finding(description=lambda: f"Told {next(NUMBERS)} times.")),
    ),
    ("it remembers the first search", "skill.change", suite(remembering())),
    (
        "it tells an id",
        "skill.words",
        suite(finding(description=f"How to bake {AN_ID}.")),
    ),
    ("it has no end", "skill.bounded", suite(finding(description="x" * 2_000_000))),
    ("it writes", "skill.effect", suite(writing)),
    ("it swallows its cancellation", "skill.cancellation", suite(swallowing)),
    ("it leaves a file open", "skill.leak", suite(leaving_a_file)),
]


@pytest.mark.parametrize(("code", "faulty"), cases(FAULTS))
def test_a_fault_is_caught_by_its_check_alone(
    code: str, faulty: type[SkillConformance]
) -> None:
    assert_caught(code, faulty)


def test_every_check_has_a_fault_that_it_catches() -> None:
    assert {code for _, code, _ in FAULTS} == codes_of(SkillConformance)


def test_without_its_fault_the_plugin_conforms() -> None:
    assert_conforms(Recipes)
