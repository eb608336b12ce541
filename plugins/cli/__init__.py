"""The command line, ``dovetail``: a door for people, made of commands of plugins.

Its own commands (``run``, ``sessions``, ``show``, ``log``, ``plugins``) arrive through
``dovetail_register_commands`` like those of any plugin. It uses the public API and
knows nothing of stores, providers or tools. Nothing here imports click, or opens
anything, before a command line runs; the help is shown, and a conversation begins,
even before that.
"""

import os
import signal
import sys
from typing import Any, NoReturn

INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command line of this process and exit with its code.

    Before a command begins, and once it has ended, an interrupt ends it all at once:
    nothing is held yet, or any more, and an exception out of an import, or out of the
    end of the interpreter, would be told as a traceback, or by nobody.
    """
    signal.signal(signal.SIGINT, _end)
    code: int | None = None
    try:
        code = _run()
    finally:
        signal.signal(signal.SIGINT, _end)
    sys.exit(code)


def _end(number: int, frame: Any) -> NoReturn:
    os._exit(INTERRUPTED)


def _run() -> int | None:
    """Run it and return the exit code."""
    if sys.argv[1:] in ([], ["chat"]):
        # A person who says nothing else wants to talk, and sees the prompt line before
        # anything is loaded that a command line needs.
        from ..chat.opening import converse, is_terminal

        if is_terminal():
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                return converse()
            except (Exception, KeyboardInterrupt) as error:
                from .program import ended

                return ended(error)
    if sys.argv[1:] in (["-h"], ["--help"], ["--version"]) and sys.stdout is not None:
        from .help import shown

        try:
            if shown(sys.argv[1]):
                return None
        except Exception as error:
            from .program import ended

            return ended(error)
    from .program import run_program

    return run_program(sys.argv[1:])
