"""Errors of configuration files and variables."""

from collections.abc import Sequence

from .base import DovetailError, InvalidValueError


class ConfigurationError(InvalidValueError):
    """A configuration file or variable cannot be used. The message names the place."""

    code = "config.invalid"

    def __init__(
        self, where: str, problem: str, keys: Sequence[str | int] = ()
    ) -> None:
        DovetailError.__init__(self, f"{where}: {problem}")
        self.what = where
        self.rule = problem
        self.keys = tuple(keys)
        """The path of the key in the file, where it is about one."""


class ConfigurationUntrustedError(ConfigurationError):
    """A Location's own file asks for what only a trusted one may ask for.

    Add the directory to ``trusted`` in the user's configuration file, or take the
    setting out of the Location's file.
    """

    code = "config.untrusted"


class FrontMatterError(InvalidValueError):
    """A Markdown file has no front matter that can be read. The text says why."""

    code = "front_matter.invalid"

    def __init__(self, problem: str) -> None:
        DovetailError.__init__(self, problem)
        self.what = "front matter"
        self.rule = problem
