"""Generation: the options of a request in each protocol's words.

Owns how options become fields, in which order they count, and that nothing wanted is
left out silently: a preference that a protocol or a model has no word for is named.
Pure functions.

In a body, later ones win: what the protocol itself needs, the options of the
``[providers.NAME]`` table, the generation options, what agents and plugins add, and the
generation's own words for this provider.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from dovetail.kernel import Generation, Json, ModelRequest, NamedTool, ToolChoice

from .wording import merged_options, tool_name

BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 24576, "xhigh": 32768}
"""Tokens that a model may think for, where it takes a number and not a word."""
_PREFERENCES = (
    *("stop", "temperature", "top_p", "top_k", "seed", "presence_penalty"),
    *("frequency_penalty", "service_tier", "reasoning", "parallel_calls"),
)


class Wanted:
    """The generation options of one request, taken one by one into a body."""

    def __init__(self, generation: Generation, unknown: Iterable[str] = ()) -> None:
        """``unknown`` names options that are known not to be taken."""
        self._left = {
            name: value
            for name in _PREFERENCES
            if (value := getattr(generation, name)) is not None
        }
        self._unknown = frozenset(unknown)
        self._more: set[str] = set()

    def take(self, name: str) -> Any:
        """Return an option, which is in the body then; None where none is wanted."""
        if name in self._unknown:
            return None
        value = self._left.pop(name, None)
        return list(value) if isinstance(value, tuple) else value

    def fields(self, **names: str) -> dict[str, Json]:
        """Return the fields of options, by what each is called on the wire."""
        found = {there: self.take(ours) for there, ours in names.items()}
        return {name: value for name, value in found.items() if value is not None}

    def leave(self, name: str) -> None:
        """Say that something else that was wanted is not in the body."""
        self._more.add(name)

    @property
    def ignored(self) -> tuple[str, ...]:
        """What was wanted and not taken."""
        return tuple(sorted({*self._left, *self._more}))


def added(head: dict[str, Json], name: str, more: Mapping[str, Json]) -> None:
    """Add fields to an object of a body, where there are any."""
    if more:
        before = head.get(name)
        head[name] = {**(before if isinstance(before, dict) else {}), **more}


def more_options(
    provider: str, head: dict[str, Json], request: ModelRequest
) -> dict[str, Json]:
    """Return a body with what agents and plugins add, and what the request says in the
    words of this provider.

    Raises:
        ProviderError: ``provider.invalid_request``: an option would replace what the
            runtime alone decides.
    """
    own = request.generation.provider.get(provider, {})
    return merged_options(provider, head, _under(head, (request.options, own)))


def _under(
    head: Mapping[str, Json], options: Iterable[Mapping[str, Json]]
) -> Iterable[Mapping[str, Json]]:
    """Yield options, those within objects beside what is in these already."""
    made = dict(head)
    for more in options:
        joined = {
            name: {**made[name], **value}
            if isinstance(value, Mapping) and isinstance(made.get(name), dict)
            else value
            for name, value in more.items()
        }
        made.update(joined)
        yield joined


def called(choice: ToolChoice) -> str | None:
    """Return the name of the tool that must be called, or None."""
    return tool_name(choice.tool) if isinstance(choice, NamedTool) else None


# Compiled by the first refusal.
_REFUSED = (
    r"unsupported|not supported|does not support|unknown|unrecognized|unexpected"
    r"|not permitted|not allowed|extra inputs|cannot be used|deprecated"
)
_SCHEMA = (
    r"response_?format|json_?schema|structured.?output|output_?(?:config|format)"
    r"|response_?(?:mime|json|schema)|text\.?_?format|json mode|outputConfig"
)


def refused_option(
    problem: str, words: Mapping[str, str], known: Iterable[str]
) -> str | None:
    """Return which option a refusal says that the endpoint does not take, by what it is
    called there (``words``), if it is not known already."""
    if not re.search(_REFUSED, problem, re.IGNORECASE):
        return None
    left_out = set(known)
    for there, ours in words.items():
        if ours not in left_out and re.search(rf"\b{re.escape(there)}\b", problem):
            return ours
    return None


def refuses_schema(problem: str) -> bool:
    """Whether a refusal is of the schema that an answer was to fit."""
    return bool(re.search(_SCHEMA, problem, re.IGNORECASE))
