"""What models are told: Context Sources, and skills."""

from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from typing import Any

from attrs import field

from ..values.frozen import frozen
from ..values.ids import SessionId


@frozen
class Observation:
    """The value of a Context Source as the model is told about it."""

    baseline: str
    """The full text at the start of an epoch. No clock, no random id. Where there are
    ``parts``: what stands above them, if anything."""
    update: str | None = None
    """What is said when it changed later; None means the baseline text."""
    value: Any = None
    """What is so, as data: JSON, or values of attrs classes. With one, a change of it
    is a change, and other words for the same are none. Without one, the texts are what
    is compared. Either way what would be said in the same words is not said again."""
    removal: str | None = None
    """What is said, once, when there is nothing to say any more; without one, that what
    was said under the key no longer applies."""
    parts: "Mapping[str, Observation] | None" = None
    """Several values of one source, by names of its own and in the order in which they
    are told, such as files. Each is compared, told and removed for itself. A part has
    no parts."""
    common: bool = False
    """Of a part: whether any other source's part of this name that says so too is the
    same thing, such as one file that two sources find, named by its path. It is told
    once, in the words of the first source in key order, and removed when none brings it
    any more. Give it a ``value``, so that other words of another source are no
    change."""
    holds: Callable[..., bool] | None = field(default=None, eq=False, repr=False)
    """Says, for less than observing costs, whether that would bring the same again. It
    is asked at each boundary instead, with what ``observe`` is handed, in a worker
    thread, and may look at the disk, such as when files were changed last. An empty
    Observation with it says that there is nothing to say, until it no longer holds."""


@frozen(eq=False)
class ContextSource:
    """One independently observed value that the model is told about.

    ``observe`` returns None when there is nothing to say, and raises
    ``ContextUnavailableError`` when it cannot tell now, which is not the same. It is
    called at most once per Step, for all sessions of the Location that have one at the
    time. What cannot tell when an epoch begins is left out of what the model is told,
    and told as soon as it can.
    """

    key: str
    """``namespace/name``, lower case. Sources are told in key order."""
    observe: Callable[[], Awaitable[Observation | None]]
    """Says what is so now, in five seconds at the most."""
    required: bool = False
    """Whether no session may begin without it. Say so only where a model that does not
    know it would do harm: as long as it cannot be observed, every new session fails."""
    agents: Collection[str] | None = None
    """The names of the agents that it speaks to; None: all of them. To the others it
    has nothing to say."""
    tell: Callable[[Observation, str], Observation | None] | None = None
    """What an agent of this name is told of what was observed, or None for nothing. So
    one observation serves all agents. It must not wait."""
    ready: Callable[[], Awaitable[Sequence[str]]] | None = None
    """Begins what it speaks of where that takes longer than a Step waits, and returns
    once it is there or was waited for long enough, in ninety seconds at the most: a
    line for a person for each thing that is not there. Only ``LocationHandle.ready``
    calls it, and no Step."""


@frozen
class SessionView:
    """What a source is shown of the session that it speaks to."""

    session_id: SessionId
    """Which one it is."""
    agent: str
    """The agent of the Step that begins."""
    files: dict[str, str | None] = field(factory=dict, repr=False)
    """What each file held when a call last read or wrote it, as SHA-256 by absolute
    path, the latest last; None for one that was not there. Not to be changed."""
    instructions: str | None = None
    """What the caller said that is to be kept to."""


@frozen(eq=False)
class SessionSource:
    """A Context Source that says something else to each session.

    As ``ContextSource``, but ``observe`` is handed the session and called for each.
    Let it say by ``Observation.holds`` when it need not be.
    """

    key: str
    """``namespace/name``, lower case; none that a ContextSource has."""
    observe: Callable[[SessionView], Awaitable[Observation | None]]
    """Says what is so now, in five seconds at the most."""
    required: bool = False
    """As that of a ContextSource."""
    agents: Collection[str] | None = None
    """As that of a ContextSource."""


@frozen
class Skill:
    """A named instruction package that the model can load on demand."""

    name: str
    """What a model loads it by; of two of one name, the later source's."""
    description: str
    """When it is wanted: all that a model has to choose by."""
    body: str
    """The instructions."""
    directory: str | None = None
    """Where its files are; None for a skill that is not a folder."""
    files: tuple[str, ...] = ()
    """Some of the files beside it, relative to ``directory``, sorted."""
    offered: bool = True
    """Whether models are told of it. False for a skill that only a person names."""
    license: str | None = None
    """Under which it may be used, or which of its files says so."""
    compatibility: str | None = None
    """What it needs of where it is used: programs, the network. A model that loads it
    is told."""
    metadata: Mapping[str, str] = field(factory=dict)
    """What its author says besides."""
    allowed_tools: tuple[str, ...] = ()
    """The tools that its author would have approved beforehand. It is a wish and gives
    no right: rules and people do."""
    broken: tuple[str, ...] = field(default=(), eq=False)
    """The rules of agentskills.io/specification that it breaks, in a few words each. It
    is offered all the same."""


@frozen
class SkillProblem:
    """Why something that looked like a skill is not offered."""

    path: str
    """Where it is."""
    problem: str
    """Why it is not offered, in a sentence."""


@frozen(eq=False)
class SkillSource:
    """A place where skills are found. Of equal names the later source wins."""

    key: str
    """``namespace/name``, lower case."""
    find: Callable[[], Awaitable[Sequence[Skill | SkillProblem]]]
    """Finds them, in four seconds at the most, and says of what it passes over why."""
    holds: Callable[[], bool] | None = None
    """Says, for less than finding costs, whether ``find`` would find the same as it did
    last. It is asked at each boundary, in a worker thread. Without it what was found is
    kept until a plugin comes or goes."""
    gives_way: bool = False
    """Whether of equal names the skill of any other source wins, such as over one from
    elsewhere that of the project."""
