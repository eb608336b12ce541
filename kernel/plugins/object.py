"""Plugin objects: what one is called, what it implements, and whether that is right.

Owns the look at one object before it counts as a plugin: its name, its hooks, the
releases of dovetail and the settings that it declares, and its place in the order.
Knows nothing of where the object came from (see ``loader``) nor of how its
hooks are called (see ``set``).
"""

import importlib.metadata
import inspect
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from inspect import Parameter
from types import FunctionType, MethodType, ModuleType
from typing import Any, Literal

import attrs
import pluggy
from attrs import define, field

from ..hookspecs import PROJECT, Hooks
from ..lifecycle.registrations import Rank
from ..values.errors import PluginError, PluginInvalidError, error_text
from ..values.frozen import frozen

logger = logging.getLogger(__name__)

PREFIX = f"{PROJECT}_"

INSTALLED, GIVEN, ADDED = 1, 2, 3
"""The levels of plugins: what is given in code comes after what is installed, and what
a Location adds by itself after both."""

GUARDS = frozenset(
    {
        "dovetail_register_rules",
        "dovetail_decide_permission",
        "dovetail_prepare_request",
        "dovetail_prepare_tool_call",
    }
)
"""The hooks that keep something from happening. Where one cannot be called, what it
guards does not happen (law plugins.6)."""

State = Literal["loaded", "failed", "denied", "disabled"]


@frozen
class PluginState:
    """What is known of one plugin that was found, whether it was loaded or not."""

    name: str
    """What it is called."""
    origin: str
    """``distribution version``, or ``given`` for an object given in code."""
    version: str | None
    """The version of its distribution, if it has one."""
    state: State
    """``denied`` by the lists of the code, ``disabled`` by the environment."""
    error: str | None = None
    """Why it is not loaded."""
    hooks: tuple[str, ...] = ()
    """The hooks that it implements."""
    errors: int = 0
    """How many of its hook calls failed since."""
    last_error: str | None = None
    """The latest of its errors, in one text."""
    warnings: tuple[str, ...] = ()
    """What it uses that a later release removes, and what of its order is ignored."""
    seconds: float = field(default=0.0, eq=False)
    """How long importing it and all calls of its hooks took together."""
    last_blocking: str | None = field(default=None, eq=False)
    """What code of it last took so long that others waited for it, where, and how
    long; that it takes or took this is not an error by itself."""


# --- hooks ------------------------------------------------------------------------


@frozen
class HookSpec:
    """One hook specification, looked at once."""

    name: str
    arguments: tuple[str, ...]
    names: frozenset[str]
    retired: Warning | None
    """Set when implementing it is deprecated."""
    retired_arguments: Mapping[str, Warning]


@frozen
class Hook:
    """One implementation, ready to be called without looking at it again."""

    function: Callable[..., Any]
    positional: tuple[str, ...]
    named: tuple[str, ...]


class HookTable:
    """The hook specifications of a class."""

    def __init__(self, declared: type) -> None:
        self.declared = declared
        self.specs: Mapping[str, HookSpec] = {
            name: self._spec(name, function)
            for name, function in vars(declared).items()
            if hasattr(function, f"{PROJECT}_spec")
        }

    def _spec(self, name: str, function: Callable[..., Any]) -> HookSpec:
        arguments = tuple(inspect.signature(function).parameters)[1:]
        options = getattr(function, f"{PROJECT}_spec")
        return HookSpec(
            name,
            arguments,
            frozenset(arguments),
            options.get("warn_on_impl"),
            options.get("warn_on_impl_args") or {},
        )

    def spec(self, hook: "str | Callable[..., Any]") -> HookSpec:
        """Return a specification by its name or by itself.

        Raises:
            LookupError: there is no such hook.
        """
        name = hook if isinstance(hook, str) else hook.__name__
        found = self.specs.get(name)
        if found is None:
            raise LookupError(f"there is no hook {name!r}")
        return found

    def manager(self) -> pluggy.PluginManager:
        """Return a new plugin manager for these hooks."""
        made = _Manager(PROJECT)
        made.take_over(self._declaring)
        return made

    @cached_property
    def _declaring(self) -> pluggy.PluginManager:
        """A manager without plugins, which has read the declaration.

        Reading it again for each runtime took a tenth of the opening.
        """
        made = _Manager(PROJECT)
        made.add_hookspecs(self.declared)
        return made


class _Manager(pluggy.PluginManager):
    """pluggy's manager, which looks at no attribute that every object has.

    Most of an object is such attributes, and to look at them was most of its loading.
    What was seen when an object was checked is what is registered at once thereafter.
    """

    _seen: tuple[Any, dict[str, "pluggy.HookimplOpts | None"]] = None, {}

    def take_over(self, other: pluggy.PluginManager) -> None:
        """Have the hooks that another manager has, each with nobody who answers it."""
        for name, declared in vars(other.hook).items():
            hook = pluggy.HookCaller(name, self._hookexec)
            hook.spec = declared.spec
            setattr(self.hook, name, hook)

    def parse_hookimpl_opts(
        self, plugin: Any, name: str
    ) -> "pluggy.HookimplOpts | None":
        if name.startswith("__") and hasattr(object, name):
            return None
        if plugin is not self._seen[0]:
            self._seen = plugin, {}
        _, found = self._seen
        if name not in found:
            found[name] = super().parse_hookimpl_opts(plugin, name)
        return found[name]


