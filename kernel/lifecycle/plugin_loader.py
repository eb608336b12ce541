"""The plugin loader: which plugins there are, and how their hooks are called.

Owns discovery by entry-point metadata, the allow and deny lists, the check of every
hook before it counts, and the call of one implementation at a time. Sits above pluggy,
whose own loader stops at the first failing import and whose own call lets one raising
implementation hide the others. Knows nothing of Locations beyond their name in an
error, and nothing of what the hooks hand over.

Whatever is wrong with a plugin is recorded in its state and disturbs no other
(law plugins.1). The order is that of the names, on every machine (law plugins.5).
"""

import difflib
import importlib.metadata
import inspect
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import AsyncGeneratorType, CoroutineType, GeneratorType, ModuleType
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, overload

import pluggy
from attrs import define, field, frozen

from ..hookspecs import PROJECT, Hooks
from ..values.errors import (
    PluginError,
    PluginImportError,
    PluginInvalidError,
    PluginNotFoundError,
)
from ..values.location import Location

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)

LOAD_VARIABLE = "DOVETAIL_LOAD_PLUGINS"
"""Names, separated by commas: of the installed plugins only these are loaded. Set and
empty: none is."""
DISABLE_VARIABLE = "DOVETAIL_DISABLE_PLUGINS"
"""Names, separated by commas, that are not loaded, wherever they come from."""

INSTALLED, GIVEN = 1, 2
"""The ranks of plugins: what is given in code comes after what is installed."""

PREFIX = f"{PROJECT}_"
MAX_PROBLEM = 500
"""Characters of a stranger's exception that are kept."""

State = Literal["loaded", "failed", "denied", "disabled"]


@frozen
class PluginState:
    """What is known of one plugin that was found, whether it was loaded or not."""

    name: str
    origin: str
    """``distribution version``, or ``given`` for an object given in code."""
    version: str | None
    state: State
    """``denied`` by the lists of the code, ``disabled`` by the environment."""
    error: str | None = None
    """Why it is not loaded."""
    hooks: tuple[str, ...] = ()
    """The hooks that it implements."""
    errors: int = 0
    """How many of its hook calls failed since."""
    last_error: str | None = None


# --- hooks ------------------------------------------------------------------------


@frozen
class _Spec:
    """One hook specification, looked at once."""

    name: str
    arguments: tuple[str, ...]
    names: frozenset[str]


def _specifications() -> Mapping[str, _Spec]:
    found: dict[str, _Spec] = {}
    for name, function in vars(Hooks).items():
        if hasattr(function, f"{PROJECT}_spec"):
            arguments = tuple(inspect.signature(function).parameters)[1:]
            found[name] = _Spec(name, arguments, frozenset(arguments))
    return found


SPECIFICATIONS = _specifications()


@frozen
class _Hook:
    """One implementation, ready to be called without looking at it again."""

    function: Callable[..., Any]
    positional: tuple[str, ...]
    named: tuple[str, ...]


@define(eq=False)
class _Plugin:
    """One plugin that was found."""

    name: str
    origin: str
    version: str | None
    rank: int
    state: State = "loaded"
    error: str | None = None
    hooks: dict[str, _Hook] = field(factory=dict)
    errors: int = 0
    last_error: str | None = None

    def fail(self, error: PluginError) -> None:
        self.state, self.error = "failed", str(error)

    def shown(self) -> PluginState:
        return PluginState(
            name=self.name,
            origin=self.origin,
            version=self.version,
            state=self.state,
            error=self.error,
            hooks=tuple(sorted(self.hooks)),
            errors=self.errors,
            last_error=self.last_error,
        )


