"""The plugin that adds the command ``demo``."""

from typing import Any

from dovetail.kernel import Command, Register, hookimpl


class RehearsalPlugin:
    """Adds ``demo``."""

    @hookimpl
    def dovetail_register_commands(self, register: Register[Command]) -> None:
        """Hand the command over; it is imported when it is run or shown."""
        register(Command("demo", "Show a session that fixes a failing test", _demo))


def _demo() -> Any:
    from .demo import demo_command

    return demo_command


plugin = RehearsalPlugin()
