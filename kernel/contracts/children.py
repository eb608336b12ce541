"""Children: sessions that work for a session, as a call of it begins them."""

from typing import Literal, Protocol

from ..values.frozen import frozen
from ..values.ids import SessionId
from ..values.job import Job
from ..values.tool import Failure

ChildStatus = Literal["running", "succeeded", "failed", "interrupted", "paused", "idle"]


@frozen
class ChildAnswer:
    """What came of a session that works for another one."""

    session_id: SessionId
    """Which session it is."""
    status: ChildStatus
    """How its last execution ended, or that it is at work."""
    reason: Failure | None = None
    """Why, unless it succeeded."""
    text: str = ""
    """What it said last; of a very long text the beginning."""
    left_out: int = 0
    """Characters of that which are left out."""


class CallChildren(Protocol):
    """Sessions that work for this one, as a call sees them: ``context.children``."""

    async def begin(
        self,
        prompt: str,
        *,
        agent: str,
        title: str = "",
        model: str | None = None,
        depth: int = 1,
        key: str = "",
    ) -> SessionId:
        """Begin a session that works for this one, durably and once: another execution
        of the same call finds it (law agents.7). Nothing of it runs yet.

        It is in the same Location, has its own log, and may never do more than this
        Step may: its rules and tools are bound by those of this Step, whatever its own
        agent may do (law agents.6). What it uses counts in this session's budget.

        ``title`` is for a person who looks at it. ``model`` stands before its agent's;
        one whose agent names none uses the model of this Step. ``depth`` is how many
        sessions may work for one another, below one that works for nobody; at most 5.
        At the last one this very tool is not offered. ``key`` tells several children
        of one call apart.

        Raises:
            AgentNotFoundError: nobody offers this agent. Let it pass.
            ChildLimitError: too many work for this session, or too deep. Let it pass.
            PromptInvalidError: the prompt says nothing, or is too long.
        """
        ...

    async def run(self, session_id: str) -> ChildAnswer:
        """Have a child do what it was begun for, and return what came of it.

        One that is done already is not asked again. When this call is interrupted with
        its session, so is the child; it is left as it is where another process goes on
        with both.
        """
        ...

    async def background(self, session_id: str, title: str) -> Job:
        """Have a child work on as a job of this session, which is told of its end, and
        return that. Once for each child.

        Raises:
            JobLimitError: as many jobs of this session run as may. Let it pass.
        """
        ...

    async def answer(self, session_id: str) -> ChildAnswer:
        """Return what a child has said by now.

        Raises:
            SessionNotFoundError: no child of this session has this id. Let it pass.
        """
        ...
