"""The root of all errors, its branches, and how an error is shown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Self

MAX_PROBLEM = 500
"""Characters of a stranger's exception that are kept."""


class ContainedError(RuntimeError):
    """A stranger's code raised what is no Exception, such as SystemExit: its cause.

    It is that which is told, see ``raised``.
    """


def raised(error: BaseException) -> BaseException:
    """Return what a stranger's code raised itself, out of what it was put into here:
    a group of one, or what keeps it from ending more than itself."""
    while True:
        if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        elif isinstance(error, ContainedError) and error.__cause__ is not None:
            error = error.__cause__
        else:
            return error


def errors_in(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions of a group, however deep, in order, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from errors_in(one)
    else:
        yield error


def first_of(error: BaseException) -> BaseException:
    """Return the first exception of a group, however deep, or the error itself."""
    return next(errors_in(error))


def error_text(error: BaseException) -> str:
    """Return a stranger's exception as one bounded text."""
    error = raised(error)
    try:
        text = str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:
        # Showing it runs a stranger's code once more.
        text = "it cannot even be shown"
    shown = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return shown if len(shown) <= MAX_PROBLEM else f"{shown[: MAX_PROBLEM - 3]}..."


class DovetailError(Exception):
    """The root. Catch it to catch everything that dovetail raises on purpose."""

    code: str = "dovetail.error"


class InvalidValueError(DovetailError):
    """An argument breaks a rule. Correct it and call again; nothing was changed."""

    code = "value.invalid"

    def __init__(self, what: str, value: object, rule: str) -> None:
        shown = _shown(value)
        super().__init__(f"{what} {shown} is refused: {rule}")
        self.what = what
        self.rule = rule


def _shown(value: object) -> str:
    try:
        shown = repr(value[:80] if isinstance(value, str | bytes) else value)
    except Exception:  # another object's repr, or an integer of 5,000 digits
        return f"of type {type(value).__name__}"
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


class CursorInvalidError(InvalidValueError):
    """A cursor was not given out by this runtime, or for another listing."""

    code = "cursor.invalid"


class Problem(str):
    """One thing that is wrong with data: a line for people (``$.a[0].b: expected a
    string``), and its path and what is wrong there as data."""

    path: tuple[str | int, ...]
    """The names of fields and keys, and the positions of items, from the outside."""
    text: str
    """What is wrong there."""

    def __new__(cls, line: str, path: Sequence[str | int] = (), text: str = "") -> Self:
        made = super().__new__(cls, line)
        made.path, made.text = tuple(path), text or line
        return made


class UndecodableError(InvalidValueError):
    """Data does not have the shape that its type asks for. ``problems`` lists where."""

    code = "value.undecodable"

    def __init__(self, what: str, problems: Sequence[str]) -> None:
        DovetailError.__init__(self, f"{what} cannot be read: " + "; ".join(problems))
        self.what = what
        self.rule = "must have the shape of its type"
        self.problems = tuple(
            one if isinstance(one, Problem) else Problem(one) for one in problems
        )


class NotFoundError(DovetailError):
    """Something named by the caller does not exist. ``name`` is what was asked for."""

    code = "not_found"
    noun: ClassVar[str] = "thing"
    hint: ClassVar[str] = ""

    def __init__(self, name: str, hint: str = "") -> None:
        tail = f"; {hint or self.hint}" if hint or self.hint else ""
        super().__init__(f"there is no {self.noun} {name!r}{tail}")
        self.name = name


class LocationNotFoundError(NotFoundError):
    """The directory does not exist, or is not a directory."""

    code = "location.not_found"
    noun = "directory"


class ConflictError(DovetailError):
    """The call contradicts what is already recorded. Nothing was changed."""

    code = "conflict"


class RuntimeClosedError(DovetailError):
    """The runtime was closed; open a new one."""

    code = "runtime.closed"

    def __init__(self) -> None:
        super().__init__("the runtime is closed")


def problem_of(error: BaseException) -> Mapping[str, str]:
    """Return an error as the ``code`` and ``message`` that records and doors show."""
    error = raised(error)
    if isinstance(error, DovetailError):
        return {"code": error.code, "message": str(error)}
    name = type(error).__name__
    return {"code": "internal", "message": f"{name}: {error}" if str(error) else name}
