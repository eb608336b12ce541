"""The command ``setup``: choose a provider, a key and a model. How is ``first_use``."""

import click
from dovetail.kernel import ConfigurationError

from ..console.exits import FAILED, SUCCEEDED
from ..console.first_use import is_attended, set_up
from ..console.terminal import Terminal


@click.command("setup", short_help="Choose a provider, a key and a model")
@click.argument("provider", required=False)
def setup_command(provider: str | None) -> int:
    """Choose a provider, give its key and choose the model that is used from now on.

    The key is asked for and not shown, tried with one tiny request, and kept in a file
    that nobody else can read; or you name the variable, the command or the keyring
    that has it.

    \b
    dovetail setup
    dovetail setup anthropic

    Without a terminal: `dovetail keys set PROVIDER` and `dovetail config set model
    PROVIDER/MODEL` do the same.
    """
    terminal = Terminal()
    if not is_attended():
        raise ConfigurationError(
            "setup",
            "asks a person, and there is no terminal; use `dovetail keys set PROVIDER` "
            "and `dovetail config set model PROVIDER/MODEL`",
        )
    return FAILED if set_up(terminal, provider) is None else SUCCEEDED
