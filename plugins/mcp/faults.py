"""Faults: what went wrong, in words."""


def error_text(error: BaseException) -> str:
    """Return what an exception says, or what it is."""
    return str(error) or type(error).__name__
