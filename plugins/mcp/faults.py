"""Faults: what went wrong, in words."""


def first_of(error: BaseException) -> BaseException:
    """Return the exception behind groups of one and more: the first one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def error_text(error: BaseException) -> str:
    """Return what an exception says, or what it is."""
    return str(error) or type(error).__name__
