"""The command line, ``dovetail``: a door for people, made of commands of plugins.

Its own commands (``run``, ``sessions``, ``show``, ``log``, ``plugins``) arrive through
``dovetail_register_commands`` like those of any plugin. It uses the public API and
knows nothing of stores, providers or tools. Nothing here imports click, or opens
anything, before a command line runs; the help is shown, and a conversation begins,
even before that.
"""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process and exit with its code."""
    if sys.argv[1:] in ([], ["chat"]):
        # A person who says nothing else wants to talk, and sees the prompt line before
        # anything is loaded that a command line needs.
        from ..chat.opening import converse, is_terminal

        if is_terminal():
            try:
                sys.exit(converse())
            except (Exception, KeyboardInterrupt) as error:
                from .program import ended

                sys.exit(ended(error))
    if sys.argv[1:] in (["-h"], ["--help"], ["--version"]) and sys.stdout is not None:
        from .help import shown

        try:
            if shown(sys.argv[1]):
                sys.exit()
        except (Exception, KeyboardInterrupt) as error:
            from .program import ended

            sys.exit(ended(error))
    from .program import run_program

    sys.exit(run_program(sys.argv[1:]))
