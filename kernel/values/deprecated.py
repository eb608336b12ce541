"""Everything that is on its way out, in one place.

Owns one constant for each hook and each argument that plugins should stop using, with
the release that removes it. A hook specification names its constant::

    @hookspec(warn_on_impl=OLD_HOOK)
    @hookspec(warn_on_impl_args={"old": OLD_ARGUMENT})

Whoever implements it is warned once when the plugin is loaded, by a Python warning at
the line of the implementation and in the plugin's state, and is called as before. The
hook or argument goes in the release that the text names, and not earlier.

Nothing is deprecated now.
"""


class PluginDeprecationWarning(DeprecationWarning):
    """A plugin uses a hook or an argument that a later release removes.

    ``removed_in`` is that release, ``instead`` what to use.
    """

    def __init__(self, what: str, *, removed_in: str, instead: str) -> None:
        super().__init__(
            f"{what} is deprecated and is removed in dovetail {removed_in}; {instead}"
        )
        self.what = what
        self.removed_in = removed_in
        self.instead = instead
