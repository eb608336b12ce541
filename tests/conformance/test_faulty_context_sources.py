"""Each check of the suite for Context Sources catches its fault, and it alone."""

from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from anyio.lowlevel import checkpoint
from dovetail.kernel import ContextSource, Observation, Place, Register, hookimpl
from dovetail.kernel.testing.conformance import ContextConformance
from support.bounds import HANG
from support.faults import (
    LEFT_OPEN,
    assert_caught,
    assert_conforms,
    cases,
    codes_of,
    swallow,
)

Observe = Callable[[Path], Awaitable[Any]]
NUMBERS = count()


class Offering:
    """A plugin with one source, ``acme/team``, or none."""

    def __init__(self, observe: Observe | None) -> None:
        self.observe = observe

    @hookimpl
    def dovetail_register_context(
        self, register: Register[ContextSource], place: Place
    ) -> None:
        observe = self.observe
        if observe is not None:
            register(ContextSource("acme/team", lambda: observe(place.location.path)))


async def sound(folder: Path) -> Observation:
    await checkpoint()
    team = (folder / "TEAM").read_text()
    return Observation(f"The team: {team}", f"The team is now: {team}")


def telling(more: Callable[[], str]) -> Observe:
    async def observe(folder: Path) -> Observation:
        told = await sound(folder)
        return Observation(f"{told.baseline}\n{more()}")

    return observe


async def a_bare_text(folder: Path) -> str:
    return (await sound(folder)).baseline


async def nothing(folder: Path) -> None:
    await sound(folder)


async def breaking(folder: Path) -> Observation:
    raise ZeroDivisionError


def remembering() -> Observe:
    seen: dict[Path, Observation] = {}

    async def observe(folder: Path) -> Observation:
        if folder not in seen:
            seen[folder] = await sound(folder)
        return seen[folder]

    return observe


async def writing(folder: Path) -> Observation:
    (folder / "cache").touch()
    return await sound(folder)


async def swallowing(folder: Path) -> Observation:
    told = await sound(folder)
    await swallow()
    return told


async def leaving_a_file(folder: Path) -> Observation:
    LEFT_OPEN.one_more()
    return await sound(folder)


class Team(ContextConformance):
    """A suite for a plugin that is sound but for one thing."""

    version = 1
    plugin: object = Offering(sound)
    sources = ("acme/team",)
    patience = HANG

    def prepare(self, folder: Path) -> None:
        (folder / "TEAM").write_text("ann, bob")

    def change(self, folder: Path) -> None:
        (folder / "TEAM").write_text("ann, cy")


def suite(observe: Observe | None) -> type[ContextConformance]:
    return type("Faulty", (Team,), {"plugin": Offering(observe)})


class NeverChanging(ContextConformance):
    version = 1
    plugin = Offering(sound)
    sources = ("acme/team",)
    prepare = Team.prepare


AN_ID = "room 7f2c1a9e-5b7d-4c38-9e0a-d1a6f3b58c42"

FAULTS: list[tuple[str, str, type[ContextConformance]]] = [
    ("it offers no source", "context.definition", suite(None)),
    ("it tells a bare text", "context.observation", suite(a_bare_text)),
    ("it breaks", "context.observation", suite(breaking)),
    ("it tells nothing", "context.observation", suite(nothing)),
    (
        "it counts",
        "context.stable",
        suite(telling(lambda: f"told {next(NUMBERS)} times")),
    ),
    ("it remembers the first look", "context.change", suite(remembering())),
    ("its suite changes nothing", "context.change", NeverChanging),
    ("it tells an id", "context.words", suite(telling(lambda: AN_ID))),
    ("it has no end", "context.bounded", suite(telling(lambda: "x" * 600_000))),
    ("it writes", "context.effect", suite(writing)),
    ("it swallows its cancellation", "context.cancellation", suite(swallowing)),
    ("it leaves a file open", "context.leak", suite(leaving_a_file)),
]


@pytest.mark.parametrize(("code", "faulty"), cases(FAULTS))
def test_a_fault_is_caught_by_its_check_alone(
    code: str, faulty: type[ContextConformance]
) -> None:
    assert_caught(code, faulty)


def test_every_check_has_a_fault_that_it_catches() -> None:
    assert {code for _, code, _ in FAULTS} == codes_of(ContextConformance)


def test_without_its_fault_the_plugin_conforms() -> None:
    assert_conforms(Team)
