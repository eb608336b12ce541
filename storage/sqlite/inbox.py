"""The inbox: admitted inputs, and the admissions that outlive them.

Owns the table ``input`` and, in the table ``work``, the inputs that wait, which are
projections; and the table ``admission``, which is operational: there is no statement
here that changes or deletes one (laws inbox.3 and storage.3). Knows nothing of prompts
or of what promotion means.
"""

import sqlite3
from collections.abc import Sequence

from dovetail.kernel.ports import AdmissionRow, InputRow
from dovetail.kernel.values.errors import ConflictError
from dovetail.kernel.values.prompt import Delivery
from peewee import SQL

from .event_store import AGGREGATE_OF, EventReads, EventWrites
from .tables import Admission, Input, Work, insertion, render, slot, slots, upsert

INPUT = "input"
"""What an input is in the table of work."""

_WAITING = Work.select(
    Work.id,
    Work.seq,
    Work.delivery,
    SQL("'pending'"),
    SQL("NULL"),
    Work.created,
    Work.key,
).where(Work.aggregate == AGGREGATE_OF, Work.what == SQL(f"'{INPUT}'"))
_WAITING_INPUT = render(_WAITING.where(Work.id == slot("id")), "session_id", "id")
_SETTLED_INPUT = render(
    Input.select(*slots(Input, "aggregate")).where(
        Input.aggregate == AGGREGATE_OF, Input.id == slot("id")
    ),
    "session_id",
    "id",
)
_IN_ORDER = _WAITING.order_by(Work.seq, Work.id)
_PENDING = render(_IN_ORDER, "session_id")
_PENDING_OF = render(
    _IN_ORDER.where(Work.delivery == slot("delivery")), "session_id", "delivery"
)
_PUT_WAITING = upsert(Work, "aggregate", "what", "id")
_END_WAITING = render(
    Work.delete().where(
        Work.aggregate == slot("aggregate"),
        Work.what == SQL(f"'{INPUT}'"),
        Work.id == slot("id"),
    ),
    "aggregate",
    "id",
)
_PUT_INPUT = upsert(Input, "aggregate", "id")

_ADMISSION = render(
    Admission.select(*slots(Admission, "aggregate")).where(
        Admission.aggregate == AGGREGATE_OF, Admission.key == slot("key")
    ),
    "session_id",
    "key",
)
_ADD_ADMISSION = insertion(Admission)


class InboxReads(EventReads):
    """Reading the inbox."""

    def input(self, session_id: str, input_id: str) -> InputRow | None:
        key = (session_id, input_id)
        found = self.one(_WAITING_INPUT, key) or self.one(_SETTLED_INPUT, key)
        return InputRow(session_id, *found) if found else None

    def pending_inputs(
        self, session_id: str, delivery: Delivery | None = None
    ) -> Sequence[InputRow]:
        found = (
            self.all(_PENDING, (session_id,))
            if delivery is None
            else self.all(_PENDING_OF, (session_id, delivery))
        )
        return [InputRow(session_id, *row) for row in found]

    def admission(self, session_id: str, key: str) -> AdmissionRow | None:
        found = self.one(_ADMISSION, (session_id, key))
        return AdmissionRow(session_id, *found) if found else None


class InboxWrites(EventWrites, InboxReads):
    """Writing the inbox."""

    def put_input(self, row: InputRow) -> None:
        aggregate = self.aggregate(row.session_id)
        if row.state == "pending":
            waiting = (row.id, row.seq, row.delivery, row.created, row.key)
            self.write(_PUT_WAITING, (aggregate, INPUT, *waiting))
            return
        self.write(_END_WAITING, (aggregate, row.id))
        values = (
            aggregate,
            row.id,
            row.seq,
            row.delivery,
            row.state,
            row.settled_seq,
            row.created,
            row.key,
        )
        self.write(_PUT_INPUT, values)

    def put_admission(self, row: AdmissionRow) -> None:
        """See ``Transaction.put_admission``.

        Raises:
            ConflictError: the key is taken; the first admission stays as it is.
        """
        values = (
            self.aggregate(row.session_id),
            row.key,
            row.digest,
            row.delivery,
            row.receipt,
        )
        try:
            self.write(_ADD_ADMISSION, values)
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
                raise
            raise ConflictError(
                f"key {row.key!r} of session {row.session_id!r} is already admitted"
            ) from error
