"""Agents: their profiles, their rules, and the questions that rules leave open."""

from collections.abc import (
    Mapping,
    Sequence,
)
from typing import Literal

from attrs import evolve, field

from ..values.frozen import frozen
from ..values.generation import NO_GENERATION, Generation
from ..values.ids import MessageId, SessionId
from ..values.tool import Json

RuleEffect = Literal["allow", "ask", "deny"]


ResourceKind = Literal["path", "folder", "text"]


@frozen
class Action:
    """Something that tools ask permission for. A rule is about one, by its name."""

    name: str
    """What a rule calls it by."""
    resource: ResourceKind = "text"
    """What its resources are: files, named relative to the Location or absolutely;
    folders outside of the Location, named ``/the/folder/*``; or any other text, such
    as a command, which stands for itself."""
    about: str = ""
    """What is done with the resource, in a few words."""


@frozen
class Rule:
    """One permission rule. In a list the last rule that matches wins (law access.3).

    In patterns ``*`` stands for any text and ``?`` for one character; a pattern that
    ends in a space and ``*`` also matches without them. Where the resources of the
    action are files, a pattern may also name them absolutely, from ``~``, with ``./``
    and ``../``, and ``**/`` or a ``*/`` at its beginning also stand for no folder.
    """

    action: str
    """A pattern for the actions that it is about."""
    resource: str
    """A pattern for what they are done to."""
    effect: RuleEffect
    """What becomes of them: allowed, asked for, or denied."""
    tightens: bool = False
    """Such a rule only ever makes the answer stricter, wherever it stands in the list.
    Rules out of a file that nobody vouched for are of this kind."""
    source: str | None = field(default=None, eq=False)
    """Where it was written, to name its place when it is wrong."""
    layer: str = ""
    """Rules of another layer are a list of their own: each layer of a list decides as
    if it stood alone, and the strictest of them counts. So a layer is a bound that no
    rule outside of it ever widens."""


def layer_of(name: str, rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Return rules as a layer of their own: what none of them allows, nobody is allowed
    without being asked."""
    # That there is such a layer must be seen also where no rule of it is about what is
    # asked: this one decides nothing.
    there = Rule("*", "*", "allow", tightens=True, layer=name)
    return (there, *(evolve(rule, layer=name) for rule in rules))


@frozen(eq=False)
class AgentProfile:
    """How an agent behaves: its instructions, its Steps, its rights."""

    name: str
    """What sessions and the configuration call it by."""
    description: str = ""
    """What it is for, for a person who chooses one."""
    instructions: str = ""
    """Added to the system text after the Baseline."""
    model: str | None = None
    """Used when the session names none."""
    steps: int | None = None
    """Steps per activity; the last one is asked to finish without tools. None: as many
    as it takes."""
    rules: Sequence[Rule] = ()
    """Its permission rules; those of the configuration come after them."""
    tools: Sequence[str] | None = None
    """The tools it is offered; None means all."""
    without: Sequence[str] = ()
    """Tools that it is not offered, whatever ``tools`` says."""
    lines: int | None = None
    """Lines of one result that it is shown, where a tool's own bound is not lower."""
    bytes: int | None = None
    """UTF-8 bytes, likewise."""
    options: Mapping[str, Json] = field(factory=dict)
    """Settings of its requests in the words of the provider, such as ``temperature``;
    they are added to the body as they are."""
    generation: Generation = NO_GENERATION
    """How its answers are generated, where neither the session nor a prompt says
    otherwise."""
    small: bool = False
    """Whether it uses the configured small model where nothing else is named."""
    vouched: bool = True
    """Whether its description is of somebody whom the user vouches for."""
    sources: Sequence[str] = ()
    """Who offers it, and the files that say more of it. Filled in where it is
    offered."""


@frozen
class AgentProblem:
    """Why a file that looks like an agent profile is not used, or not all of it."""

    path: str
    """Where it is."""
    problem: str
    """Why, in a sentence."""
    used: bool = False
    """Whether the rest of it counts."""


@frozen
class PermissionQuestion:
    """Something that a call wants to do, before it is allowed."""

    session_id: SessionId
    """The session that it belongs to."""
    agent: str
    """Whose call it is."""
    action: str
    """What is to be done, such as ``edit``."""
    resources: tuple[str, ...]
    """What it is to be done to; all of it must be allowed."""
    message_id: MessageId | None = None
    """The message of the call; None where no call asks."""
    call_id: str | None = None
    """The call, as its provider named it; None where no call asks."""
    metadata: Mapping[str, Json] = field(factory=dict, repr=False)
    """What the tool says besides, for whoever shows the question."""
