"""The plugin loader: which plugins there are, and which of them are loaded.

Owns discovery by entry-point metadata, the allow and deny lists, and the import of one
plugin at a time. pluggy's own loader stops at the first failing import and discovers
in directory order, so it is not used. What a plugin object must be is decided in
``object``; how its hooks are called, in ``set``.

Whatever is wrong with a plugin is recorded in its state and disturbs no other
(law plugins.1). The order is that of the names, but for what plugins declare
themselves, and the same on every machine (law plugins.5).
"""

import importlib.metadata
import inspect
import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

import pluggy

from ..hookspecs import PROJECT
from ..lazy import Importing
from ..lifecycle.clock import SystemClock
from ..lifecycle.guests import Guest, by_person
from ..lifecycle.watchdog import Watchdog
from ..values.clock import Clock
from ..values.errors import (
    PluginError,
    PluginImportError,
    PluginInvalidError,
    error_text,
)
from .object import (
    GIVEN,
    HOOKS,
    INSTALLED,
    HookTable,
    Plugin,
    name_of,
    nearest,
    ranks,
    take_in,
)
from .set import PluginSet

logger = logging.getLogger(__name__)

LOAD_VARIABLE = "DOVETAIL_LOAD_PLUGINS"
"""Names, separated by commas: of the installed plugins only these are loaded. Set and
empty: none is."""
DISABLE_VARIABLE = "DOVETAIL_DISABLE_PLUGINS"
"""Names, separated by commas, that are not loaded, wherever they come from."""
TRACE_VARIABLE = "DOVETAIL_TRACE_PLUGINS"
"""Set and not empty: every hook call is told on standard error, with its arguments,
its result and its time."""


# --- loading ----------------------------------------------------------------------


def load_plugins(
    given: Sequence[object] = (),
    *,
    entry_points: bool = True,
    allow: Collection[str] | None = None,
    deny: Collection[str] = (),
    environment: Mapping[str, str],
    on_error: Callable[[PluginError], None] | None = None,
    table: HookTable = HOOKS,
    clock: Clock | None = None,
) -> PluginSet:
    """Find plugins and return them; those that are wanted are loaded on first need.

    Installed plugins are found by their metadata; only one that is wanted is imported,
    one at a time: see ``PluginSet``. ``allow`` and ``deny`` are for installed plugins,
    by entry-point name; DOVETAIL_LOAD_PLUGINS and DOVETAIL_DISABLE_PLUGINS narrow
    further. An object of ``given`` is called by its attribute ``name``, which must not
    be taken, or by its module's or class's name, which is made unique. The order is
    that of the names, but for what plugins declare in ``before`` and ``after``.

    Nothing that a plugin does here ends the loading: see ``PluginSet.states``.
    """
    manager = table.manager()
    clock = clock or SystemClock()
    watchdog = Watchdog()
    loader = PluginLoader(
        given,
        entry_points=entry_points,
        choice=_Choice(allow, deny, environment),
        manager=manager,
        table=table,
        clock=clock,
        watchdog=watchdog,
    )
    return PluginSet(
        loader,
        manager,
        on_error,
        table=table,
        clock=clock,
        trace=bool(environment.get(TRACE_VARIABLE)),
        watchdog=watchdog,
    )


