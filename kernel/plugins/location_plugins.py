"""Location plugins: which plugins a Location has, from its opening to its end.

Owns the order in which they are opened and closed, and how one is added, replaced and
removed while sessions run. Knows nothing of what the contributions are: ``services``
says what takes them.

Plugins open one after the other, in plugin order, and close in the reverse: what a
plugin opens and registers may rest on whatever those before it did, and what is hidden
by what follows from it. A plugin that cannot be used is left out, and everything else
goes on (law plugins.1). The one exception are guards: what a plugin guards and cannot
decide does not happen (law plugins.6).
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup
from attrs import evolve

from ..contracts import Credentials, Place
from ..lifecycle.guests import called
from ..log.commit import EventLog
from ..values.errors import ConflictError, PluginError, RuntimeClosedError
from ..values.tool import Json
from .budgets import HookLimits
from .calling import HookCalls
from .instance import Instances, LocationPlugin, PluginInstance
from .notices import Notices
from .object import Plugin, name_of, ranks
from .opening import OPEN, Opening, Registering
from .protocols import PROTOCOLS, ask_protocols
from .set import PluginSet

logger = logging.getLogger(__name__)

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
        credentials: Callable[[str], Credentials],
        left_out: Mapping[str, str],
        changes: Changes,
        log: EventLog,
        tasks: TaskGroup,
        limits: HookLimits,
    ) -> None:
        directory = place.location.directory
        self._set = plugins
        self._place = place
        self._directory = directory
        self._left_out = left_out
        self._changes = changes
        self._tasks = tasks
        self._limits = limits
        self._registering: Registering = ()
        self._instances = Instances(directory)
        self._locks: dict[str, anyio.Lock] = {}
        self._closed = False
        self.notices = Notices(log)
        """What the sessions here are to record of plugins that were disabled."""
        self.hooks = HookCalls(
            plugins,
            self._instances,
            directory,
            limits,
            self.notices,
            self._retire_soon,
        )
        """Who implements a hook here, and the way to call it."""
        self._opening = Opening(
            self.hooks,
            self._instances,
            directory,
            tables=tables,
            credentials=credentials,
            notices=self.notices,
            tasks=tasks,
            limits=limits,
        )

    def __repr__(self) -> str:
        return f"<LocationPlugins {len(self._instances)} at {self._directory!r}>"

    # --- the life of the Location -------------------------------------------------

    @asynccontextmanager
    async def running(
        self,
        registering: Registering,
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
        await self._ask_protocols(
            [wanted[name] for name in order if name not in self._left_out]
        )
        try:
            for name, rank in order.items():
                instance = PluginInstance(wanted[name], self._place, rank)
                self._instances.append(instance)
                if name in self._left_out:
                    self._instances.end(instance, "left out", self._left_out[name])
                elif instance.plugin.state != "loaded":
                    problem = self.hooks.problem(instance, str(instance.plugin.error))
                    self._instances.end(instance, "failed", str(problem))
                else:
                    await self._open_leniently(instance)
            yield
        finally:
            self._closed = True
            with anyio.CancelScope(shield=True):
                await self._close_all()

    async def _ask_protocols(self, plugins: Sequence[Plugin]) -> None:
        found, self.protocols = await ask_protocols(
            self._set, plugins, self._place.providers, self._directory
        )
        self._place = evolve(self._place, protocols=found)

    async def _close_all(self) -> None:
        end = anyio.current_time() + 2 * self._limits.close_seconds
        for instance in reversed(list(self._instances)):
            left = max(0.05, end - anyio.current_time())
            await self._opening.close(instance, min(left, self._limits.close_seconds))
        self._instances.clear()
        await self.notices.record_waiting()

    async def _open_leniently(self, instance: PluginInstance) -> None:
        """Open a plugin as far as it goes; its failures stay its own."""
        try:
            await self._opening.enter(instance, self._place)
        except PluginError as error:
            self._instances.end(instance, "failed", str(error))
        else:
            await called(
                lambda: self._opening.register_leniently(instance, self._registering),
                lambda problem: self.hooks.problem(instance, problem),
            )
        if instance.state != "open":
            await self._opening.close(instance)

    def _retire_soon(self, instance: PluginInstance) -> None:
        if not self._closed:
            self._tasks.start_soon(self._opening.retire, instance)

    # --- what is known ------------------------------------------------------------

    def versions(self) -> Mapping[str, str]:
        """Return the version of each open plugin, by name."""
        return {
            one.name: one.plugin.version or one.plugin.origin.partition(" ")[0]
            for one in self._instances
            if one.state == "open"
        }

    def known(self) -> Sequence[LocationPlugin]:
        """Return every plugin of the Location, in order."""
        return [one.shown() for one in self._instances]

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
            old = self._instances.named(name)
            plugin = self._checked(item, name)
            # In the place of the old one: what it hides and what hides it stays so.
            plugin.level = old.plugin.level
            return (await self._put(plugin, old)).shown()

    async def remove(self, name: str) -> None:
        """Remove a plugin. See ``PluginsHandle.remove``."""
        async with self._alone(name):
            old = self._instances.named(name)
            self._changes[name] = None
            old.closing = True
            old.withdraw()
            left = [one for one in self._instances if one is not old]
            self._instances.arrange(left)
            await self._opening.retire(old)

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

    def _checked(self, item: object, name: str) -> Plugin:
        if name in self._left_out:
            raise PluginError(name, self._left_out[name], location=self._directory)
        return self._set.checked(item, name)

    async def _put(self, plugin: Plugin, old: PluginInstance | None) -> PluginInstance:
        """Prove a plugin, put it in the place of another, then close that."""
        if PROTOCOLS in plugin.hooks:
            others = [one.plugin for one in self._instances]
            await self._ask_protocols(
                [*(one for one in others if one.name != plugin.name), plugin]
            )
        new = PluginInstance(plugin, self._place, plugin.level)
        try:
            await self._opening.enter(new, self._place)
            await called(
                lambda: self._swap(new, old),
                lambda problem: self.hooks.problem(new, problem),
            )
        except PluginError as error:
            self._instances.end(new, "failed", str(error))
            await self._opening.close(new)
            raise
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._opening.close(new)
            raise
        if old is not None:
            await self._opening.retire(old)
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
            raise self.hooks.problem(
                new, "its own task broke while it was opened", OPEN
            )
        instances = [one for one in self._instances if one.name != new.name] + [new]
        order = ranks([one.plugin for one in instances])
        new.rank = order[new.name]
        kept = old.registrations if old is not None else []
        for _, one in kept:
            one.suspend()
        try:
            if refused := self._opening.register(new, self._registering):
                raise refused[0]
        except BaseException:
            new.withdraw()
            for _, one in kept:
                one.resume()
            raise
        if old is not None:
            old.closing = True
            old.withdraw()
        self._changes[new.name] = new.plugin
        self._instances.arrange(instances)