HOOKS = HookTable(Hooks)


# --- one plugin -------------------------------------------------------------------


@define(eq=False)
class Plugin:
    """One plugin that was found."""

    name: str
    origin: str
    version: str | None
    level: int
    state: State = "loaded"
    error: str | None = None
    item: Any = None
    hooks: dict[str, Hook] = field(factory=dict)
    settings: type | None = None
    """The attrs class that it wants its settings as."""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    rank: Rank = 0
    """Its place among all plugins of a runtime; see ``ranks``."""
    errors: int = 0
    last_error: str | None = None
    warnings: list[str] = field(factory=list)
    seconds: float = 0.0
    last_blocking: str | None = None
    last_seconds: float = 0.0
    """How long the last call of a hook took."""

    def fail(self, error: PluginError) -> None:
        self.state, self.error = "failed", str(error)

    @property
    def guards(self) -> tuple[str, ...]:
        """The guarding hooks that it implements."""
        return tuple(sorted(GUARDS & set(self.hooks)))

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
            warnings=tuple(self.warnings),
            seconds=self.seconds,
            last_blocking=self.last_blocking,
        )


def nearest(name: str, known: Collection[str]) -> str:
    """Return a question about the name that was perhaps meant, or nothing."""
    import difflib

    near = difflib.get_close_matches(name, sorted(known), 1)
    return f"did you mean {near[0]!r}?" if near else ""


def name_of(item: object) -> tuple[str, bool]:
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


# --- the order --------------------------------------------------------------------


def ranks(plugins: Sequence[Plugin]) -> dict[str, Rank]:
    """Return the plugins' names, in the order in which they are called, with ranks.

    By name; one that declares to come ``after`` others (or that others declare to
    come ``before``) comes at once after the last of them. Names that are not there
    mean nothing. A circle is told to those in it, whose declarations are ignored. The
    order depends on the names and declarations only (law plugins.5).
    """
    named = {each.name: each for each in plugins}
    after: dict[str, set[str]] = {
        name: {one for one in each.after if one in named and one != name}
        for name, each in named.items()
    }
    for name, each in named.items():
        for one in each.before:
            if one in named and one != name:
                after[one].add(name)
    for name in _circular(after):
        after[name] = set()
        warning = "its before and after lead in a circle and are ignored"
        if warning not in named[name].warnings:
            named[name].warnings.append(warning)
    paths: dict[str, tuple[str, ...]] = {}
    levels: dict[str, int] = {}

    def place(name: str) -> tuple[str, ...]:
        if name not in paths:
            others = [place(one) for one in sorted(after[name])]
            last = max(others, default=())
            # Behind the one it follows and before whatever came behind that.
            paths[name] = (name,) if (name,) > last else (*last, name)
            levels[name] = max(
                [named[name].level, *(levels[one] for one in after[name])]
            )
        return paths[name]

    order = sorted(named, key=place)
    return {
        name: levels[name] if paths[name] == (name,) else (levels[name], paths[name])
        for name in order
    }


def _circular(after: Mapping[str, set[str]]) -> list[str]:
    """Return the names that come after themselves."""

    def reaches(start: str) -> bool:
        seen: set[str] = set()
        waiting = list(after[start])
        while waiting:
            name = waiting.pop()
            if name == start:
                return True
            if name not in seen:
                seen.add(name)
                waiting += after[name]
        return False

    return sorted(name for name in after if reaches(name))


# --- checking ---------------------------------------------------------------------


def take_in(
    plugin: Plugin, item: Any, manager: pluggy.PluginManager, table: HookTable
) -> None:
    """Check an object and make it the plugin, whole or not at all.

    Raises:
        PluginInvalidError: something about it is not as it must be.
    """
    try:
        check = _Check(plugin, item, manager, table)
        hooks = check.hooks()
        check.releases()
        plugin.before, plugin.after = check.names("before"), check.names("after")
        plugin.settings = check.settings()
        manager.register(item, plugin.name)
    except PluginError:
        raise
    except Exception as error:
        # Boundary: looking at an object may run its code. What pluggy refuses beyond
        # our own checks ends here as well.
        raise PluginInvalidError(plugin.name, error_text(error)) from error
    plugin.hooks, plugin.item = hooks, item
    plugin.warnings += check.warnings


