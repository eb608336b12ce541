"""Sampling: what the Context Sources of a Location say now.

Owns when a source is observed and how long that may take. This is the only place that
observes: a Step samples once, at its boundary, and a Continuation Report once. Knows
nothing of what a sample means (see ``algebra``) nor of sessions.

However many sessions want a sample at the same moment, the sources are observed for
all of them at once: who comes while that goes on shares the next one. So a source is
never asked twice at a time, and what it takes is its own time, whatever else runs here.
"""

from collections.abc import Callable, Iterable

import anyio
from attrs import define, evolve

from ..contracts import ContextSource, Observation
from ..lifecycle.guests import Guest, contained
from ..lifecycle.own_time import own_time
from ..values.codec import clean_text
from ..values.errors import ContextUnavailableError, error_text
from .algebra import Absent, Observed, Result, Snapshot, Unavailable

TIME_LIMIT = 5.0
"""Seconds that one source may take: a Step waits for the slowest."""

MAX_TEXT = 1024 * 1024
"""Characters that one source may say. No model takes more, whoever asks it to."""


MAX_REST = 64
"""Samples that one source is left in peace for, at the most."""


class Sampler:
    """Samples of the sources of one Location, shared by all who want one at a time.

    An optional source that gave no answer in time is not waited for in the next sample,
    then not in the next two, four and so on: what hangs costs everybody less and less,
    and is found again when it answers.
    """

    def __init__(
        self,
        sources: Callable[[], Iterable[ContextSource]],
        owner: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self._sources = sources
        self._owner = owner
        self._rests: dict[str, _Rest] = {}
        self._began = 0
        """How many samples were begun."""
        self._number = 0
        """Which of them is the latest."""
        self._latest = Snapshot({})
        self._going_on: anyio.Event | None = None

    async def sample(self) -> Snapshot:
        """Return a sample that began after this was called.

        Cancelling one caller disturbs no other.
        """
        asked = self._began
        while self._number <= asked:
            if self._going_on is not None:
                await self._going_on.wait()
            else:
                await self._observe_all()
        return self._latest

    async def _observe_all(self) -> None:
        self._began += 1
        number, going_on = self._began, anyio.Event()
        self._going_on = going_on
        try:
            self._latest = await self._sampled()
            self._number = number
        finally:
            # Whoever waits makes the next one, also when this one was cancelled.
            self._going_on = None
            going_on.set()

    async def _sampled(self) -> Snapshot:
        results: dict[str, Result] = {}
        asked: list[ContextSource] = []
        for source in self._sources():
            rest = self._rests.get(source.key)
            if rest is not None and rest.source is source and rest.left > 0:
                rest.left -= 1
                results[source.key] = rest.result
            else:
                asked.append(source)
        found = (await observe(asked)).results
        for source in asked:
            result = found[source.key]
            if isinstance(result, Unavailable):
                result = evolve(
                    result, plugin=self._owner(source.key), required=source.required
                )
            results[source.key] = result
            self._let_rest(source, result)
        return Snapshot(dict(sorted(results.items())))

    def _let_rest(self, source: ContextSource, result: Result) -> None:
        before = self._rests.pop(source.key, None)
        if not isinstance(result, Unavailable) or not result.late or source.required:
            return
        again = before is not None and before.source is source
        length = min(2 * before.length, MAX_REST) if again and before else 1
        self._rests[source.key] = _Rest(source, result, length, length)


@define
class _Rest:
    """A source that is not asked for a while."""

    source: ContextSource
    result: Unavailable
    """What is said of it meanwhile."""
    length: int
    left: int


async def observe(
    sources: Iterable[ContextSource], *, time_limit: float = TIME_LIMIT
) -> Snapshot:
    """Observe every source once, all at the same time, and return the sample.

    A source that raises, takes longer than ``time_limit`` seconds or answers nonsense
    is Unavailable under its key, and disturbs no other (law plugins.1). The seconds are
    its own: see ``lifecycle.own_time``. Cancelling this cancels all observations.
    """
    in_order = sorted(sources, key=lambda source: source.key)
    # What stands when a source gives no answer.
    silent = Unavailable(f"no answer within {time_limit:g} s", broken=True, late=True)
    results: dict[str, Result] = {source.key: silent for source in in_order}

    async def one(source: ContextSource) -> None:
        results[source.key] = await _observe(source)

    async with own_time(time_limit), anyio.create_task_group() as observing:
        for source in in_order:
            observing.start_soon(one, source)
    return Snapshot(results)


async def _observe(source: ContextSource) -> Result:
    try:
        with contained(Guest(None, f"context source {source.key!r}")):
            found = await source.observe()
    except ContextUnavailableError as error:
        return Unavailable(clean_text(error.problem), error=error)
    except Exception as error:  # a plugin's source: the boundary of a hook call
        return Unavailable(clean_text(error_text(error)), broken=True, error=error)
    if found is None:
        return Absent()
    if not _well_formed(found):
        return Unavailable("it did not return an Observation or None", broken=True)
    if max(len(found.baseline), len(found.update or "")) > MAX_TEXT:
        return Unavailable(f"it says more than {MAX_TEXT} characters", broken=True)
    baseline = clean_text(found.baseline).strip()
    if not baseline:
        return Absent()
    update = clean_text(found.update or "").strip()
    return Observed(Observation(baseline, update or None))


def _well_formed(found: object) -> bool:
    return (
        isinstance(found, Observation)
        and isinstance(found.baseline, str)
        and isinstance(found.update, str | None)
    )
