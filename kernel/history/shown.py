"""Shown: the settled messages of a history, as the next request has them.

Owns in which order they are, which of them no model is shown any more, what stands in
the place of older ones, what is left out since a provider refused it (see ``mending``),
what was made of them for requests (see ``encoding``), and their size. Knows nothing of
events that are not of a message, nor of what is hidden: whoever folds does not add it.
"""

from collections.abc import Callable, Iterator, Sequence

from attrs import evolve

from ..values import events as e
from ..values.messages import AssistantMessage, Message, SummaryMessage
from ..values.shortcut import changed
from .cutting import shortened, summary_message
from .encoding import Encoded, HistorySnapshot
from .mending import CONTENT_REFUSED, PART_REFUSED, Mending
from .size import Size


class Shown:
    """The messages that a model is shown."""

    def __init__(self) -> None:
        self.size = Size()
        """How many tokens they have."""
        self.compaction: e.CompactionEnded | None = None
        """The last one that replaced anything."""
        self.shortened: int = -1
        """Up to where old tool results were last shortened."""
        self._settled: list[Message] = []
        self._encoded: dict[str, Encoded] = {}
        self._updates: list[int] = []
        """Where the messages are that the current epoch was updated in."""
        self._outdated: set[int] = set()
        """Where those of earlier epochs are, which no model is shown any more."""
        self._mending = Mending()

    # --- what is added ------------------------------------------------------------

    def add(self, message: Message) -> None:
        """Add a message behind the others."""
        self._settled.append(message)
        self.size.add(message)

    def update(self, message: Message) -> None:
        """Add what the model is told of its world within the current epoch."""
        self._updates.append(len(self._settled))
        self.add(message)

    def prompt(self, message: Message) -> None:
        """Add new input, with which what could not be mended may be tried again."""
        self.add(message)
        self._mending.asked()

    def answer(
        self, message: AssistantMessage, event: e.StepEnded | e.StepFailed
    ) -> None:
        """Add an answer, and leave out what its provider refused, or learn that it was
        right to."""
        self.add(message)
        self.size.tell(event.usage, message)
        first = None
        if isinstance(event, e.StepEnded):
            self._mending.answered(len(self._settled) - 1)
        elif event.failure.code == PART_REFUSED:
            first = self._mending.refused(self._settled)
        elif event.failure.code == CONTENT_REFUSED and not message.parts:
            first = self._mending.withhold(self._settled)
        elif event.failure.code == "provider.invalid_request":
            first = self._mending.put_back(self._settled)
        if first is not None:
            self._forget(first)

    # --- what is shown no more ----------------------------------------------------

    def begin_epoch(self) -> None:
        """Show no model what earlier epochs were updated by: the Baseline has it."""
        if self._updates:
            self._outdated = self._outdated | set(self._updates)
            self._forget(self._updates[0])
            self._updates = []

    def replace(self, event: e.CompactionEnded) -> None:
        """Go on with a summary in the place of older messages."""

        def change(message: Message) -> Message:
            if event.longest is None:
                return message
            return shortened(message, event.longest)

        self._rewrite([summary_message(event)], event.kept, change)
        # How it was asked for is of no use here, and long.
        self.compaction = changed(event, asked=())

    def shorten(self, event: e.OutputsShortened) -> None:
        """Go on with less of old tool results."""

        def change(message: Message) -> Message:
            if message.seq >= event.before:
                return message
            return shortened(message, event.longest, event.spared)

        summary = self._settled[:1]
        first = [one for one in summary if isinstance(one, SummaryMessage)]
        self._rewrite(first, 0, change)
        self.shortened = event.before
        self.size.tried()

    def cross(self, count: int) -> None:
        """Go on in a fork, whose own events begin that much later."""
        self._settled = [changed(one, seq=one.seq - count) for one in self._settled]
        self.shortened -= count
        if self.compaction is not None:
            said = self.compaction.said
            self.compaction = evolve(
                self.compaction,
                kept=self.compaction.kept - count,
                said=tuple(evolve(one, seq=one.seq - count) for one in said),
            )

    def _rewrite(
        self,
        first: Sequence[Message],
        since: int,
        change: Callable[[Message], Message],
    ) -> None:
        """Go on with other messages; snapshots that there are keep theirs.

        What the model was told of its world meanwhile goes: the new Baseline that
        begins with this tells all that is true now, and an older word behind it would
        be read as the newer one.
        """
        untold = self._outdated.union(self._updates)
        kept = [
            place
            for place, message in enumerate(self._settled)
            if message.seq >= since
            and not isinstance(message, SummaryMessage)
            and place not in untold
        ]
        places = {place: new for new, place in enumerate(kept, len(first))}
        self._mending.moved(places, change)
        self._settled = [*first, *(change(self._settled[place]) for place in kept)]
        self._updates, self._outdated = [], set()
        self._encoded = {}
        self.size.restart(self._settled)

    def _forget(self, first: int) -> None:
        for made in self._encoded.values():
            made.forget(first)

    # --- what there is ------------------------------------------------------------

    @property
    def last(self) -> Message | None:
        """The last message."""
        return self._settled[-1] if self._settled else None

    def __reversed__(self) -> Iterator[Message]:
        return reversed(self._settled)

    @property
    def mends(self) -> bool:
        """Whether a request that is refused for something in its messages would be
        another one the next time."""
        return self._mending.helps(self._settled)

    def snapshot(self) -> HistorySnapshot:
        """Return the messages as they are now, for one request."""
        return HistorySnapshot(
            self._settled, 0, len(self._settled), self._encoded, self._outdated
        )
