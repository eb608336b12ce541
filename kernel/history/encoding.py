"""Encoding: the history of one request, each message encoded once.

Owns which of the settled messages a request carries, and what its dialect made of them.
Knows nothing of dialects: a provider's route brings the function.
"""

from collections.abc import Callable, Sequence

from ..values.messages import Message


class HistorySnapshot:
    """The history of one request: a ``RequestHistory``.

    It shares what the History settles and encodes, both of which only grow at their
    end; a History that begins anew leaves them to the snapshots that there are. What is
    before ``start`` is not sent; it is encoded all the same, so that a message has the
    same place in both.
    """

    def __init__(
        self,
        settled: Sequence[Message],
        start: int,
        end: int,
        made: dict[str, list[bytes]],
    ) -> None:
        self._settled = settled
        self._start = start
        self._end = end
        self._made = made

    @property
    def messages(self) -> Sequence[Message]:
        return tuple(self._settled[self._start : self._end])

    def encoded(self, dialect: str, encode: Callable[[Message], bytes]) -> list[bytes]:
        made = self._made.setdefault(dialect, [])
        for message in self._settled[len(made) : self._end]:
            made.append(encode(message))
        return made[self._start : self._end]
