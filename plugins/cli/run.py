"""The command ``run``: prompt a session, show what it does, and end as it ends.

Owns one run: which session and model, going on with what an earlier process left, what
signals do, and the exit code. Who answers what it asks is ``answering``.
"""

import json
import math
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, cast

import anyio
import click
from anyio import to_thread
from anyio.abc import TaskStatus
from attrs import evolve, frozen
from dovetail.kernel import (
    CONTINUATION_UNACCEPTED,
    Budget,
    ChildAsked,
    DovetailError,
    Failure,
    JobWanted,
    Json,
    Location,
    ModelNotSelectedError,
    ModelUnknownError,
    Outcome,
    Prompt,
    PromptFile,
    QuestionRequest,
    RequestAsked,
    Rule,
    Runtime,
    ServerUnreachableError,
    Session,
    SessionBusyError,
    title_of,
)

from ..console.advice import ADVICE
from ..console.continuing import (
    LeftWork,
    is_alive,
    left_work,
    report_lines,
    short_lines,
)
from ..console.exits import (
    INTERRUPTED,
    PAUSED,
    TIMED_OUT,
    USAGE,
    code_of_error,
    code_of_outcome,
    raised,
)
from ..console.feed import Feed
from ..console.first_use import first_model, is_attended
from ..console.last_used import last_used, note_used
from ..console.options import (
    database_option,
    go_on_text,
    next_prompt_text,
    opened,
    server_url,
    used_database,
)
from ..console.terminal import Terminal, tell_error, visible
from .answering import Answering
from .asking import Person, read_patterns
from .detach_key import KEY, detach_key, put_key_back
from .durations import DURATION
from .named import named_session
from .output import FORMATS, Format, Said
from .piped import is_piped, read_piped

MAX_INPUT = 2 * 1_048_576
"""Bytes read from standard input; a prompt may be half of it."""
LEASE_SECONDS = 3
"""How long the next process waits when this one is killed. A person waits for it."""
PATIENCE = 5.0
"""Seconds that a prompt waits to know whether an earlier process is still at work."""
MAX_OFFERED = 8
"""Models that are named to someone who has to choose one."""
OTHER_MODEL = ("model.unknown", "model.not_selected")
"""Reasons that stay as long as the model does."""
HINT_SECONDS = 5.0
HINT = f"{KEY} lets it go on in the background, and the model with it"
SLOW_SECONDS = 2.0
"""How long nothing is said while what plugins begin is waited for."""
WAITING = "waiting for what was detached; Ctrl-C ends it"
CUT = {
    "length": "the answer was cut off at the model's limit",
    "unknown": "the answer ended for a reason that is not known; it may be a part",
}
"""What is told of an answer that may not be whole, by why the model stopped."""
SAY_WHAT = "say what to do: give a PROMPT, or pipe one in"

KEYS = "set OPENAI_API_KEY (and OPENAI_BASE_URL) or ANTHROPIC_API_KEY"
"""What most have."""


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


