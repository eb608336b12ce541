"""Errors of a server, as the classes that they are in the process.

Owns the way from a body with a code to an exception. What no class here has is a
``ServerError`` with that code.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import dovetail.kernel as kernel
from dovetail.kernel import DovetailError, Problem, ServerError, UndecodableError


@cache
def _classes() -> Mapping[str, type[DovetailError]]:
    named = (getattr(kernel, name) for name in dir(kernel) if _is_error(name))
    # Some tell only whoever calls a part of the kernel, and never leave a runtime.
    return {one.code: one for one in named if issubclass(one, DovetailError)}


def _is_error(name: str) -> bool:
    return name.endswith("Error") or name == "ToolFailure"


def error_of(status: int, body: object) -> DovetailError:
    """Return what an answer with such a status and body says."""
    told = body if isinstance(body, dict) else {}
    code, message = told.get("code"), told.get("message")
    if not isinstance(code, str) or not isinstance(message, str):
        return ServerError(f"the server answered {status} and no reason", None, status)
    kind = _classes().get(code)
    if kind is None or issubclass(kind, ServerError):
        reference = told.get("ref")
        return ServerError(
            message, code, status, reference if isinstance(reference, str) else None
        )
    return _made(kind, message, told)


def _made(
    kind: type[DovetailError], message: str, told: Mapping[str, Any]
) -> DovetailError:
    # Its constructor takes facts and builds the sentence: here both are told.
    made = kind.__new__(kind)
    DovetailError.__init__(made, message)
    details = told.get("details")
    for name, value in (details if isinstance(details, dict) else {}).items():
        setattr(made, name, tuple(value) if isinstance(value, list) else value)
    if isinstance(made, UndecodableError):
        made.problems = tuple(
            Problem(f"{one['path']}: {one['message']}", (), one["message"])
            for one in told.get("problems", ())
        )
    return made
