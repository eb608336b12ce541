"""The children of a session, as one execution of a call may use them.

Owns how a child begins: once for each call and key, bound by the policy of the Step,
and only so many and so deep. Who runs it is handed down (``location.children``).
"""

import hashlib
from collections.abc import Collection, Sequence

from ..access.policy import Policy, keep
from ..contracts import CallChildren, ChildAnswer, Rule
from ..jobs.keeper import Jobs
from ..location.services import LocationServices
from ..log.commit import LogTransaction
from ..log.family import above
from ..ports import Reader, SessionRow
from ..values.codec import clean_text
from ..values.errors import (
    ChildLimitError,
    InvalidValueError,
    SessionNotFoundError,
)
from ..values.events import PromptAdmitted, SessionCreated, ToolProceeded
from ..values.ids import MessageId, SessionId, new_id
from ..values.job import Job
from ..values.prompt import Prompt
from ..values.tool import Deed, effect_token
from .execution import Execution

MAX_DEPTH = 5
"""Sessions that may work for one another, below one that works for nobody."""
MAX_AT_WORK = 8
"""Children of one session that are at work at the same time."""
MAX_CHILDREN = 500
"""Children of one session, with those that are done."""
MAX_TITLE = 200
SESSION = "session"
"""Under which name what a call records of itself names the session that it begins."""


class SessionChildren(CallChildren):
    """The children of a session, as one call sees them."""

    def __init__(
        self,
        execution: Execution,
        services: LocationServices,
        call: tuple[SessionId, MessageId, str],
        tool: str,
        rules: tuple[Rule, ...],
        tools: Sequence[str],
        model: str,
    ) -> None:
        self._execution = execution
        self._services = services
        self._session_id, self._message_id, self._call_id = self._call = call
        self._tool = tool
        self._rules = rules
        self._tools = tools
        self._model = model

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
        if not 1 <= depth <= MAX_DEPTH:
            raise InvalidValueError("depth", depth, f"from 1 to {MAX_DEPTH}")
        services = self._services
        profile = services.agent(agent)
        asked = Prompt.of(prompt)
        if model is None and not services.names_model(profile):
            model = self._model
        child = child_id(effect_token(*self._call), key)

        def begin(tx: LogTransaction) -> None:
            if tx.rows.head(child) is not None:
                self._mine(tx.rows, child)
                return
            level = self._check(tx.rows, depth)
            tools = [one for one in self._tools if level < depth or one != self._tool]
            location = services.location
            tx.append(
                SessionCreated(
                    session_id=child,
                    directory=location.directory,
                    workspace=location.workspace,
                    title=clean_text(title)[:MAX_TITLE] or None,
                    agent=agent,
                    model=model,
                    parent=self._session_id,
                    within=keep(tx.rows, Policy(self._rules, tuple(tools))),
                ),
                PromptAdmitted(
                    session_id=child,
                    input_id=MessageId(new_id("msg", self._execution.log.clock)),
                    prompt=asked,
                    delivery="steer",
                ),
            )
            tx.append(
                ToolProceeded(
                    session_id=self._session_id,
                    message_id=self._message_id,
                    call_id=self._call_id,
                    deed=Deed(f"begin session {child}", {SESSION: child}),
                )
            )

        await self._execution.commit(begin)
        return child

    def _check(self, rows: Reader, depth: int) -> int:
        """Return how deep a child of this session is, where one may begin."""
        level = len(above(rows, self._session_id)) + 1
        if level > depth:
            raise ChildLimitError(
                self._session_id, f"{depth} may work for one another, and do already"
            )
        found = rows.sessions(parent=self._session_id, limit=MAX_CHILDREN)
        if len(found) == MAX_CHILDREN:
            raise ChildLimitError(
                self._session_id, f"it has had {MAX_CHILDREN}, and may not have more"
            )
        working = sum(_is_at_work(rows, one) for one in found)
        if working >= MAX_AT_WORK:
            raise ChildLimitError(
                self._session_id,
                f"{working} are at work; wait until one has ended",
            )
        return level

    def _mine(self, rows: Reader, child: str) -> SessionRow:
        row = rows.session(child)
        if row is None or row.parent != self._session_id:
            raise SessionNotFoundError(child)
        return row

    async def run(self, session_id: str) -> ChildAnswer:
        await self._execution.log.read(lambda rows: self._mine(rows, session_id))
        accept = self._execution.accepted.get(session_id)
        return await self._services.children.run(session_id, self._session_id, accept)

    async def background(self, session_id: str, title: str) -> Job:
        await self._execution.log.read(lambda rows: self._mine(rows, session_id))
        jobs: Jobs = self._services.jobs
        job = await jobs.begin(
            self._call,
            self._tool,
            title,
            "",
            None,
            self._execution.guard,
            session=session_id,
        )
        accept = self._execution.accepted.get(session_id)
        self._services.children.go_on(session_id, accept)
        return job

    async def answer(self, session_id: str) -> ChildAnswer:
        await self._execution.log.read(lambda rows: self._mine(rows, session_id))
        return await self._services.children.answer(session_id)


def child_id(token: str, key: str) -> SessionId:
    """Return the id of the child of a call: the same however often it is begun."""
    digest = hashlib.sha256(f"{token}\n{key}".encode()).hexdigest()
    return SessionId(f"ses_{digest[:32]}")


def begun_by(deeds: Collection[Deed]) -> Sequence[str]:
    """Return the sessions that a call began, by what it recorded of itself."""
    found = []
    for deed in deeds:
        if isinstance(deed.data, dict) and isinstance(deed.data.get(SESSION), str):
            found.append(deed.data[SESSION])
    return found


def _is_at_work(rows: Reader, row: SessionRow) -> bool:
    return row.status == "running" or rows.has_pending_input(row.id)
