"""The command ``plugins``: what is installed, and what became of it."""

import click
from dovetail.kernel import PluginState, to_json

from .listing import table
from .options import json_line, json_option
from .program import CommandLine
from .terminal import Terminal, first_line, visible

HEADS = ("name", "state", "from", "hooks")


@click.group("plugins")
def plugins_command() -> None:
    """Show what is installed."""


@plugins_command.command("list")
@json_option("one plugin")
@click.pass_context
def list_command(context: click.Context, as_json: bool) -> None:
    """List the plugins that were found, and what is wrong with them."""
    program = context.find_root().command
    assert isinstance(program, CommandLine)
    states = program.plugins.states()
    terminal = Terminal()
    if as_json:
        terminal.write("".join(json_line(to_json(state)) for state in states))
        return
    rows = [_row(state) for state in states]
    terminal.write(table(HEADS, rows, terminal.width, terminal.style))
    for state in states:
        problem = state.error or state.last_error
        if problem is not None:
            terminal.write(f"{visible(state.name)}: {visible(first_line(problem))}\n")


def _row(state: PluginState) -> tuple[str, ...]:
    hooks = ", ".join(hook.removeprefix("dovetail_") for hook in state.hooks)
    return state.name, state.state, state.origin, hooks or "-"
