"""Skills: the named instruction packages that the models of a Location can load.

Owns the offer: which skills there are, which one a name means, why others are not
offered, and the Context Source that tells a model of them. Knows nothing of files and
formats; the sources that plugins register do.
"""

import logging
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate

import anyio
from anyio import to_thread
from attrs import evolve, field

from ..contracts import (
    ContextSource,
    Observation,
    RuleEffect,
    Skill,
    SkillProblem,
    SkillSource,
)
from ..lifecycle.beside import run_beside
from ..lifecycle.guests import Guest, contained
from ..lifecycle.registrations import Rank, Registration, Registrations
from ..values.codec import clean_text
from ..values.errors import InvalidValueError, SkillNotFoundError, error_text
from ..values.frozen import frozen
from ..values.ids import check_source_key

logger = logging.getLogger(__name__)

TIME_LIMIT = 4.0
"""Seconds that one source may take to find its skills. Less than a Context Source may
take, so that a source that hangs costs its own skills and not the whole listing."""
PATIENCE = 0.5
"""Seconds that it has to end once it is cancelled."""
MAX_NAME = 128
MAX_DESCRIPTION = 1024
"""Characters of a description that a model is told."""
MAX_LISTING = 32_768
"""Characters of all that a model is told about skills."""
MAX_NAMES_IN_ERROR = 50
CUT = " [cut]"


@frozen
class _Offer:
    """What one search brought."""

    generation: tuple[int, int]
    """Of the registrations, and of the calls to ``invalidate``."""
    skills: dict[str, Skill] = field(factory=dict)
    problems: tuple[SkillProblem, ...] = ()


