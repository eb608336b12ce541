"""Errors of tools and their calls."""

from collections.abc import Sequence

from .base import DovetailError


class ToolError(DovetailError):
    """A tool call did not succeed. The model is told the message."""

    code = "tool.error"


class ToolFailure(ToolError):
    """Raise this in a tool for an expected failure; the model reads the text."""

    code = "tool.failed"


class ToolUnknownError(ToolError):
    """The model called a tool that was not advertised in that request."""

    code = "tool.unknown"

    def __init__(self, name: str, offered: Sequence[str] = ()) -> None:
        tail = f"; offered: {', '.join(offered)}" if offered else ""
        super().__init__(f"there is no tool {name!r}{tail}")
        self.name = name


class ToolStaleError(ToolError):
    """The advertised tool was closed or replaced before the call could start."""

    code = "tool.stale"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"tool {name!r} was replaced or removed after it was advertised; "
            "call it again if it is still offered"
        )
        self.name = name


class ToolCancelledError(ToolError):
    """The call was interrupted, and its thread still goes on: end it soon.

    Raised in the thread of a synchronous tool by what it asks of its context. What the
    call returns by then, or raises, is dropped.
    """

    code = "tool.cancelled"

    def __init__(self, name: str) -> None:
        super().__init__(f"the call of tool {name!r} was interrupted")
        self.name = name


class ToolInputError(ToolError):
    """The arguments do not fit the tool's input type; the executor never ran."""

    code = "tool.input_invalid"

    def __init__(self, name: str, problems: Sequence[str]) -> None:
        super().__init__(f"invalid input for {name!r}: " + "; ".join(problems))
        self.name = name
        self.problems = tuple(problems)


class ToolOutputError(ToolError):
    """The tool returned something that is not of its output type."""

    code = "tool.output_invalid"

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"tool {name!r} returned an invalid output: {problem}")
        self.name = name


class ToolDefinitionError(ToolError):
    """A tool cannot be registered: its name or one of its types is not usable."""

    code = "tool.definition_invalid"

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"tool {name!r} cannot be registered: {problem}")
        self.name = name
