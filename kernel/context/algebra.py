"""The algebra of System Context: from sources to a snapshot, from snapshots to text.

Owns what a snapshot is, how it is rendered, and what counts as a change. Knows nothing
of sessions, stores or plugins. Only ``observe`` waits; everything else is a pure
function, so that the same observations always give the same bytes.
"""

import hashlib
from collections.abc import Iterable, Mapping

import anyio
from attrs import field, frozen

from ..contracts import ContextSource, Observation
from ..lifecycle.scope import contained
from ..values.codec import clean_text
from ..values.errors import ContextUnavailableError, error_text

TIME_LIMIT = 5.0
"""Seconds that one source may take: a Step waits for the slowest."""

MAX_TEXT = 1024 * 1024
"""Characters that one source may say. No model takes more, whoever asks it to."""


@frozen
class Observed:
    """The source has something to say."""

    observation: Observation


@frozen
class Absent:
    """The source has nothing to say. If it had before, that no longer applies."""


@frozen
class Unavailable:
    """The source cannot be observed now. Never read as removed (law context.2)."""

    reason: str
    broken: bool = False
    """True when the source broke its contract or did not answer in time; False when
    it said itself that it cannot tell."""
    error: Exception | None = field(default=None, eq=False, repr=False)
    """What was raised, for the operator."""


Result = Observed | Absent | Unavailable


@frozen
class Snapshot:
    """One coherent sample of all sources."""

    results: Mapping[str, Result]
    """By key, in key order."""

    @property
    def observed(self) -> dict[str, Observation]:
        """What the sources say, in key order."""
        return {
            key: result.observation
            for key, result in self.results.items()
            if isinstance(result, Observed)
        }

    @property
    def unavailable(self) -> dict[str, Unavailable]:
        """The sources that cannot be observed now, in key order."""
        return {
            key: result
            for key, result in self.results.items()
            if isinstance(result, Unavailable)
        }


@frozen
class Update:
    """What is newly true, as one text, and how the told digests change."""

    text: str
    sources: Mapping[str, str | None]
    """The new digests of what changed, by key; None for what was removed."""


async def observe(
    sources: Iterable[ContextSource], *, time_limit: float = TIME_LIMIT
) -> Snapshot:
    """Observe every source once, all at the same time, and return the sample.

    A source that raises, takes longer than ``time_limit`` seconds or answers nonsense
    is Unavailable under its key, and disturbs no other (law plugins.1). Cancelling
    this cancels all observations.
    """
    in_order = sorted(sources, key=lambda source: source.key)
    # What stands when a source gives no answer.
    silent = Unavailable(f"no answer within {time_limit:g} s", broken=True)
    results: dict[str, Result] = {source.key: silent for source in in_order}

    async def one(source: ContextSource) -> None:
        with anyio.move_on_after(time_limit):
            results[source.key] = await _observe(source)

    async with anyio.create_task_group() as group:
        for source in in_order:
            group.start_soon(one, source)
    return Snapshot(results)


async def _observe(source: ContextSource) -> Result:
    try:
        with contained():
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


def render_baseline(snapshot: Snapshot) -> str:
    """Return the full text of everything observed, in key order."""
    return _joined(one.baseline for one in snapshot.observed.values())


def digests(snapshot: Snapshot) -> dict[str, str]:
    """Return the digest of each observed value, by key."""
    return {key: _digest(one) for key, one in snapshot.observed.items()}


def changes(previous: Mapping[str, str], snapshot: Snapshot) -> Update | None:
    """Return what the model must be told, or None when nothing changed.

    ``previous`` is what it was last told: digests by key. A changed or new value is
    told whole, as it is now, never as a difference. A value that is gone, because its
    source has nothing more to say or is not offered any more, is told as such. An
    unavailable source says nothing and keeps its digest (law context.2).
    """
    texts: dict[str, str] = {}
    sources: dict[str, str | None] = {}
    for key, one in snapshot.observed.items():
        digest = _digest(one)
        if previous.get(key) != digest:
            texts[key], sources[key] = one.update or one.baseline, digest
    for key in previous.keys() - snapshot.observed.keys() - snapshot.unavailable.keys():
        texts[key], sources[key] = _removal(key), None
    if not sources:
        return None
    order = sorted(texts)
    return Update(
        _joined(texts[key] for key in order), {key: sources[key] for key in order}
    )


def told(
    previous: Mapping[str, str], sources: Mapping[str, str | None]
) -> dict[str, str]:
    """Return the digests by key after an update's ``sources`` were told."""
    merged = {**previous, **sources}
    return {key: digest for key, digest in sorted(merged.items()) if digest is not None}


def _digest(one: Observation) -> str:
    # Both renderings count: a change that only one of them shows is a change. The
    # length keeps the two apart.
    update = one.update or one.baseline
    value = f"{len(one.baseline)}:{one.baseline}{update}"
    return hashlib.sha256(value.encode()).hexdigest()


def _removal(key: str) -> str:
    return f"What was said under {key!r} no longer applies."


def _joined(texts: Iterable[str]) -> str:
    return "\n\n".join(texts)
