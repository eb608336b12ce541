"""The command ``plugins new``: a package to begin with."""

import shlex

import click

from ..console.terminal import Terminal, visible
from .plugin_name import PluginName
from .program import CommandLine
from .skeleton import tool_name, write_skeleton


@click.command("new", short_help="Write a package to begin with")
@click.argument("name")
@click.option(
    "--into",
    metavar="DIR",
    help="The folder to write it into, new or empty. [default: ./NAME]",
)
@click.pass_context
def new_command(context: click.Context, name: str, into: str | None) -> None:
    """Write a package with a plugin to begin with: a tool, its tests, all that pip
    wants.

    NAME is what it will be installed as, such as dovetail-dice.
    """
    names = PluginName.of(name, _found(context))
    folder = names.distribution if into is None else into
    try:
        write_skeleton(names, folder)
    except OSError as error:
        raise click.ClickException(
            f"{visible(folder)} cannot be written ({error.strerror})"
        ) from error
    terminal = Terminal()
    terminal.write(
        f"{names.distribution} is in {visible(folder)}: "
        f"a plugin {names.plugin!r} with a tool {tool_name(names)!r}. Next:\n\n"
        f"  cd {visible(shlex.quote(folder))}\n"
        '  python -m pip install -e ".[test]"\n'
        "  python -m pytest\n"
        "  dovetail plugins check\n"
    )


def _found(context: click.Context) -> list[str]:
    program = context.find_root().command
    assert isinstance(program, CommandLine)
    return [one.name for one in program.plugins.states()]
