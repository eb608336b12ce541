"""The runtime: the running whole, and the only place where the rooms meet.

Owns the order in which things open and close: plugins, store, log, coordinator,
Locations; and in reverse. Every other module receives its collaborators from here.
"""

import logging
import os
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Literal

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from .access.permissions import Answerer, Permissions, Policy
from .contracts import (
    AgentProfile,
    ContextSource,
    JobWork,
    ModelFacts,
    Place,
    Provider,
    SessionSource,
    SkillSource,
    Tap,
)
from .execution.coordinator import SHUTDOWN, Coordinator
from .execution.late_runner import LateRunner
from .execution.ownership import DEFAULT_LEASE_SECONDS, Owner
from .execution.settings import DEFAULT_BLOCKED_SECONDS, ExecutionSettings
from .jobs.keeper import Jobs, WhenClosing
from .lazy import Importing
from .lifecycle.clock import SystemClock
from .lifecycle.detached import DetachedTasks
from .lifecycle.guests import called, contain_tasks
from .lifecycle.location_map import LocationMap
from .lifecycle.process import name_of_process
from .lifecycle.registrations import Registrations
from .lifecycle.scope import Scope
from .lifecycle.secrecy import blot_out, conceal, reveal
from .log.commit import EventLog
from .log.live import LiveLines, LiveSubscription
from .log.tail import RuntimeTail
from .models.retry import RetryPolicy
from .plugins.beside import RuntimeScopes
from .plugins.budgets import HookLimits
from .plugins.loader import load_plugins
from .plugins.set import PluginSet
from .ports import Reader, SessionRow, Store
from .requests.asking import Requests
from .requests.questions import OnQuestion, Questions
from .sessions.children import Children
from .sessions.cleaning import Cleaning
from .sessions.sessions import Sessions
from .values.clock import Clock
from .values.errors import (
    InvalidValueError,
    RuntimeClosedError,
    StoreUnknownError,
)
from .values.ids import new_id
from .values.job import Job
from .values.location import Location
from .values.outputs import OutputPolicy

if TYPE_CHECKING:
    from .execution.runner import Runner
    from .location.handles import LocationHandle
    from .location.requests import RequestsHandle
    from .location.services import LocationServices
    from .models.credentials import SharedCredentials
    from .plugins.location_plugins import Changes, LocationPlugins

logger = logging.getLogger(__name__)

TAPE_VARIABLE = "DOVETAIL_TAPE"
"""The variable that says on which tape the traffic of providers is recorded."""

LAST_SECONDS = 1.0
"""How long what is left is waited for, when everything was closed and cancelled."""

JOB_SECONDS = 10.0
"""How long jobs that are ended with the runtime may take at least."""

OnPermission = Policy | Answerer
"""What becomes of an action that no rule decides: a person is asked, or it is allowed
or denied without asking, or a function of the application answers."""
Resume = Literal["report", "clean", "always"]
"""When a session whose process was lost goes on by itself: never, when nothing is in
doubt, or always."""

# The order of contributions: ours, then plugins in their order (see PluginSet.rank),
# then the configuration. Later ones hide earlier ones of the same name.
OURS, CONFIGURED = -1, 9


