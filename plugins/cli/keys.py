"""The command ``keys``: the keys of providers that are kept on this machine.

No key is ever shown, and none is taken from the command line itself, which other
processes and the shell's history can read.
"""

import os
import shlex
import sys
from collections.abc import Sequence

import anyio
import click
from dovetail.kernel import ConfigurationError, DovetailError, Keys

from ..console.exits import FAILED, SUCCEEDED
from ..console.options import json_line, json_option, opened
from ..console.terminal import Terminal, visible
from .named import did_you_mean

MAX_INPUT = 65_536
STORE = "sqlite://"
"""In memory: nothing that is looked at here leaves anything behind."""


@click.group("keys")
def keys_command() -> None:
    """Keep the keys of providers in a file of your own.

    A key in dovetail.toml or in the usual variable of the environment counts before
    it. The file is only used while nobody else can read it.
    """


@keys_command.command("list", short_help="List the providers that have a key there")
@json_option("one provider")
def list_command(as_json: bool) -> None:
    """List the providers whose keys are kept; never the keys."""
    terminal = Terminal()
    kept = Keys.at(os.environ)
    names = sorted(kept.read())
    if as_json:
        terminal.write("".join(json_line({"provider": name}) for name in names))
    elif names:
        terminal.write("".join(f"{visible(name)}\n" for name in names))
    else:
        where = "nowhere" if kept.path is None else f"in {visible(str(kept.path))}"
        terminal.tell(f"no key is kept {where}")


@keys_command.command("set", short_help="Keep the key of a provider")
@click.argument("provider")
def set_command(provider: str) -> None:
    """Keep the key of a provider, in place of the one before. It is asked for, and not
    shown; or it is what is piped in.

    \b
    dovetail keys set anthropic
    pass show anthropic | dovetail keys set anthropic
    """
    terminal = Terminal()
    kept = Keys.at(os.environ)
    kept.read()  # before anybody types one for nothing
    kept.write(provider, _key(provider))
    where = visible(str(kept.path))
    terminal.tell(f"the key of {visible(provider)} is kept in {where}")
    known = anyio.run(_asking)
    if known and provider not in known:
        meant = did_you_mean(provider, known)
        terminal.tell(
            f"warning: no provider that is offered here reads it{meant}; "
            f"`dovetail keys remove {shlex.quote(visible(provider))}` takes it away"
        )


async def _asking() -> Sequence[str]:
    """Return the providers that are offered here; none where that cannot be told."""
    try:
        async with opened(STORE) as runtime, runtime.location(".") as here:
            return [one.name for one in await here.providers()]
    except DovetailError:
        # A configuration that is wrong is told by whatever needs it.
        return ()


def keys_problem() -> str | None:
    """Return why the file of keys is not used, where it is not."""
    try:
        Keys.at(os.environ).read()
    except ConfigurationError as error:
        return str(error)
    return None


def _key(provider: str) -> str:
    if sys.stdin.isatty():
        typed: str = click.prompt(f"Key of {visible(provider)}", hide_input=True)
        return typed.strip()
    data = sys.stdin.buffer.read(MAX_INPUT + 1)
    if len(data) > MAX_INPUT:
        raise ConfigurationError("key", f"what was piped in is over {MAX_INPUT} bytes")
    return data.decode("ascii", "replace").strip()


@keys_command.command("remove", short_help="Keep the key of a provider no more")
@click.argument("provider")
@click.pass_context
def remove_command(context: click.Context, provider: str) -> None:
    """Keep the key of a provider no more. It stays valid at the provider."""
    terminal = Terminal()
    kept = Keys.at(os.environ)
    if provider not in kept.read():
        terminal.tell(f"no key of {visible(provider)} is kept")
        context.exit(FAILED)
    kept.write(provider, None)
    where = visible(str(kept.path))
    terminal.tell(f"the key of {visible(provider)} is gone from {where}")
    context.exit(SUCCEEDED)
