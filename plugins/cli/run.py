"""The command ``run``: prompt a session, show what it does, and end as it ends.

Owns one run: which session and model, the answers to permission requests, what
signals do, and the exit code.
"""

import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

import anyio
import click
from anyio import to_thread
from anyio.abc import TaskStatus
from attrs import frozen
from dovetail.kernel import (
    DEFAULT_AGENT,
    AgentNotFoundError,
    Configuration,
    DovetailError,
    Event,
    LiveEvent,
    Location,
    Outcome,
    PermissionAsked,
    PermissionNotFoundError,
    PermissionRequest,
    PermissionsHandle,
    Prompt,
    Rule,
    Runtime,
    Session,
    event_to_json,
    open_runtime,
)

from .asking import (
    Answer,
    Person,
    allow_options,
    allowed,
    read_patterns,
    request_lines,
)
from .exits import INTERRUPTED, PAUSED, USAGE, code_of_outcome
from .feed import Feed
from .options import (
    database_option,
    database_url,
    json_line,
    json_option,
    next_prompt_text,
)
from .terminal import Terminal, first_line, plain, short, visible
from .transcript import Transcript

MAX_TITLE = 60
MAX_INPUT = 2 * 1_048_576
"""Bytes read from standard input; a prompt may be half of it."""


@frozen
class RunOptions:
    """What the command line says."""

    prompt: Prompt
    session: str | None
    newest: bool
    model: str | None
    agent: str | None
    location: str | None
    db: str | None
    allow: Sequence[Rule]
    yes: bool
    as_json: bool


@click.command("run")
@click.argument("prompt", required=False)
@click.option("--session", metavar="ID", help="Go on with this session.")
@click.option(
    "--continue", "newest", is_flag=True, help="Go on with the newest session here."
)
@click.option("--model", metavar="M", help="provider/model, such as openai/gpt-5.2.")
@click.option("--agent", metavar="A", help="The agent profile.")
@click.option(
    "--location", metavar="DIR", help="Where to work. [default: the working directory]"
)
@database_option
@click.option(
    "--allow",
    metavar="PATTERN",
    multiple=True,
    callback=read_patterns,
    help="Answer matching permission requests with once: ACTION or ACTION:RESOURCE, "
    "such as edit or 'bash:git *'. May be repeated.",
)
@click.option("--yes", is_flag=True, help="Allow everything that no rule denies.")
@json_option("the session's durable events, one")
def run_command(
    prompt: str | None,
    session: str | None,
    newest: bool,
    model: str | None,
    agent: str | None,
    location: str | None,
    db: str | None,
    allow: Sequence[Rule],
    yes: bool,
    as_json: bool,
) -> int:
    """Prompt a session, a new one or an earlier one, and show what it does.

    The prompt comes from standard input when PROMPT is "-", or left out and the input
    is no terminal.

    Exits with 0 when it succeeded, 1 when it failed, 2 for a wrong command line, 3
    when something must be answered first, 130 when it was interrupted.
    """
    if session is not None and newest:
        raise click.UsageError("--session and --continue exclude each other")
    if session is not None and location is not None:
        raise click.UsageError("a session keeps its location; leave out --location")
    options = RunOptions(
        Prompt.of(_read_prompt(prompt)),
        session,
        newest,
        model,
        agent,
        location,
        db,
        allow,
        yes,
        as_json,
    )
    return anyio.run(_Run(options, Terminal()).run)


def _read_prompt(given: str | None) -> str:
    if given is not None and given != "-":
        return given
    if sys.stdin is None or sys.stdin.isatty():
        raise click.UsageError("say what to do: give a PROMPT, or pipe one in")
    data = sys.stdin.buffer.read(MAX_INPUT)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"the prompt is not UTF-8 at byte {error.start}"
        ) from None


class _NoModel(Exception):
    """Nothing names a model."""