class _Check:
    """Looks at one plugin object."""

    def __init__(
        self, plugin: Plugin, item: Any, manager: pluggy.PluginManager, table: HookTable
    ) -> None:
        self._name = plugin.name
        self._item = item
        self._manager = manager
        self._specs = table.specs
        self.warnings: list[str] = []

    def hooks(self) -> dict[str, Hook]:
        """Return the hooks that the object implements."""
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
        found: dict[str, Hook] = {}
        marked = 0
        for attribute in dir(item):
            options = self._manager.parse_hookimpl_opts(item, attribute)
            if options is None:
                self._check_unmarked(attribute)
                continue
            marked += 1
            hook = options.get("specname") or attribute
            if hook not in self._specs and options.get("optionalhook"):
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
        if attribute in self._specs:
            raise self._wrong(
                "it is not a function that is marked with @hookimpl", attribute
            )
        if inspect.isroutine(function):
            raise self._unknown(attribute)

    def _unknown(self, hook: str) -> PluginInvalidError:
        near = nearest(hook, self._specs)
        return self._wrong(
            "there is no such hook" + (f"; {near}" if near else ""), hook
        )

    def _check_options(self, hook: str, options: Mapping[str, Any]) -> None:
        if hook not in self._specs:
            raise self._unknown(hook)
        if options.get("wrapper") or options.get("hookwrapper"):
            raise self._wrong(
                "wrappers are not supported; every hook stands alone", hook
            )
        for option in ("tryfirst", "trylast"):
            if options.get(option):
                raise self._wrong(
                    f"{option} is not supported: plugins are called in the order of "
                    "their names; `before` and `after` of the plugin change that",
                    hook,
                )

    def _hook(self, hook: str, function: Callable[..., Any]) -> Hook:
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
        spec = self._specs[hook]
        if spec.retired is not None:
            self.warnings.append(str(spec.retired))
        positional: list[str] = []
        named: list[str] = []
        for name, kind in _arguments_of(function):
            if kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
                raise self._wrong(f"it takes *{name}; name the arguments", hook)
            if name not in spec.names:
                near = nearest(name, spec.arguments)
                raise self._wrong(
                    f"it takes {name!r}, which the hook does not have; "
                    + (near or f"it has {', '.join(spec.arguments)}"),
                    hook,
                )
            if name in spec.retired_arguments:
                self.warnings.append(str(spec.retired_arguments[name]))
            by_place = kind is not Parameter.KEYWORD_ONLY
            (positional if by_place else named).append(name)
        return Hook(function, tuple(positional), tuple(named))

    def names(self, attribute: str) -> tuple[str, ...]:
        """Return the plugins that this one declares to come before or after."""
        declared = self._declared(attribute)
        if declared is None or callable(declared):
            return ()
        names = (declared,) if isinstance(declared, str) else tuple(declared)
        if not all(isinstance(name, str) and name for name in names):
            raise self._wrong(f"`{attribute}` must hold names of plugins")
        return names

    def _declared(self, attribute: str) -> Any:
        # An imported module or a function of this name is no declaration.
        value = getattr(self._item, attribute, None)
        return None if isinstance(value, ModuleType) else value

    def releases(self) -> None:
        """Refuse a plugin that was made for other releases of dovetail."""
        wanted = self._declared("requires_dovetail")
        if wanted is None:
            return
        # Here and not above: few plugins declare it, and it is not free.
        from packaging.specifiers import InvalidSpecifier, SpecifierSet

        try:
            releases = SpecifierSet(wanted)
        except (InvalidSpecifier, TypeError, AttributeError):
            raise self._wrong(
                f"`requires_dovetail` is {wanted!r}, and must be a range of versions "
                'such as ">=0.1,<0.2"'
            ) from None
        version = importlib.metadata.version(PROJECT)
        if not releases.contains(version, prereleases=True):
            raise self._wrong(
                f"it is made for dovetail {wanted} and this is {version}; install a "
                "release of it for this one"
            )

    def settings(self) -> type | None:
        """Return the class that the plugin wants its settings as."""
        declared = self._declared("Settings")
        if declared is None:
            return None
        if not inspect.isclass(declared) or not attrs.has(declared):
            raise self._wrong("`Settings` must be an attrs class")
        for one in attrs.fields(declared):
            if one.metadata.get("secret") and one.repr is not False:
                raise self._wrong(
                    f"the setting {one.name!r} is secret and would be shown; declare "
                    'it as field(repr=False, metadata={"secret": True})'
                )
        return declared


def _arguments_of(function: Callable[..., Any]) -> Sequence[tuple[str, Any]]:
    """Return what a function takes, each with its kind, as ``inspect.signature`` does.

    Nearly every hook is a plain function or method, and of such its code says it: all
    that a signature is besides takes most of the time of loading a plugin.
    """
    plain = function.__func__ if isinstance(function, MethodType) else function
    if isinstance(plain, FunctionType) and _INSTEAD.isdisjoint(vars(plain)):
        code, first = plain.__code__, int(plain is not function)
        if code.co_argcount >= first and not code.co_flags & _TAKES_MORE:
            by_place = code.co_varnames[first : code.co_argcount]
            end = code.co_argcount + code.co_kwonlyargcount
            named = code.co_varnames[code.co_argcount : end]
            return [
                *((name, Parameter.POSITIONAL_OR_KEYWORD) for name in by_place),
                *((name, Parameter.KEYWORD_ONLY) for name in named),
            ]
    found = inspect.signature(function).parameters
    return [(name, parameter.kind) for name, parameter in found.items()]


_INSTEAD = frozenset(("__wrapped__", "__signature__"))
"""Where a function says that it takes what another one takes."""
_TAKES_MORE = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
