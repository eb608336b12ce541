"""The suite for skill sources: instruction packages that a model can load.

::

    class TestRecipes(SkillConformance):
        version = 1
        plugin = dovetail_recipes.plugin
        skills = ("bread",)

        def prepare(self, folder):
            (folder / "bread.recipe").write_text("Flour, water, salt.")

        def change(self, folder):
            (folder / "bread.recipe").write_text("Flour, water, salt, time.")
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import anyio

from ...contracts import Skill, SkillProblem, SkillSource
from ...skills.registry import MAX_NAME, TIME_LIMIT
from ...values.codec import clean_text
from .suite import Bench, Case, Checks, Host, NotOfferedError
from .telling import TellingSuite, effects, restless, unchanged
from .words import strangers

MAX_BODY = 1024 * 1024
"""Bytes of one skill; a longer one fits into no request."""
MAX_FILES = 100
"""Files that are named beside one skill."""


class SkillConformance(TellingSuite):
    """Inherit it, name the class ``Test...``, and say which skills it is about."""

    skills: Sequence[str] = ()
    """The names of skills that are found in the Location as the suite prepares it."""

    checks: ClassVar[Checks] = Checks("skill")


check = SkillConformance.checks.add


def _sources(host: Host) -> tuple[SkillSource, ...]:
    found = host.services.skills.sources()
    if not found:
        raise NotOfferedError(f"there is no skill source{host.problem}")
    return found


async def _found(host: Host) -> dict[str, list[Any]]:
    """Return what each source finds, by its key; nothing of a source that fails."""
    found: dict[str, list[Any]] = {}
    for source in _sources(host):
        with anyio.move_on_after(TIME_LIMIT):
            try:
                found[source.key] = list(await source.find())
            except Exception:
                # What a stranger's source raises is told by the check `skill.finding`.
                continue
    return found


async def _skills(host: Host) -> list[Skill]:
    each = await _found(host)
    return [one for found in each.values() for one in found if isinstance(one, Skill)]


async def _texts(case: Case[SkillConformance], host: Host) -> Mapping[str, str]:
    """Return what each source finds, as one text a source."""
    return {
        key: "\n".join(map(repr, found)) for key, found in (await _found(host)).items()
    }


@check("definition", since=1)
def _definition(bench: Bench[SkillConformance]) -> Iterator[str]:
    """The plugin offers a source that finds each skill that the suite names, and it
    names one."""

    async def look(case: Case[SkillConformance], host: Host) -> list[str]:
        _sources(host)
        return [one.name for one in await host.services.skills.skills()]

    names = bench.hosted(look)
    for name in bench.suite.skills:
        if name not in names:
            yield f"skill {name!r} is not found; found: {', '.join(names) or 'none'}"
    if not bench.suite.skills:
        yield "the suite names no skill, so nothing can be shown"


@check("finding", since=1)
def _finding(bench: Bench[SkillConformance]) -> Iterator[str]:
    """A source answers in time with skills that are whole, and says of everything
    that it passes over where it is and why."""

    async def look(case: Case[SkillConformance], host: Host) -> list[str]:
        problems = []
        for source in _sources(host):
            with anyio.move_on_after(TIME_LIMIT) as scope:
                try:
                    found: object = await source.find()
                except Exception as error:  # a stranger's source
                    problems.append(f"{source.key} broke: {error!r}")
                    continue
                problems += [f"{source.key}: {one}" for one in _unsound(found)]
            if scope.cancelled_caught:
                problems.append(f"{source.key}: no answer within {TIME_LIMIT:g} s")
        return problems

    yield from bench.hosted(look)


def _unsound(found: object) -> Iterator[str]:
    if not isinstance(found, Sequence) or isinstance(found, str | bytes):
        yield f"it returned {type(found).__name__}, not a sequence"
        return
    names: set[str] = set()
    for one in found:
        if isinstance(one, SkillProblem):
            if not one.path.strip() or not one.problem.strip():
                yield f"a problem says nothing: {one!r}"
        elif not isinstance(one, Skill):
            yield f"it found {one!r}, which is neither a Skill nor a SkillProblem"
        else:
            yield from _unsound_skill(one)
            if one.name in names:
                yield f"it found two skills named {one.name!r}"
            names.add(one.name)


def _unsound_skill(skill: Skill) -> Iterator[str]:
    name = skill.name
    if name != " ".join(name.split()) or not name or not name.isprintable():
        yield f"{name!r} is no name: printable, on one line, without spaces around it"
    if len(name) > MAX_NAME:
        yield f"a name of {len(name)} characters; at most {MAX_NAME}"
    for what in ("description", "body"):
        text = getattr(skill, what)
        if not text.strip():
            yield f"{name!r} has no {what}"
        if clean_text(text) != text:
            yield f"the {what} of {name!r} holds a lone surrogate"


@check("files", since=1)
def _files(bench: Bench[SkillConformance]) -> Iterator[str]:
    """A skill's folder is there, and the files that are named lie in it, by relative
    paths in sorted order."""

    async def look(case: Case[SkillConformance], host: Host) -> list[str]:
        return [
            f"{skill.name!r}: {one}"
            for skill in await _skills(host)
            for one in _misplaced(skill)
        ]

    yield from bench.hosted(look)


def _misplaced(skill: Skill) -> Iterator[str]:
    if skill.directory is None:
        if skill.files:
            yield "it names files and has no folder"
        return
    if not os.path.isabs(skill.directory) or not os.path.isdir(skill.directory):
        yield f"its folder {skill.directory!r} is not there"
        return
    if list(skill.files) != sorted(set(skill.files)):
        yield f"its files are not sorted, each once: {list(skill.files)[:5]}"
    folder = Path(skill.directory).resolve()
    for name in skill.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            yield f"{name!r} is no path below its folder"
        elif not (folder / name).is_file():
            yield f"there is no file {name!r} in its folder"
        elif not (folder / name).resolve().is_relative_to(folder):
            yield f"{name!r} leads out of its folder"


@check("stable", since=1)
def _stable(bench: Bench[SkillConformance]) -> Iterator[str]:
    """While nothing changed the same is found in the same order: when asked again,
    and after a restart."""
    yield from restless(bench, _texts)


@check("change", since=1)
def _change(bench: Bench[SkillConformance]) -> Iterator[str]:
    """What changed is found at the next search."""
    yield from unchanged(bench, _texts)


@check("words", since=1)
def _words(bench: Bench[SkillConformance]) -> Iterator[str]:
    """What models are told unasked, names and descriptions, has no clock, no random
    id, no name of a machine or a home."""

    async def look(case: Case[SkillConformance], host: Host) -> tuple[str, list[Skill]]:
        return str(case.folder), await _skills(host)

    folder, found = bench.hosted(look)
    for skill in found:
        told = f"{skill.name}: {skill.description}"
        for stranger in strangers(told, bench.clock, (folder,)):
            yield f"{skill.name!r} tells {stranger}"


@check("bounded", since=1)
def _bounded(bench: Bench[SkillConformance]) -> Iterator[str]:
    """A skill is bounded by its source: its text, and the files named beside it."""

    async def look(case: Case[SkillConformance], host: Host) -> list[Skill]:
        return await _skills(host)

    for skill in bench.hosted(look):
        for what in ("description", "body"):
            size = len(getattr(skill, what).encode("utf-8", "replace"))
            if size > MAX_BODY:
                yield f"{skill.name!r}: a {what} of {size} bytes; at most {MAX_BODY}"
        if len(skill.files) > MAX_FILES:
            yield f"{skill.name!r}: {len(skill.files)} files; at most {MAX_FILES}"


@check("effect", since=1)
def _effect(bench: Bench[SkillConformance]) -> Iterator[str]:
    """Searching changes nothing, in the Location and in the world."""
    yield from effects(bench, _texts)


@check("cancellation", since=1)
def _cancellation(bench: Bench[SkillConformance]) -> Iterator[str]:
    """Cancelled at any of its suspensions, it ends soon and lets the cancellation
    pass; and it never holds the event loop."""

    async def search(case: Case[SkillConformance], host: Host) -> None:
        for source in _sources(host):
            await source.find()

    yield from bench.cancelled(search)


@check("leak", since=1)
def _leak(bench: Bench[SkillConformance]) -> Iterator[str]:
    """Nothing is left behind when its Location closes: no task, no thread, no file, no
    process."""

    async def search(case: Case[SkillConformance]) -> None:
        async with case.host() as host:
            await _found(host)

    yield from bench.leaks(search)