def open_runtime(
    url: str,
    *,
    plugins: Sequence[object] = (),
    load_entry_points: bool = True,
    allow_plugins: Collection[str] | None = None,
    deny_plugins: Collection[str] = (),
    on_permission: OnPermission = "ask",
    on_question: OnQuestion | None = None,
    request_seconds: float | None = None,
    resume: Resume = "report",
    lease_seconds: float = DEFAULT_LEASE_SECONDS,
    retry: RetryPolicy | None = None,
    stream_silence: float | None = None,
    blocked_seconds: float = DEFAULT_BLOCKED_SECONDS,
    location_idle_seconds: float | None = 3600,
    jobs_at_close: WhenClosing = "end",
    outputs: OutputPolicy | None = None,
    hook_limits: HookLimits | None = None,
    clock: Clock | None = None,
    environment: Mapping[str, str] | None = None,
    tape: Tap | None = None,
) -> "Runtime":
    """Open a runtime on a store: ``async with open_runtime(url) as runtime``.

    Arguments:
        url: which store: ``sqlite:///agents.db``, ``sqlite://`` (in memory), or
            whatever a plugin opens.
        plugins: plugin objects, which come after those that are found by entry point.
        load_entry_points: whether installed plugins are found by entry point at all.
        allow_plugins: the only installed plugins that are loaded, by name; None: all.
        deny_plugins: installed plugins that are not loaded, by name.
        on_permission: what happens where no rule decides: ``ask`` a person and wait,
            ``allow``, or ``deny``; or an async function, which is given each
            ``PermissionRequest`` once it is durable and returns ``once``, ``reject``,
            or None to leave it to a person. What it raises rejects.
        on_question: what happens when a call asks a person something: ``ask`` and wait,
            or ``dismiss``, which tells the model that nobody is there. None: wait where
            permissions wait.
        request_seconds: how long a request waits for a person, counted from when it was
            first asked, restarts included; then it counts as refused, and the model is
            told that nobody answered. None: as long as nobody answers.
        resume: what happens with work that an earlier process left. ``report`` leaves
            it until ``resume()`` or a new prompt, ``clean`` goes on at once where
            nothing is unknown and nothing moved, ``always`` goes on in any case,
            having recorded the Continuation Report. Neither goes on with what a person
            interrupted, unless more was admitted since (law recovery.11).
        lease_seconds: how long another process waits for a sign of life before it
            takes over a session, from 0.1 to 3600. Signs are given from a thread, three
            in that time. Nobody waits for a process that is known to have ended.
        retry: how failed requests are sent again.
        stream_silence: seconds without a sign after which an answer counts as broken
            off; None: as its provider says.
        blocked_seconds: seconds that plugin code may hold up the event loop. Until then
            its sessions stay with this process; after it, with the culprit logged,
            another process may take them over. Code that holds Python's interpreter
            lock, such as one long regular expression, holds up the signs of life
            themselves and has only ``lease_seconds``.
        location_idle_seconds: after how long without use a Location closes; None: with
            the runtime.
        jobs_at_close: what becomes of the jobs that run when the runtime closes.
            ``end`` ends those that it began and those of processes that are gone, and
            the model is told when its session goes on; ``leave`` lets them go on, to be
            looked after by the next runtime that opens their Location or session.
        outputs: which complete outputs of calls are cleaned up from time to time, by
            age and by size together; None: as the person's own file says, or else
            ``OutputPolicy()``.
        hook_limits: what plugins may cost before they are disabled.
        clock: where time comes from, for tests. The system's by default.
        environment: stands for ``os.environ``.
        tape: what the traffic of providers is recorded on, or played from: a ``Tape``
            of ``dovetail.kernel.testing``. None: as ``DOVETAIL_TAPE`` says, which is
            the path of one, with a mode in ``DOVETAIL_TAPE_MODE``, ``tap`` unless said.

    Leaving it interrupts what runs, settles it durably, and closes everything.

    Raises (on entering):
        StoreUnknownError: no plugin opens this kind of URL.
        StoreError: the store cannot be opened; see its subclasses.
        InvalidValueError: an option is none of the above.
    """
    for what, value, choices in (
        (
            "on_permission",
            "ask" if callable(on_permission) else on_permission,
            ("ask", "allow", "deny"),
        ),
        ("on_question", on_question, (None, "ask", "dismiss")),
        ("resume", resume, ("report", "clean", "always")),
        ("jobs_at_close", jobs_at_close, ("end", "leave")),
    ):
        if value not in choices:
            raise InvalidValueError(
                what, value, f"one of {', '.join(filter(None, choices))}"
            )
    if not 0.1 <= lease_seconds <= 3600:
        raise InvalidValueError("lease_seconds", lease_seconds, "from 0.1 to 3600")
    if request_seconds is not None and not 0 < request_seconds <= 10**9:
        raise InvalidValueError(
            "request_seconds", request_seconds, "more than 0 and at most 1e9, or None"
        )
    if not blocked_seconds > 0:
        raise InvalidValueError("blocked_seconds", blocked_seconds, "more than 0")
    if location_idle_seconds is not None and not location_idle_seconds >= 0:
        raise InvalidValueError(
            "location_idle_seconds", location_idle_seconds, "at least 0, or None"
        )
    environment = dict(os.environ if environment is None else environment)
    return Runtime(
        url,
        load_plugins(
            plugins,
            entry_points=load_entry_points,
            allow=allow_plugins,
            deny=deny_plugins,
            environment=environment,
            clock=clock,
        ),
        on_permission,
        on_question or ("dismiss" if on_permission in ("allow", "deny") else "ask"),
        request_seconds,
        resume,
        ExecutionSettings(
            lease_seconds, retry or RetryPolicy(), stream_silence, blocked_seconds
        ),
        clock or SystemClock(),
        environment,
        location_idle_seconds,
        jobs_at_close,
        outputs,
        hook_limits or HookLimits(),
        tape,
    )


