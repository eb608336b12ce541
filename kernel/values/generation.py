"""Generation: how an answer is wanted, in no provider's words.

Owns the options of a request that a caller, an agent or a prompt may set, and how they
go together. What each of them is called on the wire, and which a protocol knows no word
for, is the protocol's to say (``RequestBody.ignored``).
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

from attrs import evolve, field, fields

from .errors import InvalidValueError
from .frozen import frozen
from .tool import TOOL_NAME, Json


@frozen
class NamedTool:
    """The one tool that is to be called."""

    tool: str
    """Its name, as it is offered."""


ToolChoice = Literal["auto", "none", "required"] | NamedTool
"""Whether a tool may be called: as the model likes, not at all, at least one, or that
one."""
ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]

MAX_STOPS = 16
MAX_STOP = 256
MAX_PROVIDER_OPTIONS = 16_384
_SECRETS = re.compile(
    r"(?:.*[_-])?(?:api[_-]?key|apikey|authorization|headers?|password|secret"
    r"|access[_-]?token|credentials?|base[_-]?url)",
    re.IGNORECASE,
)
"""What says who asks, or whom: never an option."""
_PROVIDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}
_COUNTS: Mapping[str, tuple[int, int]] = {
    "top_k": (1, 10**6),
    "max_output": (1, 10**9),
    "seed": (-(2**63), 2**63 - 1),
}


@frozen
class Generation:
    """How answers are generated. None means: as whoever stands below has it, and in
    the end the provider.

    An agent has one, a session has one, and a prompt has one: what the prompt says
    counts before what the session says, and that before the agent's, field by field.
    That of a prompt counts until another prompt brings its own work.
    """

    tool_choice: ToolChoice | None = None
    """``required`` and a named tool count until a tool was called in the work that goes
    on: a model that must always call one could never answer."""
    stop: tuple[str, ...] | None = None
    """Texts before which the answer ends."""
    temperature: float | None = None
    """From 0 to 2."""
    top_p: float | None = None
    """From 0 to 1."""
    top_k: int | None = None
    """From 1 on."""
    max_output: int | None = None
    """Tokens that one answer may have."""
    seed: int | None = None
    """The same one makes the same answer more likely."""
    presence_penalty: float | None = None
    """From -2 to 2."""
    frequency_penalty: float | None = None
    """From -2 to 2."""
    service_tier: str | None = None
    """In the provider's words, such as ``flex`` or ``priority``."""
    reasoning: ReasoningEffort | None = None
    """How much the model thinks before it answers."""
    parallel_calls: bool | None = None
    """Whether one answer may hold several calls."""
    provider: Mapping[str, Mapping[str, Json]] = field(factory=dict)
    """More for one provider, by its name, in its own words: added to the body last. Of
    any other provider's requests it is no part."""

    @classmethod
    def checked(cls, generation: "Generation | None") -> "Generation":
        """Return the options, checked; none at all for None.

        Raises:
            InvalidValueError: they are none, or one of them has a value that it cannot
                have; it names the option.
        """
        if generation is None:
            return NO_GENERATION
        if not isinstance(generation, cls):
            raise InvalidValueError("generation", generation, "give a Generation")
        _check_choice(generation.tool_choice)
        for name, (low, high) in _RANGES.items():
            _check_number(name, getattr(generation, name), low, high)
        for name, (first, last) in _COUNTS.items():
            _check_number(name, getattr(generation, name), first, last, whole=True)
        _check_words(generation)
        stops = _stops(generation.stop)
        provider = _provider_options(generation.provider)
        return evolve(generation, stop=stops, provider=provider)

    def over(self, below: "Generation") -> "Generation":
        """Return these options with those of ``below`` where these say nothing."""
        if below == NO_GENERATION:
            return self
        if self == NO_GENERATION:
            return below
        mine = {
            one.name: getattr(self, one.name)
            for one in fields(Generation)
            if one.name != "provider" and getattr(self, one.name) is not None
        }
        provider = dict(below.provider)
        for name, options in self.provider.items():
            provider[name] = {**provider.get(name, {}), **options}
        return evolve(below, provider=provider, **mine)


NO_GENERATION = Generation()
"""What says nothing."""


def _refused(name: str, value: object, rule: str) -> InvalidValueError:
    return InvalidValueError(f"generation option {name}", value, rule)


def _check_choice(choice: object) -> None:
    if choice is None or (isinstance(choice, str) and choice in _CHOICES):
        return
    if not isinstance(choice, NamedTool):
        rule = f"one of {', '.join(_CHOICES)}, or NamedTool('name')"
        raise _refused("tool_choice", choice, rule)
    if not isinstance(choice.tool, str) or not TOOL_NAME.match(choice.tool):
        raise _refused("tool_choice", choice.tool, "the name of a tool")


_CHOICES = ("auto", "none", "required")


def _check_number(
    name: str, value: Any, low: float, high: float, *, whole: bool = False
) -> None:
    if value is None:
        return
    kinds = int if whole else int | float
    fits = isinstance(value, kinds) and not isinstance(value, bool)
    if not (fits and math.isfinite(value) and low <= value <= high):
        kind = "a whole number" if whole else "a number"
        raise _refused(name, value, f"{kind} from {low} to {high}")


def _check_words(generation: Generation) -> None:
    tier, effort = generation.service_tier, generation.reasoning
    if tier is not None and not (isinstance(tier, str) and _PROVIDER.match(tier)):
        raise _refused("service_tier", tier, "a word of the provider's")
    if effort is not None and effort not in get_args(ReasoningEffort):
        rule = f"one of {', '.join(get_args(ReasoningEffort))}"
        raise _refused("reasoning", effort, rule)
    if generation.parallel_calls not in (None, True, False):
        raise _refused("parallel_calls", generation.parallel_calls, "True or False")


def _stops(stops: object) -> tuple[str, ...] | None:
    if stops is None:
        return None
    if not isinstance(stops, list | tuple) or len(stops) > MAX_STOPS:
        raise _refused("stop", stops, f"a list of at most {MAX_STOPS} texts")
    for one in stops:
        if not isinstance(one, str) or not 0 < len(one) <= MAX_STOP:
            raise _refused("stop", one, f"a text of 1 to {MAX_STOP} characters")
        try:
            one.encode()
        except UnicodeEncodeError as error:
            raise _refused("stop", one, "text without surrogates") from error
    return tuple(stops)


def _provider_options(given: object) -> Mapping[str, Mapping[str, Json]]:
    from .codec import dumps

    if not isinstance(given, Mapping):
        raise _refused("provider", given, "options by the name of a provider")
    for name, options in given.items():
        if not isinstance(name, str) or not _PROVIDER.match(name):
            raise _refused("provider", name, "the name of a provider")
        if not isinstance(options, Mapping):
            raise _refused(f"provider.{name}", options, "options by their names")
        for key in options:
            if not isinstance(key, str) or _SECRETS.fullmatch(key):
                rule = "who asks, and whom, is the configuration's to say"
                raise _refused(f"provider.{name}", key, rule)
    made = {name: dict(options) for name, options in given.items()}
    try:
        size = len(dumps(made))
    except InvalidValueError as error:
        raise _refused("provider", "...", f"JSON data: {error}") from error
    if size > MAX_PROVIDER_OPTIONS:
        rule = f"at most {MAX_PROVIDER_OPTIONS} bytes of JSON"
        raise _refused("provider", f"{size} bytes", rule)
    return made