class PluginSet:
    """The plugins of one runtime, and the way to call their hooks.

    A hook is named by its text, or by its specification: then the arguments and the
    result are checked by type checkers, as in
    ``plugins.call("weather", Hooks.dovetail_open_location, place=place)``.
    """

    def __init__(
        self,
        found: Sequence[_Plugin],
        manager: pluggy.PluginManager,
        on_error: Callable[[PluginError], None] | None = None,
    ) -> None:
        self.manager = manager
        """pluggy's own registry of the same plugins, for looking things up."""
        self._found = tuple(found)
        self._loaded = {each.name: each for each in found if each.state == "loaded"}
        self._implementing = {
            hook: tuple(each for each in self._loaded.values() if hook in each.hooks)
            for hook in SPECIFICATIONS
        }
        self._on_error = on_error

    def __repr__(self) -> str:
        return f"<PluginSet {len(self._loaded)} of {len(self._found)} loaded>"

    # --- looking ------------------------------------------------------------------

    def loaded(self) -> tuple[str, ...]:
        """Return the names of the plugins that are loaded, in order."""
        return tuple(self._loaded)

    def states(self) -> tuple[PluginState, ...]:
        """Return every plugin that was found, in order, with what became of it."""
        return tuple(each.shown() for each in self._found)

    def state(self, plugin: str) -> PluginState:
        """Return what became of one plugin; of two of one name, the loaded one.

        Raises:
            PluginNotFoundError: no plugin of this name was found.
        """
        named = [each for each in self._found if each.name == plugin]
        if not named:
            raise PluginNotFoundError(
                plugin, _nearest(plugin, [each.name for each in self._found])
            )
        return self._loaded.get(plugin, named[0]).shown()

    def hooks_of(self, plugin: str) -> tuple[str, ...]:
        """Return the hooks that a loaded plugin implements.

        Raises:
            PluginNotFoundError: no plugin of this name is loaded.
        """
        return tuple(sorted(self._plugin(plugin).hooks))

    def implements(self, plugin: str, hook: str) -> bool:
        """Return whether a loaded plugin implements a hook."""
        return _spec(hook).name in self._plugin(plugin).hooks

    def implementing(self, hook: str) -> tuple[str, ...]:
        """Return the names of the plugins that implement a hook, in order."""
        return tuple(each.name for each in self._implementing[_spec(hook).name])

    def rank(self, plugin: str) -> int:
        """Return the place of a plugin's contributions among those of others."""
        return self._plugin(plugin).rank

    # --- calling ------------------------------------------------------------------

    @overload
    def call(
        self,
        plugin: str,
        hook: Callable[Concatenate[Hooks, P], R],
        /,
        *positional: P.args,
        **arguments: P.kwargs,
    ) -> R | None: ...

    @overload
    def call(self, plugin: str, hook: str, /, **arguments: Any) -> Any: ...

    def call(
        self,
        plugin: str,
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
        spec = _spec(hook)
        given = _arguments(spec, positional, arguments)
        return self._call(self._plugin(plugin), spec.name, given)

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
        spec = _spec(hook)
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
        spec = _spec(hook)
        given = _arguments(spec, positional, arguments)
        for plugin in self._implementing[spec.name]:
            answer = self._call(plugin, spec.name, given)
            if answer is not None:
                return answer
        return None

    def record(self, error: PluginError) -> None:
        """Note that a plugin did something wrong, and tell whoever listens."""
        plugin = self._loaded.get(error.plugin)
        if plugin is not None:
            plugin.errors += 1
            plugin.last_error = str(error)
        logger.warning("%s", error, exc_info=error.__cause__)
        if self._on_error is not None:
            self._on_error(error)

    def _call(self, plugin: _Plugin, name: str, arguments: dict[str, Any]) -> Any:
        hook = plugin.hooks.get(name)
        if hook is None:
            return None
        try:
            taken = [arguments[each] for each in hook.positional]
            if hook.named:
                named = {each: arguments[each] for each in hook.named}
                answer = hook.function(*taken, **named)
            else:
                answer = hook.function(*taken)
        except Exception as error:
            # Boundary: a hook is a stranger's code.
            made = self._error(plugin, name, arguments, _told(error))
            made.__cause__ = error
            self.record(made)
            raise made from error
        if type(answer) in _UNFINISHED:
            if not isinstance(answer, AsyncGeneratorType):
                answer.close()
            made = self._error(
                plugin,
                name,
                arguments,
                f"it handed over a {type(answer).__name__}, which nobody runs",
            )
            self.record(made)
            raise made
        return answer

    def _error(
        self, plugin: _Plugin, hook: str, arguments: Mapping[str, Any], problem: str
    ) -> PluginError:
        location = getattr(arguments.get("place"), "location", None)
        return PluginError(
            plugin.name,
            problem,
            hook=hook,
            location=location.directory if isinstance(location, Location) else None,
        )

    def _plugin(self, name: str) -> _Plugin:
        found = self._loaded.get(name)
        if found is None:
            raise PluginNotFoundError(name, _nearest(name, list(self._loaded)))
        return found


_UNFINISHED = (CoroutineType, GeneratorType, AsyncGeneratorType)


def _spec(hook: "str | Callable[..., Any]") -> _Spec:
    name = hook if isinstance(hook, str) else hook.__name__
    found = SPECIFICATIONS.get(name)
    if found is None:
        raise LookupError(f"there is no hook {name!r}")
    return found


def _arguments(
    spec: _Spec, positional: tuple[Any, ...], arguments: dict[str, Any]
) -> dict[str, Any]:
    if positional:
        arguments = {**dict(zip(spec.arguments, positional, strict=False)), **arguments}
    if arguments.keys() != spec.names:
        raise TypeError(f"{spec.name} takes {', '.join(spec.arguments)}")
    return arguments


# --- loading ----------------------------------------------------------------------


def load_plugins(
    given: Sequence[object] = (),
    *,
    entry_points: bool = True,
    allow: Collection[str] | None = None,
    deny: Collection[str] = (),
    environment: Mapping[str, str],
    on_error: Callable[[PluginError], None] | None = None,
) -> PluginSet:
    """Find plugins, load those that are wanted, and return them in name order.

    Installed plugins are found by their metadata; only one that is wanted is imported,
    one at a time. ``allow`` and ``deny`` are for installed plugins, by entry-point
    name; the variables DOVETAIL_LOAD_PLUGINS and DOVETAIL_DISABLE_PLUGINS narrow
    further. An object of ``given`` is called by its attribute ``name``, which must not
    be taken, or by its module's or class's name, which is made unique.

    Nothing that a plugin does here ends the loading: see ``PluginSet.states``.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    chosen = _Choice(allow, deny, environment)
    found: list[_Plugin] = []
    taken: dict[str, _Plugin] = {}
    if entry_points:
        for entry, plugin in _installed(found):
            chosen.judge_installed(plugin)
            if plugin.state == "loaded":
                _load(plugin, entry, manager, taken)
        found += chosen.missing({each.name for each in found})
    for item in given:
        name, fixed = _name_of(item)
        plugin = _Plugin(name if fixed else _unique(name, taken), "given", None, GIVEN)
        found.append(plugin)
        chosen.judge_given(plugin)
        if plugin.state == "loaded":
            _register(plugin, item, manager, taken)
    # Of equal names the loaded one comes first, then as they were found.
    found.sort(key=lambda each: (each.name, each.state != "loaded"))
    for each in found:
        if each.state == "failed":
            logger.warning("%s", each.error)
    return PluginSet(found, manager, on_error)


class _Choice:
    """The allow and deny lists."""

    def __init__(
        self,
        allow: Collection[str] | None,
        deny: Collection[str],
        environment: Mapping[str, str],
    ) -> None:
        self._allow = None if allow is None else _listed(allow)
        self._deny = _listed(deny)
        load = environment.get(LOAD_VARIABLE)
        self._load = None if load is None else _split(load)
        self._disable = _split(environment.get(DISABLE_VARIABLE, ""))

    def judge_installed(self, plugin: _Plugin) -> None:
        if plugin.state != "loaded":
            return
        if self._allow is not None and plugin.name not in self._allow:
            plugin.state, plugin.error = "denied", "it is not among those allowed"
        elif plugin.name in self._deny:
            plugin.state, plugin.error = "denied", "it is among those denied"
        elif self._load is not None and plugin.name not in self._load:
            plugin.state, plugin.error = "disabled", f"{LOAD_VARIABLE} leaves it out"
        else:
            self.judge_given(plugin)

    def judge_given(self, plugin: _Plugin) -> None:
        if plugin.name in self._disable:
            plugin.state, plugin.error = "disabled", f"{DISABLE_VARIABLE} names it"

    def missing(self, names: Collection[str]) -> Iterator[_Plugin]:
        """Return what was asked for by name and is not installed."""
        asked = {
            **dict.fromkeys(self._load or (), LOAD_VARIABLE),
            **dict.fromkeys(self._allow or (), "the list of allowed plugins"),
        }
        for name in sorted(set(asked) - set(names)):
            plugin = _Plugin(name, "not installed", None, INSTALLED)
            near = _nearest(name, names)
            plugin.fail(
                PluginImportError(
                    name,
                    f"{asked[name]} names it and it is not installed"
                    + (f"; {near}" if near else ""),
                )
            )
            yield plugin


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())


def _listed(names: Collection[str]) -> tuple[str, ...]:
    # A lone text is a collection of letters, and never what was meant.
    return (names,) if isinstance(names, str) else tuple(names)


def _nearest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), 1)
    return f"did you mean {near[0]!r}?" if near else ""


# --- installed plugins ------------------------------------------------------------


def _installed(
    found: list[_Plugin],
) -> Iterator[tuple[importlib.metadata.EntryPoint, _Plugin]]:
    """Yield the installed plugins by name, and add each to ``found``.

    Of two of one name, that of the distribution whose name sorts first comes first.
    """
    entries: list[tuple[str, str, importlib.metadata.EntryPoint, _Plugin]] = []
    for entry in _entries(found):
        distribution, version = _distribution(entry)
        origin = " ".join(filter(None, (distribution, version))) or "unknown"
        plugin = _Plugin(entry.name, origin, version, INSTALLED)
        entries.append((entry.name, distribution, entry, plugin))
    entries.sort(key=lambda each: (each[0], each[1], each[2].value))
    for _, _, entry, plugin in entries:
        found.append(plugin)
        yield entry, plugin


def _entries(found: list[_Plugin]) -> list[importlib.metadata.EntryPoint]:
    try:
        return list(importlib.metadata.entry_points(group=PROJECT))
    except Exception as error:
        # One distribution with damaged metadata, of whatever project, hides all
        # others: look for it, and at each of the others alone.
        logger.debug("entry points cannot be listed at once", exc_info=error)
    entries: list[importlib.metadata.EntryPoint] = []
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        name = "unknown"
        try:
            name = distribution.metadata["Name"] or name
            if name in seen:
                continue
            seen.add(name)
            entries += distribution.entry_points.select(group=PROJECT)
        except Exception as error:
            plugin = _Plugin(name, name, None, INSTALLED)
            plugin.fail(
                PluginImportError(name, f"its metadata is damaged: {_told(error)}")
            )
            found.append(plugin)
    return entries


def _distribution(entry: importlib.metadata.EntryPoint) -> tuple[str, str | None]:
    try:
        distribution = entry.dist
        if distribution is None:
            return "", None
        return distribution.metadata["Name"] or "", distribution.version
    except Exception as error:
        # Metadata without a name or a version: the plugin itself may be sound.
        logger.debug("metadata of %r is incomplete", entry.name, exc_info=error)
        return "", None


def _load(
    plugin: _Plugin,
    entry: importlib.metadata.EntryPoint,
    manager: pluggy.PluginManager,
    taken: dict[str, _Plugin],
) -> None:
    if not _free(plugin, taken):
        return
    try:
        item = entry.load()
    except (Exception, SystemExit) as error:
        # Boundary: importing runs a stranger's code, which may even want to exit.
        plugin.fail(
            PluginImportError(
                plugin.name, f"importing {entry.value!r} failed: {_told(error)}"
            )
        )
        logger.debug("import of plugin %r failed", plugin.name, exc_info=error)
        return
    _register(plugin, item, manager, taken)


def _free(plugin: _Plugin, taken: Mapping[str, _Plugin]) -> bool:
    holder = taken.get(plugin.name)
    if holder is not None:
        plugin.fail(
            PluginInvalidError(
                plugin.name,
                f"the name is taken by a plugin of {holder.origin}; "
                f"this one is of {plugin.origin}",
            )
        )
    return holder is None


def _told(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        text = "it cannot even be shown"
    told = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return told if len(told) <= MAX_PROBLEM else f"{told[: MAX_PROBLEM - 3]}..."


# --- given objects ----------------------------------------------------------------


def _name_of(item: object) -> tuple[str, bool]:
    """Return the name of an object given in code, and whether it chose it itself."""
    try:
        own = getattr(item, "name", None)
    except Exception as error:
        # Boundary: a property is a stranger's code.
        logger.debug("the name of a plugin cannot be read", exc_info=error)
        own = None
    if isinstance(own, str) and own.strip():
        return own, True
    if isinstance(item, ModuleType):
        return item.__name__, False
    named = item if inspect.isclass(item) else type(item)
    return named.__name__, False


def _unique(name: str, taken: Collection[str]) -> str:
    made, number = name, 1
    while made in taken:
        number += 1
        made = f"{name}-{number}"
    return made


# --- checking ---------------------------------------------------------------------


def _register(
    plugin: _Plugin,
    item: Any,
    manager: pluggy.PluginManager,
    taken: dict[str, _Plugin],
) -> None:
    """Check a plugin and take it in, whole, or record why not."""
    if not _free(plugin, taken):
        return
    try:
        hooks = _Check(plugin.name, item, manager).hooks()
        manager.register(item, plugin.name)
        plugin.hooks = hooks
    except PluginError as error:
        plugin.fail(error)
        return
    except Exception as error:
        # Boundary: looking at an object may run its code. What pluggy refuses beyond
        # our own checks ends here as well.
        plugin.fail(PluginInvalidError(plugin.name, _told(error)))
        return
    taken[plugin.name] = plugin


class _Check:
    """Looks at one plugin object."""

    def __init__(self, name: str, item: Any, manager: pluggy.PluginManager) -> None:
        self._name = name
        self._item = item
        self._manager = manager

    def hooks(self) -> dict[str, _Hook]:
        """Return the hooks that the object implements.

        Raises:
            PluginInvalidError: something about it is not as it must be.
        """
        item = self._item
        if inspect.isclass(item):
            raise self._wrong(f"{item.__name__} is a class; offer an instance of it")
        try:
            hash(item)
        except TypeError:
            raise self._wrong(
                f"{type(item).__name__} cannot be hashed, which pluggy needs; "
                "declare an attrs class or dataclass with eq=False"
            ) from None
        if any(item is other for other in self._manager.get_plugins()):
            raise self._wrong("the same object is loaded under another name already")
        if item in self._manager.get_plugins():
            raise self._wrong(
                f"{type(item).__name__} compares equal to another plugin; "
                "declare an attrs class or dataclass with eq=False"
            )
        found: dict[str, _Hook] = {}
        marked = 0
        for attribute in dir(item):
            options = self._manager.parse_hookimpl_opts(item, attribute)
            if options is None:
                self._check_unmarked(attribute)
                continue
            marked += 1
            hook = options.get("specname") or attribute
            if hook not in SPECIFICATIONS and options.get("optionalhook"):
                continue
            if hook in found:
                raise self._wrong("it is implemented twice", hook)
            self._check_options(hook, dict(options))
            found[hook] = self._hook(hook, getattr(item, attribute))
        if not marked:
            raise self._wrong(
                "it implements no hook; mark its functions with "
                "`from dovetail.kernel import hookimpl`"
            )
        return found

    def _wrong(self, problem: str, hook: str | None = None) -> PluginInvalidError:
        return PluginInvalidError(self._name, problem, hook=hook)

    def _check_unmarked(self, attribute: str) -> None:
        """Refuse what looks like a hook and would silently never be called."""
        if not attribute.startswith(PREFIX):
            return
        static = inspect.getattr_static(self._item, attribute, None)
        # A module `dovetail_weather` that a plugin imports is no hook of its.
        function = getattr(static, "__func__", static)
        if attribute in SPECIFICATIONS:
            raise self._wrong(
                "it is not a function that is marked with @hookimpl", attribute
            )
        if inspect.isroutine(function):
            raise self._unknown(attribute)

    def _unknown(self, hook: str) -> PluginInvalidError:
        near = _nearest(hook, SPECIFICATIONS)
        return self._wrong(
            "there is no such hook" + (f"; {near}" if near else ""), hook
        )

    def _check_options(self, hook: str, options: Mapping[str, Any]) -> None:
        if hook not in SPECIFICATIONS:
            raise self._unknown(hook)
        if options.get("wrapper") or options.get("hookwrapper"):
            raise self._wrong(
                "wrappers are not supported; every hook stands alone", hook
            )
        for option in ("tryfirst", "trylast"):
            if options.get(option):
                raise self._wrong(
                    f"{option} is not supported: plugins are called in the order of "
                    "their names",
                    hook,
                )

    def _hook(self, hook: str, function: Callable[..., Any]) -> _Hook:
        # Not looked through: an `@asynccontextmanager` is what a hook may hand over.
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(
            function
        ):
            raise self._wrong(
                "it is `async def`, and hooks are synchronous: hand over something "
                "that may wait, such as an async context manager",
                hook,
            )
        if inspect.isgeneratorfunction(function):
            raise self._wrong("it has a `yield`, so calling it would do nothing", hook)
        spec = SPECIFICATIONS[hook]
        positional: list[str] = []
        named: list[str] = []
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise self._wrong(f"it takes *{name}; name the arguments", hook)
            if name not in spec.names:
                near = _nearest(name, spec.arguments)
                raise self._wrong(
                    f"it takes {name!r}, which the hook does not have; "
                    + (near or f"it has {', '.join(spec.arguments)}"),
                    hook,
                )
            by_place = parameter.kind is not parameter.KEYWORD_ONLY
            (positional if by_place else named).append(name)
        return _Hook(function, tuple(positional), tuple(named))
