"""The inbox: admitted inputs, and the admissions that outlive them.

Owns the table ``input`` and, in the table ``work``, the inputs that wait, which are
projections; and the table ``admission``, which is operational: there is no statement
here that changes or deletes one that is sound (laws inbox.3 and storage.3). Knows
nothing of prompts or of what promotion means.
"""

from collections.abc import Sequence

from dovetail.kernel.ports import AdmissionRow, InputRow
from dovetail.kernel.values.errors import ConflictError, RowDamagedError
from dovetail.kernel.values.prompt import Delivery

from .aggregates import AggregateReads, AggregateWrites
from .checks import Row, summed
from .view import MAX_INTEGER, TakenError, bounded
from .work import INPUT


def _waiting(session_id: str, row: Row) -> InputRow:
    _, delivery, id, seq, created, key = row
    return InputRow(session_id, id, seq, delivery, "pending", None, created, key)


class InboxReads(AggregateReads):
    """Reading the inbox."""

    def input(self, session_id: str, input_id: str) -> InputRow | None:
        key = (session_id, input_id)
        found = self.checked("work", session_id, self.sql.WAITING_INPUT, key)
        if found is not None:
            return _waiting(session_id, found)
        found = self.checked("input", session_id, self.sql.SETTLED_INPUT, key)
        if found is not None:
            return InputRow(session_id, *found)
        found = self.checked("work", session_id, self.sql.HIDDEN_INPUT, key)
        return None if found is None else _waiting(session_id, found)

    def pending_inputs(
        self,
        session_id: str,
        delivery: Delivery | None = None,
        limit: int | None = None,
    ) -> Sequence[InputRow]:
        most = MAX_INTEGER if limit is None else bounded(limit)
        found = self.all_checked(
            "work",
            session_id,
            self.sql.PENDING_INPUTS[delivery],
            (session_id, max(0, most)),
        )
        return [_waiting(session_id, row) for row in found]

    def has_pending_input(self, session_id: str, after: int = -1) -> bool:
        values = (session_id, bounded(after))
        # A row that is damaged, and so is never due, must not wait for ever.
        return (
            self.checked("work", session_id, self.sql.ANY_PENDING, values) is not None
        )

    def admission(self, session_id: str, key: str) -> AdmissionRow | None:
        found = self.checked(
            "admission", session_id, self.sql.ADMISSION, (session_id, key)
        )
        return AdmissionRow(session_id, *found) if found else None


class InboxWrites(AggregateWrites, InboxReads):
    """Writing the inbox."""

    _admitted: set[tuple[str, str]] | None = None
    """The inputs that this transaction has put while they wait."""
    _found: dict[tuple[str, str], InputRow] | None = None
    """The inputs that wait, as this transaction has read them."""

    def pending_inputs(
        self,
        session_id: str,
        delivery: Delivery | None = None,
        limit: int | None = None,
    ) -> Sequence[InputRow]:
        found = super().pending_inputs(session_id, delivery, limit)
        if found:
            if self._found is None:
                self._found = {}
            for row in found:
                self._found[session_id, row.id] = row
        return found

    def input(self, session_id: str, input_id: str) -> InputRow | None:
        found = self._found and self._found.get((session_id, input_id))
        return found or super().input(session_id, input_id)

    def forget_projections(self, session_id: str) -> None:
        super().forget_projections(session_id)
        self._found = None

    def put_input(self, row: InputRow) -> None:
        aggregate = self.aggregate(row.session_id)
        if self._found is not None:
            self._found.pop((row.session_id, row.id), None)
        if row.state == "pending":
            waiting = (INPUT, row.delivery, row.id, row.seq, row.created, row.key)
            if not self._first_put(row):
                self.write(self.sql.END_OTHERWISE[row.delivery], (aggregate, row.id))
            values = summed(row.session_id, *waiting)
            self.put(self.sql.PUT_WAITING, (aggregate, *values))
            return
        self.write(self.sql.END_WAITING, (aggregate, row.id))
        values = summed(
            row.session_id,
            row.id,
            row.seq,
            row.delivery,
            row.state,
            row.settled_seq,
            row.created,
            row.key,
        )
        self.put(self.sql.PUT_INPUT, (aggregate, *values))

    def _first_put(self, row: InputRow) -> bool:
        """Return whether an input is put as it is admitted, and so cannot wait already
        to be delivered otherwise."""
        if self._admitted is None:
            self._admitted = set()
        known, name = len(self._admitted), (row.session_id, row.id)
        self._admitted.add(name)
        return len(self._admitted) > known and self.is_new(row.session_id, row.seq)

    def put_admission(self, row: AdmissionRow) -> None:
        """See ``Transaction.put_admission``.

        Raises:
            ConflictError: the key is taken; the first admission stays as it is.
        """
        aggregate = self.aggregate(row.session_id)
        sums = summed(row.session_id, row.key, row.digest, row.delivery, row.receipt)
        values = (aggregate, *sums)
        try:
            self.add(self.sql.ADD_ADMISSION, values)
        except TakenError as error:
            if self._has_sound_admission(row.session_id, row.key):
                raise ConflictError(
                    f"key {row.key!r} of session {row.session_id!r} is already admitted"
                ) from error
            self.write(self.sql.MEND_ADMISSION, values)

    def _has_sound_admission(self, session_id: str, key: str) -> bool:
        try:
            return self.admission(session_id, key) is not None
        except RowDamagedError:
            return False
