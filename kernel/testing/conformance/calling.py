"""Calling: one call of a tool, settled as in a session, with a context that records.

Owns the examples of a suite and what a call may use while it is tried. Knows nothing of
what is promised.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from anyio import Event
from attrs import define, evolve, field, frozen

from ...contracts import (
    CallChildren,
    CallJobs,
    ChildAnswer,
    Skill,
    Tool,
    ToolContext,
)
from ...tools.settlement import Failed, Runnable, Settled, prepare
from ...values.codec import dumps
from ...values.errors import (
    JobNotFoundError,
    OutputNotFoundError,
    PermissionDeniedError,
    QuestionDismissedError,
    SessionNotFoundError,
    SkillNotFoundError,
    ToolError,
)
from ...values.ids import JobId, MessageId, SessionId
from ...values.job import Job
from ...values.location import Location
from ...values.messages import Message
from ...values.question import Question, QuestionAnswer, checked_questions
from ...values.request import ToolCall
from ...values.todo import Todo, checked_todos
from ...values.tool import (
    Deed,
    Json,
    ManagedPage,
    ProcessMark,
    TextContent,
    effect_token,
)
from .looking import Tree, Watch
from .suite import Bench, Case, Host, NotOfferedError, pictures

# Each process has its own: what a call starts carries its token, and may be ended so.
SESSION = SessionId(f"ses_conformance_{os.getpid()}")
MESSAGE = MessageId("msg_conformance")
CALL = "call_conformance"
TOKEN = effect_token(SESSION, MESSAGE, CALL)


@frozen
class ToolExample:
    """One call that the tool must take."""

    arguments: Mapping[str, Json] | Callable[[str], Mapping[str, Json]] = field(
        factory=dict
    )
    """The arguments; or a function that makes them from the Location's directory."""
    fails: bool = False
    """Whether it is expected to fail, with a ToolFailure."""

    def given(self, directory: str) -> dict[str, Json]:
        """Return the arguments of a call in a Location."""
        if callable(self.arguments):
            return dict(self.arguments(directory))
        return dict(self.arguments)


@define(eq=False)
class Asked:
    """One question for permission, and how things were when it came."""

    action: object
    resources: tuple[object, ...]
    tree: Tree
    world: object
    opened: tuple[str, ...]
    reached: tuple[str, ...]


