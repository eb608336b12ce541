"""A run: one session, prompted or gone on with, and shown until the work is done.

Owns the order of it: which session and model, what is refused before anything is
recorded, what an earlier process left, the prompt, and what is shown meanwhile. What
stops it early is ``stopping``, who answers what it asks is ``answering``, and what is
told at its end is ``conclusion``.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import anyio
import click
from anyio import to_thread
from attrs import frozen
from dovetail.kernel import (
    Budget,
    ChildAsked,
    DovetailError,
    JobWanted,
    Json,
    Location,
    ModelNotSelectedError,
    ModelUnknownError,
    Outcome,
    Prompt,
    RequestAsked,
    Rule,
    Runtime,
    ServerUnreachableError,
    Session,
    SessionBusyError,
    title_of,
)

from ..console.continuing import (
    LeftWork,
    is_alive,
    left_work,
    report_lines,
    short_lines,
)
from ..console.exits import INTERRUPTED, PAUSED, USAGE, code_of_error, foremost
from ..console.feed import Feed
from ..console.first_use import is_attended
from ..console.last_used import last_used, note_used
from ..console.options import opened, server_url, used_database
from ..console.terminal import Terminal, visible
from .answering import Answering
from .asking import Person
from .conclusion import Conclusion
from .named import named_session
from .output import Format, RunOutput
from .stopping import Stopping

LEASE_SECONDS = 3
"""How long the next process waits when this one is killed. A person waits for it."""
PATIENCE = 5.0
"""Seconds that a prompt waits to know whether an earlier process is still at work."""
SLOW_SECONDS = 2.0
"""How long nothing is said while what plugins begin is waited for."""
SAY_WHAT = "say what to do: give a PROMPT, or pipe one in"


@frozen
class RunOptions:
    """What the command line says."""

    prompt: Prompt | None
    """None goes on with what is left of the session."""
    session: str | None
    newest: bool
    accept: str | None
    model: str | None
    agent: str | None
    location: str | None
    db: str | None
    allow: Sequence[Rule]
    yes: bool
    format: Format
    fork: bool
    budget: Budget | None
    timeout: float | None
    schema: Json


class Run:
    """One run of the command."""

    def __init__(
        self, options: RunOptions, terminal: Terminal, output: RunOutput
    ) -> None:
        self._options = options
        self._terminal = terminal
        self._person = Person(terminal)
        self._output = output
        self._found: str | None = None
        """The earlier session that is gone on with."""
        self._begun: str | None = None
        """The session that was begun."""
        self.lacks_model = False
        """Whether nothing was begun because there is no model, and a person is there
        who can be asked for one."""
        self._afar = server_url() is not None
        """Whether a server runs it: its Locations and jobs are not of this process."""
        self._stopping = Stopping(terminal, options.timeout, output.hint)
        self._conclusion = Conclusion(
            terminal,
            output,
            db=options.db,
            prompted=options.prompt is not None,
            allows=options.yes,
            afar=self._afar,
        )

    async def run(self) -> int:
        """Return the exit code."""
        code = INTERRUPTED
        try:
            with self._stopping.detachable(afar=self._afar):
                async with anyio.create_task_group() as tasks:
                    await tasks.start(self._stopping.watch, tasks.cancel_scope)
                    code = await self._in_runtime()
                    tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            error = foremost(group)
            # What the model was saying is cut off in the middle of a line.
            await self._output.break_line()
            name = self._found or self._begun
            if isinstance(error, ServerUnreachableError) and name is not None:
                self._conclusion.unreachable(name)
            if isinstance(error, DovetailError):
                self._output.failed(name, error, code_of_error(error))
            if isinstance(error, ModelNotSelectedError) and not self._found:
                return self._without_model(error)
            if isinstance(error, ModelNotSelectedError | ModelUnknownError):
                return self._conclusion.other_model(error, self._found)
            raise error from group
        return code

    def _without_model(self, error: ModelNotSelectedError) -> int:
        asking = self._output.format == "text" and self._options.prompt is not None
        if asking and not self._afar and is_attended():
            self.lacks_model = True
            return USAGE
        return self._conclusion.no_model(error)

    async def _in_runtime(self) -> int:
        options = self._options
        async with opened(
            options.db,
            new=not (options.session or options.newest),
            on_permission="allow" if options.yes else "ask",
            on_question="ask" if self._person.there or not options.yes else "dismiss",
            lease_seconds=LEASE_SECONDS,
        ) as runtime:
            session = await self._find(runtime)
            location = await self._location(runtime, session)
            model, agent = options.model, options.agent
            if session is not None:
                self._found = session.id
                info = await session.info()
                model, agent = model or info.model, agent or info.agent
            # Refuse what cannot run, before anything of it is recorded.
            await runtime.location(location).model_for(model, agent)
            here = runtime.location(location)
            allow: Sequence[Rule] = ()
            if options.allow:
                allow, odd = await here.permissions.meaning(options.allow)
                for line in odd:
                    self._terminal.tell(f"warning: {visible(line)}")
            answering = self._stopping.answering = Answering(
                self._terminal,
                self._person,
                here,
                runtime.sessions,
                allow,
                everything=options.yes,
                break_line=self._output.break_line,
            )
            if session is not None:
                return await self._again(runtime, answering, session)
            assert options.prompt is not None
            # Before anything of it is recorded, too.
            said = await here.prompt(options.prompt)
            await self._get_ready(here)
            session = await runtime.sessions.create(
                location=location,
                model=options.model,
                agent=options.agent,
                title=title_of(options.prompt.text),
            )
            self._begun = session.id
            return await self._prompt(runtime, answering, session, said, -1)

    # --- before the prompt --------------------------------------------------------

    async def _find(self, runtime: Runtime) -> Session | None:
        session = await self._earlier(runtime)
        if session is None or not self._options.fork:
            return session
        return await session.fork()

    async def _earlier(self, runtime: Runtime) -> Session | None:
        if self._options.session is not None:
            named: Session = await named_session(runtime, self._options.session)
            return named
        if not self._options.newest:
            return None
        location = await self._named(runtime)
        info = await last_used(runtime, location, used_database(self._options.db))
        if info is not None:
            used: Session = await runtime.sessions.get(info.id)
            return used
        raise click.UsageError(
            f"there is no session yet in {visible(location.directory)}"
        )

    async def _location(self, runtime: Runtime, session: Session | None) -> Location:
        if session is None:
            return await self._named(runtime)
        return (await session.info()).location

    async def _named(self, runtime: Any) -> Location:
        """Return the Location that the command line means: a server has its own."""
        place = self._options.location
        if not self._afar:
            return Location.at(place or ".")
        found: Location = await runtime.location(place).where()
        return found

    # --- an earlier session -------------------------------------------------------

    async def _again(
        self, runtime: Runtime, answering: Answering, session: Session
    ) -> int:
        """Go on with an earlier session, by a prompt or with what is left of it."""
        options = self._options
        patience = PATIENCE if options.prompt is not None else math.inf
        alive = await is_alive(session, self._tell_waiting, patience)
        if alive and options.prompt is None:
            raise SessionBusyError(session.id)
        answerable = (
            await answering.left(session) if alive else await answering.can(session)
        )
        if not answerable:
            return self._conclusion.unanswered(session, answering)
        if options.model is not None:
            await session.switch_model(options.model)
        if options.agent is not None:
            await session.switch_agent(options.agent)
        left = None if alive else await left_work(session, await session.info())
        if left is not None:
            self._output.recall(left.cut, left.pending)
        if options.prompt is None:
            return await self._go_on(runtime, answering, session, left)
        if left is not None:
            for line in short_lines(left, self._terminal.error_style):
                self._terminal.tell(line)
        here = runtime.location((await session.info()).location)
        said = await here.prompt(options.prompt)
        await self._get_ready(here)
        return await self._prompt(runtime, answering, session, said, elsewhere=alive)

    async def _note_used(self, session: Session) -> None:
        directory = (await session.info()).location.directory
        db = used_database(self._options.db)
        await to_thread.run_sync(note_used, directory, db, session.id)

    async def _get_ready(self, here: Any) -> None:
        """Wait for what is begun on first need: nobody says a second thing, so what
        comes after the first Step may come too late."""
        lines: Sequence[str] = ()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._tell_slow_start)
            # Its time is up also for what it waits for.
            began = anyio.current_time()
            with anyio.move_on_after(self._options.timeout):
                lines = await here.ready()
            self._stopping.waited = anyio.current_time() - began
            tasks.cancel_scope.cancel()
        for line in lines:
            self._terminal.tell(f"warning: {visible(line)}")

    async def _tell_slow_start(self) -> None:
        await anyio.sleep(SLOW_SECONDS)
        self._terminal.tell("waiting for what plugins begin here; Ctrl-C ends it")

    def _tell_waiting(self, seconds: int) -> None:
        self._terminal.tell(
            "another process works on it, or did until now; finding out takes "
            f"{seconds} s at most"
        )

    async def _go_on(
        self,
        runtime: Runtime,
        answering: Answering,
        session: Session,
        left: LeftWork | None,
    ) -> int:
        accept = self._options.accept
        if left is None:
            pending = await session.pending()
            ended = (await session.info()).outcome.status
            if not pending and ended in ("succeeded", "idle"):
                raise click.UsageError(f"nothing is left of {session.id}; {SAY_WHAT}")
            self._output.recall(None, pending)
        else:
            for line in report_lines(left, self._terminal.error_style):
                self._terminal.tell(line)
            unaccepted = accept is None and not left.report.clean
            if unaccepted and self._options.yes and not self._person.there:
                self._terminal.tell(
                    "--yes answers permission requests; this report is accepted by "
                    "its digest only"
                )
            if unaccepted and self._person.there:
                if not await self._person.confirm("accept this and go on"):
                    self._conclusion.acceptable(session.id, left.report.digest)
                    return PAUSED
                accept = left.report.digest
        feed = Feed(runtime, session)
        with closing(feed):
            await feed.start()
            feed.begin(await _end_of(session))
            resume = partial(session.resume, accept)
            return await self._watch(answering, session, feed, resume)

    # --- the work -----------------------------------------------------------------

    async def _prompt(
        self,
        runtime: Runtime,
        answering: Answering,
        session: Session,
        said: Prompt,
        after: int | None = None,
        *,
        elsewhere: bool = False,
    ) -> int:
        """Prompt and show what happens after a cursor: None is the prompt's own."""
        feed = Feed(runtime, session, elsewhere=elsewhere)
        with closing(feed):
            await feed.start()
            receipt = await session.prompt(
                said,
                budget=self._options.budget,
                output=self._options.schema,
            )
            self._output.known(receipt.id)
            await self._note_used(session)
            feed.begin(receipt.cursor - 1 if after is None else after)
            return await self._watch(answering, session, feed, session.wait)

    async def _watch(
        self,
        answering: Answering,
        session: Session,
        feed: Feed,
        work: Callable[[], Awaitable[Outcome]],
    ) -> int:
        """Show what happens until the work is done, and conclude."""
        self._stopping.session = session
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._follow, answering, session, feed)
            beside = anyio.CancelScope()
            tasks.start_soon(self._beside, session, beside)
            outcome = await self._stopping.with_detached(session, await work())
            self._stopping.session = None
            answering.stop()
            feed.end()
            beside.cancel()
        await self._output.break_line()
        if answering.unanswered is not None:
            return self._conclusion.unanswered(session, answering)
        return await self._conclusion.ended(
            session,
            outcome,
            interrupted=self._stopping.interrupted,
            timed_out=self._stopping.timed_out,
        )

    async def _follow(self, answering: Answering, session: Session, feed: Feed) -> None:
        async for event in feed:
            await self._output.take(event)
            if isinstance(event, JobWanted) and not self._afar:
                # From another door: what goes on ends with this process all the same.
                self._stopping.detached(event.message_id, event.call_id)
            if isinstance(event, RequestAsked | ChildAsked):
                self._output.spinner.hold()
                try:
                    await answering.take(session, event)
                finally:
                    self._output.spinner.release()

    async def _beside(self, session: Session, scope: anyio.CancelScope) -> None:
        """Do what is done while the work goes on, until it ends."""
        with scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._stopping.end_in_time, session)
                if self._options.format == "text":
                    tasks.start_soon(self._stopping.hint, session)
                    tasks.start_soon(self._output.spinner.run)


async def _end_of(session: Session) -> int:
    """Return the position of the last event."""
    newest = (await session.messages(limit=1)).items
    async with session.events(newest[0].seq if newest else None) as tail:
        async for _ in tail:
            pass
        return tail.cursor
