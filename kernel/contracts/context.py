"""What models are told: Context Sources, and skills."""

from collections.abc import (
    Awaitable,
    Callable,
    Sequence,
)

from ..values.frozen import frozen


@frozen
class Observation:
    """The value of a Context Source as the model is told about it."""

    baseline: str
    """The full text at the start of an epoch. No clock, no random id."""
    update: str | None = None
    """What is said when it changed later; None means the baseline text."""


@frozen(eq=False)
class ContextSource:
    """One independently observed value that the model is told about.

    ``observe`` returns None when there is nothing to say, and raises
    ``ContextUnavailableError`` when it cannot tell now, which is not the same. It is
    called at most once per Step. What cannot tell when a session begins is left out of
    what the model is told, and told as soon as it can.
    """

    key: str
    """``namespace/name``, lower case. Sources are told in key order."""
    observe: Callable[[], Awaitable[Observation | None]]
    """Says what is so now, in five seconds at the most."""
    required: bool = False
    """Whether no session may begin without it. Say so only where a model that does not
    know it would do harm: as long as it cannot be observed, every new session fails."""


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
