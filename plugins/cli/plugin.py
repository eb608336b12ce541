"""The plugin that adds our own commands to the command line."""

from collections.abc import Callable, Mapping
from typing import Any

from dovetail.kernel import Command, Register, hookimpl

from .listed import COMMANDS


class CommandLinePlugin:
    """Adds our own commands."""

    @hookimpl
    def dovetail_register_commands(self, register: Register[Command]) -> None:
        """Hand the commands over; each is imported when it is run or shown."""
        for name, told in COMMANDS.items():
            register(Command(name, told, _LOADS[name]))


def _run() -> Any:
    from .run import run_command

    return run_command


def _sessions() -> Any:
    from .sessions import sessions_command

    return sessions_command


def _show() -> Any:
    from .show import show_command

    return show_command


def _log() -> Any:
    from .log import log_command

    return log_command


def _detach() -> Any:
    from .detach import detach_command

    return detach_command


def _compact() -> Any:
    from .compact import compact_command

    return compact_command


def _export() -> Any:
    from .carry import export_command

    return export_command


def _import() -> Any:
    from .carry import import_command

    return import_command


def _verify() -> Any:
    from .verify import verify_command

    return verify_command


def _prune() -> Any:
    from .prune import prune_command

    return prune_command


def _permissions() -> Any:
    from .permissions import permissions_command

    return permissions_command


def _agents() -> Any:
    from .agents import agents_command

    return agents_command


def _models() -> Any:
    from .models import models_command

    return models_command


def _keys() -> Any:
    from .keys import keys_command

    return keys_command


def _skills() -> Any:
    from .skills import skills_command

    return skills_command


def _config() -> Any:
    from .config import config_command

    return config_command


def _doctor() -> Any:
    from .doctor import doctor_command

    return doctor_command


def _stats() -> Any:
    from .stats import stats_command

    return stats_command


def _completion() -> Any:
    from .completion import completion_command

    return completion_command


def _setup() -> Any:
    from .setup import setup_command

    return setup_command


def _plugins() -> Any:
    from .plugin_list import plugins_command

    return plugins_command


def _fork() -> Any:
    from .travel import fork_command

    return fork_command


def _revert() -> Any:
    from .travel import revert_command

    return revert_command


def _unrevert() -> Any:
    from .travel import unrevert_command

    return unrevert_command


def _move() -> Any:
    from .travel import move_command

    return move_command


_LOADS: Mapping[str, Callable[[], Any]] = {
    "run": _run,
    "sessions": _sessions,
    "show": _show,
    "log": _log,
    "detach": _detach,
    "compact": _compact,
    "fork": _fork,
    "revert": _revert,
    "unrevert": _unrevert,
    "move": _move,
    "export": _export,
    "import": _import,
    "verify": _verify,
    "prune": _prune,
    "permissions": _permissions,
    "agents": _agents,
    "models": _models,
    "keys": _keys,
    "skills": _skills,
    "config": _config,
    "doctor": _doctor,
    "stats": _stats,
    "completion": _completion,
    "setup": _setup,
    "plugins": _plugins,
}

plugin = CommandLinePlugin()
