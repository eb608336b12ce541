"""Exit codes: what a command tells the program that started it."""

from dovetail.kernel import (
    ConflictError,
    DovetailError,
    InvalidValueError,
    ModelNotSelectedError,
    NotFoundError,
    Outcome,
    StoreUnknownError,
)

SUCCEEDED, FAILED, USAGE, PAUSED, INTERRUPTED = 0, 1, 2, 3, 130

_USAGE_ERRORS = (
    InvalidValueError,
    NotFoundError,
    ConflictError,
    ModelNotSelectedError,
    StoreUnknownError,
)


def code_of_error(error: DovetailError) -> int:
    """Return 2 for what a better command line would avoid, otherwise 1."""
    return USAGE if isinstance(error, _USAGE_ERRORS) else FAILED


def code_of_outcome(outcome: Outcome) -> int:
    """Return the code of how an execution ended."""
    codes = {"succeeded": SUCCEEDED, "paused": PAUSED, "interrupted": INTERRUPTED}
    return codes.get(outcome.status, FAILED)
