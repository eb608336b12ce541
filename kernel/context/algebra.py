"""The algebra of System Context: from sources to a snapshot, from snapshots to text.

Owns what a snapshot is, how it is rendered, and what counts as a change. Knows nothing
of sessions, stores or plugins, nor of how sources are observed (see ``sampling``).
All of it is pure functions, so that the same observations always give the same bytes.

What is told has a key: that of its source, ``source:part`` for one of its parts, or
``source::part`` where the part is common to all sources that have one of this name.
Keys that end in the same common part are of one topic: whoever brings it, it is told
once, in the words of the first in key order, and gone when nobody brings it any more.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property

from attrs import field

from ..contracts import Observation
from ..values.codec import dumps, to_json
from ..values.frozen import frozen

Holds = Callable[..., bool]


@frozen
class Observed:
    """The source has something to say."""

    observation: Observation
    holds: "Holds | None" = field(default=None, eq=False, repr=False)
    """Says whether that is still so, where the source can tell."""


@frozen
class Absent:
    """The source has nothing to say. If it had before, that no longer applies."""

    holds: "Holds | None" = field(default=None, eq=False, repr=False)
    """As that of Observed."""


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
    goes_on: Callable[[], bool] | None = field(default=None, eq=False, repr=False)
    """Says of a call that was cancelled whether it has not ended all the same."""


Result = Observed | Absent | Unavailable


@frozen(slots=False)
class Snapshot:
    """One coherent sample of all sources."""

    results: Mapping[str, Result]
    """By key of the source, in key order."""

    @cached_property
    def observed(self) -> Mapping[str, Observation]:
        """What there is to say, by key; in key order, the parts of one source in its
        own."""
        return {
            key: one
            for source, result in self.results.items()
            if isinstance(result, Observed)
            for key, one in _parts(source, result.observation)
        }

    @cached_property
    def unavailable(self) -> Mapping[str, Unavailable]:
        """The sources that cannot be observed now, in key order."""
        return {
            key: result
            for key, result in self.results.items()
            if isinstance(result, Unavailable)
        }

    @cached_property
    def digests(self) -> Mapping[str, str]:
        """The digest of each observed value, by key."""
        return {key: digest_of(one) for key, one in self.observed.items()}

    @cached_property
    def removals(self) -> Mapping[str, str]:
        """What is to be said of a value that is gone, by key, where the source says."""
        return {
            key: one.removal
            for key, one in self.observed.items()
            if one.removal is not None
        }


@frozen
class Update:
    """What is newly true, as one text, and how the told digests change."""

    text: str
    sources: Mapping[str, str | None]
    """The new digests of what changed, by key; None for what was removed."""
    removals: Mapping[str, str] = field(factory=dict)
    """What is to be said of what changed when it is gone, by key."""


def source_of(key: str) -> str:
    """Return the key of the source that something was told under."""
    return key.partition(":")[0]


def topic_of(key: str) -> str:
    """Return what a key is about: itself, or a common part without its source."""
    name = key.partition(":")[2]
    return name if name.startswith(":") else key


def render_baseline(snapshot: Snapshot) -> str:
    """Return the full text of everything observed, in key order, each topic once."""
    topics: set[str] = set()
    headed: set[str] = set()
    texts: list[str] = []
    for key, one in snapshot.observed.items():
        topic, source = topic_of(key), source_of(key)
        if topic in topics:
            continue
        topics.add(topic)
        if source not in headed:
            headed.add(source)
            texts.append(_head(snapshot, source))
        texts.append(one.baseline)
    return _joined(filter(None, texts))


def same(told: str, now: str) -> bool:
    """Whether a digest that was told and one of now leave nothing to be told."""
    return told == now or not set(told.split(".")).isdisjoint(now.split("."))


def changes(
    previous: Mapping[str, str],
    snapshot: Snapshot,
    removals: Mapping[str, str] | None = None,
) -> Update | None:
    """Return what the model must be told, or None when nothing changed.

    ``previous`` is what it was last told: digests by key. A changed value is told
    whole, as it is now, never as a difference, and one that it was told nothing of as
    in a Baseline. A value that is gone, because its source has nothing more to say or
    is not offered any more, is told as such, in the words of ``removals`` where there
    are some. An unavailable source says nothing and keeps its digests (law context.2).
    """
    now = snapshot.digests
    if previous == now:
        return None
    before, brought = _by_topic(previous), _by_topic(now)
    known = {source_of(keys[0]) for keys in before.values()}
    texts: dict[str, str] = {}
    sources: dict[str, str | None] = {}
    silent: dict[str, str | None] = {}
    for topic, (key, *others) in brought.items():
        told = before.get(topic, [])
        one = snapshot.observed[key]
        # What was told is gone with its source only where nobody else brings it.
        gone = [old for old in told if old not in now and not _away(old, snapshot)]
        if told and any(same(previous[old], now[key]) for old in told):
            new = [one for one in (key, *others) if one not in previous]
            silent |= dict.fromkeys(new, previous[told[0]])
            silent |= dict.fromkeys(gone)
            continue
        if told:
            texts[key] = one.update or one.baseline
        else:
            source = source_of(key)
            head = "" if source in known else _head(snapshot, source)
            known.add(source)
            texts[key] = _joined(filter(None, (head, one.baseline)))
        # All keys of a topic stand for what was told of it last.
        sources |= dict.fromkeys((key, *others, *told), now[key])
        sources |= dict.fromkeys(gone)
    own = removals or {}
    for topic, keys in before.items():
        if topic not in brought and not any(_away(key, snapshot) for key in keys):
            texts[keys[0]] = own.get(keys[0]) or _removal(keys[0])
            sources |= dict.fromkeys(keys)
    if not sources:
        return None  # what nothing is said of is taken in with what something is
    # The parts of a source stay in its order; what is gone comes after them.
    order = sorted(texts, key=source_of)
    first = {key: sources[key] for key in order}
    changed = {**first, **sources, **silent}
    return Update(
        _joined(texts[key] for key in order),
        changed,
        {key: snapshot.removals[key] for key in changed if key in snapshot.removals},
    )


def digests_after(
    previous: Mapping[str, str], sources: Mapping[str, str | None]
) -> dict[str, str]:
    """Return the digests by key after an update's ``sources`` were told."""
    merged = {**previous, **sources}
    return {key: digest for key, digest in sorted(merged.items()) if digest is not None}


