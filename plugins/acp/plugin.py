"""The plugin that adds ``dovetail acp`` to the command line."""

from typing import Any

from dovetail.kernel import Command, Register, hookimpl

from .listed import COMMANDS


class AcpPlugin:
    """Adds the command; what it needs is imported when it is run or shown."""

    @hookimpl
    def dovetail_register_commands(self, register: Register[Command]) -> None:
        """Hand the command over."""
        register(Command("acp", COMMANDS["acp"], _acp))


def _acp() -> Any:
    from .command import acp_command

    return acp_command


plugin = AcpPlugin()
