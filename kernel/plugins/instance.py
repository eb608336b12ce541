"""Plugin scopes: the plugins of one Location, each in a scope of its own.

Owns which plugins are open there, what each contributed, what each still may cost, and
how one is added, replaced and removed while sessions run. Knows nothing of what the
contributions are: ``services`` says what takes them. Neighbours: ``plugin_set`` below
calls a hook, ``observers`` and ``step`` above say when.

A plugin that cannot be used is left out, and everything else goes on (law plugins.1).
The one exception are guards: what a plugin guards and cannot decide does not happen
(law plugins.6). See ``LocationPlugins.calling``.
"""

import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from copy import deepcopy
from typing import Any, Literal

import anyio
from anyio.abc import TaskGroup
from attrs import define, evolve, field

from ..contracts import Place, ProviderProtocol
from ..lifecycle.guests import Guest
from ..lifecycle.registrations import Rank, Registration
from ..lifecycle.scope import Scope
from ..log.bell import Bell
from ..log.commit import EventLog
from ..models.protocols import spoken
from ..values.errors import (
    ConflictError,
    DovetailError,
    EventLogError,
    PluginError,
    PluginNotFoundError,
    RuntimeClosedError,
    StoreError,
    error_text,
    first_of,
)
from ..values.events import PluginDisabled
from ..values.frozen import frozen
from ..values.ids import SessionId
from ..values.tool import Failure, Json
from .budgets import HookLimits, Spending
from .object import Plugin, name_of, nearest, ranks
from .set import PluginSet
from .settings import settings_of

logger = logging.getLogger(__name__)

OPEN = "dovetail_open_location"
PROTOCOLS = "dovetail_register_protocols"

Add = Callable[[Any, str, Rank], Registration[Any]]
"""``add(item, owner, rank)``."""

InstanceState = Literal["open", "failed", "disabled", "left out"]


@frozen
class LocationPlugin:
    """What is known of one plugin in one Location."""

    name: str
    """What it is called."""
    origin: str
    """Where it comes from: a distribution, an object given in code, or a file."""
    version: str | None
    """The version of its distribution, if it has one."""
    state: InstanceState
    """``open``; ``failed``: it could not be opened, or its background task broke;
    ``disabled``: its hooks failed or lingered too often; ``left out``: by the
    configuration."""
    error: str | None = None
    """Why it is not open."""
    hooks: tuple[str, ...] = ()
    """The hooks that it implements."""
    contributions: tuple[str, ...] = ()
    """What it offers here, such as ``tool read``, in order. What is hidden by another
    plugin counts too."""
    errors: int = 0
    """What went wrong with it here since the Location opened."""
    last_error: str | None = None
    """The latest of its errors, in one text."""
    seconds: float = field(default=0.0, eq=False)
    """How long its hook calls here took together."""
    last_blocking: str | None = field(default=None, eq=False)
    """See ``PluginState.last_blocking``."""


@define(eq=False)
class PluginInstance:
    """One plugin in one Location."""

    plugin: Plugin
    place: Place
    rank: Rank
    state: InstanceState = "open"
    error: str | None = None
    scope: Scope | None = None
    registrations: list[tuple[str, Registration[Any]]] = field(factory=list)
    withdrawn: list[Registration[Any]] = field(factory=list)
    """What it offered before and may still be at work."""
    spending: dict[str, Spending] = field(factory=dict)
    errors: int = 0
    last_error: str | None = None
    seconds: float = 0.0
    closing: bool = False

    @property
    def name(self) -> str:
        return self.plugin.name

    def shown(self) -> LocationPlugin:
        return LocationPlugin(
            name=self.name,
            origin=self.plugin.origin,
            version=self.plugin.version,
            state=self.state,
            error=self.error,
            hooks=tuple(sorted(self.plugin.hooks)),
            contributions=tuple(
                f"{_noun(hook)} {one.key}" for hook, one in self.registrations
            ),
            errors=self.errors,
            last_error=self.last_error,
            seconds=self.seconds,
            last_blocking=self.plugin.last_blocking,
        )


Changes = dict[str, Plugin | None]
"""What was added or replaced (a plugin) or removed (None) in a Location, by name. It
outlives the opening of the Location."""


