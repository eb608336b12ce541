"""The name of a new plugin: what may be one, and what follows from it.

Owns the rules that keep a new package from getting in the way of another. Writes
nothing (see ``skeleton``).
"""

import importlib.metadata
import keyword
import os
import sys
from collections.abc import Collection
from importlib.machinery import PathFinder

from attrs import frozen
from dovetail.kernel import PROJECT, InvalidValueError
from packaging.utils import InvalidName, canonicalize_name

LONGEST = 50
PREFIX = f"{PROJECT}-"


@frozen
class PluginName:
    """The names of one new plugin."""

    distribution: str
    """What is installed: normalised, as ``dovetail-dice``."""
    module: str
    """What is imported: ``dovetail_dice``."""
    plugin: str
    """What the plugin is called: ``dice``."""

    @classmethod
    def of(cls, text: str, taken: Collection[str] = ()) -> "PluginName":
        """Return the names that follow from one that somebody chose.

        ``taken`` are the names of the plugins that were found.

        Raises:
            InvalidValueError: it is no name of a distribution, or it or what follows
                from it is taken.
        """
        distribution = _distribution(text)
        module = distribution.replace("-", "_")
        plugin = distribution.removeprefix(PREFIX)
        problem = _unusable(module) or _installed(module, distribution)
        if problem is None and plugin in taken:
            problem = f"there is a plugin {plugin!r}"
        if problem is not None:
            raise _refused(text, problem)
        return cls(distribution, module, plugin)


def _refused(text: str, rule: str) -> InvalidValueError:
    return InvalidValueError("plugin name", text, rule)


def _distribution(text: str) -> str:
    # Checked first: what follows would take its time with a very long one.
    if len(text) > LONGEST:
        raise _refused(text, f"at most {LONGEST} characters")
    try:
        # A trailing line feed is not seen by every release of packaging.
        if not text.isascii() or text != text.strip():
            raise InvalidName
        return canonicalize_name(text, validate=True)
    except InvalidName as error:
        raise _refused(
            text,
            "a name of a distribution has letters, digits, and between them -, _ and .;"
            " such as dovetail-dice",
        ) from error


def _unusable(module: str) -> str | None:
    if not module.isidentifier():
        return "a module begins with a letter, and so must it"
    if keyword.iskeyword(module) or keyword.issoftkeyword(module):
        return f"{module!r} is a word of the language"
    if module in sys.stdlib_module_names:
        return f"{module!r} is a module of the standard library"
    return None


def _installed(module: str, distribution: str) -> str | None:
    if _importable(module):
        return f"a module {module!r} is installed"
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    return f"{distribution} is installed"


def _importable(module: str) -> bool:
    """Tell whether a module is installed, without importing anything.

    What only lies in the current directory, such as an empty folder, is not.
    """
    here = os.path.realpath(os.curdir)
    path = [one for one in sys.path if one and os.path.realpath(one) != here]
    if PathFinder.find_spec(module, path) is not None:
        return True
    # What is installed in editable mode has a finder of its own.
    finders = [one for one in sys.meta_path if one is not PathFinder]
    return any(one.find_spec(module, None) is not None for one in finders)
