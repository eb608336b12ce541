"""The plugin ``compaction``: the strategy ``summary`` for long histories.

How a summary is asked for is loaded when the first one is wanted.
"""

from dovetail.kernel import (
    CompactionStrategy,
    CompactionWork,
    Place,
    Register,
    hookimpl,
)


class CompactionPlugin:
    """Offers the strategy in every Location."""

    @hookimpl
    def dovetail_register_compaction(
        self, register: Register[CompactionStrategy], place: Place
    ) -> None:
        """Offer the strategy ``summary``."""
        register(CompactionStrategy("summary", _summarise))


async def _summarise(work: CompactionWork) -> str:
    # Here and not above: a session that stays short pays nothing for it.
    from .summary import summarise

    return await summarise(work)


plugin = CompactionPlugin()
