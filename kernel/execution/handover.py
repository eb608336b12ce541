"""Handover: what a provider's route hands over, checked.

Owns the rules for model events and for the errors of a provider, whose code is a
stranger's: a value that breaks one is named with the event and the rule, and nothing
of it goes on. Knows nothing of what came before or comes after (the publisher does).
"""

import base64
import inspect
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, get_args

from ..contracts import ProviderRoute
from ..history.sent import GIVE_BYTES
from ..values.codec import clean_text
from ..values.errors import InvalidValueError, ProviderError, ProviderFault, raised
from ..values.messages import Citation, Usage
from ..values.request import (
    Finish,
    FinishReason,
    ModelEvent,
    ModelFile,
    ModelRequest,
    ReasoningDelta,
    ReasoningEnd,
    TextDelta,
    TextEnd,
    ToolCall,
    ToolInputDelta,
)
from ..values.sent import RequestBody

logger = logging.getLogger(__name__)

_FAULTS = frozenset(get_args(ProviderFault))


@asynccontextmanager
async def handed_over(
    provider: str, route: ProviderRoute, request: ModelRequest
) -> AsyncIterator[AsyncIterator[ModelEvent]]:
    """Enter a route's stream, whatever a stranger's code makes of it.

    Raises:
        ProviderError: ``provider.invalid_output``: it is no stream; or what the route
            raised, with sound values.
    """
    try:
        # As if nothing were known of it: nothing is.
        manager: Any = route.stream(request)
        if inspect.iscoroutine(manager):
            manager.close()
        if not hasattr(type(manager), "__aenter__"):
            raise _invalid(
                provider,
                f"stream() returned {shown(manager)}: it must return an async context "
                "manager",
            )
        async with manager as stream:
            if not hasattr(type(stream), "__aiter__"):
                raise _invalid(
                    provider,
                    f"stream() opened {shown(stream)}: it must open an async iterator",
                )
            try:
                yield stream
            finally:
                # A generator that is left before its end must be closed by whoever
                # leaves it: on trio nobody else can.
                if (close := getattr(stream, "aclose", None)) is not None:
                    await close()
    except Exception as error:
        # A provider that has tasks of its own raises its error in a group.
        told = raised(error)
        if not isinstance(told, ProviderError):
            raise
        sound = _sound(provider, told)
        if sound is error:
            raise
        raise sound from error


def broken(provider: str, error: Exception) -> ProviderError:
    """Return what a defect of a provider's code is recorded as, and tell the operator.

    Only its type is recorded: nobody wrote its text for others, and it may hold
    secrets.
    """
    made = ProviderError(
        "provider.failed", provider, f"its code broke: {kind(raised(error))}"
    )
    logger.error("%s", made, exc_info=error)
    return made


def _invalid(provider: str, problem: str) -> ProviderError:
    return ProviderError("provider.invalid_output", provider, problem)


def _sound(provider: str, error: ProviderError) -> ProviderError:
    """Return the error if all of it can be used, and otherwise one that can."""
    after, status = _number(error.retry_after), _number(error.status)
    text = clean_text(str(error.problem))
    known = error.code in _FAULTS
    given = (error.retry_after, error.status, error.retryable, error.problem)
    if known and given == (after, status, error.retryable is True, text):
        return error
    fault: Any = error.code if known else "provider.failed"
    return ProviderError(
        fault,
        provider,
        text,
        status=None if status is None else int(status),
        retryable=error.retryable is True,
        retry_after=after,
    )