@click.command("run", short_help="Prompt a session and show what it does")
@click.argument("prompt", required=False)
@click.option(
    "-s",
    "--session",
    metavar="ID",
    help="Go on with this session; the beginning of its id will do.",
)
@click.option(
    "-c",
    "--continue",
    "newest",
    is_flag=True,
    help="Go on with the session used last here.",
)
@click.option(
    "--fork",
    is_flag=True,
    help="Leave that session as it is, and go on with a fork of it.",
)
@click.option(
    "--accept",
    metavar="DIGEST",
    help="Go on from the Continuation Report of this digest, without a prompt.",
)
@click.option(
    "-m", "--model", metavar="M", help="provider/model, such as openai/gpt-5.2."
)
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
@click.option(
    "--yes",
    is_flag=True,
    help="Allow everything that no rule denies. A report is not accepted by it.",
)
@click.option(
    "-f",
    "--file",
    "files",
    metavar="PATH",
    type=click.Path(exists=True, dir_okay=False),
    multiple=True,
    help="Attach a file to the prompt, such as a text or a PDF. May be repeated.",
)
@click.option(
    "-i",
    "--image",
    "images",
    metavar="PATH",
    type=click.Path(exists=True, dir_okay=False),
    multiple=True,
    help="Attach an image; anything else is refused. May be repeated.",
)
@click.option(
    "--max-steps",
    metavar="N",
    type=click.IntRange(min=1),
    help="Pause the work that this prompt begins after so many Steps.",
)
@click.option(
    "--max-cost",
    metavar="USD",
    type=click.FloatRange(min=0),
    help="Pause it when it cost so much, by the prices that are known.",
)
@click.option(
    "--timeout",
    metavar="TIME",
    type=DURATION,
    help="Interrupt it after this time, such as 90s, 10m or 1h.",
)
@click.option(
    "--output-format",
    "format",
    type=click.Choice(FORMATS),
    help="text; json: one object at the end; stream-json: a line for everything that "
    "happens, and that object last. [default: text]",
)
@click.option(
    "--json", "as_json", is_flag=True, help="The same as --output-format json."
)
@click.option(
    "--schema",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="Have an answer that this JSON Schema admits: `output` of the JSON.",
)
def run_command(
    prompt: str | None,
    session: str | None,
    newest: bool,
    accept: str | None,
    model: str | None,
    agent: str | None,
    location: str | None,
    db: str | None,
    allow: Sequence[Rule],
    yes: bool,
    fork: bool,
    files: Sequence[str],
    images: Sequence[str],
    max_steps: int | None,
    max_cost: float | None,
    timeout: float | None,
    format: str | None,
    as_json: bool,
    schema: str | None,
) -> int:
    """Prompt a session, a new one or an earlier one, and show what it does.

    \b
    dovetail run "Fix the failing test" -m openai/gpt-5.2
    pytest 2>&1 | dovetail run "Explain this"
    dovetail run -c "Now add one for the empty list" --max-cost 0.50
    dovetail run "What is wrong here?" --image shot.png --timeout 2m
    dovetail run "List the modules" --json --yes | jq -r .text

    What the model says goes to standard output, everything else to standard error.

    The prompt comes from standard input when PROMPT is "-", or left out and the input
    is no terminal. What is piped in beside a PROMPT follows it.

    Without a prompt, --session and --continue go on with what was left: what waits,
    what was interrupted, and what a process left that was killed. Where something of
    that is not known or has changed since, a report says what, and it goes on once
    that was accepted: at the terminal, by --accept, or by a new prompt.

    Exits with 0 when it succeeded, 1 when it failed, 2 for a wrong command line, 3
    when it is paused: something must be answered first, or a limit was reached; 124
    when its time was up, 130 when it was interrupted.
    """
    if session is not None and newest:
        raise click.UsageError("--session and --continue exclude each other")
    if session is not None and location is not None:
        raise click.UsageError("a session keeps its location; leave out --location")
    if accept is not None and prompt is not None:
        raise click.UsageError("a prompt accepts what was left; leave out --accept")
    attached = bool(files or images)
    if accept is not None and attached:
        raise click.UsageError("--file and --image need a prompt; leave out --accept")
    earlier = session is not None or newest
    if accept is not None and not earlier:
        raise click.UsageError("--accept needs --session or --continue")
    if fork and not earlier:
        raise click.UsageError("--fork needs --session or --continue")
    if as_json and format not in (None, "json"):
        raise click.UsageError(
            f"--json and --output-format {format} exclude each other"
        )
    terminal = Terminal()
    text = None if accept is not None else _read_prompt(prompt, earlier, terminal)
    if text is None:
        for given, option in (
            (attached, "--file and --image need"),
            (fork, "--fork needs"),
            (max_steps is not None, "--max-steps needs"),
            (max_cost is not None, "--max-cost needs"),
            (schema is not None, "--schema needs"),
        ):
            if given:
                raise click.UsageError(f"{option} a prompt")
    said = Said(terminal, cast("Format", "json" if as_json else format or "text"))
    wanted = _read_schema(schema)
    try:
        prompted = None if text is None else _prompt_of(text, files, images)
    except DovetailError as error:
        said.failed(None, error, code_of_error(error))
        raise
    limited = max_steps is not None or max_cost is not None
    options = RunOptions(
        prompted,
        session,
        newest,
        accept,
        model,
        agent,
        location,
        db,
        allow,
        yes,
        said.format,
        fork,
        Budget(steps=max_steps, cost=max_cost) if limited else None,
        timeout,
        wanted,
    )
    run = _Run(options, terminal, said)
    code = anyio.run(run.run)
    if not run.lacks_model:
        return code
    # First use, and somebody is there to be asked.
    chosen = first_model()
    if chosen is None:
        return USAGE
    return anyio.run(_Run(evolve(options, model=chosen), terminal, said).run)


