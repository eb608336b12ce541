"""Remote catalogues of skills: fetched beside the work, and used from a copy.

A person names them in their own configuration. What is there is fetched when a
Location opens and now and then while it is open, into a copy that is used also when the
catalogue is away; no Step waits for that. Nothing leads to another origin or out of the
catalogue, sizes and numbers are bounded, addresses that are not of the public internet
are refused as ``webfetch`` does, and nothing that is fetched is run.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio import to_thread
from attrs import define, field
from dovetail.kernel import Skill, SkillProblem, SkillSource

from ._addresses import Hosts
from ._catalogue import (
    MAX_INDEX,
    Entry,
    base_of,
    below,
    check_below,
    read_index,
)
from ._catalogue_copy import Copy, store
from ._http import Head, Web
from ._urls import RefusedError, Url, parse_from

logger = logging.getLogger(__name__)

MAX_FILE = 1_048_576
"""Bytes of one file."""
MAX_TOTAL = 33_554_432
"""Bytes of all files of one catalogue."""
MAX_CATALOGUES = 20
MAX_REDIRECTS = 3
SECONDS = 30.0
"""That one file may take."""
SECONDS_IN_ALL = 600.0
AT_ONCE = 4
"""Files that are fetched at a time."""
FRESH = 6 * 3_600.0
"""Seconds for which a copy is taken for what the catalogue has."""
AGAIN = 300.0
"""Seconds until a catalogue that could not be fetched is tried again; then twice as
long, and so on."""

_REDIRECTS = frozenset((301, 302, 303, 307, 308))


@define
class _Budget:
    """Bytes that may still come."""

    left: int = MAX_TOTAL


@define(eq=False)
class Catalogue:
    """One catalogue, and its copy."""

    base: Url
    web: Web
    copy: Copy
    problems: tuple[SkillProblem, ...] = ()
    """What the last fetch left out, or why it failed."""
    _shown: tuple[SkillProblem, ...] | None = field(default=None, init=False)

    async def find(self) -> Sequence[Skill | SkillProblem]:
        """Return the skills of the copy."""
        self._shown = self.problems
        found = await to_thread.run_sync(self.copy.skills, abandon_on_cancel=True)
        return [*found, *self._shown]

    def holds(self) -> bool:
        """Return whether ``find`` would find the same."""
        return self._shown is self.problems and self.copy.holds()

    async def keep_fresh(self) -> None:
        """Fetch it now and then, for as long as it is wanted."""
        failed = AGAIN
        while True:
            age = await to_thread.run_sync(self.copy.age)
            if age is not None and 0 <= age < FRESH:
                wait = FRESH - age
            elif await self.refresh():
                wait, failed = FRESH, AGAIN
            else:
                wait, failed = failed, min(2 * failed, FRESH)
            await anyio.sleep(wait)

    async def refresh(self) -> bool:
        """Fetch it, and say whether that went well. Otherwise the copy stays."""
        try:
            with anyio.fail_after(SECONDS_IN_ALL):
                left_out = await self._fetched()
        except (RefusedError, OSError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            logger.warning("skill catalogue %s is not fetched: %s", self.base, why)
            problem = f"it cannot be fetched, so its copy is used: {why}"
            self.problems = (SkillProblem(str(self.base), problem),)
            return False
        self.problems = left_out
        return True

    async def _fetched(self) -> tuple[SkillProblem, ...]:
        budget = _Budget()
        index = read_index(await self._get(below(self.base, "index.json"), MAX_INDEX))
        problems = [
            SkillProblem(f"{self.base}{name}", why) for name, why in index.problems
        ]
        generation = await to_thread.run_sync(self.copy.begin)
        digests: dict[str, dict[str, str]] = {}
        done = False
        try:
            for entry in index.entries:
                try:
                    digests[entry.name] = await self._entry(entry, generation, budget)
                except RefusedError as error:
                    problems.append(
                        SkillProblem(f"{self.base}{entry.name}", str(error))
                    )
            if index.entries and not digests:
                raise RefusedError(f"none of its skills can be: {problems[-1].problem}")
            await to_thread.run_sync(self.copy.replace, generation, digests)
            done = True
        finally:
            if not done:
                with anyio.CancelScope(shield=True):
                    await to_thread.run_sync(self.copy.drop, generation)
        return tuple(problems)

    async def _entry(
        self, entry: Entry, generation: Path, budget: _Budget
    ) -> dict[str, str]:
        """Fetch all files of a skill, or none that counts."""
        digests: dict[str, str] = {}
        problems: list[RefusedError] = []
        slots = anyio.Semaphore(AT_ONCE)

        async def one(file: str) -> None:
            async with slots:
                if problems:
                    return
                try:
                    url = below(self.base, entry.name, *file.split("/"))
                    data = await self._get(url, min(MAX_FILE, budget.left))
                    budget.left -= len(data)
                    if budget.left < 0:
                        raise RefusedError(f"all files are over {MAX_TOTAL:,} bytes")
                    digests[file] = await to_thread.run_sync(
                        store, generation, entry.name, file, data
                    )
                except RefusedError as error:
                    problems.append(RefusedError(f"{file!r} of it: {error}"))

        async with anyio.create_task_group() as tasks:
            for file in entry.files:
                tasks.start_soon(one, file)
        if problems:
            raise problems[0]
        return dict(sorted(digests.items()))

    async def _get(self, url: Url, most: int) -> bytes:
        """Return what is at a URL, following redirects within the catalogue.

        Raises:
            RefusedError: it is not to be had, or too large.
        """
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self.web.get(
                url, lambda head: _wanted(head, most), seconds=SECONDS
            )
            status = answer.head.status
            if status in _REDIRECTS and "location" in answer.head.headers:
                url = parse_from(url, answer.head.headers["location"])
                check_below(self.base, url)
                continue
            if status != 200:
                raise RefusedError(f"the server answered {status}")
            if answer.cut or len(answer.body) > most:
                raise RefusedError(f"it has over {most:,} bytes")
            return answer.body
        raise RefusedError(f"it has more than {MAX_REDIRECTS} redirects")


def _wanted(head: Head, most: int) -> int:
    return most if head.status == 200 else 0


class Catalogues:
    """The catalogues that a person named, for one Location."""

    def __init__(self, found: Sequence[Catalogue]) -> None:
        self.found = tuple(found)

    @classmethod
    def of(cls, given: object, web: Web, private: Hosts, cache: Path) -> "Catalogues":
        """Return the catalogues of a setting.

        Raises:
            ValueError: it is no list of URLs that can be fetched from.
        """
        if not isinstance(given, list) or not all(
            isinstance(one, str) for one in given
        ):
            raise ValueError("must be a list of URLs")
        if len(given) > MAX_CATALOGUES:
            raise ValueError(f"names more than {MAX_CATALOGUES}")
        made = []
        for one in dict.fromkeys(given):
            try:
                base = base_of(one)
                web.check(base)
            except RefusedError as error:
                raise ValueError(f"{one[:200]!r}: {error}") from error
            if base.scheme != "https" and not private.holds(base.host, base.port):
                raise ValueError(f"{one[:200]!r}: only https:// is safe from others")
            made.append(Catalogue(base, web, Copy.of(cache, str(base))))
        return cls(made)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Catalogues"]:
        """Keep them fresh for as long as this is entered."""
        async with anyio.create_task_group() as tasks:
            for one in self.found:
                tasks.start_soon(one.keep_fresh)
            yield self
            tasks.cancel_scope.cancel()

    def sources(self) -> list[SkillSource]:
        """Return a source for each; they give way to skills of this machine."""
        return [
            SkillSource(
                f"core/catalogue-{one.copy.folder.name}",
                one.find,
                one.holds,
                gives_way=True,
            )
            for one in self.found
        ]
