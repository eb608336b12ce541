"""Encoding: the history of one request, each message encoded once.

Owns which of the settled messages a request carries, what its dialect made of them, and
which of those were joined. Knows nothing of dialects: a provider's route brings the
functions.
"""

from collections.abc import Callable, Collection, Sequence

from ..values.messages import Message


class Encoded:
    """What one dialect made of the settled messages so far."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        """One for each message from the beginning."""
        # Of the pieces from the first to before the next; they only grow at their end,
        # so that each piece is looked at once.
        self._joined: list[bytes] = []
        self._first = self._next = 0

    def forget(self, first: int) -> None:
        """Forget what was made of the messages from this one on: they are others."""
        del self.pieces[first:]
        self._restart(0)

    def joined(
        self, start: int, end: int, join: Callable[[bytes, bytes], bytes | None]
    ) -> list[bytes]:
        """Return the pieces between the two that say something, joined."""
        if start != self._first or end < self._next:
            self._restart(start)
        joined = self._joined
        for piece in self.pieces[self._next : end]:
            both = join(joined[-1], piece) if joined and piece else None
            if both is not None:
                joined[-1] = both
            elif piece:
                joined.append(piece)
        self._next = end
        return joined.copy()

    def _restart(self, first: int) -> None:
        self._joined = []
        self._first = self._next = first


class HistorySnapshot:
    """The history of one request: a ``RequestHistory``.

    It shares what the History settles and encodes, both of which only grow at their
    end; a History that begins anew leaves them to the snapshots that there are. What is
    before ``start`` is not sent; it is encoded all the same, so that a message has the
    same place in both. Of what is ``outdated`` no piece is made, and it is not shown.
    """

    def __init__(
        self,
        settled: Sequence[Message],
        start: int,
        end: int,
        made: dict[str, Encoded],
        outdated: Collection[int] = (),
    ) -> None:
        self._settled = settled
        self._start = start
        self._end = end
        self._made = made
        self._outdated = outdated

    @property
    def messages(self) -> Sequence[Message]:
        shown = self._settled[self._start : self._end]
        if not self._outdated:
            return tuple(shown)
        at = range(self._start, self._end)
        return tuple(
            one
            for index, one in zip(at, shown, strict=True)
            if index not in self._outdated
        )

    def encoded(
        self,
        dialect: str,
        encode: Callable[[Message], bytes],
        join: Callable[[bytes, bytes], bytes | None] | None = None,
    ) -> list[bytes]:
        made = self._made.get(dialect)
        if made is None:
            made = self._made[dialect] = Encoded()
        pieces = made.pieces
        for index in range(len(pieces), self._end):
            outdated = index in self._outdated
            pieces.append(b"" if outdated else encode(self._settled[index]))
        if join is None:
            return [
                pieces[index]
                for index in range(self._start, self._end)
                if index not in self._outdated
            ]
        return made.joined(self._start, self._end, join)
