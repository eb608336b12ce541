"""Lazy packages: a table of contents whose modules are imported on first use.

A package lists its public names once, as plain imports in a module ``contents`` beside
its ``__init__``; so type checkers, editors and people read what they know. At run time
the statements are carried out with an ``__import__`` that only writes down what is
asked for. Knows none of the names.
"""

import gc
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.machinery import PathFinder
from sys import modules
from types import CodeType
from typing import Any

CONTENTS = "contents"


def lazy(
    package: str,
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a package."""
    home = homes(package)

    def __getattr__(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with Importing():
            value = getattr(import_module(f".{home[name]}", package), name)
        # The next one who asks finds it without coming here.
        setattr(modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(modules[package]), *home})

    return __getattr__, __dir__, sorted(home)


def homes(package: str) -> Mapping[str, str]:
    """Return the public names of a package, each with the module that it lives in."""
    found: dict[str, str] = {}

    def write_down(
        module: str,
        globals: object = None,
        locals: object = None,
        names: Sequence[str] = (),
        level: int = 0,
    ) -> "_Unread":
        found.update(dict.fromkeys(names, module))
        return _Unread()

    exec(_contents_of(package), {"__builtins__": {"__import__": write_down}})
    return found


class _Unread:
    """A module that was not imported: each of its names is there, and means nothing."""

    def __getattr__(self, name: str) -> None:
        return None


def _contents_of(package: str) -> CodeType:
    name = f"{package}.{CONTENTS}"
    # Its loader keeps the compiled module, as for an import.
    spec: Any = PathFinder.find_spec(name, modules[package].__path__)
    code: CodeType = spec.loader.get_code(name)
    return code


class Importing:
    """Holds the garbage collector while something is imported.

    What an import makes stays: looking through all of it again and again while it grows
    finds no garbage, and takes a seventh of the time in which a process starts. It is
    laid to what is old already, where a collection comes last. Where everything was
    imported before, nothing is done: to count what an application froze takes
    milliseconds, many where it froze much. So it is counted no more once there was
    some.
    """

    _application_froze = False

    def __enter__(self) -> None:
        self._held = gc.isenabled()
        self._known = len(modules)
        gc.disable()

    def __exit__(self, *exception: object) -> None:
        # Whoever holds it already, an outer import or the application, goes on.
        if not self._held:
            return
        if len(modules) != self._known and not Importing._application_froze:
            Importing._application_froze = gc.get_freeze_count() > 0
            if not Importing._application_froze:
                gc.freeze()
                gc.unfreeze()
        gc.enable()