class SkillRegistry:
    """The skills of one Location.

    They are searched for on first use and kept until a source comes or goes, says that
    what it found holds no more, or ``invalidate`` is called. Safe to use from many
    tasks: they share one search.
    """

    def __init__(
        self, registrations: Registrations[SkillSource], time_limit: float = TIME_LIMIT
    ) -> None:
        self._registrations = registrations
        self._time_limit = time_limit
        self._searching = anyio.Lock()
        self._invalidated = 0
        self._offer = _Offer((-1, 0))
        # What each source found last: a source that fails now has not lost its skills.
        self._found: dict[SkillSource, Sequence[Skill | SkillProblem]] = {}
        self._asked: set[SkillSource] = set()
        """Those that are being asked, also where nobody waits for that any more."""

    def register(
        self, source: SkillSource, owner: str, rank: Rank = 0
    ) -> Registration[SkillSource]:
        """Offer a source until the registration is closed. It hides an earlier one
        under the same key.

        Raises:
            InvalidValueError: it is not a SkillSource, or its key is not
                ``namespace/name``.
        """
        if not isinstance(source, SkillSource):
            raise InvalidValueError("skill source", source, "give a SkillSource")
        key = check_source_key("skill source key", source.key)
        if not callable(source.find):
            raise InvalidValueError("skill source", key, "find must be a function")
        if source.holds is not None and not callable(source.holds):
            raise InvalidValueError("skill source", key, "holds must be a function")
        return self._registrations.add(owner, key, source, rank)

    def sources(self) -> tuple[SkillSource, ...]:
        """Return the sources that are offered now, in key order."""
        return tuple(one.item for one in self._registrations.offer().values())

    async def skills(self) -> list[Skill]:
        """Return the skills in name order; of equal names the later source's."""
        return list((await self._current()).skills.values())

    async def look(self) -> tuple[list[Skill], Callable[[], bool]]:
        """Return the skills, and what says whether a look would still find these: it
        looks at the disk, and is to be called in a thread."""
        offer = await self._current()
        # Whoever searches meanwhile finds others, which then hold in their turn.
        return [*offer.skills.values()], lambda: self._offer is offer and self.holds()

    async def get(self, name: str) -> Skill:
        """Return the skill of this name.

        Raises:
            SkillNotFoundError: there is none; the message lists those that there are.
        """
        offer = await self._current()
        if name in offer.skills:
            return offer.skills[name]
        raise SkillNotFoundError(name, _hint(list(offer.skills)))

    def problems(self) -> list[SkillProblem]:
        """Return, of the last search, why something found is not offered.

        A source that failed is named by its key. Empty before the first search.
        """
        return list(self._offer.problems)

    def holds(self) -> bool:
        """Return whether a search would find what the last one found. Looks at the
        disk: call it in a thread."""
        return self._offer.generation == self._generation and all(
            map(_still_there, self.sources())
        )

    @property
    def _generation(self) -> tuple[int, int]:
        return (self._registrations.generation, self._invalidated)

    def invalidate(self) -> None:
        """Search anew at the next use."""
        self._invalidated += 1

    async def _current(self) -> _Offer:
        async with self._searching:
            # Taken before the search: what changes during it leads to another one.
            generation = self._generation
            if self._offer.generation != generation or not await self._held():
                self._offer = await self._search(generation)
            return self._offer

    async def _held(self) -> bool:
        looking = [one for one in self.sources() if one.holds is not None]
        if not looking:
            return True
        with anyio.move_on_after(self._time_limit):
            return await to_thread.run_sync(self.holds, abandon_on_cancel=True)
        return True  # what was found last is better than a wait for a disk that hangs

    async def _search(self, generation: tuple[int, int]) -> _Offer:
        offered = self._registrations.offer()
        # `all` is in the order of owners, which decides among equal names.
        sources = {
            one.item: one.owner
            for one in sorted(
                self._registrations.all(), key=lambda one: not one.item.gives_way
            )
            if offered[one.key] is one  # not hidden by a later one of its key
        }
        silent = f"no answer within {self._time_limit:g} s"
        failures = {one: SkillProblem(one.key, silent) for one in sources}
        over = False

        async def search_one(source: SkillSource) -> None:
            self._asked.add(source)
            try:
                found = await self._find(source, sources[source])
            finally:
                self._asked.discard(source)
            if over:
                return
            if isinstance(found, SkillProblem):
                failures[source] = found
            else:
                del failures[source]
                self._found[source] = found

        # Nobody is asked twice at a time, whoever ignores that it was cancelled.
        works = [partial(search_one, one) for one in sources if one not in self._asked]
        try:
            await run_beside("skill sources", works, self._time_limit, PATIENCE)
        finally:
            over = True
        self._found = {key: self._found[key] for key in sources if key in self._found}
        skills: dict[str, Skill] = {}
        problems: list[SkillProblem] = []
        for source in sources:
            if source in failures:
                problems.append(failures[source])
            for item in self._found.get(source, ()):
                if isinstance(item, SkillProblem):
                    problems.append(item)
                    continue
                hidden = skills.get(item.name)
                if hidden is not None:
                    problems.append(_hidden(hidden, source))
                skills[item.name] = item
        return _Offer(generation, dict(sorted(skills.items())), tuple(problems))

    async def _find(
        self, source: SkillSource, owner: str
    ) -> Sequence[Skill | SkillProblem] | SkillProblem:
        try:
            with contained(Guest(owner, f"skill source {source.key!r}")):
                return [_checked(item, source) for item in await source.find()]
        except Exception as error:  # a plugin's source: the boundary of a hook call
            reason = clean_text(error_text(error))
            return SkillProblem(source.key, f"the source failed: {reason}")


def _still_there(source: SkillSource) -> bool:
    if source.holds is None:
        return True
    try:
        with contained(Guest(None, f"holds of skill source {source.key!r}")):
            return source.holds() is True
    except Exception as error:  # a plugin's source: the boundary of a hook call
        logger.debug("skills of %r are searched, because %s", source.key, error)
        return False


