"""Errors of agents, skills and Context Sources."""

from .base import DovetailError, NotFoundError


class AgentNotFoundError(NotFoundError):
    """No plugin or configuration offers an agent profile of this name."""

    code = "agent.not_found"
    noun = "agent profile"


class SkillNotFoundError(NotFoundError):
    """No skill of this name is offered in the Location."""

    code = "skill.not_found"
    noun = "skill"


class ContextUnavailableError(DovetailError):
    """A Context Source cannot be observed now; it is never read as removed."""

    code = "context.unavailable"

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"context source {key!r} cannot be observed: {problem}")
        self.key = key
        self.problem = problem
