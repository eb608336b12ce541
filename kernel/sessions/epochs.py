"""Epochs: what the model of a session was told of its world, epoch by epoch.

Owns the record for whoever looks, and which Step was told what: a Step was told the
Baseline of its epoch, the agent's instructions after it, and the updates up to it. What
is sent is made by ``history`` from the same events.
"""

from collections.abc import Mapping, Sequence

from attrs import define, evolve, field

from ..log.reading import events_between, existing_session, readable
from ..ports import Reader
from ..values import events as e
from ..values.frozen import frozen
from ..values.ids import MessageId


@frozen
class ContextUpdate:
    """What was newly true, as the model was told."""

    seq: int
    """Its event."""
    message_id: MessageId
    """The message that the model reads it in."""
    text: str
    """What the model was told, word for word."""
    sources: Mapping[str, str | None]
    """The digest of what is told, by key; None for what was removed."""
    step: MessageId | None
    """The message of the first Step that was told it."""


@frozen
class UnavailableSource:
    """A span of an epoch in which a Context Source could not be observed. The model was
    told nothing of it, and not that anything were gone."""

    key: str
    """Which source."""
    plugin: str | None
    """Whose it is."""
    reason: str
    """Why, when it began."""
    seq: int
    """The event that named it: since the beginning of the epoch, that."""
    created: int
    """When that was, in milliseconds since 1970."""
    ended: int | None = None
    """The event that says that this is over; None where it was so to the end of the
    epoch, or still is."""


@frozen
class ContextEpoch:
    """One Context Epoch of a session."""

    seq: int
    """Its event."""
    created: int
    """When it began, in milliseconds since 1970."""
    cause: str
    """Why it began."""
    baseline: str
    """What each of its requests begins with, word for word."""
    instructions: str
    """What follows, where the agent has instructions."""
    sources: Mapping[str, str]
    """The digest of what the Baseline tells, by key."""
    left_out: Mapping[str, e.LeftOut]
    """What its Baseline lacks, and why."""
    updates: tuple[ContextUpdate, ...]
    """What the model was told since, in order."""
    steps: tuple[MessageId, ...]
    """The messages of its Steps, in order."""
    unavailable: tuple[UnavailableSource, ...] = ()
    """Which sources could not be observed, in the order in which that began."""

    @property
    def away(self) -> tuple[UnavailableSource, ...]:
        """Those that could not be observed at the end of it, or cannot be now."""
        return tuple(one for one in self.unavailable if one.ended is None)

    def told(self, step: str) -> tuple[ContextUpdate, ...]:
        """Return the updates that a Step of it was told, besides the Baseline.

        Raises:
            ValueError: no Step of it makes this message.
        """
        at = self.steps.index(MessageId(step))
        known = set(self.steps[: at + 1])
        return tuple(one for one in self.updates if one.step in known)


@define
class _Open:
    """An epoch while its events come."""

    event: e.EpochStarted
    updates: list[ContextUpdate] = field(factory=list)
    waiting: list[e.ContextUpdated] = field(factory=list)
    steps: list[MessageId] = field(factory=list)
    away: list[UnavailableSource] = field(factory=list)

    def missing(self, event: e.EpochStarted | e.AvailabilityChanged) -> None:
        if isinstance(event, e.AvailabilityChanged):
            self.away = [
                evolve(one, ended=event.seq)
                if one.ended is None and one.key in event.ended
                else one
                for one in self.away
            ]
            named = event.unavailable
        else:
            named = event.left_out
        self.away += [
            UnavailableSource(key, one.plugin, one.reason, event.seq, event.created)
            for key, one in named.items()
        ]

    def update(self, event: e.ContextUpdated, step: MessageId | None) -> None:
        self.updates.append(
            ContextUpdate(event.seq, event.message_id, event.text, event.sources, step)
        )

    def built(self) -> ContextEpoch:
        for one in self.waiting:
            self.update(one, None)
        began = self.event
        return ContextEpoch(
            began.seq,
            began.created,
            began.cause,
            began.baseline,
            began.instructions,
            began.sources,
            began.left_out,
            tuple(self.updates),
            tuple(self.steps),
            tuple(self.away),
        )


def context_epochs(rows: Reader, session_id: str) -> Sequence[ContextEpoch]:
    """Return the epochs of a session, the first first.

    Raises:
        SessionNotFoundError: there is no such session.
        EventDamagedError: an event is not what was written.
    """
    existing_session(rows, session_id)
    found: list[_Open] = []
    for event in map(readable, events_between(rows, session_id, -1)):
        if isinstance(event, e.EpochStarted):
            found.append(_Open(event))
            found[-1].missing(event)
        elif not found:
            continue
        elif isinstance(event, e.AvailabilityChanged):
            found[-1].missing(event)
        elif isinstance(event, e.ContextUpdated):
            found[-1].waiting.append(event)
        elif isinstance(event, e.StepStarted):
            now = found[-1]
            for one in now.waiting:
                now.update(one, event.message_id)
            now.waiting.clear()
            now.steps.append(event.message_id)
    return [one.built() for one in found]
