"""Beside the sessions: what plugins open for as long as a runtime is open.

Owns the scopes of ``dovetail_open_runtime``, one for each plugin: a door to the
sessions, a timetable. Each opens, breaks and closes alone (law plugins.10). Knows
nothing of the runtime that it hands over.
"""

import logging
from typing import Any

import anyio
from anyio.abc import TaskGroup

from ..lifecycle.guests import Guest, called
from ..lifecycle.scope import Scope
from ..values.errors import PluginError, RuntimeClosedError, error_text
from .budgets import HookLimits
from .set import PluginSet

logger = logging.getLogger(__name__)

OPEN_RUNTIME = "dovetail_open_runtime"


class RuntimeScopes:
    """What the plugins of one runtime opened beside it."""

    def __init__(
        self, plugins: PluginSet, tasks: TaskGroup, limits: HookLimits, runtime: Any
    ) -> None:
        self._plugins = plugins
        self._tasks = tasks
        self._limits = limits
        self._runtime = runtime
        self._begun = False
        self._closed = False
        self._scopes: list[Scope] = []

    async def open_given(self) -> None:
        """Open now if an object that was given in code asks for it."""
        if self._plugins.is_given(OPEN_RUNTIME):
            await self.open()

    async def open(self) -> None:
        """Open what all plugins have to open, in order. Once: later calls do nothing,
        also while the first one still opens."""
        if self._begun:
            return
        self._begun = True
        for name in self._plugins.implementing(OPEN_RUNTIME):
            if self._closed:
                return
            try:
                await self._open(name)
            except PluginError as error:
                # Recorded, and everything else goes on.
                logger.debug("left out: %s", error)

    async def _open(self, name: str) -> None:
        manager = await called(
            lambda: self._plugins.call(name, OPEN_RUNTIME, runtime=self._runtime),
            lambda problem: self._problem(name, problem),
        )
        if manager is None:
            return
        scope = Scope(
            f"plugin {name} beside the runtime",
            self._tasks,
            close_seconds=self._limits.close_seconds,
            on_failure=lambda error: self._broke(name, error),
            guest=Guest(name, "what it opened beside the runtime"),
        )
        await scope.open()
        self._scopes.append(scope)
        try:
            with anyio.move_on_after(self._limits.open_seconds) as waiting:
                await scope.enter(manager)
        except RuntimeClosedError:
            return  # the runtime was closed while it opened
        except Exception as error:
            # Boundary: what a plugin opens is a stranger's code.
            await scope.aclose()
            raise self._problem(name, error_text(error), error) from error
        if waiting.cancelled_caught:
            await scope.aclose()
            seconds = self._limits.open_seconds
            raise self._problem(name, f"it was not open after {seconds:g} s")

    def _broke(self, name: str, error: Exception) -> None:
        self._problem(name, f"its own task broke: {error_text(error)}", error)

    def _problem(
        self, name: str, problem: str, cause: Exception | None = None
    ) -> PluginError:
        error = PluginError(name, problem, hook=OPEN_RUNTIME)
        error.__cause__ = cause
        self._plugins.record(error)
        return error

    async def aclose(self) -> None:
        """Close everything, the last first, each within its bound."""
        self._closed = True
        for scope in reversed(self._scopes):
            await scope.aclose()