class PluginLoader:
    """What metadata says there is, and the import of it, when it is needed."""

    def __init__(
        self,
        given: Sequence[object],
        *,
        entry_points: bool,
        choice: "_Choice",
        manager: pluggy.PluginManager,
        table: HookTable,
        clock: Clock,
        watchdog: Watchdog,
    ) -> None:
        self._choice = choice
        self._watchdog = watchdog
        self._manager = manager
        self._table = table
        self._clock = clock
        self._found: list[Plugin] = []
        self._taken: dict[str, Plugin] = {}
        self._entries = list(_installed(self._found)) if entry_points else []
        claimed: dict[str, Plugin] = {}
        for _, plugin in self._entries:
            choice.judge_installed(plugin)
            if plugin.state == "loaded":
                # A name belongs to who comes first, whether its import goes well or
                # not: settings, keys and approvals go by it, and another package must
                # not come by them because this one broke.
                _free(plugin, claimed)
                claimed.setdefault(plugin.name, plugin)
        if entry_points:
            self._found += choice.missing({each.name for each in self._found})
        self._given = tuple(given)
        self._loaded = False

    def alone(self, name: str, hook: str) -> Plugin | None:
        """Return an installed plugin that nothing else has to be imported for.

        None when there is none of this name, or it is not wanted, or it cannot be
        loaded; and when an object that was given in code may answer the hook, too.
        """
        if not self._loaded:
            if self.is_given(hook):
                return None
            for entry, plugin in self._entries:
                if plugin.name == name:
                    self._load(entry, plugin)
                    break
        return self._taken.get(name)

    def is_given(self, hook: str) -> bool:
        """Return whether an object that was given in code may have a hook."""
        return any(_has(item, hook) for item in self._given)

    def all(self) -> Sequence[Plugin]:
        """Return everything that was found, loaded as far as it is wanted, in order."""
        if self._loaded:
            return self._found
        found = list(self._found)
        for entry, plugin in self._entries:
            self._load(entry, plugin)
        for item in self._given:
            name, fixed = name_of(item)
            if not fixed:
                name = _unique(name, self._taken)
            plugin = Plugin(name, "given", None, GIVEN)
            found.append(plugin)
            self._choice.judge_given(plugin)
            if plugin.state == "loaded":
                _register(plugin, item, self._manager, self._table, self._taken)
        order = ranks(list(self._taken.values()))
        for name, plugin in self._taken.items():
            plugin.rank = order[name]
        self._found = _merged(found, list(order))
        self._loaded = True
        for each in self._found:
            for warning in each.warnings:
                logger.warning("plugin %r: %s", each.name, warning)
            if each.state == "failed":
                logger.warning("%s", each.error)
        return self._found

    def _load(self, entry: importlib.metadata.EntryPoint, plugin: Plugin) -> None:
        if plugin.state != "loaded" or self._taken.get(plugin.name) is plugin:
            return
        began = self._clock.monotonic()
        importing = self._watchdog.calling(Guest(plugin.name, "the import"))
        _load(plugin, entry, self._manager, self._table, self._taken, importing)
        plugin.seconds = self._clock.monotonic() - began
        if importing.last is not None:
            plugin.last_blocking = str(importing.last)


def _has(item: object, hook: str) -> bool:
    # Nothing of a stranger's runs for this question.
    return inspect.getattr_static(item, hook, None) is not None


def _merged(found: Sequence[Plugin], loaded: Sequence[str]) -> list[Plugin]:
    """Return the loaded plugins in their order, the others beside them by name."""
    merged = [
        each
        for name in loaded
        for each in found
        if each.name == name and each.state == "loaded"
    ]
    for each in sorted(found, key=lambda one: one.name):
        if each.state != "loaded":
            # Before the first that is loaded and comes after it by name; of equal
            # names the loaded one comes first, then as they were found.
            at = next(
                (at for at, other in enumerate(merged) if other.name > each.name),
                len(merged),
            )
            merged.insert(at, each)
    return merged


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

    def judge_installed(self, plugin: Plugin) -> None:
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

    def judge_given(self, plugin: Plugin) -> None:
        if plugin.name in self._disable:
            plugin.state, plugin.error = "disabled", f"{DISABLE_VARIABLE} names it"

    def missing(self, names: Collection[str]) -> Iterator[Plugin]:
        """Return what was asked for by name and is not installed."""
        asked = {
            **dict.fromkeys(self._load or (), LOAD_VARIABLE),
            **dict.fromkeys(self._allow or (), "the list of allowed plugins"),
        }
        for name in sorted(set(asked) - set(names)):
            plugin = Plugin(name, "not installed", None, INSTALLED)
            near = nearest(name, names)
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


# --- installed plugins ------------------------------------------------------------


def _installed(
    found: list[Plugin],
) -> Iterator[tuple[importlib.metadata.EntryPoint, Plugin]]:
    """Yield the installed plugins by name, and add each to ``found``.

    Of two of one name, that of the distribution whose name sorts first comes first, in
    the form in which package indexes compare names: no case, and ``-_.`` are one.
    """
    entries: list[tuple[str, str, importlib.metadata.EntryPoint, Plugin]] = []
    for distribution, name, version in _distributions():
        try:
            offered = distribution.entry_points.select(group=PROJECT)
        except Exception as error:
            name = name or "unknown"
            plugin = Plugin(name, name, None, INSTALLED)
            plugin.fail(
                PluginImportError(name, f"its metadata is damaged: {error_text(error)}")
            )
            found.append(plugin)
            continue
        origin = " ".join(filter(None, (name, version))) or "unknown"
        for entry in offered:
            plugin = Plugin(entry.name, origin, version, INSTALLED)
            entries.append((entry.name, _comparable(name), entry, plugin))
    entries.sort(key=lambda each: (each[0], each[1], each[2].value))
    for _, _, entry, plugin in entries:
        found.append(plugin)
        yield entry, plugin


