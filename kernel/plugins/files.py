"""Plugin files: plugins that are a file and not a package.

Owns how such a file becomes a plugin of one Location, and that nothing of it is left
when the Location closes. Whether a file may be loaded at all is for ``configuration``
to say: only a trusted directory's own file, or the user's, can name one.
"""

import itertools
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import anyio
from anyio import to_thread

from ..values.errors import (
    PluginError,
    PluginImportError,
    PluginInvalidError,
    error_text,
)
from .object import ADDED, Plugin
from .set import PluginSet

_TAKEN = "the name of the file is that of another plugin; rename it"


@asynccontextmanager
async def opened_files(
    paths: Sequence[str], plugins: PluginSet, seconds: float
) -> AsyncIterator[list[Plugin]]:
    """Yield the plugins that are in files, those that cannot be loaded as failed.

    A plugin is the file's attribute ``plugin``, or the file itself, and is called by
    the file's name without its ending. Each opening runs the file anew, under a module
    name of its own, so that two Locations share nothing of it. A file that takes
    longer than ``seconds`` is given up; the thread that runs it cannot be ended.
    """
    found: list[Plugin] = []
    modules: list[str] = []
    try:
        for path in dict.fromkeys(paths):
            name = Path(path).stem
            if name in {*plugins.loaded(), *(each.name for each in found)}:
                # Under its path, so that it stands beside the one that has the name.
                found.append(_failed(PluginInvalidError(path, _TAKEN), path))
                continue
            module = _module_name(name)
            modules.append(module)
            found.append(await _loaded(path, name, module, plugins, seconds))
        yield found
    finally:
        for module in modules:
            sys.modules.pop(module, None)


def _module_name(name: str) -> str:
    return next(
        made
        for number in itertools.count(1)
        if (made := f"dovetail_plugin_file_{name}_{number}") not in sys.modules
    )


async def _loaded(
    path: str, name: str, module: str, plugins: PluginSet, seconds: float
) -> Plugin:
    try:
        with anyio.move_on_after(seconds) as waiting:
            # In a thread: running it may take as long as a stranger likes.
            loaded = await to_thread.run_sync(
                _run, path, name, module, abandon_on_cancel=True
            )
        if waiting.cancelled_caught:
            raise PluginImportError(name, f"{path} was not loaded after {seconds:g} s")
        return plugins.checked(getattr(loaded, "plugin", loaded), name, path)
    except PluginError as error:
        return _failed(error, path)


def _failed(error: PluginError, path: str) -> Plugin:
    plugin = Plugin(error.plugin, path, None, ADDED)
    plugin.fail(error)
    return plugin


def _run(path: str, name: str, module: str) -> ModuleType:
    if not path.endswith(".py") or not Path(path).is_file():
        raise PluginImportError(name, f"{path} is not a Python file")
    spec = spec_from_file_location(module, path)
    assert spec is not None
    assert spec.loader is not None
    made = module_from_spec(spec)
    # Where a class looks for the types that its annotations name.
    sys.modules[module] = made
    try:
        spec.loader.exec_module(made)
    except BaseException as error:
        # Boundary: the file is a stranger's code, which may even want to exit. It runs
        # in a thread, where nobody else interrupts it.
        raise PluginImportError(
            name, f"loading {path} failed: {error_text(error)}"
        ) from error
    return made
