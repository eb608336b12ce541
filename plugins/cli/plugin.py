"""The plugin that adds our own commands to the command line."""

from typing import Any

from dovetail.kernel import Command, Register, hookimpl


class CommandLinePlugin:
    """Adds our own commands."""

    @hookimpl
    def dovetail_register_commands(self, register: Register[Command]) -> None:
        """Hand the commands over; each is imported when it is run or shown."""
        register(Command("run", "Prompt a session and show what it does", _run))
        register(Command("sessions", "List sessions, the newest first", _sessions))
        register(Command("show", "Show a session and its transcript", _show))
        register(Command("log", "Show the events of a session", _log))
        register(Command("detach", "Let a running command go on by itself", _detach))
        register(Command("compact", "Replace older history by a summary", _compact))
        register(Command("fork", "Share a past, and go another way", _fork))
        register(Command("revert", "Go back, and restore files", _revert))
        register(Command("unrevert", "Bring back what was hidden", _unrevert))
        register(Command("move", "Go on in another directory", _move))
        register(Command("export", "Print a session for another database", _export))
        register(Command("import", "Write a session of another database", _import))
        register(Command("verify", "Check that nothing recorded was changed", _verify))
        register(Command("prune", "Remove content that may go", _prune))
        register(
            Command("permissions", "Show what was approved, by whom", _permissions)
        )
        register(Command("agents", "List the agents of a directory", _agents))
        register(Command("models", "List the models that can be asked", _models))
        register(Command("keys", "Keep the keys of providers", _keys))
        register(Command("skills", "List the skills of a directory", _skills))
        register(Command("config", "Show and set what is configured", _config))
        register(Command("doctor", "Look whether all that is needed works", _doctor))
        register(Command("stats", "Show tokens and costs by day and model", _stats))
        register(
            Command("completion", "Complete command lines in a shell", _completion)
        )
        register(Command("setup", "Choose a provider, a key and a model", _setup))
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


plugin = CommandLinePlugin()
