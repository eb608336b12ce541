"""The plugin set: the plugins of one runtime, and how their hooks are called.

Owns the call of one implementation at a time, each alone, with what it raised and how
long it took. Sits above pluggy, whose own call lets one raising implementation hide
the others. Knows nothing of Locations beyond their name in an error, and nothing of
what the hooks hand over.
"""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

import pluggy
from attrs import has

from ..hookspecs import Hooks
from ..lifecycle.clock import SystemClock
from ..lifecycle.guests import Guest, by_person
from ..lifecycle.registrations import Rank
from ..lifecycle.starvation import Starvation
from ..lifecycle.watchdog import Blocking, Watchdog
from ..values.clock import Clock
from ..values.errors import PluginError, PluginNotFoundError, error_text
from ..values.location import Location
from .object import (
    ADDED,
    HOOKS,
    HookSpec,
    HookTable,
    Plugin,
    PluginState,
    nearest,
    take_in,
)

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)

MAX_SHOWN = 60
"""Characters of one value in a trace."""


class Loader(Protocol):
    """Who has found the plugins, and imports them."""

    def all(self) -> Sequence[Plugin]: ...

    def alone(self, name: str, hook: str) -> Plugin | None: ...

    def is_given(self, hook: str) -> bool: ...


class PluginSet:
    """The plugins of one runtime, and the way to call their hooks.

    They are imported when somebody asks for more than one of them: for what was found,
    or for a hook that each of them may have. ``ask`` imports the one that is asked.

    A hook is named by its text, or by its specification: then the arguments and the
    result are checked by type checkers, as in
    ``plugins.call("weather", Hooks.dovetail_open_location, place=place)``.
    """

    def __init__(
        self,
        loader: Loader,
        manager: pluggy.PluginManager,
        on_error: Callable[[PluginError], None] | None = None,
        *,
        table: HookTable = HOOKS,
        clock: Clock | None = None,
        trace: bool = False,
        watchdog: Watchdog | None = None,
    ) -> None:
        self.manager = manager
        """pluggy's own registry of the same plugins, for looking things up."""
        self._loader = loader
        self._table = table
        self._clock = clock or SystemClock()
        # A clock of an application's own goes on when it says so.
        own = isinstance(self._clock, SystemClock)
        self._starvation = Starvation() if own else Starvation(lambda: 0.0)
        self._trace = trace
        self.watchdog = watchdog or Watchdog()
        """Says whose code holds things up, while it does."""
        self.watchdog.on_blocking = self._on_blocking
        self._on_error = on_error

    @cached_property
    def _found(self) -> Sequence[Plugin]:
        return tuple(self._loader.all())

    @cached_property
    def _loaded(self) -> Mapping[str, Plugin]:
        return {each.name: each for each in self._found if each.state == "loaded"}

    @cached_property
    def _implementing(self) -> Mapping[str, Sequence[Plugin]]:
        return {
            hook: tuple(each for each in self._loaded.values() if hook in each.hooks)
            for hook in self._table.specs
        }

    # --- looking ------------------------------------------------------------------

    def loaded(self) -> tuple[str, ...]:
        """Return the names of the plugins that are loaded, in order."""
        return tuple(self._loaded)

    def plugins(self) -> tuple[Plugin, ...]:
        """Return the plugins that are loaded, in order."""
        return tuple(self._loaded.values())

    def states(self) -> tuple[PluginState, ...]:
        """Return every plugin that was found, in order, with what became of it."""
        return tuple(each.shown() for each in self._found)

    def blocking(self) -> Sequence[Blocking]:
        """Return what code of plugins takes long at this moment, the longest first.

        It may be asked from any thread: the event loop may be what stands still.
        """
        return self.watchdog.now()

    def state(self, plugin: str) -> PluginState:
        """Return what became of one plugin; of two of one name, the loaded one.

        Raises:
            PluginNotFoundError: no plugin of this name was found.
        """
        named = [each for each in self._found if each.name == plugin]
        if not named:
            raise PluginNotFoundError(
                plugin, nearest(plugin, [each.name for each in self._found])
            )
        return self._loaded.get(plugin, named[0]).shown()

    def implementing(self, hook: str) -> tuple[str, ...]:
        """Return the names of the plugins that implement a hook, in order."""
        found = self._implementing[self._table.spec(hook).name]
        return tuple(each.name for each in found)

    def is_given(self, hook: str) -> bool:
        """Return whether an object that was given in code may have a hook, without
        importing anything for it."""
        return self._loader.is_given(self._table.spec(hook).name)

    def rank(self, plugin: str) -> Rank:
        """Return the place of a plugin's contributions among those of others."""
        return self._plugin(plugin).rank

    def checked(self, item: object, name: str, origin: str = "given") -> Plugin:
        """Return an object as a plugin that is not of the set, for one Location.

        Raises:
            PluginInvalidError: something about it is not as it must be.
        """
        plugin = Plugin(name, origin, None, ADDED)
        # A manager of its own: the same object may be used in several Locations.
        take_in(plugin, item, self._table.manager(), self._table)
        return plugin

    # --- calling ------------------------------------------------------------------

    @overload
    def call(
        self,
        plugin: str | Plugin,
        hook: Callable[Concatenate[Hooks, P], R],
        /,
        *positional: P.args,
        **arguments: P.kwargs,
    ) -> R | None: ...

    @overload
    def call(self, plugin: str | Plugin, hook: str, /, **arguments: Any) -> Any: ...

    def call(
        self,
        plugin: str | Plugin,
        hook: "str | Callable[..., Any]",
        /,
        *positional: Any,
        **arguments: Any,
    ) -> Any:
        """Call one plugin's implementation and return what it hands over.

        A plugin without one hands over None. What it raises is recorded.

        Raises:
            PluginError: the implementation raised; its exception is the cause.
            PluginNotFoundError: no plugin of this name is loaded.
        """
        spec = self._table.spec(hook)
        given = _arguments(spec, positional, arguments)
        called = plugin if isinstance(plugin, Plugin) else self._plugin(plugin)
        return self._call(called, spec.name, given)

    @overload
    def each(
        self,
        hook: Callable[Concatenate[Hooks, P], R],
        /,
        *positional: P.args,
        **arguments: P.kwargs,
    ) -> list[tuple[str, R]]: ...

    @overload
    def each(self, hook: str, /, **arguments: Any) -> list[tuple[str, Any]]: ...

    def each(
        self, hook: "str | Callable[..., Any]", /, *positional: Any, **arguments: Any
    ) -> list[tuple[str, Any]]:
        """Call every implementation, in order, each alone.

        Returns the plugins that answered, with what they handed over. One that raises
        is recorded, left out, and hinders no other.
        """
        spec = self._table.spec(hook)
        given = _arguments(spec, positional, arguments)
        answers: list[tuple[str, Any]] = []
        for plugin in self._implementing[spec.name]:
            try:
                answers.append((plugin.name, self._call(plugin, spec.name, given)))
            except PluginError as error:
                logger.debug("left out: %s", error)
        return answers

    @overload
    def first(
        self,
        hook: Callable[Concatenate[Hooks, P], R],
        /,
        *positional: P.args,
        **arguments: P.kwargs,
    ) -> R | None: ...

    @overload
    def first(self, hook: str, /, **arguments: Any) -> Any: ...

    def first(
        self, hook: "str | Callable[..., Any]", /, *positional: Any, **arguments: Any
    ) -> Any:
        """Return the first answer that is not None, in order, or None.

        Plugins after the one that answers are not called.

        Raises:
            PluginError: a plugin raised before there was an answer.
        """
        spec = self._table.spec(hook)
        given = _arguments(spec, positional, arguments)
        for plugin in self._implementing[spec.name]:
            answer = self._call(plugin, spec.name, given)
            if answer is not None:
                return answer
        return None

    def ask(self, plugin: str, hook: str, /, **arguments: Any) -> Any:
        """Return what one installed plugin hands over, and import no other for it.

        None when there is none of this name, or it has no opinion, or when an object
        that was given in code has the hook, too, and has to be heard in its turn.

        Raises:
            PluginError: the plugin raised.
        """
        spec = self._table.spec(hook)
        asked = self._loader.alone(plugin, spec.name)
        if asked is None:
            return None
        return self._call(asked, spec.name, _arguments(spec, (), arguments))

    def record(self, error: PluginError, plugin: Plugin | None = None) -> None:
        """Note that a plugin did something wrong, and tell whoever listens.

        ``plugin`` is needed for one that is not of the set.
        """
        culprit = plugin or self._loaded.get(error.plugin)
        if culprit is not None:
            culprit.errors += 1
            culprit.last_error = str(error)
        logger.warning("%s", error, exc_info=error.__cause__)
        if self._on_error is not None:
            self._on_error(error)

    def _on_blocking(self, blocking: Blocking) -> None:
        """Keep with a plugin what it held up last; any thread says so."""
        named = None if blocking.guest is None else blocking.guest.plugin
        culprit = self.__dict__.get("_loaded", {}).get(named)
        if culprit is not None:
            culprit.last_blocking = str(blocking)

    def _call(self, plugin: Plugin, name: str, arguments: dict[str, Any]) -> Any:
        hook = plugin.hooks.get(name)
        if hook is None:
            return None
        began = self._clock.monotonic(), self._starvation.begin()
        try:
            taken = [arguments[each] for each in hook.positional]
            with self.watchdog.calling(Guest(plugin.name, f"hook {name}")):
                if hook.named:
                    named = {each: arguments[each] for each in hook.named}
                    answer = hook.function(*taken, **named)
                else:
                    answer = hook.function(*taken)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and by_person(error):
                raise
            # Boundary: a hook is a stranger's code. Nothing is awaited in it, so that
            # even what looks like a cancelling, or wants to exit, is its own doing.
            self._charge(
                plugin, name, arguments, began, f"raised {type(error).__name__}"
            )
            made = self._error(plugin, name, arguments, error_text(error))
            made.__cause__ = error
            self.record(made, plugin)
            raise made from error
        self._charge(plugin, name, arguments, began, answer)
        if type(answer) in _UNFINISHED:
            if not isinstance(answer, AsyncGeneratorType):
                answer.close()
            made = self._error(
                plugin,
                name,
                arguments,
                f"it handed over a {type(answer).__name__}, which nobody runs",
            )
            self.record(made, plugin)
            raise made
        return answer

    def _charge(
        self,
        plugin: Plugin,
        hook: str,
        arguments: Mapping[str, Any],
        began: tuple[float, float],
        answer: Any,
    ) -> None:
        seconds = self._clock.monotonic() - began[0]
        # That a machine has too much to do is no fault of a plugin.
        seconds -= self._starvation.lost(began[1], seconds)
        plugin.last_seconds = seconds
        plugin.seconds += seconds
        if self._trace:
            taken = ", ".join(f"{key}={_shown(arguments[key])}" for key in arguments)
            raised = isinstance(answer, str) and answer.startswith("raised ")
            result = answer if raised else f"-> {_shown(answer)}"
            # For whoever asked for it by a variable, whatever is done with logs.
            sys.stderr.write(
                f"plugin {plugin.name}: {hook}({taken}) {result} "
                f"in {seconds * 1000:.3f} ms\n"
            )

    def _error(
        self, plugin: Plugin, hook: str, arguments: Mapping[str, Any], problem: str
    ) -> PluginError:
        location = getattr(arguments.get("place"), "location", None)
        return PluginError(
            plugin.name,
            problem,
            hook=hook,
            location=location.directory if isinstance(location, Location) else None,
        )

    def _plugin(self, name: str) -> Plugin:
        found = self._loaded.get(name)
        if found is None:
            raise PluginNotFoundError(name, nearest(name, list(self._loaded)))
        return found


_UNFINISHED = (CoroutineType, GeneratorType, AsyncGeneratorType)


def _arguments(
    spec: HookSpec, positional: tuple[Any, ...], arguments: dict[str, Any]
) -> dict[str, Any]:
    if positional:
        arguments = {**dict(zip(spec.arguments, positional, strict=False)), **arguments}
    if arguments.keys() != spec.names:
        raise TypeError(f"{spec.name} takes {', '.join(spec.arguments)}")
    return arguments


def _shown(value: object) -> str:
    """Return a value for a trace: what it is, and never what may be secret in it."""
    if isinstance(value, str):
        # The rest of a URL may hold a password.
        text = f"{value.partition(':')[0]}:..." if "://" in value else value
        shown = repr(text)
    elif value is None or isinstance(value, bool | int | float):
        shown = repr(value)
    else:
        location = getattr(value, "location", None)
        named = getattr(value, "kind", None) or getattr(value, "name", None)
        if isinstance(location, Location):
            named = location.directory
        kind = type(value).__name__
        plain = isinstance(named, str) and has(type(value))
        shown = f"<{kind} {named}>" if plain else f"<{kind}>"
    return shown if len(shown) <= MAX_SHOWN else f"{shown[: MAX_SHOWN - 3]}..."