class RecordedJobs(CallJobs):
    """The jobs that a call began while it was tried. Nothing looks after them."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}

    async def begin(
        self, title: str, *, output: str = "", process: ProcessMark | None = None
    ) -> Job:
        job = Job(
            id=JobId(f"job_{len(self._jobs)}"),
            session_id=SESSION,
            message_id=MESSAGE,
            call_id=CALL,
            tool="",
            title=title,
            output=output,
            process=process,
            worker=None,
            started=0,
        )
        self._jobs[job.id] = job
        return job

    @contextmanager
    def detachable(self) -> Iterator[Event]:
        yield Event()

    async def all(self) -> Sequence[Job]:
        return tuple(self._jobs.values())

    async def wait(self, job_id: str, seconds: float) -> Job:
        if job_id not in self._jobs:
            raise JobNotFoundError(job_id)
        return self._jobs[job_id]

    async def stop(self, job_id: str) -> Job:
        job = evolve(await self.wait(job_id, 0), state="stopped", ended=0, by="model")
        self._jobs[job_id] = job
        return job

    async def extend(self, job_id: str, seconds: float) -> Job:
        return await self.wait(job_id, 0)

    def keep(self, job: Job) -> None:
        """Take a job in as it is by now."""
        self._jobs[job.id] = job


class RecordedChildren(CallChildren):
    """The sessions that a call began while it was tried. Each answers at once."""

    def __init__(self, jobs: RecordedJobs | None = None) -> None:
        self.prompts: dict[str, str] = {}
        """What each was asked, by its id."""
        self.says = "done"
        """What each answers."""
        self._jobs = jobs or RecordedJobs()

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
        child = SessionId(f"ses_child_{key}")
        self.prompts.setdefault(child, prompt)
        return child

    async def run(self, session_id: str) -> ChildAnswer:
        return await self.answer(session_id)

    async def background(self, session_id: str, title: str) -> Job:
        await self.answer(session_id)
        for job in await self._jobs.all():
            if job.session == session_id:
                return job
        job = evolve(await self._jobs.begin(title), session=session_id)
        self._jobs.keep(job)
        return job

    async def answer(self, session_id: str) -> ChildAnswer:
        if session_id not in self.prompts:
            raise SessionNotFoundError(session_id)
        return ChildAnswer(SessionId(session_id), "succeeded", text=self.says)


class RecordingContext(ToolContext):
    """Answers as it is told to, and remembers."""

    session_id = SESSION
    agent = "build"
    message_id = MESSAGE
    call_id = CALL
    effect_token = TOKEN

    def __init__(
        self,
        case: Case[Any],
        watch: Watch | None = None,
        *,
        deny: bool = False,
        deeds: list[Deed] | None = None,
    ) -> None:
        """``deeds`` has what earlier executions recorded, and takes more."""
        self._case = case
        self._watch = watch
        self._deny = deny
        self.asked: list[Asked] = []
        self.lines: list[str] = []
        self._processes: list[ProcessMark] = []
        self._deeds = [] if deeds is None else deeds
        self._jobs = RecordedJobs()
        self._children = RecordedChildren(self._jobs)

    @property
    def location(self) -> Location:
        return Location.at(self._case.folder)

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
        watch = self._watch
        opened = tuple(watch.opened) if watch else ()
        reached = tuple(watch.reached) if watch else ()
        tree, world = pictures(self._case)
        given = (resources,) if isinstance(resources, str) else tuple(resources)
        self.asked.append(Asked(action, given, tree, world, opened, reached))
        if self._deny:
            raise PermissionDeniedError(action, list(resources))

    async def allowing(self, action: str) -> Callable[[str], bool]:
        return lambda resource: not self._deny

    async def question(self, questions: Sequence[Question]) -> Sequence[QuestionAnswer]:
        if self._deny:
            raise QuestionDismissedError
        return [
            QuestionAnswer(tuple(option.label for option in one.options[:1]))
            for one in checked_questions(questions)
        ]

    @property
    def jobs(self) -> CallJobs:
        return self._jobs

    @property
    def children(self) -> CallChildren:
        return self._children

    async def replace_todos(self, todos: Sequence[Todo]) -> None:
        checked_todos(todos)

    async def skill(self, name: str) -> Skill:
        for one in self._case.suite.skills:
            if one.name == name:
                known: Skill = one
                return known
        raise SkillNotFoundError(name, "the suite knows no such skill")

    async def managed(
        self, key: str, offset: int = 1, limit: int = 2_000
    ) -> ManagedPage:
        raise OutputNotFoundError(key, "the suite keeps no output")

    async def messages(
        self, *, after: int | None = None, before: int | None = None, limit: int = 50
    ) -> Sequence[Message]:
        return ()

    def changed(
        self,
        path: str,
        before: bytes | None,
        after: bytes | None,
        *,
        unknown: str | None = None,
        folders: int = 0,
    ) -> None:
        self.saw(path, None if after is None else hashlib.sha256(after).hexdigest())

    def saw(self, path: str, digest: str | None) -> None:
        return None

    async def spawns(self, process: ProcessMark) -> None:
        self._processes.append(process)

    @property
    def processes(self) -> Sequence[ProcessMark]:
        return tuple(self._processes)

    async def unsaved(self, path: str) -> str | None:
        return None

    async def write_in_editor(self, path: str, text: str) -> bool:
        return False

    def printed(self, data: bytes) -> None:
        return None

    async def does(self, text: str, data: Any = None) -> None:
        self._deeds.append(Deed(text, data))

    @property
    def deeds(self) -> Sequence[Deed]:
        return tuple(self._deeds)

    def progress(self, text: str) -> None:
        self.lines.append(text)


def tool_of(host: Host, name: str) -> Tool[Any, Any]:
    """Return the tool of this name.

    Raises:
        NotOfferedError: there is none.
    """
    found = host.services.tools.advertise().get(name)
    if found is None:
        offered = ", ".join(host.services.tools.advertise().names) or "none"
        raise NotOfferedError(
            f"there is no tool {name!r}{host.problem}; offered: {offered}"
        )
    return found.item.tool


def runnable(case: Case[Any], host: Host, example: ToolExample) -> Runnable:
    """Return a call of the tool with its input decoded.

    Raises:
        NotOfferedError: there is no such tool, or it does not take the example.
    """
    arguments = example.given(str(case.folder))
    call = ToolCall(CALL, case.suite.tool, dumps(arguments).decode())
    tool_of(host, case.suite.tool)
    plan = prepare(call, host.services.tools.advertise())
    if isinstance(plan, Failed):
        raise NotOfferedError(
            f"the example {arguments!r} is no valid input: {plan.failure.message}"
        )
    return plan


async def settle(
    case: Case[Any],
    host: Host,
    example: ToolExample,
    context: RecordingContext | None = None,
) -> Settled:
    """Make one call and return its outcome."""
    plan = runnable(case, host, example)
    return await plan.run(context or RecordingContext(case))


def each_example(bench: Bench[Any]) -> Iterator[tuple[str, ToolExample]]:
    """Yield the examples of a suite, each with a name."""
    for number, example in enumerate(bench.suite.examples, 1):
        yield f"example {number}", example


def shown(settled: Settled) -> str:
    """Return everything that a call had to show, before it was cut."""
    if isinstance(settled, Failed):
        return settled.full or settled.failure.message
    texts = [one.text for one in settled.content if isinstance(one, TextContent)]
    return settled.full or "\n".join(texts)


async def ask_check(
    case: Case[Any], host: Host, example: ToolExample, deeds: list[Deed]
) -> str:
    """Return what ``check`` says: done, not done, or cannot tell."""
    plan = runnable(case, host, example)
    if tool_of(host, case.suite.tool).check is None:
        return "cannot tell"
    try:
        settled = await plan.check(RecordingContext(case, deeds=deeds))
    except ToolError:
        return "cannot tell"
    return "not done" if settled is None else "done"
