"""Looking: the part of a session that shows what is in it, and changes nothing.

Owns the public face of its description, events, messages, to-do list and outputs, as
readers have them. What the model is shown is the History's. What only some readers
need is imported by who asks for it: a listing shows no message.
"""

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from ..log.commit import EventLog
from ..log.lineage import Span, message_in, messages_in, whole
from ..log.reading import existing_session
from ..log.tail import Tail
from ..ports import MessageRow, Reader
from ..values.errors import (
    MessageNotFoundError,
    RowDamagedError,
)
from ..values.ids import SessionId
from ..values.messages import Message
from ..values.shortcut import changed
from ..values.todo import Todo
from ..values.tool import Failure
from .info import SessionInfo, info_of
from .pages import Order, Page, asked, check_limit

if TYPE_CHECKING:
    from ..upkeep.outputs import ExportedOutput
    from ..upkeep.replay import Export


class Looking:
    """What can be seen of a session."""

    id: SessionId
    _log: EventLog

    async def info(self) -> SessionInfo:
        """Return the session's current description, with what is wrong with its past.

        Raises:
            SessionNotFoundError: the session is gone.
            EventDamagedError: not even its beginning can be read.
        """

        def look(rows: Reader) -> SessionInfo:
            row = existing_session(rows, self.id)
            try:
                rows.head(self.id)
            except RowDamagedError as error:
                return info_of(self._log, rows, row, Failure(error.code, str(error)))
            return info_of(self._log, rows, row)

        return await self._log.read(look)

    async def held_until(self) -> int | None:
        """Return until when a process holds the session, unless it renews its lease
        (milliseconds since 1970), or None: nobody runs it, whatever is left of it.

        Whoever runs it renews in time, so a value that changes is a sign of life, and
        one that becomes None is the end: it was let go, or its process has ended, or
        this runtime has seen no sign of life for as long as the lease lasts. What
        another process left without ending for certain counts from the first look on.

        Raises:
            SessionNotFoundError: the session is gone.
        """
        lookout = self._log.lookout

        def look(rows: Reader) -> int | None:
            existing_session(rows, self.id)
            return lookout.held_until(rows.lease(self.id))

        return await self._log.read(look)

    def events(self, after: int | None = None, follow: bool = False) -> Tail:
        """Return the durable events after a cursor, in order, each once (law events.5).

        ``after`` is a sequence number, such as the ``cursor`` of a receipt; None means
        from the beginning. With ``follow`` it goes on with what is committed later, by
        whatever process, until it is closed or the runtime closes.
        """
        return Tail(self._log, self.id, after, follow=follow)

    def export(self, after: int | None = None, follow: bool = False) -> "Export":
        """Return the events after a cursor as they travel to another store, for
        ``runtime.sessions.replay``. Otherwise as ``events``."""
        from ..upkeep.replay import Export

        return Export(self._log, self.id, after, follow=follow)

    def export_outputs(
        self, after: int | None = None, upto: int | None = None
    ) -> "AsyncIterator[ExportedOutput]":
        """Return the complete outputs of calls as they travel to another store, for
        ``runtime.sessions.replay``, one by one: those that events after a cursor, and
        up to another one, left. What was cleaned up is left out."""
        from ..upkeep.outputs import exported

        first = -1 if after is None else after
        return exported(self._log, self.id, first, upto)

    async def messages(
        self,
        limit: int = 50,
        cursor: str | None = None,
        order: Order | None = None,
    ) -> Page[Message]:
        """Return the transcript by pages, the newest first or, by ``asc``, the oldest.

        A cursor knows its order.

        Of a fork with all that it shares, numbered down from -1.

        At most 200 a page. The message of a Step that runs is there as far as it is
        durable.

        Raises:
            CursorInvalidError: the cursor is not of this listing and order.
            SessionNotFoundError: the session is gone.
            EventDamagedError: an event of this page is not what was written.
        """
        check_limit(limit)
        wanted = asked("messages", order, cursor)

        def read(rows: Reader) -> Page[Message]:
            existing_session(rows, self.id)
            found = messages_in(
                rows,
                whole(rows, self.id),
                place=wanted.place,
                newest_first=wanted.descending,
                limit=limit + 1,
            )
            page, after, before = wanted.cut(found, limit, _place)
            messages = [_placed(rows, span, row) for span, row in page]
            return Page(messages, after, before)

        await self._log.complete(self.id)
        return await self._log.read(read)

    async def message(self, id: str) -> Message:
        """Return one message of the transcript.

        Raises:
            MessageNotFoundError: this session has none of this id.
            EventDamagedError: an event that it is made of is not what was written.
        """

        def find(rows: Reader) -> Message:
            existing_session(rows, self.id)
            found = message_in(rows, whole(rows, self.id), id)
            if found is None:
                raise MessageNotFoundError(id)
            return _placed(rows, *found)

        await self._log.complete(self.id)
        return await self._log.read(find)

    async def todos(self) -> Sequence[Todo]:
        """Return the list in which the model keeps what it is to do, as it is now.

        Empty before there is one, and when pruning removed it.

        Raises:
            SessionNotFoundError: the session is gone.
        """
        from ..history.todos import todos_of

        return await self._log.read(lambda rows: todos_of(rows, self.id))

    async def output(self, message_id: str, call_id: str) -> str:
        """Return the complete output of a call whose result was cut (law tools.6).

        Raises:
            MessageNotFoundError: this session has none of this id.
            OutputNotFoundError: nothing more is kept of that call; the text says why.
            OutputCleanedError: it was cleaned up; it says when.
            SessionNotFoundError: the session is gone.
        """
        from ..execution.outputs import output_of

        def read(rows: Reader) -> str:
            existing_session(rows, self.id)
            return output_of(rows, self.id, message_id, call_id)

        await self._log.complete(self.id)
        return await self._log.read(read)

    async def file(self, key: str) -> bytes:
        """Return a file that the model made, by the ``key`` of its part.

        Raises:
            OutputNotFoundError: no answer of this session has such a file, or it is
                kept in the store that the session came from.
            OutputCleanedError: it was cleaned up; it says when.
            SessionNotFoundError: the session is gone.
        """
        from ..execution.outputs import file_of

        def read(rows: Reader) -> bytes:
            existing_session(rows, self.id)
            return file_of(rows, self.id, key)

        await self._log.complete(self.id)
        return await self._log.read(read)

    async def history(self) -> Sequence[Message]:
        """Return the Session History that the next request would carry.

        Raises:
            SessionNotFoundError: the session is gone.
            EventDamagedError: its past is not what was written.
        """
        from ..history.history import History

        def decode(rows: Reader) -> Sequence[Message]:
            existing_session(rows, self.id)
            history = History(self.id)
            history.catch_up(rows)
            return history.messages

        return await self._log.read(decode)


def _place(found: tuple[Span, MessageRow]) -> int:
    span, row = found
    return row.seq + span.offset


def _placed(rows: Reader, span: Span, row: MessageRow) -> Message:
    """Return a message, numbered as the session that shares it counts."""
    from ..history.messages import message_of

    message = message_of(rows, row)
    return changed(message, seq=row.seq + span.offset) if span.offset else message