class Runtime:
    """One store, one plugin set, many Locations and sessions. See ``open_runtime``."""

    def __init__(
        self,
        url: str,
        plugins: PluginSet,
        on_permission: OnPermission,
        on_question: OnQuestion,
        request_seconds: float | None,
        resume: Resume,
        settings: ExecutionSettings,
        clock: Clock,
        environment: Mapping[str, str],
        location_idle_seconds: float | None,
        jobs_at_close: WhenClosing,
        outputs: OutputPolicy | None,
        hook_limits: HookLimits,
        tape: Tap | None = None,
    ) -> None:
        self.plugins = plugins
        """What was found, what was loaded, and what is wrong with the rest."""
        self._url = url
        self._on_permission = on_permission
        self._on_question = on_question
        self._request_seconds = request_seconds
        self._resume = resume
        self._settings = settings
        self._clock = clock
        self._environment = environment
        self._location_idle_seconds = location_idle_seconds
        self._jobs_at_close: WhenClosing = jobs_at_close
        self._outputs = outputs
        self._hook_limits = hook_limits
        self._tape = tape
        self._changes: dict[Location, Changes] = {}
        self._shared_credentials: SharedCredentials = {}
        self._tasks: TaskGroup | None = None
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._tasks else "new"
        return f"<Runtime {state}>"

    @property
    def sessions(self) -> Sessions:
        """The sessions of the store."""
        self._check_open()
        return self._sessions

    def location(self, path: "str | os.PathLike[str] | Location") -> "LocationHandle":
        """Return a Location to look at and to answer questions of.

        Raises:
            LocationNotFoundError: there is no such directory.
        """
        # Here, because a listing opens none.
        from .location.handles import LocationHandle

        self._check_open()
        return LocationHandle(Location.at(path), self._locations.use)

    @property
    def requests(self) -> "RequestsHandle":
        """Everything that waits for a person, in all Locations of the store."""
        from .location.requests import RequestsHandle

        self._check_open()
        return RequestsHandle(
            self._log, self._requests, self._questions, self._locations.use
        )

    def live(self, *, session_id: str | None = None) -> LiveSubscription:
        """Return every event as it happens from now on, deltas included.

        Nothing of the past, and no promise to a reader that falls behind: it is
        dropped with ``live.overflow`` and reads on with ``session.events(after=...)``.
        """
        self._check_open()
        return self._log.live.subscribe(session_id=session_id)

    def live_lines(self, *, session_id: str | None = None) -> LiveLines:
        """Return the same as JSON, an event each, for whoever sends it on.

        An event is encoded once, for however many watch like this.
        """
        self._check_open()
        return self._log.live.subscribe_lines(session_id=session_id)

    def events(self, after: int | None = None, follow: bool = False) -> RuntimeTail:
        """Return the durable events of all sessions after a cursor, in commit order.

        Each comes once, with the cursor to go on after it; None means from the
        beginning. With ``follow`` it goes on with what is committed later, by whatever
        process, until it is closed or the runtime closes.

        Raises:
            CursorInvalidError: the cursor is not one that an event came with.
        """
        self._check_open()
        return RuntimeTail(self._log, after, follow=follow)

    def _check_open(self) -> None:
        if self._tasks is None or self._closed:
            raise RuntimeClosedError

    # --- opening and closing ------------------------------------------------------

    async def __aenter__(self) -> "Runtime":
        if self._tasks is not None:
            raise RuntimeClosedError
        await self._open_tape()
        self._opened_store = await called(self._store_manager, logger.warning)
        self._store = await self._opened_store.__aenter__()
        conceal()
        self._end_watch = self.plugins.watchdog.watch_loop()
        self._end_containing = contain_tasks()
        self._host = anyio.CancelScope()
        self._host.__enter__()
        self._detached = DetachedTasks("dovetail runtime", self._host.cancel)
        self._tasks = await self._detached.open()
        self._owner = new_id("own", self._clock)
        self._log = EventLog(self._store, self._clock, self._owner)
        self._requests = Requests(self._log, self._request_seconds)
        self._questions = Questions(self._log, self._requests, self._on_question)
        self._locations = LocationMap(
            self._tasks,
            self._open_location,
            clock=self._clock,
            idle_seconds=self._location_idle_seconds,
        )
        self._jobs = Jobs(
            self._log, self._tasks, self._job_work, self._wake, self._jobs_at_close
        )
        self._runner = LateRunner(self._make_runner)
        self._coordinator = Coordinator(self._tasks, self._runner.drain)
        self._children = Children(self._log, self._coordinator, self._runner)
        self._cleaning = Cleaning(self._log, self._output_policy)
        self._tasks.start_soon(self._cleaning.run)
        self._sessions = Sessions(
            self._log,
            self._coordinator,
            self._runner,
            self._jobs,
            self._children,
            self._cleaning,
        )
        self._beside = RuntimeScopes(self.plugins, self._tasks, self._hook_limits, self)
        try:
            await self._beside.open_given()
            if self._resume != "report":
                await self._wake_all()
        except BaseException as error:
            # What is half open is closed again, and the store with it.
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    def _make_runner(self) -> "Runner":
        self._check_open()
        with Importing():
            from .execution.runner import Runner

        assert self._tasks is not None
        runner = Runner(
            self._log,
            self._locations.use,
            Owner(self._owner, self._settings.lease_ms, name_of_process()),
            self._resume,
            self._settings,
            self.plugins.watchdog,
            self._tasks,
        )
        self._tasks.start_soon(runner.keep_leases)
        self._tasks.start_soon(runner.silence.watch)
        return runner

    async def _open_tape(self) -> None:
        if self._tape is None and self._environment.get(TAPE_VARIABLE):
            # Here, so that whoever records nothing does not import it.
            from .tape.tape import tape_of

            self._tape = await tape_of(self._environment)
        if self._tape is not None:
            self._tape.hide(self._environment)

    def _output_policy(self) -> OutputPolicy:
        if self._outputs is not None:
            return self._outputs
        from .configuration.merging import Configuration

        return Configuration.load(None, self._environment).outputs or OutputPolicy()

    async def _wake_all(self) -> None:
        for session_id in await self._log.read(_to_be_woken):
            self._coordinator.wake(session_id)
        await self._jobs.adopt()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            with anyio.CancelScope(shield=True):
                # First, and while the runtime is open: they use it.
                await self._beside.aclose()
                self._closed = True
                await self._close()
        finally:
            # The body's own error goes on as it is. Only what broke in the runtime
            # cancels its host, and is raised in the place of that.
            cancelled = self._host.__exit__(kind, error, traceback)
        broken = self._detached.error
        if broken is not None and (error is None or cancelled):
            raise broken

    async def _close(self) -> None:
        # What the store refuses now is not tried again: closing waits for nobody.
        self._log.patience.end()
        within = self._hook_limits.settle_seconds
        try:
            for session_id in await self._coordinator.aclose(within):
                logger.error(
                    "session %s did not stop within %g s: a tool or a provider "
                    "ignores being cancelled; it is left behind",
                    session_id,
                    within,
                )
            for job in await self._jobs.aclose(max(within, JOB_SECONDS)):
                logger.error("job %s did not end in time; it is left behind", job)
            if self._runner.made is not None:
                await self._runner.made.titling.aclose(within)
            await self._locations.aclose()
            await self._cleaning.aclose()
            if self._runner.made is not None:
                self._runner.made.close()
            self._log.close()
            if not await self._detached.aclose(LAST_SECONDS):
                logger.error("something of the runtime does not end; it is left")
        finally:
            reveal()
            self._end_watch()
            self._end_containing()
            await self._opened_store.__aexit__(None, None, None)

    def _store_manager(self) -> AbstractAsyncContextManager[Store]:
        kind = self._url.partition(":")[0]
        # The plugin that is called like the URL, before all are imported to be asked.
        found = self.plugins.ask(kind, "dovetail_open_store", url=self._url)
        if found is None:
            found = self.plugins.first("dovetail_open_store", url=self._url)
        if found is None:
            raise StoreUnknownError(
                f"{kind}:...", f"no plugin opens this kind of URL; {self._advice(kind)}"
            )
        manager: AbstractAsyncContextManager[Store] = found
        return manager

    def _advice(self, kind: str) -> str:
        """Return what to do where nothing opens a kind of store."""
        for each in self.plugins.states():
            if each.name == kind and each.state != "loaded":
                return f"the plugin {kind!r} is {each.state}: {each.error}"
        return "try sqlite:///FILE"

    # --- one Location -------------------------------------------------------------

    async def _open_location(
        self, location: Location, scope: Scope
    ) -> "LocationServices":
        # Here, because nobody opens one to list sessions, or to read them.
        with Importing():
            from .access.names import Ground
            from .configuration.merging import Configuration
            from .context.registry import ContextRegistry
            from .location.observers import Observers
            from .location.profiles import OWNER, agents_source, offered_by_files
            from .location.services import LocationServices
            from .location.shipped import SHIPPED
            from .models.catalog import ModelCatalog
            from .models.credentials import LocationCredentials
            from .plugins.files import opened_files
            from .skills.registry import SkillRegistry, skills_source
            from .tools.output import OutputLimits
            from .tools.registry import ToolRegistry

        Location.at(location.directory)
        assert self._tasks is not None
        self._tasks.start_soon(self._beside.open)
        configuration = await to_thread.run_sync(
            Configuration.load, location, self._environment
        )
        # A provider's table may name the variable that holds its key.
        blot_out(
            [
                value
                for table in configuration.providers.values()
                for value in table.values()
                if isinstance(value, str)
            ]
        )
        for notice in configuration.notices:
            logger.warning("%s", notice)
        agents = Registrations[AgentProfile]()
        providers = Registrations[Provider]()
        facts = Registrations[ModelFacts]()
        credentials = LocationCredentials(
            self._clock,
            self._shared_credentials,
            configuration.keys,
            configuration.keys_problem,
        )
        context = ContextRegistry(Registrations[ContextSource | SessionSource]())
        skills = SkillRegistry(Registrations[SkillSource]())

        services = LocationServices(
            location=location,
            scope=scope,
            configuration=configuration,
            tools=ToolRegistry(
                models=configuration.tool_models,
                limits={
                    name: OutputLimits(
                        lines=said.lines or OutputLimits().lines,
                        bytes=said.bytes or OutputLimits().bytes,
                    )
                    for name, said in configuration.tool_bounds.items()
                },
            ),
            providers=providers,
            catalog=ModelCatalog(providers, credentials.registrations, facts),
            facts=facts,
            credentials=credentials,
            context=context,
            skills=skills,
            agents=agents,
            plugin_rules=Registrations(),
            strategies=Registrations(),
            ground=Ground(location.directory, self._home()),
            questions=self._questions,
            jobs=self._jobs,
            children=self._children,
            make_plugins=self._plugins_of,
            make_permissions=self._permissions_of,
        )
        for profile in SHIPPED:
            agents.add("dovetail", profile.name, profile, OURS)
        source = skills_source(skills, services.skill_offers)
        context.register(source, "dovetail", OURS)
        context.register(agents_source(services), "dovetail", OURS)
        scope.defer(lambda: self._forget_unchanged(location))
        files = await scope.enter(
            opened_files(
                configuration.plugin_files,
                self.plugins,
                self._hook_limits.open_seconds,
            )
        )
        await scope.enter(services.plugins.running(services.registering(), files))
        scope.spawn(services.plugins.notices.record)
        of_files = await to_thread.run_sync(
            offered_by_files, services, self._environment, self._home()
        )
        services.agent_problems = of_files.problems
        for profile in of_files.profiles:
            agents.add(OWNER, profile.name, profile, CONFIGURED)
        for name in services.tools.configured():
            logger.warning(
                "%s: [tools] speaks of %r, and no such tool is here", location, name
            )
        for odd in of_files.odd:
            logger.warning("%s", odd)
        await scope.enter(Observers(services, self._log).running())
        await self._jobs.adopt(directory=location.directory)
        return services

    @asynccontextmanager
    async def _job_work(
        self, location: Location, job: Job
    ) -> AsyncIterator[JobWork | None]:
        """Keep a Location open for a job of it, and say how that is looked after."""
        async with self._locations.use(location) as services:
            if job.session is not None:
                yield self._children.work
            else:
                yield services.job_work(job.tool)

    def _wake(self, session_id: str) -> None:
        # What closes meanwhile has it in the inbox.
        with suppress(RuntimeClosedError):
            self._coordinator.wake(session_id)

    def _home(self) -> str | None:
        named = self._environment.get("HOME") or os.path.expanduser("~")
        return named if os.path.isabs(named) else None

    def _plugins_of(self, services: "LocationServices") -> "LocationPlugins":
        from .plugins.location_plugins import LocationPlugins

        assert self._tasks is not None
        configuration = services.configuration
        return LocationPlugins(
            self.plugins,
            Place(
                location=services.location,
                environment=MappingProxyType(self._environment),
                tape=self._tape,
                providers=configuration.providers,
                mcp=configuration.mcp,
                skill_folders=configuration.skill_folders,
                trusted=configuration.trusted_folders,
                effect=services.effect,
                now=self._clock.now,
            ),
            tables=configuration.plugins,
            credentials=services.credentials.seen_by,
            left_out=dict.fromkeys(
                configuration.disabled_plugins, "the configuration disables it"
            ),
            changes=self._changes.setdefault(services.location, {}),
            log=self._log,
            tasks=self._tasks,
            limits=self._hook_limits,
        )

    def _permissions_of(self, services: "LocationServices") -> Permissions:
        return Permissions(
            services.location,
            self._log,
            self._requests,
            services.rules,
            "ask" if callable(self._on_permission) else self._on_permission,
            services.decide,
            self._on_permission if callable(self._on_permission) else None,
            services.basis,
        )

    def _forget_unchanged(self, location: Location) -> None:
        if not self._changes.get(location):
            self._changes.pop(location, None)


def _to_be_woken(rows: Reader) -> Sequence[str]:
    """Return the sessions with work, but for those whose parent has some: it goes on
    with them when what was left of all of them is accepted. What a person interrupted
    stays so, unless more was admitted since (law recovery.11)."""
    found = rows.sessions_with_work()
    known = {one: rows.session(one) for one in found}
    return [
        one
        for one, row in known.items()
        if row is None or (row.parent not in known and not _is_stopped(rows, row))
    ]


def _is_stopped(rows: Reader, row: SessionRow) -> bool:
    by_person = row.outcome == "interrupted" and row.reason_message != SHUTDOWN
    return (
        by_person
        and row.status == "idle"
        and row.compaction_due <= row.ended_seq
        and not rows.has_pending_input(row.id, row.ended_seq)
    )