def _comparable(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _distributions() -> Iterator[
    tuple[importlib.metadata.Distribution, str, str | None]
]:
    """Yield what may have plugins, of each name the first on the path, with its name
    and version.

    That is what ``importlib.metadata.entry_points`` goes by, which parses the entry
    points of everything that is installed: as long again as it takes to read them. And
    what is damaged somewhere hides nothing that is elsewhere.
    """
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        if not _may_have_plugins(distribution):
            continue
        name, version = _named(distribution)
        if name:
            if _comparable(name) in seen or not _may_have_plugins(_first(name)):
                # Hidden by one of its name that comes before it.
                continue
            seen.add(_comparable(name))
        yield distribution, name, version


def _may_have_plugins(distribution: importlib.metadata.Distribution | None) -> bool:
    if distribution is None:
        return True
    try:
        if type(distribution) is not importlib.metadata.PathDistribution:
            # Of another finder, which need not keep its entry points as text.
            return bool(distribution.entry_points.select(group=PROJECT))
        text = distribution.read_text("entry_points.txt")
    except Exception as error:
        # It is read again, and then told.
        logger.debug("entry points cannot be read", exc_info=error)
        return True
    return text is not None and f"[{PROJECT}]" in text


def _first(name: str) -> importlib.metadata.Distribution | None:
    """Return what is imported under the name of a distribution; None where its folder
    is called otherwise."""
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _named(distribution: importlib.metadata.Distribution) -> tuple[str, str | None]:
    try:
        metadata = distribution.metadata
        return metadata["Name"] or "", metadata["Version"]
    except Exception as error:
        # Metadata without a name or a version: the plugin itself may be sound.
        logger.debug("metadata of a distribution is incomplete", exc_info=error)
        return "", None


def _load(
    plugin: Plugin,
    entry: importlib.metadata.EntryPoint,
    manager: pluggy.PluginManager,
    table: HookTable,
    taken: dict[str, Plugin],
    watched: AbstractContextManager[object],
) -> None:
    if not _free(plugin, taken):
        return
    try:
        with watched, Importing():
            item = entry.load()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and by_person(error):
            raise
        # Boundary: importing runs a stranger's code, which may even want to exit.
        problem = f"importing {entry.value!r} failed: {error_text(error)}"
        if isinstance(error, ImportError) and (
            missing := missing_requirements(entry.dist)
        ):
            problem += f"; it needs, and there is not: {', '.join(missing)}"
        plugin.fail(PluginImportError(plugin.name, problem))
        logger.debug("import of plugin %r failed", plugin.name, exc_info=error)
        return
    _register(plugin, item, manager, table, taken)


def _free(plugin: Plugin, taken: Mapping[str, Plugin]) -> bool:
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


def _register(
    plugin: Plugin,
    item: object,
    manager: pluggy.PluginManager,
    table: HookTable,
    taken: dict[str, Plugin],
) -> None:
    """Check a plugin and take it in, whole, or record why not."""
    if not _free(plugin, taken):
        return
    try:
        take_in(plugin, item, manager, table)
    except PluginError as error:
        plugin.fail(error)
        return
    taken[plugin.name] = plugin


def _unique(name: str, taken: Collection[str]) -> str:
    made, number = name, 1
    while made in taken:
        number += 1
        made = f"{name}-{number}"
    return made


# --- what a distribution needs ----------------------------------------------------


def missing_requirements(
    distribution: importlib.metadata.Distribution | None,
) -> tuple[str, ...]:
    """Return what a distribution declares to need and is not installed as declared."""
    # Here and not above: it is needed when something is wrong, and it is not free.
    from packaging.requirements import InvalidRequirement, Requirement

    missing = []
    for line in (distribution.requires if distribution is not None else None) or ():
        try:
            wanted = Requirement(line)
            if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
                continue
            version = importlib.metadata.version(wanted.name)
            if not wanted.specifier.contains(version, prereleases=True):
                missing.append(f"{wanted.name}{wanted.specifier} (this is {version})")
        except importlib.metadata.PackageNotFoundError:
            missing.append(f"{wanted.name}{wanted.specifier}")
        except InvalidRequirement:
            missing.append(f"{line!r}, which is no requirement")
    return tuple(missing)
