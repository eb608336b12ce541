"""One tool call of a Step: what its executor may use, and what it leaves behind.

Owns the ToolContext and the events of a settlement. The order of things (durable
before started, settled before the next request) is the Step's.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager

import anyio

from ..access.request import AskRequest
from ..contracts import CallChildren, CallJobs, DetachWanted, Rule, Skill, ToolContext
from ..jobs.keeper import MODEL, Jobs
from ..location.services import LocationServices
from ..log.commit import LogTransaction
from ..log.live import LiveFeed
from ..requests.questions import Asker
from ..tools.output import MAX_PAGE_LINES
from ..values.codec import clean_text, sanitised
from ..values.errors import (
    InvalidValueError,
    PermissionRejectedError,
    QuestionDismissedError,
)
from ..values.events import LiveDelta
from ..values.grant import Grants
from ..values.ids import MessageId, SessionId
from ..values.job import Job
from ..values.location import Location
from ..values.messages import Message
from ..values.question import Question, QuestionAnswer
from ..values.todo import Todo, checked_todos
from ..values.tool import Deed, Json, ManagedPage, ProcessMark, effect_token
from .changes import KeptChange
from .outputs import ManagedOutputs
from .past import OwnPast

logger = logging.getLogger(__name__)

MAX_ASKED = 1_048_576
"""Characters of one question to a person, everything that goes with it included."""
MAX_SEEN = 10_000
"""Files that one call says it read or wrote; of more, the later ones are not kept."""
MAX_CHANGES = 1_000
"""Changes of files that one call says it made, and of which what they held is kept."""
MAX_NAMED = 10_000
"""Those that are named at all."""
MAX_FOLDERS = 1_000
"""Folders that are made for one file."""
MAX_DEEDS = 1_000
"""Things that one call records of what it does."""
MAX_DEED = 500
"""Characters of the words of one."""
MAX_DEED_DATA = 10_000
"""Characters of what goes with it."""
MAX_PROGRESS = 4_096
"""Characters of a line that is shown to whoever watches."""


class SessionJobs(CallJobs):
    """The jobs of a session, as one execution of a call may use them."""

    def __init__(
        self,
        jobs: Jobs,
        guard: Callable[[LogTransaction], None],
        call: tuple[SessionId, MessageId, str],
        tool: str,
    ) -> None:
        self._jobs = jobs
        self._guard = guard
        self._call = call
        self._tool = tool

    async def begin(
        self, title: str, *, output: str = "", process: ProcessMark | None = None
    ) -> Job:
        return await self._jobs.begin(
            self._call, self._tool, title, output, process, self._guard
        )

    def detachable(self) -> AbstractContextManager[DetachWanted]:
        return self._jobs.detachable(self._call)

    async def all(self) -> Sequence[Job]:
        return await self._jobs.of(self._call[0])

    async def wait(self, job_id: str, seconds: float) -> Job:
        return await self._jobs.wait(self._call[0], job_id, seconds)

    async def stop(self, job_id: str) -> Job:
        return await self._jobs.stop(self._call[0], job_id, MODEL)

    async def extend(self, job_id: str, seconds: float) -> Job:
        return await self._jobs.extend(self._call[0], job_id, seconds)


class CallContext(ToolContext):
    """What one execution of one call may use."""

    def __init__(
        self,
        services: LocationServices,
        live: LiveFeed,
        guard: Callable[[LogTransaction], None],
        session_id: SessionId,
        agent: str,
        rules: tuple[Rule, ...],
        message_id: MessageId,
        call_id: str,
        tool: str,
        outputs: ManagedOutputs,
        go_on: Callable[[Grants], Awaitable[None]],
        spawn: Callable[[ProcessMark, Grants], Awaitable[None]],
        keep_todos: Callable[[tuple[Todo, ...]], Awaitable[None]],
        processes: Sequence[ProcessMark],
        proceed: Callable[[Deed, Grants], Awaitable[None]],
        deeds: Sequence[Deed],
        past: OwnPast,
        children: CallChildren,
    ) -> None:
        self._services = services
        self._live = live
        self._guard = guard
        self._session_id = session_id
        self._agent = agent
        self._rules = rules
        self._message_id = message_id
        self._call_id = call_id
        self._tool = tool
        self._outputs = outputs
        self._go_on = go_on
        self._spawn = spawn
        self._keep_todos = keep_todos
        self._processes = [*processes]
        self._proceed = proceed
        self._deeds = [*deeds]
        self._past = past
        self._children = children
        # Whether this execution was allowed something already, also by a rule, or got
        # an answer: from there on it may have had an effect.
        self._allowed = False
        self.rejected = False
        """Whether the person said no, and nothing else: the run stops then."""
        self.grants = Grants()
        """What it was allowed, and by what, until an event of the call says so."""
        self.files: dict[str, str | None] = {}
        """What the call said of the files that it read or wrote."""
        self.changes: list[KeptChange] = []
        """What it said that it changed."""

    @property
    def session_id(self) -> SessionId:
        return self._session_id

    @property
    def agent(self) -> str:
        return self._agent

    @property
    def message_id(self) -> MessageId:
        return self._message_id

    @property
    def call_id(self) -> str:
        return self._call_id

    @property
    def effect_token(self) -> str:
        return effect_token(self._session_id, self._message_id, self._call_id)

    @property
    def location(self) -> Location:
        return self._services.location

    async def ask(
        self,
        action: str,
        resources: Sequence[str],
        *,
        save: Sequence[str] = (),
        folder: str | None = None,
        metadata: Mapping[str, Json] | None = None,
        begun: bool | None = None,
    ) -> None:
        _check_asked(action, resources, save, folder, metadata, begun)
        if _weight([*resources, *save, metadata or {}]) > MAX_ASKED:
            rule = f"at most {MAX_ASKED} characters of resources, save and metadata"
            raise InvalidValueError("question about", action, rule)
        request = AskRequest(
            session_id=self._session_id,
            agent=self._agent,
            action=action,
            resources=tuple(resources),
            save=tuple(save),
            folder=folder,
            metadata=metadata or {},
            message_id=self._message_id,
            call_id=self._call_id,
            begun=self._allowed if begun is None else begun,
            rules=self._rules,
            guard=self._guard,
            tool=self._tool,
        )
        try:
            by = await self._services.permissions.ask(request)
        except PermissionRejectedError as error:
            self.rejected = error.advice is None
            raise
        self.grants.add(action, by, request.resources)
        self._allowed = True
        await self._go_on(self.grants)

    async def allowing(self, action: str) -> Callable[[str], bool]:
        if not isinstance(action, str):
            raise InvalidValueError("action", action, "it must be a text")
        return await self._services.permissions.allowing(
            AskRequest(
                session_id=self._session_id,
                agent=self._agent,
                action=action,
                resources=(),
                message_id=self._message_id,
                call_id=self._call_id,
                rules=self._rules,
                tool=self._tool,
            ),
            lambda by: self.grants.add(action, by, ()),
        )

    async def question(self, questions: Sequence[Question]) -> Sequence[QuestionAnswer]:
        asker = Asker(
            session_id=self._session_id,
            agent=self._agent,
            message_id=self._message_id,
            call_id=self._call_id,
            begun=self._allowed,
            guard=self._guard,
        )
        try:
            answers = await self._services.questions.ask(questions, asker)
        except QuestionDismissedError as error:
            self.rejected = error.advice is None
            raise
        self._allowed = True
        await self._go_on(self.grants)
        return answers

    async def unsaved(self, path: str) -> str | None:
        editor = self._services.editor_for(self._session_id)
        return None if editor is None else await editor.unsaved(path)

    async def write_in_editor(self, path: str, text: str) -> bool:
        editor = self._services.editor_for(self._session_id)
        if editor is None:
            return False
        # Once begun, it is finished: whoever is cut off here knows less than before.
        took = False
        with anyio.CancelScope(shield=True):
            took = await editor.write(path, text)
        return took is True

    def printed(self, data: bytes) -> None:
        editor = self._services.editors.get(self._session_id)
        if editor is not None:
            editor.printed(self._message_id, self._call_id, data)

    async def replace_todos(self, todos: Sequence[Todo]) -> None:
        await self._keep_todos(checked_todos(todos))

    async def skill(self, name: str) -> Skill:
        return await self._services.skills.get(name)

    async def managed(
        self, key: str, offset: int = 1, limit: int = MAX_PAGE_LINES
    ) -> ManagedPage:
        return await self._outputs.page(key, offset, limit)

    async def messages(
        self, *, after: int | None = None, before: int | None = None, limit: int = 50
    ) -> Sequence[Message]:
        return await self._past.messages(after, before, limit)

    def saw(self, path: str, digest: str | None) -> None:
        _check_seen(path, digest)
        path = clean_text(path)
        if len(self.files) < MAX_SEEN or path in self.files:
            self.files[path] = digest

    def changed(
        self,
        path: str,
        before: bytes | None,
        after: bytes | None,
        *,
        unknown: str | None = None,
        folders: int = 0,
    ) -> None:
        _check_changed(path, before, after, folders)
        if len(self.changes) >= MAX_CHANGES:
            before = after = None
            unknown = f"one call changed over {MAX_CHANGES:,} files"
        if len(self.changes) < MAX_NAMED:
            name, redact = clean_text(path), self._services.redact
            self.changes.append(
                KeptChange.of(name, before, after, redact, unknown, folders)
            )

    async def spawns(self, process: ProcessMark) -> None:
        _check_mark(process)
        await self._spawn(process, self.grants)
        self._processes.append(process)

    @property
    def processes(self) -> Sequence[ProcessMark]:
        return tuple(self._processes)

    @property
    def children(self) -> CallChildren:
        return self._children

    @property
    def jobs(self) -> CallJobs:
        call = (self._session_id, self._message_id, self._call_id)
        return SessionJobs(self._services.jobs, self._guard, call, self._tool)

    async def does(self, text: str, data: Json = None) -> None:
        if not isinstance(text, str):
            raise InvalidValueError("text of a deed", text, "it must be a text")
        if not 0 < len(text) <= MAX_DEED:
            rule = f"1 to {MAX_DEED} characters"
            raise InvalidValueError("deed", text[:MAX_DEED], rule)
        if _weight(data) > MAX_DEED_DATA:
            rule = f"at most {MAX_DEED_DATA} characters of data"
            raise InvalidValueError("deed", text, rule)
        if len(self._deeds) >= MAX_DEEDS:
            rule = f"at most {MAX_DEEDS} in one call"
            raise InvalidValueError("deed", text, rule)
        deed = Deed(clean_text(text), sanitised(data))
        await self._proceed(deed, self.grants)
        self._deeds.append(deed)

    @property
    def deeds(self) -> Sequence[Deed]:
        return tuple(self._deeds)

    def progress(self, text: str) -> None:
        if self._live.watched:
            self._live.publish(
                LiveDelta(
                    self._session_id,
                    self._message_id,
                    "progress",
                    self._call_id,
                    clean_text(text[:MAX_PROGRESS]),
                )
            )


def _check_asked(
    action: object,
    resources: object,
    save: object,
    folder: object,
    metadata: object,
    begun: object,
) -> None:
    """Refuse what is no question, naming the argument: a text is a sequence, too, of
    letters that nobody meant."""
    if not isinstance(action, str) or not action:
        raise InvalidValueError("action", action, "it must be a text that is not empty")
    for name, given in (("resources", resources), ("save", save)):
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise InvalidValueError(name, given, "give a list of texts")
        for one in given:
            if not isinstance(one, str):
                raise InvalidValueError(f"one of {name}", one, "it must be a text")
    if not isinstance(folder, str | None):
        raise InvalidValueError("folder", folder, "it must be a text, or None")
    if not isinstance(metadata, Mapping | None):
        raise InvalidValueError("metadata", metadata, "give a mapping, or None")
    if not isinstance(begun, bool | None):
        raise InvalidValueError("begun", begun, "True, False or None")


def _check_seen(path: object, digest: object) -> None:
    """Refuse what could be recorded and not be read again."""
    if not (isinstance(path, str) and isinstance(digest, str | None)):
        rule = "a path and a digest in hexadecimal, both as text"
        raise InvalidValueError("file", (path, digest), rule)


def _check_changed(
    path: object, before: object, after: object, folders: object
) -> None:
    """Refuse what could not be kept."""
    contents = isinstance(before, bytes | None) and isinstance(after, bytes | None)
    if not (isinstance(path, str) and contents):
        rule = "a path as text, and two contents as bytes or None"
        raise InvalidValueError("changed file", path, rule)
    if type(folders) is not int or not 0 <= folders <= MAX_FOLDERS:
        raise InvalidValueError("folders", folders, f"from 0 to {MAX_FOLDERS}")


def _check_mark(process: object) -> None:
    """Refuse what could be recorded and not be read again."""
    if not (
        isinstance(process, ProcessMark)
        and type(process.group) is int
        and isinstance(process.started, str)
        and isinstance(process.host, str)
    ):
        rule = "give a ProcessMark of a number and two texts"
        raise InvalidValueError("process", process, rule)


def _weight(value: Json) -> int:
    """Return how many characters a value holds, about; of one that is too heavy, only
    that it is."""
    waiting, total = [value], 0
    while waiting and total <= MAX_ASKED:
        one = waiting.pop()
        if isinstance(one, str | Mapping | list | tuple):
            total += len(one)
        total += 1
        if isinstance(one, Mapping) and total <= MAX_ASKED:
            waiting += [*one, *one.values()]
        elif isinstance(one, list | tuple) and total <= MAX_ASKED:
            waiting += one
    return total
