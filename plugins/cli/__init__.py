"""The command line, ``dovetail``: a door for people, made of commands of plugins.

Its own commands (``run``, ``sessions``, ``show``, ``log``, ``plugins``) arrive through
``dovetail_register_commands`` like those of any plugin. It uses the public API and
knows nothing of stores, providers or tools. Nothing here imports click, or opens
anything, before a command line runs.
"""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process and exit with its code."""
    from .program import run_program

    sys.exit(run_program(sys.argv[1:]))
