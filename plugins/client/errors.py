"""Errors of a server, as the classes that they are in the process.

Owns the way from a body with a code to an exception, which has the facts that its class
has. What no class here has is a ``ServerError`` with that code; what has no code is no
answer of ours.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from inspect import Parameter, signature
from typing import Any, get_args, get_type_hints

import dovetail.kernel as kernel
from dovetail.kernel import (
    DovetailError,
    Problem,
    ProviderError,
    ProviderFault,
    ServerAnswerError,
    ServerError,
    ServerUnreachableError,
    UndecodableError,
)

from .answer import Answer, Source

BETWEEN = (502, 503, 504)
"""What is answered by something in between that finds no server behind it."""

_SAMPLES: Mapping[Any, Any] = {str: "", int: 0, float: 0.0, Sequence[str]: ()}
"""What a constructor takes for each type of what it must be given."""


@cache
def _classes() -> Mapping[str, type[DovetailError]]:
    named = (getattr(kernel, name) for name in dir(kernel) if _is_error(name))
    # Some tell only whoever calls a part of the kernel, and never leave a runtime.
    found = {one.code: one for one in named if issubclass(one, DovetailError)}
    return {**dict.fromkeys(get_args(ProviderFault), ProviderError), **found}


def _is_error(name: str) -> bool:
    return name.endswith("Error") or name == "ToolFailure"


def refusal_of(body: bytes, source: Source) -> DovetailError:
    """Return the error that an answer that refuses tells."""
    try:
        told = Answer.of(body, source)
        told["code"].read(str)
    except ServerAnswerError as error:
        if source.status in BETWEEN:
            problem = f"what is in between answers {source.status}"
            return ServerUnreachableError(source.origin, problem)
        return source.wrong(f"it answers {source.status} and no reason", error.path)
    try:
        return error_of(told, source.status)
    except ServerAnswerError as error:
        return error


def error_of(told: Answer, status: int) -> DovetailError:
    """Return the error that a body tells.

    Raises:
        ServerAnswerError: a part of it is missing or wrong.
    """
    code, message = told["code"].read(str), told["message"].read(str)
    kind = _classes().get(code)
    if kind is None or issubclass(kind, ServerError):
        return ServerError(message, code, status, told.get("ref").read_if(str))
    # Its constructor takes facts and builds the sentence: here both are told.
    made = kind.__new__(kind)
    DovetailError.__init__(made, message)
    details = told.get("details")
    for name, wanted in _facts(kind.code).items():
        # What constructors do not take is no fact that a server tells.
        fact = None if wanted is None else details.get(name).read(wanted)
        setattr(made, name, tuple(fact) if isinstance(fact, list) else fact)
    if isinstance(made, UndecodableError):
        made.problems = tuple(map(_problem, told["problems"].items()))
    return made


def _problem(told: Answer) -> Problem:
    path, text = told["path"].read(str), told["message"].read(str)
    return Problem(f"{path}: {text}", (), text)


@cache
def _facts(code: str) -> Mapping[str, Any]:
    """Return what errors of a code know beside their sentence, with the type of each:
    whatever a constructor leaves in one, typed as constructors take it."""
    kind = _classes()[code]
    made = [one for one in kind.__mro__ if "__init__" in vars(one)]
    ours = [one.__init__ for one in made if issubclass(one, DovetailError)]
    if not ours:
        return {}
    types: dict[str, Any] = {"code": str}
    for one in reversed(ours):
        types |= get_type_hints(one)
    needed = {
        name: _SAMPLES.get(types[name])
        for name, one in signature(kind).parameters.items()
        if one.default is Parameter.empty
    }
    # The problems of this one are told beside its facts, with their paths.
    told = {"problems"} if issubclass(kind, UndecodableError) else set()
    names = vars(kind(**needed)).keys() - told
    return {name: types.get(name) for name in sorted(names)}