def digest_of(one: Observation) -> str:
    """Return the digest of a value: of its renderings, and before it, where it has one,
    of the value itself.

    Raises:
        Exception: the value is nothing that can be written as JSON.
    """
    # Both renderings count: a change that only one of them shows is a change. The
    # length keeps the two apart.
    update = one.update or one.baseline
    said = _sha256(f"{len(one.baseline)}:{one.baseline}{update}".encode())
    if one.value is None:
        return said
    return f"{_sha256(dumps(to_json(one.value), sort_keys=True))}.{said}"


def _parts(key: str, one: Observation) -> Iterator[tuple[str, Observation]]:
    if one.parts is None:
        yield key, one
    else:
        for name, part in one.parts.items():
            yield f"{key}:{':' if part.common else ''}{name}", part


def _by_topic(keys: Iterable[str]) -> dict[str, list[str]]:
    """Return the keys of each topic, in their order."""
    topics: dict[str, list[str]] = {}
    for key in keys:
        topics.setdefault(topic_of(key), []).append(key)
    return topics


def _away(key: str, snapshot: Snapshot) -> bool:
    return source_of(key) in snapshot.unavailable


def _head(snapshot: Snapshot, key: str) -> str:
    """Return what stands above the parts of a source."""
    result = snapshot.results[key]
    assert isinstance(result, Observed)
    one = result.observation
    return "" if one.parts is None else one.baseline


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _removal(key: str) -> str:
    return f"What was said under {key!r} no longer applies."


def _joined(texts: Iterable[str]) -> str:
    return "\n\n".join(texts)
