"""Sampling: what the Context Sources of a Location say now.

Owns when a source is observed and how long that may take. This is the only place that
observes: a Step samples once, at its boundary, and a Continuation Report once. Knows
nothing of what a sample means (see ``algebra``).

However many sessions want a sample at the same moment, the sources are observed for
all of them at once: who comes while that goes on shares the next one. So a source is
never asked twice at a time, and what it takes is its own time, whatever else runs here.
And what a source says of itself that it still holds is not observed again: where all
do, a sample costs one look from a worker thread, and is the very sample of before.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial

import anyio
from attrs import define, evolve

from ..contracts import ContextSource, SessionSource
from ..lifecycle.aside import look_aside
from ..lifecycle.beside import run_beside
from ..lifecycle.guests import Guest, contained
from ..values.codec import clean_text
from ..values.errors import ContextUnavailableError, error_text
from .algebra import Absent, Holds, Observed, Result, Snapshot, Unavailable
from .answers import checked

logger = logging.getLogger(__name__)

TIME_LIMIT = 5.0
"""Seconds that one source may take: a Step waits for the slowest."""

PATIENCE = 1.0
"""Seconds that a source has to end once it is cancelled."""

MAX_REST = 64
"""Samples that one source is left in peace for, at the most."""

Source = ContextSource | SessionSource

_HOLDS = Guest(None, "holds of a context source")


class Look:
    """A look at which of some sources still say the same, taken in a worker thread."""

    def __init__(
        self, asked: Sequence[tuple[str, Holds]], handed: tuple[object, ...]
    ) -> None:
        self.began = False
        self.over = False
        self.holding: frozenset[str] = frozenset()
        """The keys of those that do, once it is over."""
        self._asked = asked
        self._handed = handed

    def take(self) -> None:
        """Ask them."""
        self.began = True
        try:
            self.holding = frozenset(
                key for key, holds in self._asked if _holds(holds, self._handed)
            )
        finally:
            self.over = True


class Watch:
    """What some sources said last, so that each is observed only when it must be.

    An optional source that gave no answer in time is asked again in the next sample,
    once its call has ended. If it gives none again it is not waited for in the next
    one, then not in the next two, four and so on: what hangs costs everybody less and
    less, and is found again when it answers. Not to be used by two tasks at a time.
    """

    def __init__(self, owner: Callable[[str], str | None] = lambda _: None) -> None:
        self._owner = owner
        self._rests: dict[str, _Rest] = {}
        self._answers: dict[str, tuple[Source, Result]] = {}
        """What is not Unavailable, and whose it is."""
        self._left: dict[str, tuple[Source, Unavailable]] = {}
        """Whose calls did not end though they were cancelled, and what is said
        meanwhile."""
        self._look: Look | None = None
        """The last look at what still holds, which may not have come back."""
        self._results: Mapping[str, Result] = {}

    def look(self, sources: Iterable[Source], *handed: object) -> Look | None:
        """Return the look that is to be taken before the sources are, or None where
        there is nothing to look at, or one still goes on."""
        if self._look is not None and self._look.began and not self._look.over:
            return None
        asked: list[tuple[str, Holds]] = []
        for source in sources:
            whose, said = self._answers.get(source.key, (None, None))
            if whose is source and isinstance(said, Observed | Absent) and said.holds:
                asked.append((source.key, said.holds))
        self._look = Look(asked, handed) if asked else None
        return self._look

    async def take(
        self,
        sources: Iterable[Source],
        *handed: object,
        look: Look | None = None,
        beside: Look | None = None,
    ) -> Mapping[str, Result]:
        """Return what each source says now, in the order of its key: the same mapping
        as before where nothing changed.

        ``handed`` is what the sources are handed; ``look`` is that of before, which is
        taken here unless somebody took it, and ``beside`` one of another Watch, taken
        in the same thread where one is needed, after this one.
        """
        results: dict[str, Result] = {}
        offered = sorted(sources, key=lambda source: source.key)
        holding = await _holding(look, beside)
        asked: list[Source] = []
        for source in offered:
            rest = self._rests.get(source.key)
            left = self._left.get(source.key)
            if left is not None and left[0] is source and _goes_on(left[1]):
                # Nobody is asked twice at a time.
                results[source.key] = left[1]
            elif rest is not None and rest.source is source and rest.left > 0:
                rest.left -= 1
                results[source.key] = rest.result
            elif source.key in holding and self._answers[source.key][0] is source:
                _, results[source.key] = self._answers[source.key]
            else:
                asked.append(source)
        if asked:
            found = (await observe(asked, handed)).results
            for source in asked:
                result = self._taken(source, found[source.key])
                results[source.key] = result
                self._leave(source, result)
        self._forget_others(offered)
        if results != self._results:
            self._results = dict(sorted(results.items()))
        return self._results

    def _taken(self, source: Source, result: Result) -> Result:
        self._answers.pop(source.key, None)
        if isinstance(result, Unavailable):
            result = evolve(
                result, plugin=self._owner(source.key), required=source.required
            )
        else:
            self._answers[source.key] = source, result
        self._let_rest(source, result)
        return result

    def _leave(self, source: Source, result: Result) -> None:
        """Remember a call that goes on though it was cancelled."""
        self._left.pop(source.key, None)
        if isinstance(result, Unavailable) and _goes_on(result):
            self._left[source.key] = source, result
            logger.warning(
                "context source %r of plugin %r goes on though it was cancelled; it is "
                "not asked again until it ends",
                source.key,
                self._owner(source.key),
            )

    def _forget_others(self, offered: Sequence[Source]) -> None:
        if len(self._answers) + len(self._rests) + len(self._left) > 2 * len(offered):
            keys = {source.key for source in offered}
            self._left = {key: one for key, one in self._left.items() if key in keys}
            self._answers = {
                key: one for key, one in self._answers.items() if key in keys
            }
            self._rests = {key: one for key, one in self._rests.items() if key in keys}

    def _let_rest(self, source: Source, result: Result) -> None:
        before = self._rests.pop(source.key, None)
        if not isinstance(result, Unavailable) or not result.late or source.required:
            return
        again = before is not None and before.source is source
        length = min(max(1, 2 * before.length), MAX_REST) if again and before else 0
        self._rests[source.key] = _Rest(source, result, length, length)


class Sampler:
    """Samples of the sources of one Location, shared by all who want one at a time."""

    def __init__(
        self,
        sources: Callable[[], Iterable[ContextSource]],
        owner: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self._sources = sources
        self._watch = Watch(owner)
        self._began = 0
        """How many samples were begun."""
        self._number = 0
        """Which of them is the latest."""
        self._latest = Snapshot({})
        self._going_on = False
        self._over: anyio.Event | None = None
        """Set when the one that goes on is over, where somebody waits for it."""

    async def sample(self, beside: Look | None = None) -> Snapshot:
        """Return a sample that began after this was called.

        Cancelling one caller disturbs no other. ``beside`` is a look that the caller is
        about to take: where this one needs a worker thread, it is taken in the same.
        """
        asked = self._began
        while self._number <= asked:
            if self._going_on:
                if self._over is None:
                    self._over = anyio.Event()
                await self._over.wait()
            else:
                await self._observe_all(beside)
        return self._latest

    async def _observe_all(self, beside: Look | None) -> None:
        self._began += 1
        number = self._began
        self._going_on = True
        try:
            sources = tuple(self._sources())
            look = self._watch.look(sources)
            results = await self._watch.take(sources, look=look, beside=beside)
            if results is not self._latest.results:
                self._latest = Snapshot(results)
            self._number = number
        finally:
            # Whoever waits makes the next one, also when this one was cancelled.
            self._going_on = False
            if self._over is not None:
                self._over.set()
                self._over = None


@define
class _Rest:
    """A source that is not asked for a while."""

    source: Source
    result: Unavailable
    """What is said of it meanwhile."""
    length: int
    left: int


async def observe(
    sources: Iterable[Source],
    handed: tuple[object, ...] = (),
    *,
    time_limit: float = TIME_LIMIT,
) -> Snapshot:
    """Observe every source once, all at the same time, and return the sample.

    ``handed`` is what each is handed. A source that raises, takes longer than
    ``time_limit`` seconds or answers nonsense is Unavailable under its key, and
    disturbs no other (law plugins.1). The seconds are its own: see
    ``lifecycle.own_time``. Cancelling this cancels all observations. One that does not
    end though it is cancelled is left behind, and its result says whether it goes on.
    """
    in_order = sorted(sources, key=lambda source: source.key)
    came: set[str] = set()

    def silent(key: str) -> Unavailable:
        """Return what stands when a source gives no answer."""
        why = f"no answer within {time_limit:g} s"
        return Unavailable(why, broken=True, late=True, goes_on=lambda: key not in came)

    results: dict[str, Result] = {one.key: silent(one.key) for one in in_order}
    over = False

    async def one(source: Source) -> None:
        try:
            result = await _observe(source, handed)
            if not over:
                results[source.key] = result
        finally:
            came.add(source.key)

    works = [partial(one, source) for source in in_order]
    try:
        await run_beside("context sources", works, time_limit, PATIENCE)
    finally:
        over = True
    return Snapshot(results)


async def _holding(look: Look | None, beside: Look | None) -> frozenset[str]:
    """Return the keys of the sources that need not be observed again."""
    if look is None:
        return frozenset()
    if not look.began:
        # By the clock of the wall: who is late is observed, and measured then.
        with anyio.move_on_after(TIME_LIMIT):
            await look_aside(partial(_take, look, beside))
    return look.holding


def _goes_on(result: Unavailable) -> bool:
    return result.goes_on is not None and result.goes_on()


def _take(*looks: Look | None) -> None:
    for look in looks:
        if look is not None:
            look.take()


def _holds(holds: Holds, handed: tuple[object, ...]) -> bool:
    try:
        with contained(_HOLDS):
            return holds(*handed) is True
    except Exception as error:  # a plugin's source: the boundary of a hook call
        logger.debug("a context source is observed, because %s", error_text(error))
        return False


async def _observe(source: Source, handed: tuple[object, ...]) -> Result:
    observed: Callable[..., Awaitable[object]] = source.observe
    try:
        with contained(Guest(None, f"context source {source.key!r}")):
            found = await observed(*handed)
    except ContextUnavailableError as error:
        return Unavailable(clean_text(error.problem), error=error)
    except Exception as error:  # a plugin's source: the boundary of a hook call
        return Unavailable(clean_text(error_text(error)), broken=True, error=error)
    return checked(found)
