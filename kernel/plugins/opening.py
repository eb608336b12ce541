"""Opening: what a plugin opens in a Location, and what it registers there.

Owns the scope of a plugin's own resource, how long opening and closing it may take,
and the ``register`` that its hooks are handed. Nothing of it is awaited between the
first contribution of a plugin and the last.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import anyio
from anyio.abc import TaskGroup
from attrs import evolve

from ..contracts import Contribution, Credentials, Place
from ..lifecycle.guests import Guest, called
from ..lifecycle.registrations import Rank, Registration
from ..lifecycle.scope import Scope
from ..values.errors import (
    DovetailError,
    PluginError,
    RuntimeClosedError,
    error_text,
    first_of,
)
from ..values.tool import Failure, Json
from .budgets import HookLimits
from .calling import HookCalls
from .instance import Instances, PluginInstance
from .notices import Notices
from .settings import settings_of

logger = logging.getLogger(__name__)

OPEN = "dovetail_open_location"

Add = Callable[[Any, str, Rank], Registration[Any]]
"""``add(item, owner, rank)``."""

Registering = Sequence[tuple[str, Add]]
"""Each registering hook, with what takes its items."""


class Opening:
    """Opens and closes the plugins of one Location."""

    def __init__(
        self,
        hooks: HookCalls,
        instances: Instances,
        directory: str,
        *,
        tables: Mapping[str, Mapping[str, Json]],
        credentials: Callable[[str], Credentials],
        notices: Notices,
        tasks: TaskGroup,
        limits: HookLimits,
    ) -> None:
        self._hooks = hooks
        self._instances = instances
        self._directory = directory
        self._tables = tables
        self._credentials = credentials
        self._notices = notices
        self._tasks = tasks
        self._limits = limits

    async def enter(self, instance: PluginInstance, place: Place) -> None:
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
                place.environment,
            )
        except DovetailError as error:
            raise self._hooks.problem(instance, str(error)) from None
        # Tables of its own: what it does to them, no other plugin sees.
        providers, mcp = deepcopy(place.providers), deepcopy(place.mcp)
        instance.place = evolve(
            place,
            settings=settings,
            providers=providers,
            mcp=mcp,
            credentials=self._credentials(plugin.name),
        )
        if OPEN not in plugin.hooks:
            return
        manager = await called(
            lambda: self._hooks.call(instance, OPEN),
            lambda problem: self._hooks.problem(instance, problem, OPEN),
        )
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
        scope.defer(instance.withdraw)
        try:
            with anyio.move_on_after(self._limits.open_seconds) as waiting:
                resource = await scope.enter(manager)
                instance.place = evolve(instance.place, resource=resource)
        except RuntimeClosedError:
            problem = self._hooks.problem(
                instance, "it was closed while it opened", OPEN
            )
            await self.close(instance)
            raise problem from None
        except Exception as error:
            # Boundary: what a plugin opens is a stranger's code.
            problem = self._hooks.problem(instance, _reason(error), OPEN, error)
            await self.close(instance)
            raise problem from error
        if waiting.cancelled_caught:
            await self.close(instance)
            raise self._hooks.problem(
                instance,
                f"it was not open after {self._limits.open_seconds:g} s",
                OPEN,
            )

    def register(
        self,
        instance: PluginInstance,
        registering: Registering,
    ) -> Sequence[PluginError]:
        """Let an open plugin hand over what it offers, hook by hook.

        Returns what was refused of it, which is recorded; the rest stays.

        Raises:
            PluginError: a hook raised, before it or after it registered something. It
                is recorded.
        """
        refused: list[PluginError] = []
        for hook, add in registering:
            if hook in instance.plugin.hooks:
                register = _Register(self._hooks, instance, hook, add, refused)
                self._hooks.call(instance, hook, register=register)
        return refused

    def register_leniently(
        self, instance: PluginInstance, registering: Registering
    ) -> None:
        """Do so as far as it goes; what fails is recorded, and the rest stays."""
        for hook, add in registering:
            if instance.state != "open":
                return
            try:
                self.register(instance, [(hook, add)])
            except PluginError as error:
                # Recorded where it was called; what was registered before stays,
                # except where the rest might have forbidden something.
                if hook in instance.plugin.guards:
                    self._instances.end(instance, "failed", str(error))

    async def retire(self, instance: PluginInstance) -> None:
        """Close a plugin of a Location that goes on, once nothing of it is at work."""
        instance.closing = True
        instance.withdraw()
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
            await self.close(instance)

    async def close(
        self, instance: PluginInstance, within: float | None = None
    ) -> None:
        """Close a plugin now, within so many seconds."""
        instance.closing = True
        instance.withdraw()
        if instance.scope is not None:
            await instance.scope.aclose(within=within)

    def _broke(self, instance: PluginInstance, error: Exception) -> None:
        """Hear that a plugin's scope ended by itself, or failed to end well."""
        problem = self._hooks.problem(
            instance,
            ("closing it failed: " if instance.closing else "its own task broke: ")
            + _reason(error),
            OPEN,
            error,
        )
        known = self._instances.get(instance.name) is instance
        if known and instance.state == "open" and not instance.closing:
            self._instances.end(instance, "failed", str(problem))
            self._notices.add(instance.name, Failure(problem.code, str(problem)))


class _Register:
    """The ``register`` that one hook of one plugin is handed."""

    def __init__(
        self,
        hooks: HookCalls,
        instance: PluginInstance,
        hook: str,
        add: Add,
        refused: list[PluginError],
    ) -> None:
        self._hooks = hooks
        self._instance = instance
        self._hook = hook
        self._add = add
        self._refused = refused

    def __call__(self, item: Any) -> Contribution:
        instance = self._instance
        if not instance.is_open:
            self._hooks.refuse(instance, self._hook, "it is closed and offers nothing")
            return _REFUSED
        try:
            made = self._add(item, instance.name, instance.rank)
        except DovetailError as error:
            self._refused.append(self._hooks.refuse(instance, self._hook, str(error)))
            return _REFUSED
        instance.registrations.append((self._hook, made))
        return _Given(instance, self._hook, made)


class _Given:
    """One item of a plugin, as the plugin sees it."""

    def __init__(
        self, instance: PluginInstance, hook: str, made: Registration[Any]
    ) -> None:
        self._instance = instance
        self._entry = hook, made

    @property
    def active(self) -> bool:
        return self._entry[1].active

    @property
    def offered(self) -> bool:
        return self._entry[1].offered

    def close(self) -> None:
        if self.active:
            self._entry[1].close()
            # Whoever changes what it offers all day must not be remembered for it.
            self._instance.registrations.remove(self._entry)


class _Refused:
    active = False
    offered = False

    def close(self) -> None:
        """Do nothing: it was never there."""


_REFUSED = _Refused()


def _reason(error: BaseException) -> str:
    return error_text(first_of(error))
