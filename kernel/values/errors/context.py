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
    """A Context Source cannot be observed now; it is never read as removed.

    Sources raise it with key and problem. With ``plugin`` it is what a session fails
    with that may not begin without that plugin's source.
    """

    code = "context.unavailable"

    def __init__(self, key: str, problem: str, plugin: str | None = None) -> None:
        text = f"context source {key!r} cannot be observed: {problem}"
        if plugin is not None:
            text = (
                f"context source {key!r} of plugin {plugin!r} is required and cannot "
                f"be observed: {problem}; to do without it, put {plugin!r} in "
                "`disable_plugins` of your dovetail.toml, or in the variable "
                "DOVETAIL_DISABLE_PLUGINS"
            )
        super().__init__(text)
        self.key = key
        self.problem = problem
        self.plugin = plugin
