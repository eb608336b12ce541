"""Jobs, running and ended: the projection ``job``."""

from collections.abc import Sequence

from dovetail.kernel.ports import JobRow

from .aggregates import AggregateReads, AggregateWrites
from .checks import Row, is_sound, summed


class JobReads(AggregateReads):
    """Reading jobs."""

    def job(self, session_id: str, job_id: str) -> JobRow | None:
        found = self._jobs(self.all(self.sql.JOB, (session_id, job_id)))
        return found[0] if found else None

    def jobs(self, session_id: str) -> Sequence[JobRow]:
        return self._jobs(self.all(self.sql.JOBS, (session_id,)))

    def running_jobs(
        self, *, directory: str | None = None, session_id: str | None = None
    ) -> Sequence[JobRow]:
        if session_id is not None:
            found = self._jobs(
                self.all(self.sql.RUNNING_JOBS[("session_id",)], (session_id,))
            )
            return [row for row in found if directory in (None, row.directory)]
        if directory is not None:
            return self._jobs(
                self.all(self.sql.RUNNING_JOBS[("directory",)], (directory,))
            )
        return self._jobs(self.all(self.sql.RUNNING_JOBS[()], ()))

    def _jobs(self, rows: Sequence[Row]) -> list[JobRow]:
        """Return rows of several sessions, without those of one that is not found."""
        made: list[JobRow] = []
        for session_id, *values in rows:
            if is_sound(session_id, tuple(values)):
                made.append(JobRow(session_id, *values[:-1]))
            elif self.has_sound_aggregate(session_id):
                raise self.damaged("job", session_id)
        return made


class JobWrites(AggregateWrites, JobReads):
    """Writing jobs."""

    def put_job(self, row: JobRow) -> None:
        values = (row.id, row.seq, row.directory, row.ended_seq)
        sums = summed(row.session_id, *values)
        self.write(self.sql.PUT_JOB, (self.aggregate(row.session_id), *sums))
