"""Calling: the hooks of a Location's plugins, each counted against its budget.

Owns what a call is charged with, what is recorded of one that fails, and that a plugin
whose hooks fail or linger too often is disabled. Neighbours: ``set`` below makes the
call, ``services`` and ``observers`` above say when.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from ..values.errors import PluginError
from ..values.ids import SessionId
from ..values.tool import Failure
from .budgets import HookLimits, Spending
from .instance import Instances, PluginInstance
from .notices import Notices
from .set import PluginSet

logger = logging.getLogger(__name__)


class HookCalls:
    """The calls of hooks in one Location."""

    def __init__(
        self,
        plugins: PluginSet,
        instances: Instances,
        directory: str,
        limits: HookLimits,
        notices: Notices,
        on_disabled: Callable[[PluginInstance], None],
    ) -> None:
        self._set = plugins
        self._instances = instances
        self._directory = directory
        self._limits = limits
        self._notices = notices
        self._on_disabled = on_disabled

    def implementing(self, hook: str) -> Sequence[PluginInstance]:
        """Return the open plugins that implement a hook, in order.

        Raises:
            PluginError: the hook guards something, and a plugin that implements it
                cannot be called (law plugins.6).
        """
        return self._instances.implementing(hook)

    def implemented(self, hooks: tuple[str, ...]) -> bool:
        """Return whether an open plugin implements any of these, which guard nothing:
        one look where nobody does, for whoever asks it at every event."""
        return self._instances.implemented(hooks)

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
        return self.problem(instance, problem, hook)

    def problem(
        self,
        instance: PluginInstance,
        problem: str,
        hook: str | None = None,
        cause: BaseException | None = None,
    ) -> PluginError:
        """Record what is wrong with a plugin here, and return it as an error."""
        error = PluginError(instance.name, problem, hook=hook, location=self._directory)
        error.__cause__ = cause
        instance.errors += 1
        instance.last_error = str(error)
        self._set.record(error, instance.plugin)
        return error

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
            self.problem(
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
        self, instance: PluginInstance, why: str, session_id: SessionId | None
    ) -> None:
        self._instances.end(instance, "disabled", why)
        logger.error(
            "plugin %r is disabled at %s: %s", instance.name, self._directory, why
        )
        self._notices.add(instance.name, Failure("plugin.disabled", why), session_id)
        self._on_disabled(instance)
