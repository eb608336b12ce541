"""Errors of plugins."""

from .base import DovetailError, NotFoundError


class PluginError(DovetailError):
    """A plugin did something wrong; everything else goes on without it.

    ``plugin``, ``hook`` and ``location`` name the culprit (law plugins.1).
    """

    code = "plugin.failed"

    def __init__(
        self,
        plugin: str,
        problem: str,
        *,
        hook: str | None = None,
        location: str | None = None,
    ) -> None:
        where = f" in {hook}" if hook else ""
        place = f" at {location}" if location else ""
        super().__init__(f"plugin {plugin!r}{where}{place}: {problem}")
        self.plugin = plugin
        self.hook = hook
        self.location = location


class PluginImportError(PluginError):
    """The plugin's module cannot be imported."""

    code = "plugin.import_failed"


class PluginInvalidError(PluginError):
    """The plugin's hooks do not fit the hook specifications."""

    code = "plugin.invalid"


class PluginNotFoundError(NotFoundError):
    """No plugin of this name is loaded."""

    code = "plugin.not_found"
    noun = "plugin"
