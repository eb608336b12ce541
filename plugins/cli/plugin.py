"""The plugin that adds our own commands to the command line."""

from typing import Any

from dovetail.kernel import Command, Register, hookimpl


class CommandLinePlugin:
    """Adds ``run``, ``sessions``, ``show``, ``log`` and ``plugins``."""

    @hookimpl
    def dovetail_register_commands(self, register: Register[Command]) -> None:
        """Hand the commands over; each is imported when it is run or shown."""
        register(Command("run", "Prompt a session and show what it does", _run))
        register(Command("sessions", "List sessions, the newest first", _sessions))
        register(Command("show", "Show a session and its transcript", _show))
        register(Command("log", "Show the events of a session", _log))
        register(Command("plugins", "Show what is installed", _plugins))


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


def _plugins() -> Any:
    from .plugin_list import plugins_command

    return plugins_command


plugin = CommandLinePlugin()
