"""Exit codes: what a command tells the program that started it.

They are a promise, which ``docs/cli.md`` repeats: 0 it succeeded; 1 it failed, or what
was looked at is not well; 2 the command line, or what it names, is wrong; 3 it is
paused, because something must be answered first or a limit was reached; 124 its time
was up; 130 it was interrupted.
"""

from dovetail.kernel import (
    ConflictError,
    DovetailError,
    InvalidValueError,
    ModelNotSelectedError,
    ModelUnknownError,
    NotFoundError,
    Outcome,
    StoreUnknownError,
    errors_in,
)

SUCCEEDED, FAILED, USAGE, PAUSED, TIMED_OUT, INTERRUPTED = 0, 1, 2, 3, 124, 130

_USAGE_ERRORS = (
    InvalidValueError,
    NotFoundError,
    ConflictError,
    ModelNotSelectedError,
    ModelUnknownError,
    StoreUnknownError,
)


def code_of_error(error: DovetailError) -> int:
    """Return 2 for what a better command line would avoid, otherwise 1."""
    return USAGE if isinstance(error, _USAGE_ERRORS) else FAILED


def code_of_outcome(outcome: Outcome) -> int:
    """Return the code of how an execution ended."""
    codes = {"succeeded": SUCCEEDED, "paused": PAUSED, "interrupted": INTERRUPTED}
    return codes.get(outcome.status, FAILED)


def foremost(error: BaseException) -> BaseException:
    """Return what to tell of what was raised, out of the groups that tasks put it into:
    an interrupt or an exit before all others, and an error of ours before others."""
    found = list(errors_in(error))
    for kind in (KeyboardInterrupt, SystemExit, DovetailError):
        for one in found:
            if isinstance(one, kind):
                return one
    return found[0]
