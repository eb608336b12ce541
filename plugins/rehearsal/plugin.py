"""The plugin that adds the command ``demo``."""

from typing import Any

from dovetail.kernel import Command, Register, hookimpl

from .listed import COMMANDS


class RehearsalPlugin:
    """Adds ``demo``."""

    @hookimpl
    def dovetail_register_commands(self, register: Register[Command]) -> None:
        """Hand the command over; it is imported when it is run or shown."""
        register(Command("demo", COMMANDS["demo"], _demo))


def _demo() -> Any:
    from .demo import demo_command

    return demo_command


plugin = RehearsalPlugin()
