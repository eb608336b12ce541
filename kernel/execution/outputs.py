"""Managed Output: reading back what was cut before the model saw it (law tools.6).

Owns who may read which: a session what its own settled calls left, by its own events,
and nobody else's. Outputs are kept by content, so a key alone is no right to read; what
came with a log from another store is, because whoever brought it had it.
``calls`` keeps them, ``tools.output`` counts their lines.
"""

from ..history.history import History
from ..log.lineage import message_in, whole
from ..log.patience import Readable
from ..log.reading import event_at, events_between, readable
from ..ports import OutputRow, Reader
from ..tools.output import page_of
from ..values.errors import (
    MessageNotFoundError,
    OutputCleanedError,
    OutputNotFoundError,
)
from ..values.events import Event, FileMade, ToolFailed, ToolSucceeded
from ..values.ids import SessionId
from ..values.tool import ManagedPage

_LONGEST_NAME = 80


class ManagedOutputs:
    """The complete outputs of one running session, as its calls may read them."""

    def __init__(self, log: Readable, history: History) -> None:
        self._log = log
        self._history = history

    async def page(self, key: str, offset: int, limit: int) -> ManagedPage:
        """Return lines of one of them.

        Raises:
            OutputNotFoundError: none of this session has this key, or it is lost.
            OutputCleanedError: it was cleaned up; it says when.
            InvalidValueError: ``offset`` or ``limit`` is out of its range.
        """
        mine, session_id = key in self._history.managed, self._history.session_id

        def read(rows: Reader) -> ManagedPage:
            row = _kept(rows, session_id, key)
            if not (mine or (row is not None and row.imported)):
                raise OutputNotFoundError(
                    key[:_LONGEST_NAME],
                    "give the key as it stands in a result that was cut",
                )
            return page_of(_text(rows, key, row), offset, limit)

        return await self._log.read(read)


def output_of(
    rows: Reader, session_id: SessionId, message_id: str, call_id: str
) -> str:
    """Return the complete output of one call.

    Raises:
        MessageNotFoundError: the session has none of this id.
        EventDamagedError: an event of the message is not what was written.
        OutputNotFoundError: the message has no such call, or it is not settled, or
            all of its output is in the message, or the rest is lost.
        OutputCleanedError: it was cleaned up; it says when.
    """
    found = message_in(rows, whole(rows, session_id), message_id)
    if found is None:
        raise MessageNotFoundError(message_id)
    owner, row = found[0].session_id, found[1]
    for event in map(readable, events_between(rows, owner, row.body_seq, row.end_seq)):
        if (
            isinstance(event, ToolSucceeded | ToolFailed)
            and event.message_id == message_id
            and event.call_id == call_id
        ):
            if event.managed is None:
                raise OutputNotFoundError(
                    call_id, "nothing else is kept than what the message holds"
                )
            kept = rows.output(owner, event.managed)
            if not (_is_of_here(rows, event) or (kept is not None and kept.imported)):
                raise OutputNotFoundError(
                    call_id,
                    "it is kept in the store that the session came from; "
                    "`dovetail export --outputs` brings it along",
                )
            return _text(rows, event.managed, kept)
    raise OutputNotFoundError(call_id, "that message has no settled call of this id")


def file_of(rows: Reader, session_id: SessionId, key: str) -> bytes:
    """Return the bytes of a file that the model of a session made.

    Raises:
        OutputNotFoundError: no answer of the session has such a file, or it is lost.
        OutputCleanedError: it was cleaned up; it says when.
    """
    row = _kept(rows, session_id, key)
    event = None if row is None else event_at(rows, row.session_id, row.seq)
    if row is None or not isinstance(event, FileMade):
        hint = "give the key of a part of a message, as it stands there"
        raise OutputNotFoundError(key[:_LONGEST_NAME], hint)
    if row.cleaned is not None:
        raise OutputCleanedError(key, row.cleaned)
    data = rows.blob(key)
    if data is None or not (_is_of_here(rows, event) or row.imported):
        raise OutputNotFoundError(key, "it is kept where the session came from")
    return data


def _kept(rows: Reader, session_id: str, key: str) -> OutputRow | None:
    """Return how an output is kept of a session or of the past that it shares; of
    several, one that was not cleaned up."""
    found = [
        row
        for span in whole(rows, session_id)
        if (row := rows.output(span.session_id, key)) and row.seq <= span.seq
    ]
    return min(found, key=lambda row: row.cleaned is not None, default=None)


def _is_of_here(rows: Reader, event: Event) -> bool:
    head = rows.head(event.session_id)
    return head is None or head.made_here(event.seq)


def _text(rows: Reader, key: str, row: OutputRow | None) -> str:
    if row is not None and row.cleaned is not None:
        raise OutputCleanedError(key, row.cleaned)
    data = rows.blob(key)
    if data is None:
        raise OutputNotFoundError(key, "it is not in this store, so the rest is lost")
    return data.decode(errors="replace")
