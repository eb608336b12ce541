"""Offers: what a Location has to offer, as opencode's V2 surface has it.

Owns the shapes of agents, models, providers, skills, commands and files, as ``shapes``
owns those of sessions.
"""

from typing import Any, Literal

from attrs import field, frozen
from dovetail.kernel import AgentProfile, ModelInfo, ProviderState, Rule, Skill

from .shapes import ModelRef


@frozen
class RequestSettings:
    """What is added to requests of a model. Never a secret."""

    headers: dict[str, str] = field(factory=dict)
    body: dict[str, Any] = field(factory=dict)


@frozen
class RuleShape:
    """A permission rule."""

    action: str
    resource: str
    effect: Literal["allow", "deny", "ask"]


@frozen
class AgentShape:
    """An agent."""

    id: str
    request: RequestSettings
    mode: Literal["subagent", "primary", "all"]
    hidden: bool
    permissions: tuple[RuleShape, ...]
    dovetail: AgentProfile
    model: ModelRef | None = None
    system: str | None = None
    description: str | None = None
    steps: int | None = None
    """How many Steps it may make for one input."""


@frozen
class Native:
    """A protocol that is spoken here."""

    settings: dict[str, Any] = field(factory=dict)
    url: str | None = None
    type: Literal["native"] = "native"


@frozen
class ModelApi:
    """How a model is asked."""

    id: str
    settings: dict[str, Any] = field(factory=dict)
    type: Literal["native"] = "native"


@frozen
class Capabilities:
    """What goes in and comes out of a model."""

    tools: bool = True
    """Whether it calls tools."""
    input: tuple[str, ...] = ("text",)
    output: tuple[str, ...] = ("text",)


@frozen
class ModelRequestShape:
    """What is added to its requests."""

    headers: dict[str, str] = field(factory=dict)
    body: dict[str, Any] = field(factory=dict)
    variant: str | None = None


@frozen
class VariantShape:
    """How much a model is to think."""

    id: str
    headers: dict[str, str] = field(factory=dict)
    """Always empty: how its provider is told is the protocol's."""
    body: dict[str, Any] = field(factory=dict)
    """Always empty: how its provider is told is the protocol's."""


@frozen
class Released:
    """When it came out."""

    released: int = 0
    """Milliseconds since 1970; 0 where that is unknown."""


@frozen
class CacheCost:
    """US dollars for a million tokens."""

    read: float
    """What was there already."""
    write: float
    """What is kept for later."""


@frozen
class Tier:
    """From how many tokens of input on."""

    size: int
    """Tokens of input."""
    type: Literal["context"] = "context"


@frozen
class CostShape:
    """US dollars for a million tokens."""

    input: float
    output: float
    cache: CacheCost
    tier: Tier | None = None
    """From how much input on; left out: from the beginning."""


@frozen
class Limit:
    """Tokens; 0 where that is unknown."""

    context: int
    """All that a request and its answer may have."""
    output: int


@frozen
class ModelShape:
    """A model that is known by name."""

    id: str
    providerID: str
    name: str
    api: ModelApi
    capabilities: Capabilities
    request: ModelRequestShape
    time: Released
    cost: tuple[CostShape, ...]
    limit: Limit
    dovetail: ModelInfo
    variants: tuple[VariantShape, ...] = ()
    status: Literal["alpha", "beta", "deprecated", "active"] = "active"
    enabled: bool = True
    """Whether it can be chosen."""


@frozen
class ProviderShape:
    """Who serves models."""

    id: str
    name: str
    disabled: bool
    api: Native
    request: RequestSettings
    dovetail: ProviderState


@frozen
class SkillShape:
    """A skill."""

    name: str
    location: str
    content: str
    dovetail: Skill
    description: str | None = None
    slash: bool | None = None
    """Whether only a person begins with it."""


@frozen
class ArgumentShape:
    """One argument of a command."""

    name: str
    description: str
    required: bool
    """Whether nothing is said without it."""


@frozen
class CommandShape:
    """A command that stands for a prompt."""

    name: str
    template: str
    """What is typed to say it, with ``name=...`` for each argument that it needs."""
    arguments: tuple[ArgumentShape, ...]
    """What it takes, in the order in which it may be typed."""
    description: str | None = None


@frozen
class Entry:
    """A file or a directory."""

    path: str
    type: Literal["file", "directory"]


@frozen
class Meaning:
    """What rules mean in a Location."""

    rules: tuple[Rule, ...]
    """With what else they mean there."""
    odd: tuple[str, ...]
    """A line for each that is about something that no tool there asks."""