class _Run:
    """One run of the command."""

    def __init__(self, options: RunOptions, terminal: Terminal) -> None:
        self._options = options
        self._terminal = terminal
        self._person = Person(terminal)
        self._transcript = Transcript(
            terminal.style,
            # Only a terminal can tell reasoning apart from the answer.
            reasoning=terminal.interactive,
            watched=terminal.interactive,
            failures=False,
        )
        self._session: Session | None = None
        """Set while there is something to interrupt."""
        self._unanswered: PermissionRequest | None = None
        self._signalled = False
        self._asking: anyio.CancelScope | None = None

    async def run(self) -> int:
        """Return the exit code."""
        code = INTERRUPTED
        try:
            async with anyio.create_task_group() as tasks:
                await tasks.start(self._watch_signals, tasks.cancel_scope)
                code = await self._in_runtime()
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            error = _only(group)
            if isinstance(error, _NoModel):
                return self._tell_no_model()
            raise error from group
        return code

    async def _in_runtime(self) -> int:
        options = self._options
        async with open_runtime(
            database_url(options.db), on_permission="allow" if options.yes else "ask"
        ) as runtime:
            session = await self._find(runtime)
            location = await self._location(session)
            model, agent = options.model, options.agent
            elsewhere = False
            if session is not None:
                info = await session.info()
                model, agent = model or info.model, agent or info.agent
                elsewhere = info.status == "running"
            await self._check(runtime, location, model, agent)
            permissions = runtime.location(location).permissions
            if session is None:
                session = await runtime.sessions.create(
                    location=location,
                    model=options.model,
                    agent=options.agent,
                    title=title_of(options.prompt.text),
                )
                return await self._prompt(runtime, permissions, session, -1)
            if not await self._answer_left(permissions, session.id):
                return self._tell_unanswered(session)
            if options.model is not None:
                await session.switch_model(options.model)
            if options.agent is not None:
                await session.switch_agent(options.agent)
            if elsewhere:
                self._terminal.tell("another process works on it, or did until now")
            return await self._prompt(
                runtime, permissions, session, elsewhere=elsewhere
            )

    # --- before the prompt --------------------------------------------------------

    async def _find(self, runtime: Runtime) -> Session | None:
        if self._options.session is not None:
            return await runtime.sessions.get(self._options.session)
        if not self._options.newest:
            return None
        location = Location.at(self._options.location or ".")
        for info in await runtime.sessions.list(location=location, limit=1):
            return await runtime.sessions.get(info.id)
        raise click.UsageError(f"there is no session yet in {location.directory}")

    async def _location(self, session: Session | None) -> Location:
        if session is None:
            return Location.at(self._options.location or ".")
        return (await session.info()).location

    async def _check(
        self, runtime: Runtime, location: Location, model: str | None, agent: str | None
    ) -> None:
        """Refuse what cannot run, before anything of it is recorded."""
        configuration = await to_thread.run_sync(
            Configuration.load, location, os.environ
        )
        wanted = agent or configuration.agent or DEFAULT_AGENT
        profiles = {one.name: one for one in await runtime.location(location).agents()}
        if wanted not in profiles:
            offered = ", ".join(repr(name) for name in profiles)
            raise AgentNotFoundError(wanted, f"offered here: {offered}")
        if not (model or profiles[wanted].model or configuration.model):
            raise _NoModel

    def _tell_no_model(self) -> int:
        self._terminal.tell(
            "error: no model is configured; set OPENAI_API_KEY (and OPENAI_BASE_URL) "
            "or ANTHROPIC_API_KEY, and add --model provider/name [model.not_selected]\n"
            'or write model = "provider/name" in dovetail.toml, in the directory or in '
            "your configuration folder\n"
            "`dovetail demo` needs no model: it shows a session with a rehearsal of one"
        )
        return USAGE

    # --- the run ------------------------------------------------------------------

    async def _prompt(
        self,
        runtime: Runtime,
        permissions: PermissionsHandle,
        session: Session,
        after: int | None = None,
        *,
        elsewhere: bool = False,
    ) -> int:
        """Prompt and show what happens after a cursor: None is the prompt's own."""
        feed = Feed(runtime, session, elsewhere=elsewhere)
        try:
            receipt = await session.prompt(self._options.prompt)
            self._session = session
            self._transcript.known(receipt.id)
            feed.begin(receipt.cursor - 1 if after is None else after)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._follow, permissions, session, feed)
                outcome = await session.wait()
                self._session = None
                if self._asking is not None:
                    self._asking.cancel()
                feed.end()
        finally:
            feed.close()
        await self._show(self._transcript.break_line())
        return self._conclude(session, outcome)

    async def _follow(
        self, permissions: PermissionsHandle, session: Session, feed: Feed
    ) -> None:
        async for event in feed:
            await self._show_event(event)
            if isinstance(event, PermissionAsked):
                await self._answer_asked(permissions, session, event)

    async def _show_event(self, event: LiveEvent) -> None:
        if not self._options.as_json:
            await self._terminal.show(self._transcript.take(event))
        elif isinstance(event, Event):
            await self._terminal.show(json_line(event_to_json(event)))

    async def _show(self, text: str) -> None:
        if not self._options.as_json:
            await self._terminal.show(text)

    def _conclude(self, session: Session, outcome: Outcome) -> int:
        tell = self._terminal.tell
        go_on = visible(next_prompt_text(session.id, db=self._options.db))
        if self._unanswered is not None:
            return self._tell_unanswered(session)
        style = self._terminal.error_style
        reason = outcome.reason
        if outcome.status == "failed" and reason is not None:
            tell(f"{style.bad('error:')} {visible(reason.message)} [{reason.code}]")
        elif not outcome.succeeded:
            why = f": {visible(reason.message)}" if reason and reason.message else ""
            tell(f"{outcome.status}{why}")
        if not outcome.succeeded:
            tell(f"to go on: {go_on}")
        elif self._terminal.interactive:
            tell(style.dim(f"session {session.id}"))
        if self._signalled and not outcome.succeeded:
            # Interrupted before there was anything to record of it.
            return INTERRUPTED
        return code_of_outcome(outcome)

    def _tell_unanswered(self, session: Session) -> int:
        assert self._unanswered is not None
        first, *more = request_lines(self._unanswered)
        for line in (f"paused: this needs a permission: {first}", *more):
            self._terminal.tell(line)
        options = allow_options(self._unanswered)
        text = next_prompt_text(session.id, *options, db=self._options.db)
        self._terminal.tell(f"to allow it: {visible(text)}")
        return PAUSED

    # --- permissions --------------------------------------------------------------

    async def _answer_left(self, permissions: PermissionsHandle, id: str) -> bool:
        """Answer what an earlier process asked; say whether all of it was answered.

        A call that goes on waits for the request that it left, which is not asked
        again.
        """
        for request in await permissions.pending(id):
            if not await self._answer(permissions, request):
                return False
        return True

    async def _answer_asked(
        self, permissions: PermissionsHandle, session: Session, event: PermissionAsked
    ) -> None:
        for request in await permissions.pending(session.id):
            if (
                request.id == event.request_id
                and self._unanswered is None
                and not await self._answer(permissions, request)
            ):
                await session.interrupt("a permission is needed")

    async def _answer(
        self, permissions: PermissionsHandle, request: PermissionRequest
    ) -> bool:
        """Answer one request; False when there is nobody to answer it."""
        answer: Answer | None = None
        if allowed(request, self._options.allow):
            answer = Answer("once")
        elif self._person.there:
            await self._show(self._transcript.break_line())
            with anyio.CancelScope() as asking:
                self._asking = asking
                answer = await self._person.ask(request)
            self._asking = None
            if asking.cancelled_caught:
                # The run ended meanwhile, and the question with it.
                self._terminal.tell("")
                return True
        if answer is None:
            self._unanswered = request
            return False
        try:
            await permissions.reply(request.id, answer.reply, answer.advice)
        except PermissionNotFoundError:
            self._terminal.tell("  it was answered already")
        return True

    # --- signals ------------------------------------------------------------------

    async def _watch_signals(
        self,
        everything: anyio.CancelScope,
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                if self._signalled:
                    _end_at_once()
                self._signalled = True
                if self._session is None:
                    everything.cancel()
                    return
                self._terminal.tell("\ninterrupting; once more ends at once")
                if self._asking is not None:
                    self._asking.cancel()
                await self._session.interrupt()


def _end_at_once() -> NoReturn:
    # Nothing is lost by it: what was accepted is durable.
    os._exit(INTERRUPTED)


def title_of(text: str) -> str | None:
    """Return the title of a session that begins with this prompt."""
    return short(plain(first_line(text)), MAX_TITLE) or None


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error of a group: ours, where there are several."""
    leaves: list[BaseException] = []
    waiting: list[BaseException] = [group]
    while waiting:
        error = waiting.pop(0)
        if isinstance(error, BaseExceptionGroup):
            waiting += error.exceptions
        else:
            leaves.append(error)
    return next((one for one in leaves if isinstance(one, DovetailError)), leaves[0])