def _number(value: Any) -> float | None:
    """Return what was given if it is a number that can be used, or None."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number and 0 <= value < 1e12 else None


# --- events -----------------------------------------------------------------------


_REASONS = get_args(FinishReason)


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "must be a text"


def _call_id(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "must be a text, not empty"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _data(value: Any) -> str | None:
    if not isinstance(value, Mapping):
        return "must be an object of JSON data"
    if not value:
        return None
    try:
        sound = _is_json(value)
    except RecursionError:
        return "must be JSON data, nested less deeply"
    return None if sound else "must be JSON data"


def _is_json(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(name, str) for name in value) and all(
            map(_is_json, value.values())
        )
    if isinstance(value, list | tuple):
        return all(map(_is_json, value))
    return value is None or isinstance(value, bool | int | float | str)


def _reason(value: Any) -> str | None:
    known = isinstance(value, str) and value in _REASONS
    return None if known else f"must be one of {', '.join(_REASONS)}"


def _usage(value: Any) -> str | None:
    if not isinstance(value, Usage):
        return "must be a Usage"
    counts = (
        value.input,
        value.output,
        value.reasoning,
        value.cache_read,
        value.cache_write,
    )
    for count in counts:
        whole = isinstance(count, int) and not isinstance(count, bool)
        if count is not None and not (whole and 0 <= count < 2**63):
            return f"counts must be whole numbers or None, got {shown(count)}"
    return None


def _citations(value: Any) -> str | None:
    sound = isinstance(value, list | tuple) and all(map(_is_citation, value))
    return None if sound else "must be a list of Citation"


def _is_citation(value: Any) -> bool:
    if not isinstance(value, Citation):
        return False
    texts = (value.url, value.title, value.quote)
    places = (value.start, value.end)
    return all(one is None or isinstance(one, str) for one in texts) and all(
        one is None or (type(one) is int and 0 <= one < 2**53) for one in places
    )


def _mime(value: Any) -> str | None:
    sound = isinstance(value, str) and _MIME.match(value)
    return None if sound else "must be a media type"


def _base64(value: Any) -> str | None:
    if not isinstance(value, str):
        return "must be base64"
    try:
        return None if base64.b64decode(value, validate=True) else "must not be empty"
    except ValueError:
        return "must be base64"


_MIME = re.compile(r"[a-z]+/[A-Za-z0-9.+-]{1,80}\Z")
_Rule = Callable[[Any], str | None]
_RULES: Mapping[type, tuple[tuple[str, _Rule], ...]] = {
    TextDelta: (("part", _text), ("text", _text)),
    TextEnd: (("part", _text), ("metadata", _data), ("citations", _citations)),
    ReasoningDelta: (("part", _text), ("text", _text)),
    ReasoningEnd: (("part", _text), ("metadata", _data)),
    ToolInputDelta: (("call_id", _call_id), ("tool", _text), ("text", _text)),
    ToolCall: (
        ("call_id", _call_id),
        ("tool", _text),
        ("arguments", _text),
        ("metadata", _data),
        ("cut", _flag),
        ("refused", _text_or_none),
    ),
    ModelFile: (
        ("part", _text),
        ("mime", _mime),
        ("data", _base64),
        ("metadata", _data),
    ),
    Finish: (("reason", _reason), ("usage", _usage)),
}
"""What each kind of event must hold. A rule returns what is wrong, or None."""


def problem_with(event: object) -> str | None:
    """Return which rule an event breaks, or None when it is sound."""
    # A stream is made of these two, and they are told apart from all else at once.
    if type(event) is TextDelta:
        if type(event.text) is str and type(event.part) is str:
            return None
    elif type(event) is ToolInputDelta:
        call_id, tool, text = event.call_id, event.tool, event.text
        if type(call_id) is type(tool) is type(text) is str and call_id:
            return None
    rules = _RULES.get(type(event))
    if rules is None:
        known = next((one for one in type(event).__mro__ if one in _RULES), None)
        if known is None:
            return f"{shown(event)} is no model event"
        rules = _RULES[known]
    for name, rule in rules:
        value = getattr(event, name)
        wrong = rule(value)
        if wrong is not None:
            got = "" if "got" in wrong else f", got {shown(value)}"
            return f"{name} of {kind(event)} {wrong}{got}"
    return None


def kind(event: object) -> str:
    """Return the name of a value's type."""
    return type(event).__name__


def shown(value: object) -> str:
    """Return a value of a stranger's as few words: never its whole, never its code."""
    if isinstance(value, str):
        return f"the text {clean_text(value[:40])!r}"
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int) and abs(value) < 10**18:
        return f"{value}"
    return f"a value of type {kind(value)[:60]}"


def tells_its_body(route: object) -> bool:
    """Whether a route tells which bytes it sends."""
    return getattr(route, "tells_body", False) is True


def checked_body(body: object) -> None:
    """Refuse what a stranger's route told that is no body; of its messages those that
    are new are looked at where they are compared."""
    sound = (
        isinstance(body, RequestBody)
        and isinstance(body.protocol, str)
        and isinstance(body.head, bytes)
        and isinstance(body.tail, bytes)
        and isinstance(body.messages, list | tuple)
    )
    if not sound:
        raise InvalidValueError("request body", None, GIVE_BYTES)
