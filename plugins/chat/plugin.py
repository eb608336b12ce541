"""The plugin that adds the command ``chat``."""

from typing import Any

from dovetail.kernel import Command, Register, hookimpl

from .listed import COMMANDS


class ChatPlugin:
    """Adds ``chat``."""

    @hookimpl
    def dovetail_register_commands(self, register: Register[Command]) -> None:
        """Hand the command over; it is imported when it is run or shown."""
        register(Command("chat", COMMANDS["chat"], _chat))


def _chat() -> Any:
    from .command import chat_command

    return chat_command


plugin = ChatPlugin()