def _prompt_of(text: str, files: Sequence[str], images: Sequence[str]) -> Prompt:
    """Return the prompt with what is attached.

    Raises:
        PromptInvalidError: one of the files cannot be attached.
        UsageError: an image is none.
    """
    attached = [PromptFile.of(path) for path in files]
    for path in images:
        image = PromptFile.of(path)
        if not image.mime.startswith("image/"):
            raise click.UsageError(
                f"{visible(path)} is no image but {visible(image.mime)}; attach it "
                "with --file"
            )
        attached.append(image)
    return Prompt.of(Prompt(text, tuple(attached)))


def _read_schema(path: str | None) -> Json:
    if path is None:
        return None
    try:
        found: Json = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise click.UsageError(
            f"{visible(path)} cannot be read as JSON: {visible(str(error))}"
        ) from error
    if not isinstance(found, dict):
        raise click.UsageError(f"{visible(path)} is no JSON Schema: it is no object")
    return found


def _read_prompt(given: str | None, earlier: bool, terminal: Terminal) -> str | None:
    """Return the prompt; None when there is none and an earlier session to go on.

    What is piped in beside a prompt follows it, as a file to look at.
    """
    said = None if given in (None, "-") else _typed(given)
    wanted = said is None and not (earlier and given is None)
    piped = None
    if is_piped():
        piped = read_piped(MAX_INPUT, terminal, wanted=wanted)
    elif wanted:
        raise click.UsageError(SAY_WHAT)
    if wanted and not (piped or "").strip():
        raise click.UsageError(f"standard input is empty; {SAY_WHAT}")
    if said is None:
        return piped if wanted else piped or None
    return f"{said}\n\n{piped}" if piped and piped.strip() else said


def _typed(text: str) -> str:
    """Return what was typed, as UTF-8 whatever the locale thinks that it was."""
    try:
        text.encode()
    except UnicodeEncodeError:
        try:
            return os.fsencode(text).decode()
        except UnicodeDecodeError as error:
            raise click.UsageError(
                f"the prompt is not UTF-8 at byte {error.start}"
            ) from None
    return text