def _checked(item: object, source: SkillSource) -> Skill | SkillProblem:
    if isinstance(item, SkillProblem):
        return SkillProblem(clean_text(item.path), clean_text(item.problem))
    if not isinstance(item, Skill):
        kind = type(item).__name__
        return SkillProblem(source.key, f"{kind} is neither a Skill nor a SkillProblem")
    name = _one_line(item.name)
    where = item.directory or f"{source.key}: {name}"
    if not name or len(name) > MAX_NAME or not name.isprintable():
        problem = f"a skill's name has 1 to {MAX_NAME} printable characters"
        return SkillProblem(clean_text(where), problem)
    if not item.description.strip():
        return SkillProblem(clean_text(where), "it has no description")
    return evolve(
        item,
        name=name,
        description=clean_text(item.description).strip(),
        body=clean_text(item.body),
    )


def _hidden(skill: Skill, by: SkillSource) -> SkillProblem:
    return SkillProblem(
        skill.directory or skill.name,
        f"skill {skill.name!r} is hidden by one of the same name of {by.key!r}",
    )


def _hint(names: list[str]) -> str:
    if not names:
        return "no skills were found"
    shown = ", ".join(names[:MAX_NAMES_IN_ERROR])
    more = len(names) - MAX_NAMES_IN_ERROR
    return f"there are: {shown}" + (f", and {more} more" if more > 0 else "")


# --- what a model is told ---------------------------------------------------------


@frozen
class Offers:
    """Which skills one agent may load."""

    effect: Callable[[str], RuleEffect]
    """What its rules say of a name; ``deny`` where it has no tool to load one."""
    generation: object
    """Another one when that may have changed, for any agent."""


def _all(agent: str) -> Offers:
    return Offers(lambda name: "allow", None)


def skills_source(
    registry: SkillRegistry, offers: Callable[[str], Offers] = _all
) -> ContextSource:
    """Return the Context Source that tells a model which skills it can load.

    ``offers`` returns what an agent of a name may load. It has nothing to say to one
    that may load none.
    """

    async def observe() -> Observation:
        seen = offers("").generation
        found, still = await registry.look()

        def holds() -> bool:
            return offers("").generation == seen and still()

        return evolve(
            _observation([[one.name, one.description] for one in found if one.offered]),
            holds=holds,
        )

    def tell(found: Observation, agent: str) -> Observation:
        effect = offers(agent).effect
        return _observation(
            [one for one in found.value or () if effect(one[0]) != "deny"]
        )

    return ContextSource("core/skills", observe, tell=tell)


def _observation(offered: Sequence[Sequence[str]]) -> Observation:
    listing = _listing(offered)
    if not listing:
        return Observation("")
    return Observation(
        "Skills are instructions for particular tasks. When a task fits the "
        "description of one, load it by its name with the `skill` tool before "
        f"you begin. These are available:\n\n{listing}",
        f"The skills that are available are now:\n\n{listing}",
        value=offered,
        removal="There are no skills to load any more.",
    )


def _listing(skills: Sequence[Sequence[str]]) -> str:
    """Return one line per skill; when that is too much, shorter lines, then fewer."""
    lines: list[str] = []
    for limit in (MAX_DESCRIPTION, 512, 256, 128, 64, 32, 0):
        lines = [_line(skill, limit) for skill in skills]
        if sum(map(len, lines)) + len(lines) <= MAX_LISTING:
            return "\n".join(lines)
    ends = list(accumulate(len(line) + 1 for line in lines))
    count = bisect_right(ends, MAX_LISTING)
    more = f"- [and {len(lines) - count} more, too many to list]"
    return "\n".join([*lines[:count], more])


def _line(skill: Sequence[str], limit: int) -> str:
    name, description = skill[0], _one_line(skill[1])
    if len(description) > limit:
        description = description[:limit].rstrip() + CUT
    return f"- {name}: {description}"


def _one_line(text: str) -> str:
    return " ".join(clean_text(text).split())
