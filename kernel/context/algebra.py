"""The algebra of System Context: from sources to a snapshot, from snapshots to text.

Owns what a snapshot is, how it is rendered, and what counts as a change. Knows nothing
of sessions, stores or plugins, nor of how sources are observed (see ``sampling``).
All of it is pure functions, so that the same observations always give the same bytes.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping

from attrs import field

from ..contracts import Observation
from ..values.frozen import frozen


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
    plugin: str | None = None
    """Whose source it is."""
    required: bool = False
    """Whether no epoch may begin without it."""
    late: bool = False
    """Whether it gave no answer in time."""


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


def admissions(left_out: Collection[str], snapshot: Snapshot) -> Update | None:
    """Return what the model is told of sources that it was told nothing of so far, or
    None while none of them can be observed. Other changes are no business of this."""
    found = {key: one for key, one in snapshot.observed.items() if key in left_out}
    if not found:
        return None
    return Update(
        _joined(one.baseline for one in found.values()),
        {key: _digest(one) for key, one in found.items()},
    )


def digests_after(
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
