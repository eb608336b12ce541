"""Messages: the projection ``message``, in transcript order."""

from collections.abc import Sequence

from dovetail.kernel.ports import MessageRow

from .aggregates import AggregateReads, AggregateWrites
from .checks import Row, summed
from .view import MAX_INTEGER, TakenError, bounded


class MessageReads(AggregateReads):
    """Reading where messages are."""

    def message(self, session_id: str, message_id: str) -> MessageRow | None:
        found = self.checked(
            "message", session_id, self.sql.MESSAGE, (session_id, message_id)
        )
        return MessageRow(session_id, *found) if found else None

    def messages(
        self,
        session_id: str,
        *,
        after: int | None = None,
        before: int | None = None,
        newest_first: bool = False,
        limit: int = 50,
    ) -> Sequence[MessageRow]:
        values = (
            session_id,
            -1 if after is None else bounded(after),
            MAX_INTEGER if before is None else bounded(before),
            max(0, bounded(limit)),
        )
        sql = self.sql.NEWEST_FIRST if newest_first else self.sql.OLDEST_FIRST
        found = self.all_checked("message", session_id, sql, values)
        return [MessageRow(session_id, *row) for row in found]

    def open_messages(self, session_id: str) -> Sequence[MessageRow]:
        values = (session_id,)
        found = self.all_checked("message", session_id, self.sql.OPEN_MESSAGES, values)
        return [MessageRow(session_id, *row) for row in found]


class MessageWrites(AggregateWrites, MessageReads):
    """Writing where messages are."""

    def message(self, session_id: str, message_id: str) -> MessageRow | None:
        known = self.kept.steps.get(session_id)
        if known is not None and known.id == message_id:
            return known
        return super().message(session_id, message_id)

    def put_message(self, row: MessageRow) -> None:
        known = self.kept.steps.get(row.session_id)
        if known is not None and (known.id == row.id or known.seq == row.seq):
            del self.kept.steps[row.session_id]
        aggregate, end = self.aggregate(row.session_id), row.end_seq
        same = (row.seq, row.id, row.type, row.body_seq)
        sums = summed(row.session_id, *same, end)
        # A Step that ends was written when it began, with this one difference.
        ends = row.type == "assistant" and end is not None
        changes = (end, sums[-1], aggregate, *same)
        if not ends or self.write(self.sql.END_MESSAGE, changes) == 0:
            new = self.is_new(row.session_id, row.seq)
            if not new or not self._add_message(aggregate, same, end, sums[-1]):
                self.write(self.sql.TAKE_MESSAGE_AWAY, (aggregate, row.id, row.seq))
                self.put(self.sql.PUT_MESSAGE, (aggregate, *sums))
        if row.type == "assistant" and end is None:
            self.kept.steps[row.session_id] = row

    def _add_message(
        self, aggregate: int, same: Row, end: int | None, checksum: int
    ) -> bool:
        """Write a message that was not there before; False: its place is taken."""
        try:
            if end is None:
                self.add(self.sql.OPEN_MESSAGE, (aggregate, *same, checksum))
            else:
                self.add(self.sql.ADD_MESSAGE, (aggregate, *same, end, checksum))
        except TakenError:
            return False
        return True