class _Run:
    """One run of the command."""

    def __init__(self, options: RunOptions, terminal: Terminal, said: Said) -> None:
        self._options = options
        self._terminal = terminal
        self._person = Person(terminal)
        self._said = said
        self._session: Session | None = None
        """Set while there is something to interrupt."""
        self._found: str | None = None
        """The earlier session that is gone on with."""
        self._begun: str | None = None
        """The session that was begun."""
        self._timed_out = False
        self._waited = 0.0
        """Seconds of the time that it has that are over before it begins."""
        self.lacks_model = False
        """Whether nothing was begun because there is no model, and a person is there
        who can be asked for one."""
        self._answering: Answering | None = None
        self._afar = server_url() is not None
        """Whether a server runs it: its Locations and jobs are not of this process."""
        self._signalled = False
        self._detaching: signal.Signals | None = None
        """What the key sends by which a person detaches what runs."""
        self._detached: set[tuple[str, str]] = set()
        """The calls, by message and id, that a person wants to go on by themselves."""
        """The jobs that a person detached here, and that may still run."""
        self._waiting: anyio.CancelScope | None = None

    async def run(self) -> int:
        """Return the exit code."""
        code = INTERRUPTED
        try:
            # What a server runs goes on without this process in any case.
            with nullcontext() if self._afar else detach_key() as self._detaching:
                async with anyio.create_task_group() as tasks:
                    await tasks.start(self._watch_signals, tasks.cancel_scope)
                    code = await self._in_runtime()
                    tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            error = raised(group)
            # What the model was saying is cut off in the middle of a line.
            await self._said.break_line()
            name = self._found or self._begun
            if isinstance(error, ServerUnreachableError) and name is not None:
                text = go_on_text(name, db=self._options.db)
                self._terminal.tell(f"the server may go on with it: {visible(text)}")
            if isinstance(error, DovetailError):
                self._said.failed(name, error, code_of_error(error))
            if isinstance(error, ModelNotSelectedError) and not self._found:
                return self._tell_no_model(error)
            if isinstance(error, ModelNotSelectedError | ModelUnknownError):
                return self._tell_other_model(error)
            raise error from group
        return code

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
            answering = self._answering = Answering(
                self._terminal,
                self._person,
                here,
                runtime.sessions,
                allow,
                everything=options.yes,
                break_line=self._said.break_line,
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

    def _tell_no_model(self, error: ModelNotSelectedError) -> int:
        asking = self._said.format == "text" and self._options.prompt is not None
        if asking and not self._afar and is_attended():
            self.lacks_model = True
            return USAGE
        style = self._terminal.error_style
        how = (
            f"add --model {_example(error.offered)}; "
            f"offered here: {', '.join(map(visible, error.offered[:MAX_OFFERED]))}"
            if error.offered
            else f"{KEYS}, and add --model provider/name"
        )
        self._terminal.tell(
            f"{style.bad('error:')} no model is configured; {how} [{error.code}]\n"
            'or write model = "provider/name" in dovetail.toml, in your configuration '
            "folder, or in the directory if you trust it; `dovetail setup` asks you\n"
            "`dovetail demo` needs no model: it shows a session with a rehearsal of one"
        )
        return USAGE

    def _tell_other_model(
        self, error: ModelNotSelectedError | ModelUnknownError
    ) -> int:
        """Tell that an earlier session needs another model, or a new one does."""
        tell_error(self._terminal, str(error), error.code)
        if self._found is not None:
            model = ("--model", _example(error.offered))
            text = self._go_on_text(self._found, *model)
            self._terminal.tell(f"to go on: {visible(text)}")
        elif not error.offered:
            self._terminal.tell(f"{KEYS}; `dovetail models` names the others")
        return USAGE

    def _go_on_text(self, session_id: str, *options: str) -> str:
        """Return what may be typed to do the same again, with more options."""
        said = self._options.prompt is not None
        go_on = next_prompt_text if said else go_on_text
        return go_on(session_id, *options, db=self._options.db)

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
            return self._tell_unanswered(session, answering)
        if options.model is not None:
            await session.switch_model(options.model)
        if options.agent is not None:
            await session.switch_agent(options.agent)
        left = None if alive else await left_work(session, await session.info())
        if left is not None:
            self._said.recall(left.cut, left.pending)
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
            self._waited = anyio.current_time() - began
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
            self._said.recall(None, pending)
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
                    self._tell_acceptable(session, left.report.digest)
                    return PAUSED
                accept = left.report.digest
        feed = Feed(runtime, session)
        with closing(feed):
            await feed.start()
            feed.begin(await _end_of(session))
            resume = partial(session.resume, accept)
            return await self._watch(answering, session, feed, resume)

    def _tell_acceptable(self, session: Session, digest: str) -> None:
        # As it was asked for: who allowed everything means it still.
        options = ("--accept", digest, *(["--yes"] if self._options.yes else []))
        text = go_on_text(session.id, *options, db=self._options.db)
        self._terminal.tell(f"to accept it and go on: {visible(text)}")

    # --- the run ------------------------------------------------------------------

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
            self._said.known(receipt.id)
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
        self._session = session
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._follow, answering, session, feed)
            beside = anyio.CancelScope()
            tasks.start_soon(self._beside, session, beside)
            outcome = await self._with_detached(session, await work())
            self._session = None
            answering.stop()
            feed.end()
            beside.cancel()
        await self._said.break_line()
        if answering.unanswered is not None:
            return self._tell_unanswered(session, answering)
        return await self._conclude(session, outcome)

    async def _follow(self, answering: Answering, session: Session, feed: Feed) -> None:
        async for event in feed:
            await self._said.take(event)
            if isinstance(event, JobWanted) and not self._afar:
                # From another door: what goes on ends with this process all the same.
                self._detached.add((event.message_id, event.call_id))
            if isinstance(event, RequestAsked | ChildAsked):
                self._said.spinner.hold()
                try:
                    await answering.take(session, event)
                finally:
                    self._said.spinner.release()

    async def _with_detached(self, session: Session, outcome: Outcome) -> Outcome:
        """Wait for what the person detached, which ends with this process; return how
        the work ended that the ends of it began."""
        told = False
        while self._detached and outcome.succeeded and not self._signalled:
            left = [
                one.id
                for one in await session.jobs()
                if one.running and (one.message_id, one.call_id) in self._detached
            ]
            if not left:
                break
            # Before anybody reads that it can be cancelled.
            waiting = self._waiting = anyio.CancelScope()
            if not told:
                told = True
                await self._said.hint(WAITING)
            with waiting:
                await session.wait_for_job(left[0])
                outcome = await session.wait()
        return outcome

    async def _beside(self, session: Session, scope: anyio.CancelScope) -> None:
        """Do what is done while the work goes on, until it ends."""
        with scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._hint, session)
                tasks.start_soon(self._end_in_time, session)
                if self._options.format == "text":
                    tasks.start_soon(self._said.spinner.run)

    async def _hint(self, session: Session) -> None:
        """Say once, where a command takes its time, that it need not be waited for."""
        if self._detaching is None or self._options.format != "text":
            return
        seen: Sequence[tuple[str, str]] = ()
        while not (slow := set(seen).intersection(session.detachable())):
            seen = session.detachable()
            await anyio.sleep(HINT_SECONDS)
        assert slow
        await self._said.hint(HINT)

    async def _end_in_time(self, session: Session) -> None:
        """Interrupt the work when its time is up."""
        seconds = self._options.timeout
        if seconds is None:
            return
        await anyio.sleep(max(0.0, seconds - self._waited))
        self._timed_out = True
        if self._answering is not None:
            self._answering.stop()
        if self._waiting is not None:
            self._waiting.cancel()
        await session.interrupt(f"--timeout {seconds:g}s")

    async def _conclude(self, session: Session, outcome: Outcome) -> int:
        tell = self._terminal.tell
        style = self._terminal.error_style
        reason = outcome.reason
        code = code_of_outcome(outcome)
        if self._signalled and not outcome.succeeded:
            # Interrupted before there was anything to record of it.
            code = INTERRUPTED
        elif self._timed_out and not outcome.succeeded:
            code = TIMED_OUT
        if reason is not None and reason.code == CONTINUATION_UNACCEPTED:
            tell(f"paused: {visible(reason.message)}")
            self._tell_acceptable(session, (await session.continuation()).digest)
            self._said.paused(session.id, outcome, PAUSED)
            return PAUSED
        if outcome.status == "failed" and reason is not None:
            tell(f"{style.bad('error:')} {visible(reason.message)} [{reason.code}]")
            if reason.code in ADVICE and not self._afar:
                tell(ADVICE[reason.code])
        elif not outcome.succeeded:
            why = f": {visible(reason.message)}" if reason and reason.message else ""
            tell(f"{outcome.status}{why}")
        if outcome.succeeded and outcome.finish in CUT:
            tell(CUT[outcome.finish])
        if self._timed_out and not outcome.succeeded:
            tell("its time is up")
        if not outcome.succeeded:
            options: tuple[str, ...] = ()
            if reason is not None and reason.code in OTHER_MODEL:
                # The same again would fail the same way.
                options = ("--model", "provider/name")
            go_on = next_prompt_text(session.id, *options, db=self._options.db)
            tell(f"to go on: {visible(go_on)}")
        self._said.end(session.id, outcome, code)
        return code

    def _tell_unanswered(self, session: Session, answering: Answering) -> int:
        what = (
            "an answer"
            if isinstance(answering.unanswered, QuestionRequest)
            else ("a permission")
        )
        reason = Failure("request.unanswered", f"this needs {what}")
        self._said.paused(session.id, Outcome("paused", reason), PAUSED)
        lines, options = answering.unanswered_lines()
        for line in lines:
            self._terminal.tell(line)
        if options:
            text = self._go_on_text(session.id, *options)
            self._terminal.tell(f"to allow it: {visible(text)}")
        else:
            text = go_on_text(session.id, db=self._options.db)
            self._terminal.tell(f"to be asked at a terminal: {visible(text)}")
        return PAUSED

    # --- signals ------------------------------------------------------------------

    async def _watch_signals(
        self,
        everything: anyio.CancelScope,
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        wanted = [signal.SIGINT, signal.SIGTERM]
        if self._detaching is not None:
            wanted.append(self._detaching)
        async with anyio.create_task_group() as tasks:
            with anyio.open_signal_receiver(*wanted) as signals:
                task_status.started()
                async for number in signals:
                    if number == self._detaching:
                        # Beside: a tool that takes its time must not hold up Ctrl-C.
                        tasks.start_soon(self._detach)
                    elif await self._interrupt(everything):
                        return

    async def _interrupt(self, everything: anyio.CancelScope) -> bool:
        """Interrupt the run; True when there is nothing of it to wait for."""
        if self._signalled:
            _end_at_once()
        self._signalled = True
        if self._session is None:
            everything.cancel()
            return True
        self._terminal.tell("\ninterrupting; once more ends at once")
        if self._answering is not None:
            self._answering.stop()
        if self._waiting is not None:
            self._waiting.cancel()
        await self._session.interrupt()
        return False

    async def _detach(self) -> None:
        """Let what runs go on as jobs, where it can."""
        session = self._session
        running = session.detachable() if session is not None else ()
        if session is None or not running:
            self._terminal.tell("\nnothing runs that could go on by itself")
            return
        for message_id, call_id in running:
            try:
                await session.detach(message_id, call_id)
            except DovetailError as error:
                self._terminal.tell(f"\n{visible(str(error))}")
            else:
                self._detached.add((message_id, call_id))


def _end_at_once() -> NoReturn:
    # Nothing is lost by it: what was accepted is durable.
    put_key_back()
    os._exit(INTERRUPTED)


async def _end_of(session: Session) -> int:
    """Return the position of the last event."""
    newest = (await session.messages(limit=1)).items
    async with session.events(newest[0].seq if newest else None) as tail:
        async for _ in tail:
            pass
        return tail.cursor


def _example(offered: Sequence[str]) -> str:
    """Return a model to show how one is named: one that can be asked, if there is."""
    known = [name for name in offered if not name.endswith("/...")]
    return visible(known[0]) if known else "provider/name"
