"""The plugin that adds ``dovetail serve`` to the command line."""

from typing import Any

from dovetail.kernel import Command, Register, hookimpl

from .listed import COMMANDS


class HttpPlugin:
    """Adds the command; what it needs is imported when it is run or shown."""

    @hookimpl
    def dovetail_register_commands(self, register: Register[Command]) -> None:
        """Hand the command over."""
        register(Command("serve", COMMANDS["serve"], _serve))


def _serve() -> Any:
    from .serve import serve_command

    return serve_command


plugin = HttpPlugin()
