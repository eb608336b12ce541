"""The projections together: what it means to clear every one of a session."""

from .epochs import EpochReads, EpochWrites
from .inbox import InboxReads, InboxWrites
from .jobs import JobReads, JobWrites
from .messages import MessageReads, MessageWrites
from .requests import RequestReads, RequestWrites
from .sessions import SessionReads, SessionWrites


class ProjectionReads(
    SessionReads,
    InboxReads,
    MessageReads,
    RequestReads,
    JobReads,
    EpochReads,
):
    """Reading projections."""


class ProjectionWrites(
    SessionWrites,
    InboxWrites,
    MessageWrites,
    RequestWrites,
    JobWrites,
    EpochWrites,
    ProjectionReads,
):
    """Writing projections."""

    def clear_projections(self, session_id: str) -> None:
        known = self.known(session_id)
        self.forget_projections(session_id)
        if known is not None:
            for sql in self.sql.CLEAR_PROJECTIONS:
                self.write(sql, (known,))
