"""Tools: what a tool is, and what one execution of a call may use."""

from collections.abc import (
    Awaitable,
    Callable,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager
from typing import Generic, Literal, Protocol, TypeVar

from attrs import field

from ..values.frozen import frozen
from ..values.ids import MessageId, SessionId
from ..values.job import Job, JobEnd
from ..values.location import Location
from ..values.messages import Message
from ..values.question import Question, QuestionAnswer
from ..values.todo import Todo
from ..values.tool import Content, Deed, EffectClass, Json, ManagedPage, ProcessMark
from .agents import Action
from .children import CallChildren
from .context import Skill

I = TypeVar("I")  # noqa: E741 - the input of a tool

O = TypeVar("O")  # noqa: E741 - its output


class DetachWanted(Protocol):
    """That somebody wants a call to go on as a job."""

    async def wait(self) -> None:
        """Return when that is so."""
        ...


class CallJobs(Protocol):
    """The jobs of a session, as a call of it sees them: ``context.jobs``."""

    async def begin(
        self, title: str, *, output: str = "", process: ProcessMark | None = None
    ) -> Job:
        """Record durably that this call begins a job, and have it looked after.

        For a tool that gives ``Tool.jobs``, which must know the job from then on. Start
        it only when this has returned, as with ``spawns``: then it is found again
        should this process be killed meanwhile. ``title`` says what it does, ``output``
        under which name its output is read.

        Raises:
            InvalidValueError: the title says nothing, or the name is too long.
            JobLimitError: sixteen jobs of this session run already. Let it pass.
        """
        ...

    def detachable(self) -> AbstractContextManager[DetachWanted]:
        """Say, for as long as this is entered, that the call can go on as a job.

        Waiting for what is yielded returns when somebody wants that
        (``session.detach``). Then begin the job, leave this, and return what there is.
        """
        ...

    async def all(self) -> Sequence[Job]:
        """Return them in the order in which they began, each looked at just now."""
        ...

    async def wait(self, job_id: str, seconds: float) -> Job:
        """Return a job when it has ended, or as it is when the time is over.

        Raises:
            JobNotFoundError: this session has none of this id. Let it pass.
        """
        ...

    async def stop(self, job_id: str) -> Job:
        """End a job, and return it with its end, of which the model is not told again.

        Raises:
            JobNotFoundError: this session has none of this id. Let it pass.
            JobUnmanagedError: its tool is not offered any more. Let it pass.
        """
        ...

    async def extend(self, job_id: str, seconds: float) -> Job:
        """Let a job run for so long from now on, if that is longer than it may.

        Raises:
            JobNotFoundError: this session has none of this id. Let it pass.
            JobUnmanagedError: its tool is not offered any more. Let it pass.
        """
        ...


class ToolContext(Protocol):
    """What one execution of one call may use."""

    @property
    def session_id(self) -> SessionId: ...

    @property
    def agent(self) -> str:
        """The name of the agent profile that the Step runs under."""
        ...

    @property
    def message_id(self) -> MessageId: ...

    @property
    def call_id(self) -> str: ...

    @property
    def effect_token(self) -> str:
        """The same for every execution of this call, ever: pass it on to whatever can
        tell a repeat from a new request (law recovery.2)."""
        ...

    @property
    def location(self) -> Location: ...

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
        """Return when the action on all resources is allowed.

        Rules and saved approvals decide first; otherwise a person is asked, and this
        waits for the answer, also over a restart of the process. Ask before reading
        or writing anything of the target (law access.1). ``save`` lists what an
        answer of ``always`` remembers, each taken literally; empty means that
        ``always`` counts as ``once``. ``folder`` is where it is to happen, as a
        resource, if that matters: what is remembered is for this folder only. A call
        that was stopped while it waited for its first answer counts as not begun,
        whatever its effect class, and may run again: ask before the first effect.
        ``begun`` says whether it may have had an effect before this question; None:
        where an earlier one was allowed already. A tool that asks several things
        before it does any says False with each.

        Raises:
            InvalidValueError: it is over a million characters, all in all.
            PermissionDeniedError: a rule denies it. Let it pass: the model is told.
            PermissionRejectedError: the person said no, perhaps with advice.
        """
        ...

    async def allowing(self, action: str) -> Callable[[str], bool]:
        """Return what tells of one resource whether the action is allowed as things
        stand now, without asking anybody and without leaving a trace.

        For tools that look at many things at once: what is denied, or would have to
        be asked for, is left out before it decides anything, and the result says how
        many were. Quick, synchronous, and good for the length of one call.
        """
        ...

    async def question(self, questions: Sequence[Question]) -> Sequence[QuestionAnswer]:
        """Ask a person, and return one answer to each question, in their order.

        Not for permission, which is ``ask``. Durable before this waits, and waits as
        long as nobody answers, also over a restart of the process: the call then asks
        the same again and finds its answer. What begins with the answer counts as
        begun, as after ``ask``.

        Raises:
            InvalidValueError: a question cannot be asked like this.
            QuestionDismissedError: there is no answer. Let it pass: the model is told,
                or the run stops, as the person wanted.
        """
        ...

    async def replace_todos(self, todos: Sequence[Todo]) -> None:
        """Put this list in the place of the session's own; durable when this returns.

        ``session.todos()`` tells it to the application. The same again changes nothing.

        Raises:
            InvalidValueError: an entry is not well-formed, two have one id, or more
                than one is in progress. The list stays as it was.
        """
        ...

    async def skill(self, name: str) -> "Skill":
        """Return the skill that the Location offers now under that name.

        Asks for no permission: that is the caller's to do first.

        Raises:
            SkillNotFoundError: there is none; the text lists the names there are.
        """
        ...

    async def managed(
        self, key: str, offset: int = 1, limit: int = 2_000
    ) -> ManagedPage:
        """Return lines of the complete output behind a result that was cut.

        ``key`` is what stands in the marker of such a result. Only what calls of this
        very session left is found. Lines are counted from 1; at most 2,000 a page.

        Raises:
            OutputNotFoundError: no settled call of this session left such an output,
                or it is lost.
            InvalidValueError: ``offset`` or ``limit`` is out of its range.
        """
        ...

    async def messages(
        self, *, after: int | None = None, before: int | None = None, limit: int = 50
    ) -> Sequence[Message]:
        """Return settled messages of this very session between two positions, which are
        their ``seq``: in order from ``after`` on, or where that is not given, from
        before ``before`` back, the newest first.

        The transcript is whole, also where the model is shown a summary in the place of
        it. At most 50 at once.

        Raises:
            InvalidValueError: ``limit`` is out of its range.
        """
        ...

    async def unsaved(self, path: str) -> str | None:
        """Return the text of a file as a person has it before them in an editor, where
        that is not what the file holds; None where nobody says so.

        For tools that read or change files: what is not saved is what the person means
        by the file, and nothing may write past it (law tools.19). ``path`` is absolute
        and without links. Ask for permission first; it waits a few seconds at most.
        """
        ...

    async def write_in_editor(self, path: str, text: str) -> bool:
        """Have the editor that shows the session, or else one that shows another one
        here, make a text all that a file holds, and return True; False where none takes
        it, and nothing was written: then write to the disk.

        Ask for permission first, look at ``unsaved``, and see that the file is what was
        approved. Look at the file again afterwards, also where this raises: what an
        editor saves may be another text than it was given (law tools.20). It waits some
        seconds at most, and cancelling does not end it.

        Raises:
            ToolFailure: the editor would not, or nobody knows whether it did.
        """
        ...

    def printed(self, data: bytes) -> None:
        """Show what a command printed to an editor that shows this session, in a
        terminal of its. All of it, as it was written; never stored, never waits."""
        ...

    def saw(self, path: str, digest: str | None) -> None:
        """Say that this call read or wrote a file, and what it held afterwards.

        ``path`` is absolute; ``digest`` is the SHA-256 of the content in hexadecimal,
        None when the file is gone. Before a session goes on in another process, files
        that changed since are reported (law recovery.5). Counts when the call
        succeeds, for the first 10,000 files.

        Raises:
            InvalidValueError: one of the two is no text.
        """
        ...

    def changed(
        self,
        path: str,
        before: bytes | None,
        after: bytes | None,
        *,
        unknown: str | None = None,
        folders: int = 0,
    ) -> None:
        """Say that this call changed a file, and what it held before and holds since.

        None stands for no file. Both are kept, so that whoever goes back in the session
        can have the file as it was (law travel.4), if the tool can ``restore``; a
        content of over 2 MiB, or one that holds a key, is not. Counts however the call
        ends, for the first 1,000 changes; of more, only their names. ``unknown`` says
        why the tool does not know what the file held: then it can not be restored, and
        that is said. ``folders`` is how many folders above it were made for it: they go
        with it again where they are empty then.
        """
        ...

    async def spawns(self, process: ProcessMark) -> None:
        """Record durably which process group this call is about to start.

        For what can outlive this process. Start it only when this has returned, such
        as by letting it wait until it is told to begin: then ``Tool.clear`` finds it,
        should this process be killed meanwhile (law recovery.8).

        Raises:
            InvalidValueError: it is no mark, or its fields have other types.
        """
        ...

    @property
    def processes(self) -> Sequence[ProcessMark]:
        """What executions of this call recorded with ``spawns`` so far."""
        ...

    @property
    def jobs(self) -> CallJobs:
        """The jobs of this session: what goes on when its call has a result."""
        ...

    @property
    def children(self) -> CallChildren:
        """Sessions that work for this one."""
        ...

    async def does(self, text: str, data: Json = None) -> None:
        """Record durably what this call does next; then do it.

        For a tool that does several things one after another. Saying the next one says
        that the one before is done. Of a call that is cut off, the model and whoever
        accepts the Continuation Report are told what was done, what may have been, and
        that nothing after it was begun (law recovery.9). ``text`` is a few words, such
        as ``remove old.txt``; ``data`` is for a ``check``, which finds all of it in
        ``deeds``.

        Raises:
            InvalidValueError: the text has none or over 500 characters, the data over
                10,000, or there are 1,000 already. Nothing was recorded.
        """
        ...

    @property
    def deeds(self) -> Sequence[Deed]:
        """What executions of this call recorded with ``does`` so far, in order. All but
        the last one of each execution are done."""
        ...

    def progress(self, text: str) -> None:
        """Show a line to whoever watches now. Never stored, never waits."""
        ...


class BlockingToolContext(Protocol):
    """What one execution of one call may use from a thread: see ``ToolContext``.

    For tools that are plain functions. They begin no jobs. What is awaited there waits
    here, in the thread of the call or in another one that it started. Once the call was
    cancelled, everything here that does something raises ToolCancelledError.
    """

    @property
    def cancelled(self) -> bool:
        """Whether the call was interrupted. Its thread cannot be ended from outside:
        one that works for long looks at this, and returns."""
        ...

    @property
    def session_id(self) -> SessionId: ...

    @property
    def agent(self) -> str: ...

    @property
    def message_id(self) -> MessageId: ...

    @property
    def call_id(self) -> str: ...

    @property
    def effect_token(self) -> str: ...

    @property
    def location(self) -> Location: ...

    @property
    def processes(self) -> Sequence[ProcessMark]: ...

    @property
    def deeds(self) -> Sequence[Deed]: ...

    def ask(
        self,
        action: str,
        resources: Sequence[str],
        *,
        save: Sequence[str] = (),
        folder: str | None = None,
        metadata: Mapping[str, Json] | None = None,
        begun: bool | None = None,
    ) -> None: ...

    def allowing(self, action: str) -> Callable[[str], bool]: ...

    def unsaved(self, path: str) -> str | None: ...

    def write_in_editor(self, path: str, text: str) -> bool: ...

    def printed(self, data: bytes) -> None: ...

    def question(self, questions: Sequence[Question]) -> Sequence[QuestionAnswer]: ...

    def replace_todos(self, todos: Sequence[Todo]) -> None: ...

    def skill(self, name: str) -> "Skill": ...

    def managed(self, key: str, offset: int = 1, limit: int = 2_000) -> ManagedPage: ...

    def messages(
        self, *, after: int | None = None, before: int | None = None, limit: int = 50
    ) -> Sequence[Message]: ...

    def saw(self, path: str, digest: str | None) -> None: ...

    def changed(
        self,
        path: str,
        before: bytes | None,
        after: bytes | None,
        *,
        unknown: str | None = None,
        folders: int = 0,
    ) -> None: ...

    def spawns(self, process: ProcessMark) -> None: ...

    def does(self, text: str, data: Json = None) -> None: ...

    def progress(self, text: str) -> None: ...


@frozen
class Restoration:
    """A file that is to hold again what it held."""

    path: str
    """As the call named it that changed the file: absolute, without symbolic links."""
    now: bytes | None
    """What it must hold now, or somebody changed it since; None: there must be none."""
    then: bytes | None
    """What it is to hold; None: it is to be removed."""
    look: bool = False
    """Whether only to say if it could be done."""
    folders: int = 0
    """How many folders above it are to be removed with it, each if it is empty then."""
    again: bool = False
    """Whether somebody may have begun it before and left something, or be at it now."""


@frozen(eq=False)
class JobWork:
    """How the jobs of a tool are looked at and ended.

    All of it is called in whatever process looks after a job: also in one that did not
    begin it, after that one was killed. What it has to know is in the Job. Nothing here
    ever begins a job again.
    """

    look: Callable[[Job], Awaitable[JobEnd | None]]
    """Returns how a job ended, or None while it runs. Has no effect, and is quick."""
    watch: Callable[[Job], Awaitable[JobEnd]]
    """Returns how a job ended once it has. Has no effect; may be called by several
    processes for one job."""
    stop: Callable[[Job], Awaitable[None]]
    """Ends a job, with everything that it started, and returns when it is ended."""
    extend: Callable[[Job, float], Awaitable[None]]
    """Lets a job run for so many seconds from now on, if that is longer."""


@frozen(eq=False)
class Tool(Generic[I, O]):
    """A named capability that a model can call.

    ``execute(input, context)`` gets the input decoded and checked, and returns a value
    of the output type. It is ``async def``, or ``def``: then it runs in a thread of its
    own, with a context that waits, and may block; so may ``check`` and ``clear``. Raise
    ``ToolFailure`` for an expected failure that the model should read; any other
    exception is recorded for the operator, and the model is only told that the tool
    broke. Cancellation is never a result: let it pass.
    """

    name: str
    """``[A-Za-z][A-Za-z0-9_-]{0,63}``"""
    description: str
    """What the model reads to decide when to call it."""
    input: type[I]
    """An attrs class. Its fields become the JSON Schema; ``field(metadata=
    {"description": ...})`` describes one. Or ``dict``, with a ``schema``."""
    execute: (
        Callable[[I, ToolContext], Awaitable[O]] | Callable[[I, BlockingToolContext], O]
    )
    """Does it. What it returns is the result; how it may end otherwise is on the page
    about tools."""
    output: type[O] = str  # type: ignore[assignment]
    """``str`` or an attrs class."""
    effect: EffectClass = "unsafe"
    """What a repeat would do. The default promises nothing."""
    asks: Sequence[Action] | None = None
    """The actions that it asks permission for, so that a rule about an action that
    nothing asks is found out. None: not said; it is taken to ask one of its name. A
    plugin whose tools come and go asks by its own name, which is known while none of
    them is there."""
    models: Sequence[str] | None = None
    """Patterns of the models that it is offered to, such as ``*gpt-5*``; they are held
    against ``provider/model`` in small letters. None: to all. ``[tools.NAME]`` in
    ``dovetail.toml`` says otherwise."""
    instead_of: Sequence[str] = ()
    """Tools that a model is not offered that is offered this one."""
    render: Callable[[O], str | Sequence[Content]] | None = None
    """What the model is shown. None: a text as it is, anything else as JSON."""
    bound: Literal["middle", "end"] = "middle"
    """Which part of an over-long output is cut."""
    check: (
        Callable[[I, ToolContext], Awaitable[O | None]]
        | Callable[[I, BlockingToolContext], O | None]
        | None
    ) = None
    """For ``reconcilable`` tools, and required of them: asks the outside world whether
    the effect of a call whose outcome is unknown took place. Returns the output when
    it did and None when it did not; raising means that it cannot be told, and the call
    is not repeated. It must have no effect itself."""
    clear: (
        Callable[[I, ToolContext], Awaitable[str | None]]
        | Callable[[I, BlockingToolContext], str | None]
        | None
    ) = None
    """For tools that start what can outlive this process. Called for a call whose
    outcome is unknown, before it is settled, asked about or run again: ends what the
    call left running, and returns a sentence for the model about what it found, or
    None. It has half a minute."""
    waits: Callable[[I], bool] | None = None
    """Says of an input whether a call with it waits for something to happen. Such a
    call may be made again and again with the same result; any other that is, with
    nothing new between, ends in a pause (law agents.13). None: no call does."""
    restore: Callable[[Location, Restoration], Awaitable[str | None]] | None = None
    """For tools that say what they ``changed``: makes a file hold what it held, whole
    or not at all, and returns None, or why that cannot be. Called for a person who goes
    back in a session, in whatever process. It must find the very file: not what a link
    on the way leads to. Where the file is so already, it is done."""
    jobs: JobWork | None = None
    """For tools whose calls begin jobs (``context.jobs.begin``), and required of them:
    how those are looked at and ended."""
    schema: Mapping[str, Json] | None = None
    """For a tool that somebody else describes, with ``input=dict``: the JSON Schema of
    the input, an object, which the model is shown as it is. Arguments are held to what
    of it is understood here; what is not, such as ``patternProperties``, is left to the
    tool to look at."""
    gives_way: bool = False
    """Whether of equal names the tool of any other plugin wins, whatever their order:
    for tools whose names somebody else chooses, who must not hide one of ours."""


@frozen
class CallNotice:
    """One call of a tool. The three ids name it wherever it is spoken of."""

    session_id: SessionId
    """The session that it belongs to."""
    message_id: MessageId
    """The assistant message that it belongs to."""
    call_id: str
    """Which call it is, as the provider named it; unique within its message."""
    tool: str
    """The tool that is called."""
    arguments: str = field(repr=False)
    """The JSON text that the tool's input is made of: what the model wrote, or, where
    that was not of the right JSON types, what it was read as."""
    effect: EffectClass | None = None
    """None when no such tool was offered."""
