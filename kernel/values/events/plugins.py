"""What became of plugins while a session ran."""

from ..frozen import frozen
from ..tool import Failure
from .declaring import Event, event


@event("plugin.disabled")
@frozen(kw_only=True)
class PluginDisabled(Event):
    """A plugin failed too often in this Location and is not called any more."""

    plugin: str
    """Which plugin it is."""
    failure: Failure
    """Why it is not called any more."""
