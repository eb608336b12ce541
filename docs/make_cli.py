"""Writes what docs/cli.md says of commands, from the commands themselves.

Run it after a change: ``python docs/make_cli.py``. A test fails while the page differs
from what this would write.
"""

import re
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click
from dovetail.kernel import load_plugins
from dovetail.plugins.cli.program import CommandLine

PAGE = Path(__file__).resolve().parent / "cli.md"
START, END = "<!-- made: commands -->\n", "<!-- end -->"
OURS = "cli"
"""The plugin whose commands these are; those of others have pages of their own."""


def commands() -> str:
    """Return every command with what it says of itself."""
    program = CommandLine(load_plugins(environment={}))
    context = click.Context(program, info_name="dovetail")
    names = [
        name for name, one in sorted(program.offered.items()) if one.plugin == OURS
    ]
    lines = ["| command | does |", "| --- | --- |"]
    lines += [
        f"| [`{name}`](#{name}) | {program.offered[name].command.help} |"
        for name in names
    ]
    for name in names:
        command = program.get_command(context, name)
        assert command is not None
        lines += ["", f"### {name}", *_about(command, context, (name,))]
    return re.sub("\n{3,}", "\n\n", "\n".join(lines))


def _about(
    command: click.Command, parent: click.Context, path: tuple[str, ...]
) -> Iterator[str]:
    """Yield what a command says of itself. Not as click lays it out, which differs from
    release to release."""
    context = click.Context(command, info_name=path[-1], parent=parent)
    arguments = [
        _named(one) for one in command.params if isinstance(one, click.Argument)
    ]
    yield from ("", f"`{' '.join(('dovetail', *path, *arguments))}`")
    yield from ("", *_help(cleandoc(command.help or "")))
    options = [one for one in command.params if isinstance(one, click.Option)]
    if options:
        yield from ("", "| option | |", "| --- | --- |")
    for one in options:
        names = ", ".join((*one.opts, *one.secondary_opts))
        takes = f" {one.metavar}" if one.metavar else ""
        yield f"| `{names}{takes}` | {(one.help or '').replace('|', '/')} |"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _about(found, context, (*path, name))


def _named(one: click.Argument) -> str:
    name = one.metavar or str(one.name).upper()
    return name if one.required or name.startswith("[") else f"[{name}]"


def _help(text: str) -> Iterator[str]:
    """Yield a help text, in which examples are what stands behind a line with \\b."""
    for part in text.split("\n\n"):
        lines = part.split("\n")
        if lines[0] == "\b":
            yield from ("```text", *lines[1:], "```", "")
        else:
            yield from (*lines, "")


def made(text: str) -> str:
    """Return the page as it should be."""
    before, found, rest = text.partition(START)
    if not found:
        raise LookupError("the page has no place for the commands")
    return f"{before}{START}{commands()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(made(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
