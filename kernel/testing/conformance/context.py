"""The suite for Context Sources: what a model is told about its world.

::

    class TestTeam(ContextConformance):
        version = 1
        plugin = dovetail_team.plugin
        sources = ("acme/team",)

        def prepare(self, folder):
            (folder / "TEAM").write_text("ann, bob")

        def change(self, folder):
            (folder / "TEAM").write_text("ann, cy")
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from ...context.algebra import Observed, Snapshot, Unavailable, source_of
from ...context.sampling import observe
from ...contracts import ContextSource, Observation, SessionSource, SessionView
from ...values.ids import SessionId
from .suite import Bench, Case, Checks, Host, NotOfferedError
from .telling import TellingSuite, effects, restless, unchanged
from .words import strangers

MAX_TEXT = 512 * 1024
"""Bytes that one source may tell."""


class ContextConformance(TellingSuite):
    """Inherit it, name the class ``Test...``, and say which sources it is about."""

    sources: Sequence[str] = ()
    """The keys of the sources; the plugin must offer them. In the Location as the
    suite prepares it, each must have something to tell."""

    checks: ClassVar[Checks] = Checks("context")


check = ContextConformance.checks.add


Source = ContextSource | SessionSource

_VIEW = SessionView(SessionId("ses_conformance"), "build")
"""A session that has touched nothing yet, for sources that speak to each session."""


def _sources(case: Case[ContextConformance], host: Host) -> tuple[Source, ...]:
    context = host.services.context
    both: tuple[Source, ...] = (*context.sources(), *context.session_sources())
    offered = {one.key: one for one in both}
    for key in case.suite.sources:
        if key not in offered:
            names = ", ".join(offered) or "none"
            raise NotOfferedError(
                f"there is no Context Source {key!r}{host.problem}; offered: {names}"
            )
    return tuple(offered[key] for key in case.suite.sources)


async def _observed(case: Case[ContextConformance], host: Host) -> Snapshot:
    sources = _sources(case, host)
    shared = await observe(one for one in sources if isinstance(one, ContextSource))
    own = [one for one in sources if isinstance(one, SessionSource)]
    return Snapshot({**shared.results, **(await observe(own, (_VIEW,))).results})


async def _texts(case: Case[ContextConformance], host: Host) -> Mapping[str, str]:
    """Return both renderings of everything, by key; nothing of what is not told."""
    snapshot = await _observed(case, host)
    told: dict[str, str] = {}
    for key, one in snapshot.observed.items():
        source = source_of(key)
        text = f"{one.baseline}\n{one.update or ''}"
        told[source] = f"{told[source]}\n{text}" if source in told else text
    return told


@check("definition", since=1)
def _definition(bench: Bench[ContextConformance]) -> Iterator[str]:
    """The plugin offers each source that the suite names, and it names one."""

    async def look(case: Case[ContextConformance], host: Host) -> None:
        _sources(case, host)

    bench.hosted(look)
    if not bench.suite.sources:
        yield "the suite names no source, so nothing can be shown"


@check("observation", since=1)
def _observation(bench: Bench[ContextConformance]) -> Iterator[str]:
    """A source answers in time with an Observation, or says that it cannot tell; where
    there is something to tell, it tells it."""

    async def look(case: Case[ContextConformance], host: Host) -> list[str]:
        found = []
        snapshot = await _observed(case, host)
        for key, result in snapshot.results.items():
            if isinstance(result, Unavailable):
                how = "it is broken" if result.broken else "it cannot tell"
                found.append(f"{key}: {how}: {result.reason}")
            elif not isinstance(result, Observed):
                found.append(f"{key}: it tells nothing of what the suite prepared")
        return found

    yield from bench.hosted(look)


@check("stable", since=1)
def _stable(bench: Bench[ContextConformance]) -> Iterator[str]:
    """What did not change is told in the same words: when asked again, and after a
    restart."""
    yield from restless(bench, _texts)


@check("change", since=1)
def _change(bench: Bench[ContextConformance]) -> Iterator[str]:
    """What changed is told in other words at the next look."""
    yield from unchanged(bench, _texts)


@check("words", since=1)
def _words(bench: Bench[ContextConformance]) -> Iterator[str]:
    """What is told has no clock, no random id, no name of a machine or a home."""

    async def look(
        case: Case[ContextConformance], host: Host
    ) -> tuple[str, Mapping[str, str]]:
        return str(case.folder), await _texts(case, host)

    folder, told = bench.hosted(look)
    for key, text in told.items():
        for stranger in strangers(text, bench.clock, (folder,)):
            yield f"{key} tells {stranger}"


@check("bounded", since=1)
def _bounded(bench: Bench[ContextConformance]) -> Iterator[str]:
    """What one source tells is bounded by the source itself."""
    for key, text in bench.hosted(_texts).items():
        size = len(text.encode("utf-8", "replace"))
        if size > MAX_TEXT:
            yield f"{key} tells {size} bytes; at most {MAX_TEXT}"


@check("effect", since=1)
def _effect(bench: Bench[ContextConformance]) -> Iterator[str]:
    """Observing changes nothing, in the Location and in the world."""
    yield from effects(bench, _texts)


@check("cancellation", since=1)
def _cancellation(bench: Bench[ContextConformance]) -> Iterator[str]:
    """Cancelled at any of its suspensions, it ends soon and lets the cancellation
    pass; and it never holds the event loop."""
    for key in bench.suite.sources:

        async def ask(
            case: Case[ContextConformance], host: Host, key: str = key
        ) -> Observation | None:
            sources = {one.key: one for one in _sources(case, host)}
            source = sources[key]
            if isinstance(source, SessionSource):
                return await source.observe(_VIEW)
            return await source.observe()

        yield from (f"{key}: {one}" for one in bench.cancelled(ask))


@check("leak", since=1)
def _leak(bench: Bench[ContextConformance]) -> Iterator[str]:
    """Nothing is left behind when its Location closes: no task, no thread, no file, no
    process."""

    async def look(case: Case[ContextConformance]) -> None:
        async with case.host() as host:
            await _texts(case, host)

    yield from bench.leaks(look)
