"""The command ``completion``: a script by which a shell completes command lines.

Owns which shells there are. What a word can go on with is said by ``dovetail`` itself
when the shell asks, so commands of plugins are completed too.
"""

import click
from click.shell_completion import get_completion_class

from ..console.terminal import Terminal

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_DOVETAIL_COMPLETE"
"""By which the script asks what comes next."""
NAME = "dovetail"


@click.command("completion", short_help="Print a script that completes command lines")
@click.argument("shell", type=click.Choice(SHELLS))
def completion_command(shell: str) -> None:
    """Print a script that lets a shell complete command lines of dovetail.

    \b
    dovetail completion bash >> ~/.bashrc
    dovetail completion zsh  >> ~/.zshrc
    dovetail completion fish > ~/.config/fish/completions/dovetail.fish
    """
    made = get_completion_class(shell)
    assert made is not None
    # Only the template is wanted: no shell is started to find out its version.
    script = made(click.Command(NAME), {}, NAME, VARIABLE)
    text = script.source_template % script.source_vars()
    Terminal().write(text if text.endswith("\n") else f"{text}\n")
