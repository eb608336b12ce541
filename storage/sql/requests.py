"""Requests to a person: the projection ``request``."""

from collections.abc import Sequence

from dovetail.kernel.ports import RequestRow

from .aggregates import AggregateReads, AggregateWrites
from .checks import Row, is_sound, summed


class RequestReads(AggregateReads):
    """Reading requests."""

    def request(self, session_id: str, request_id: str) -> RequestRow | None:
        found = self._requests(self.all(self.sql.REQUEST, (session_id, request_id)))
        return found[0] if found else None

    def requests(self, id: str) -> Sequence[RequestRow]:
        return self._requests(self.all(self.sql.REQUESTS, (id,)))

    def pending_requests(
        self,
        *,
        directory: str | None = None,
        session_id: str | None = None,
        id: str | None = None,
    ) -> Sequence[RequestRow]:
        asked = {"directory": directory, "session_id": session_id, "id": id}
        given = {name: value for name, value in asked.items() if value is not None}
        return self._requests(
            self.all(self.sql.PENDING_REQUESTS[tuple(given)], tuple(given.values()))
        )

    def _requests(self, rows: Sequence[Row]) -> list[RequestRow]:
        """Return rows of several sessions, without those of one that is not found."""
        made: list[RequestRow] = []
        for session_id, *values in rows:
            if is_sound(session_id, tuple(values)):
                made.append(RequestRow(session_id, *values[:-1]))
            elif self.has_sound_aggregate(session_id):
                raise self.damaged("request", session_id)
        return made


class RequestWrites(AggregateWrites, RequestReads):
    """Writing requests."""

    def put_request(self, row: RequestRow) -> None:
        values = (row.id, row.what, row.seq, row.directory, row.answered_seq)
        sums = summed(row.session_id, *values)
        self.write(self.sql.PUT_REQUEST, (self.aggregate(row.session_id), *sums))