class LocationPlugins:
    """The plugins of one Location, in plugin order."""

    def __init__(
        self,
        plugins: PluginSet,
        place: Place,
        *,
        tables: Mapping[str, Mapping[str, Json]],
        left_out: Mapping[str, str],
        changes: Changes,
        log: EventLog,
        tasks: TaskGroup,
        limits: HookLimits,
    ) -> None:
        self._set = plugins
        self._place = place
        self._tables = tables
        self._left_out = left_out
        self._changes = changes
        self._log = log
        self._tasks = tasks
        self._limits = limits
        self._registering: Sequence[tuple[str, Add]] = ()
        self._instances: dict[str, PluginInstance] = {}
        self._locks: dict[str, anyio.Lock] = {}
        self._calling: dict[str, tuple[PluginInstance, ...]] = {}
        self._sessions: Counter[SessionId] = Counter()
        self._notices: deque[PluginDisabled] = deque()
        self._bell = Bell()
        self._closed = False

    def __repr__(self) -> str:
        return f"<LocationPlugins {len(self._instances)} at {self._directory!r}>"

    @property
    def _directory(self) -> str:
        return self._place.location.directory

    # --- the life of the Location -------------------------------------------------

    @asynccontextmanager
    async def running(
        self,
        registering: Sequence[tuple[str, Add]],
        files: Sequence[Plugin] = (),
    ) -> AsyncIterator[None]:
        """Open every plugin, in order; on leaving close them, the last first.

        ``registering`` names each registering hook with what takes its items,
        ``files`` are plugins of this Location alone.
        """
        self._registering = registering
        wanted = {each.name: each for each in (*self._set.plugins(), *files)}
        for name, changed in self._changes.items():
            wanted.pop(name, None)
            if changed is not None:
                wanted[name] = changed
        order = ranks(list(wanted.values()))
        self._speak([wanted[name] for name in order if name not in self._left_out])
        try:
            for name, rank in order.items():
                instance = PluginInstance(wanted[name], self._place, rank)
                self._instances[name] = instance
                if name in self._left_out:
                    self._shut(instance, "left out", self._left_out[name])
                elif instance.plugin.state != "loaded":
                    problem = self._problem(instance, str(instance.plugin.error))
                    self._shut(instance, "failed", str(problem))
                else:
                    await self._open_leniently(instance)
            yield
        finally:
            self._closed = True
            with anyio.CancelScope(shield=True):
                await self._close_all()

    def _speak(self, plugins: Sequence[Plugin]) -> None:
        """Decide which protocol each configured provider speaks."""
        said: list[ProviderProtocol] = []
        for plugin in plugins:
            if PROTOCOLS not in plugin.hooks or plugin.state != "loaded":
                continue

            def register(item: Any, plugin: Plugin = plugin) -> None:
                if isinstance(item, ProviderProtocol):
                    said.append(item)
                    return
                problem = f"it registered a {type(item).__name__} as a protocol"
                where = self._directory
                self._set.record(
                    PluginError(plugin.name, problem, hook=PROTOCOLS, location=where),
                    plugin,
                )

            try:
                self._set.call(plugin, PROTOCOLS, register=register)
            except PluginError as error:
                # It is recorded; what was said before it counts.
                logger.warning("%s", error)
        protocols, problems = spoken(said, self._place.providers)
        self._place = evolve(self._place, protocols=protocols)
        for problem in problems:
            logger.warning("at %s: %s", self._directory, problem)

    async def _close_all(self) -> None:
        end = anyio.current_time() + 2 * self._limits.close_seconds
        for instance in reversed(list(self._instances.values())):
            left = max(0.05, end - anyio.current_time())
            await self._close(instance, min(left, self._limits.close_seconds))
        self._instances.clear()
        self._calling.clear()
        await self._record_notices()

    async def _open_leniently(self, instance: PluginInstance) -> None:
        """Open a plugin as far as it goes; its failures stay its own."""
        plugin = instance.plugin
        try:
            await self._enter(instance)
        except PluginError as error:
            self._shut(instance, "failed", str(error))
            await self._close(instance)
            return
        for hook, add in self._registering:
            if hook in plugin.hooks and instance.state == "open":
                register = _Registering(self, instance, hook, add, [])
                try:
                    self.call(instance, hook, register=register)
                except PluginError as error:
                    # Recorded where it was called; what was registered before stays,
                    # except where the rest might have forbidden something.
                    if hook in plugin.guards:
                        self._shut(instance, "failed", str(error))
        self._calling.clear()
        if instance.state != "open":
            await self._close(instance)

    async def _enter(self, instance: PluginInstance) -> None:
        """Open the plugin's own resource, if it has one.

        Raises:
            PluginError: it could not be opened. It is recorded.
        """
        plugin = instance.plugin
        try:
            settings = settings_of(
                plugin.name,
                plugin.settings,
                self._tables.get(plugin.name, {}),
                self._place.environment,
            )
        except DovetailError as error:
            raise self._problem(instance, str(error)) from None
        # Tables of its own: what it does to them, no other plugin sees.
        providers = deepcopy(self._place.providers)
        instance.place = evolve(self._place, settings=settings, providers=providers)
        if OPEN not in plugin.hooks:
            return
        manager = self.call(instance, OPEN)
        if manager is None:
            return
        scope = instance.scope = Scope(
            f"plugin {plugin.name} at {self._directory}",
            self._tasks,
            close_seconds=self._limits.close_seconds,
            on_failure=lambda error: self._broke(instance, error),
            guest=Guest(plugin.name, "what it opened"),
        )
        await scope.open()
        # Whatever ends it, what it contributed goes before what it opened.
        scope.defer(lambda: _withdraw(instance))
        try:
            with anyio.move_on_after(self._limits.open_seconds) as waiting:
                resource = await scope.enter(manager)
                instance.place = evolve(instance.place, resource=resource)
        except RuntimeClosedError:
            problem = self._problem(instance, "it was closed while it opened", OPEN)
            await self._close(instance)
            raise problem from None
        except Exception as error:
            # Boundary: what a plugin opens is a stranger's code.
            problem = self._problem(instance, _told(error), OPEN, error)
            await self._close(instance)
            raise problem from error
        if waiting.cancelled_caught:
            await self._close(instance)
            raise self._problem(
                instance,
                f"it was not open after {self._limits.open_seconds:g} s",
                OPEN,
            )

    async def _retire(self, instance: PluginInstance) -> None:
        """Close a plugin of a Location that goes on, once nothing of it is at work."""
        instance.closing = True
        _withdraw(instance)
        if instance.scope is None:
            return
        try:
            with anyio.move_on_after(self._limits.settle_seconds) as waiting:
                for one in instance.withdrawn:
                    await one.unused()
            if waiting.cancelled_caught:
                logger.warning(
                    "plugin %r at %s is closed while it is at work: its calls did not "
                    "end within %g s",
                    instance.name,
                    self._directory,
                    self._limits.settle_seconds,
                )
        finally:
            await self._close(instance)

    async def _close(
        self, instance: PluginInstance, within: float | None = None
    ) -> None:
        instance.closing = True
        _withdraw(instance)
        if instance.scope is not None:
            await instance.scope.aclose(within=within)

    # --- what may be called -------------------------------------------------------

    def calling(self, hook: str) -> Sequence[PluginInstance]:
        """Return the open plugins that implement a hook, in order.

        Raises:
            PluginError: the hook guards something, and a plugin that implements it
                cannot be called (law plugins.6).
        """
        found = self._calling.get(hook)
        if found is None:
            found = self._calling[hook] = tuple(
                one
                for one in self._instances.values()
                if hook in one.plugin.hooks
                and (one.state == "open" or self._stands_guard(one, hook))
            )
        for one in found:
            if one.state != "open":
                raise PluginError(
                    one.name,
                    f"it is {one.state} ({one.error}) and guards this: nothing is "
                    "done without it; replace it, or remove it if that is meant",
                    hook=hook,
                    location=self._directory,
                )
        return found

    def _stands_guard(self, instance: PluginInstance, hook: str) -> bool:
        return instance.state in ("failed", "disabled") and hook in (
            instance.plugin.guards
        )

    def call(
        self,
        instance: PluginInstance,
        hook: str,
        *,
        session_id: SessionId | None = None,
        **arguments: Any,
    ) -> Any:
        """Call one hook, and count what it cost.

        Raises:
            PluginError: it raised. It is recorded.
        """
        plugin = instance.plugin
        failed = True
        try:
            answer = self._set.call(plugin, hook, place=instance.place, **arguments)
            failed = False
        except PluginError as error:
            instance.errors += 1
            instance.last_error = str(error)
            raise
        finally:
            self._spend(instance, hook, failed, session_id)
        return answer

    def refuse(self, instance: PluginInstance, hook: str, problem: str) -> PluginError:
        """Record an answer that the hook does not allow, and return it as an error."""
        return self._problem(instance, problem, hook)

    def versions(self) -> Mapping[str, str]:
        """Return the version of each open plugin, by name."""
        return {
            one.name: one.plugin.version or one.plugin.origin.partition(" ")[0]
            for one in self._instances.values()
            if one.state == "open"
        }

    def known(self) -> Sequence[LocationPlugin]:
        """Return every plugin of the Location, in order."""
        return [one.shown() for one in self._instances.values()]

    # --- budgets ------------------------------------------------------------------

    def _spend(
        self,
        instance: PluginInstance,
        hook: str,
        failed: bool,
        session_id: SessionId | None,
    ) -> None:
        seconds = instance.plugin.last_seconds
        instance.seconds += seconds
        if seconds > self._limits.call_seconds:
            failed = True
            self._problem(
                instance,
                f"the call took {seconds:.3g} s; hooks must be quick, and may take "
                f"{self._limits.call_seconds:g} s",
                hook,
            )
        spending = instance.spending.get(hook)
        if spending is None:
            spending = instance.spending[hook] = Spending(self._limits)
        exceeded = spending.add(failed, seconds)
        if exceeded is not None and instance.state == "open":
            self._disable(instance, f"{hook}: {exceeded}", session_id)

    def _disable(
        self, instance: PluginInstance, why: str, session_id: SessionId | None = None
    ) -> None:
        self._shut(instance, "disabled", why)
        logger.error(
            "plugin %r is disabled at %s: %s", instance.name, self._directory, why
        )
        self._notify(instance, Failure("plugin.disabled", why), session_id)
        if not self._closed:
            self._tasks.start_soon(self._retire, instance)

    def _broke(self, instance: PluginInstance, error: Exception) -> None:
        """Hear that a plugin's scope ended by itself, or failed to end well."""
        problem = self._problem(
            instance,
            ("closing it failed: " if instance.closing else "its own task broke: ")
            + _told(error),
            OPEN,
            error,
        )
        known = self._instances.get(instance.name) is instance
        if known and instance.state == "open" and not instance.closing:
            self._shut(instance, "failed", str(problem))
            self._notify(instance, Failure(problem.code, str(problem)), None)

    def _shut(self, instance: PluginInstance, state: InstanceState, why: str) -> None:
        _withdraw(instance)
        instance.state, instance.error = state, why
        self._calling.clear()

    def _problem(
        self,
        instance: PluginInstance,
        problem: str,
        hook: str | None = None,
        cause: BaseException | None = None,
    ) -> PluginError:
        error = PluginError(instance.name, problem, hook=hook, location=self._directory)
        error.__cause__ = cause
        instance.errors += 1
        instance.last_error = str(error)
        self._set.record(error, instance.plugin)
        return error

    # --- notices ------------------------------------------------------------------

    @contextmanager
    def serving(self, session_id: SessionId) -> Iterator[None]:
        """Count a session as one that runs here, and is told what is disabled."""
        self._sessions[session_id] += 1
        try:
            yield
        finally:
            self._sessions[session_id] -= 1
            if not self._sessions[session_id]:
                del self._sessions[session_id]

    def _notify(
        self, instance: PluginInstance, failure: Failure, session_id: SessionId | None
    ) -> None:
        concerned = dict.fromkeys([*self._sessions, *([session_id] * bool(session_id))])
        for one in concerned:
            assert one is not None
            self._notices.append(
                PluginDisabled(session_id=one, plugin=instance.name, failure=failure)
            )
        self._bell.ring()

    async def record_notices(self) -> None:
        """Record what was disabled in the sessions concerned, as long as it runs."""
        while await self._bell.wait():
            await self._record_notices()

    async def _record_notices(self) -> None:
        while self._notices:
            notice = self._notices.popleft()
            try:
                # Whoever runs the session, this is true of it: there is no fence.
                await self._log.of_work(notice.session_id).append(notice)
            except (StoreError, EventLogError, RuntimeClosedError) as error:
                logger.error("that %r is disabled: %s", notice.plugin, error)

    # --- at run time --------------------------------------------------------------

    async def add(self, item: object, name: str | None = None) -> LocationPlugin:
        """Add a plugin. See ``PluginsHandle.add``."""
        name = name or name_of(item)[0]
        async with self._alone(name):
            if name in self._instances:
                raise ConflictError(
                    f"plugin {name!r} is in {self._directory} already; replace it"
                )
            return (await self._put(self._checked(item, name), None)).shown()

    async def replace(self, name: str, item: object) -> LocationPlugin:
        """Replace a plugin. See ``PluginsHandle.replace``."""
        async with self._alone(name):
            old = self._instance(name)
            plugin = self._checked(item, name)
            # In the place of the old one: what it hides and what hides it stays so.
            plugin.level = old.plugin.level
            return (await self._put(plugin, old)).shown()

    async def remove(self, name: str) -> None:
        """Remove a plugin. See ``PluginsHandle.remove``."""
        async with self._alone(name):
            old = self._instance(name)
            self._changes[name] = None
            old.closing = True
            _withdraw(old)
            left = [one for one in self._instances.values() if one is not old]
            self._set_ranks(left)
            await self._retire(old)

    @asynccontextmanager
    async def _alone(self, name: str) -> AsyncIterator[None]:
        """Let one change of a name at a time through (law plugins.4)."""
        lock = self._locks.setdefault(name, anyio.Lock())
        try:
            async with lock:
                if self._closed:
                    raise RuntimeClosedError
                yield
        finally:
            if not lock.statistics().tasks_waiting and not lock.locked():
                self._locks.pop(name, None)

    def _instance(self, name: str) -> PluginInstance:
        found = self._instances.get(name)
        if found is None:
            raise PluginNotFoundError(name, nearest(name, list(self._instances)))
        return found

    def _checked(self, item: object, name: str) -> Plugin:
        if name in self._left_out:
            raise PluginError(name, self._left_out[name], location=self._directory)
        return self._set.checked(item, name)

    async def _put(self, plugin: Plugin, old: PluginInstance | None) -> PluginInstance:
        """Prove a plugin, put it in the place of another, then close that."""
        if PROTOCOLS in plugin.hooks:
            others = [one.plugin for one in self._instances.values()]
            self._speak([*(one for one in others if one.name != plugin.name), plugin])
        new = PluginInstance(plugin, self._place, plugin.level)
        try:
            await self._enter(new)
            self._swap(new, old)
        except PluginError as error:
            self._shut(new, "failed", str(error))
            await self._close(new)
            raise
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._close(new)
            raise
        if old is not None:
            await self._retire(old)
        return new

    def _swap(self, new: PluginInstance, old: PluginInstance | None) -> None:
        """Take new contributions and take old ones back, in one go.

        Nothing is awaited in here, so that nobody sees neither or both.

        Raises:
            PluginError: something of the new one is refused; the old one is as it was.
        """
        if self._closed:
            raise RuntimeClosedError
        if new.scope is not None and new.scope.closed.is_set():
            raise self._problem(new, "its own task broke while it was opened", OPEN)
        instances = {**self._instances, new.name: new}
        order = ranks([one.plugin for one in instances.values()])
        new.rank = order[new.name]
        kept = old.registrations if old is not None else []
        for _, one in kept:
            one.suspend()
        refused: list[PluginError] = []
        try:
            for hook, add in self._registering:
                if hook in new.plugin.hooks:
                    register = _Registering(self, new, hook, add, refused)
                    self.call(new, hook, register=register)
            if refused:
                raise refused[0]
        except BaseException:
            _withdraw(new)
            for _, one in kept:
                one.resume()
            raise
        if old is not None:
            old.closing = True
            _withdraw(old)
        self._changes[new.name] = new.plugin
        self._set_ranks(list(instances.values()))

    def _set_ranks(self, instances: Sequence[PluginInstance]) -> None:
        """Put plugins and what they contributed in order."""
        named = {one.name: one for one in instances}
        order = ranks([one.plugin for one in instances])
        for name, rank in order.items():
            one = named[name]
            if one.rank != rank:
                one.rank = rank
                for _, made in one.registrations:
                    made.suspend()
                    made.rank = rank
                    made.resume()
        self._instances = {name: named[name] for name in order}
        self._calling.clear()

    def allowed(self, instance: PluginInstance) -> bool:
        """Whether a plugin may register more: it opens or is open."""
        return instance.state == "open" and not instance.closing


class _Registering:
    """The ``register`` that one hook of one plugin is handed."""

    def __init__(
        self,
        plugins: LocationPlugins,
        instance: PluginInstance,
        hook: str,
        add: Add,
        refused: list[PluginError],
    ) -> None:
        self._plugins = plugins
        self._instance = instance
        self._hook = hook
        self._add = add
        self._refused = refused

    def __call__(self, item: Any) -> None:
        instance = self._instance
        if not self._plugins.allowed(instance):
            self._plugins.refuse(
                instance, self._hook, "it is closed and offers nothing"
            )
            return
        try:
            made = self._add(item, instance.name, instance.rank)
        except DovetailError as error:
            self._refused.append(self._plugins.refuse(instance, self._hook, str(error)))
            return
        instance.registrations.append((self._hook, made))


def _withdraw(instance: PluginInstance) -> None:
    """Take everything back that a plugin contributed; what it hid comes back."""
    for _, one in instance.registrations:
        one.close()
        instance.withdrawn.append(one)
    instance.registrations.clear()


def _noun(hook: str) -> str:
    plural = hook.removeprefix("dovetail_register_")
    return plural.removesuffix("s") if plural != "context" else "context source"


def _told(error: BaseException) -> str:
    return error_text(first_of(error))
