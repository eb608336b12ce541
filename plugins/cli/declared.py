"""Declared commands: what installed distributions say of their commands.

A distribution may name, in the entry-point group ``dovetail.commands``, where the names
of the commands of its plugins are: then they are listed, and the plugin that has one is
found, without importing a plugin. Owns that group and how it is read. Nothing here
imports the kernel, click, or what reads metadata in general: together they take ten
times as long as a bare start, and a list of commands needs none of it.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.machinery import PathFinder

GROUP = "dovetail.commands"
PLUGINS = "dovetail"
"""The group of the plugins themselves."""
OURS = "dovetail"
"""The distribution whose commands have their names before all others."""
CHOOSING = ("DOVETAIL_LOAD_PLUGINS", "DOVETAIL_DISABLE_PLUGINS")
"""Variables that choose among plugins. Where one is set, only the loader knows."""
_KINDS = (".dist-info", ".egg-info")


class Unclear(Exception):
    """It takes more than this to say what is installed."""


class Declared:
    """The commands that are declared, each with its plugin and what it does."""

    def __init__(self) -> None:
        self.commands: dict[str, tuple[str, str]] = {}
        """The plugin and the help of each command, by its name."""
        self.ours: set[str] = set()
        """The plugins of our own distribution."""
        self.whole = True
        """Whether there is no other command, and none of them is in doubt."""

    def owner(self, command: str) -> str | None:
        """Return the plugin that has a command, if no other one can have it."""
        plugin, _ = self.commands.get(command, (None, ""))
        return plugin if self.whole or plugin in self.ours else None

    def add(self, plugin: str, value: str, *, ours: bool) -> None:
        """Take in what one plugin declares; what is not as it must be is left to the
        loader, which tells of it."""
        names = _loaded(value)
        if type(names) is not dict:
            self.whole = False
            return
        if ours:
            self.ours.add(plugin)
        for name, told in names.items():
            if name in self.commands or not (_is_line(name) and _is_line(told)):
                self.whole = False
            else:
                self.commands[name] = (plugin, told)


def declared() -> Declared:
    """Return the commands that installed distributions declare."""
    found = Declared()
    chosen = any(name in os.environ for name in CHOOSING)
    try:
        installed = dict(_installed())
    except Unclear:
        installed = dict(_by_metadata())
    # Ours first: their names are taken before all others.
    for name in sorted(installed, key=lambda name: (name != OURS, name)):
        groups = installed[name]
        plugins = groups.get(PLUGINS, {})
        if chosen or (plugins and GROUP not in groups):
            # A plugin of which nothing is said may have commands.
            found.whole = False
        if chosen and name != OURS:
            continue
        for plugin, value in groups.get(GROUP, {}).items():
            if plugin in plugins:
                found.add(plugin, value, ours=name == OURS)
            else:
                found.whole = False
    return found


def _is_line(text: object) -> bool:
    return (
        isinstance(text, str) and text.isprintable() and text.isascii() and text != ""
    )


def _loaded(value: str) -> object:
    module, _, attribute = value.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except KeyboardInterrupt:
        raise
    except BaseException:
        # Boundary: a stranger's code, which may want to exit. Its plugin is asked
        # instead, and tells what is wrong with it.
        return None


# --- what is installed ------------------------------------------------------------


def _installed() -> Iterator[tuple[str, Mapping[str, Mapping[str, str]]]]:
    """Yield distributions that have entry points of ours, each name once, as
    ``importlib.metadata`` would find them.

    Raises:
        Unclear: something may be installed elsewhere than in folders of the path.
    """
    for finder in sys.meta_path:
        if hasattr(finder, "find_distributions") and finder is not PathFinder:
            raise Unclear
    seen: set[str] = set()
    for folder in sys.path:
        if folder.endswith(".egg"):
            # It is a distribution itself.
            raise Unclear
        try:
            inside = os.listdir(folder or ".")
        except NotADirectoryError as error:
            # An archive, which may have distributions inside.
            raise Unclear from error
        except OSError:
            continue
        for entry in inside:
            if not entry.lower().endswith(_KINDS):
                continue
            name = _comparable(entry.rpartition(".")[0].partition("-")[0])
            if name in seen:
                continue
            seen.add(name)
            groups = _groups(os.path.join(folder, entry, "entry_points.txt"))
            if groups:
                yield name, groups


def _by_metadata() -> Iterator[tuple[str, Mapping[str, Mapping[str, str]]]]:
    """Yield the same, asked of every finder that there is."""
    from importlib.metadata import entry_points

    found: dict[str, dict[str, dict[str, str]]] = {}
    for group in (GROUP, PLUGINS):
        for entry in entry_points(group=group):
            name = "" if entry.dist is None else _comparable(entry.dist.name)
            groups = found.setdefault(name, {})
            groups.setdefault(group, {})[entry.name] = entry.value
    yield from found.items()


def _comparable(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")


def _groups(path: str) -> Mapping[str, Mapping[str, str]]:
    """Return the entry points of our two groups in one file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise Unclear from error
    groups: dict[str, dict[str, str]] = {}
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            group = line.strip("[]")
        elif line and not line.startswith("#") and group in (GROUP, PLUGINS):
            name, _, value = line.partition("=")
            groups.setdefault(group, {})[name.strip()] = value.strip()
    return groups
