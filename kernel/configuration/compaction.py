"""The table ``[compaction]``: when older history is replaced, and by what.

Owns its keys, their bounds, and what holds where nothing is said.
"""

from ..values.frozen import frozen
from .table import Table

KEYS = ("auto", "strategy", "window", "reserve", "keep")

STRATEGY = "summary"
RESERVE = 20_000
KEEP = 8_000
LEAST_WINDOW = 1_000


@frozen
class CompactionSettings:
    """What is said about compaction. None is nothing said."""

    auto: bool | None = None
    """Whether it is done without being asked for."""
    strategy: str | None = None
    """Who makes the summary, by name."""
    window: int | None = None
    """Tokens that fit into models of which nobody knows it."""
    reserve: int | None = None
    """Tokens that are left for the answer."""
    keep: int | None = None
    """Tokens of recent history that stay word for word."""

    @classmethod
    def by(cls, table: Table) -> "CompactionSettings":
        """Read the table.

        Raises:
            ConfigurationError: a key or a type that it should not have.
        """
        table.only(*KEYS)
        window = table.count("window")
        if window is not None and window < LEAST_WINDOW:
            raise table.error("window", f"must be at least {LEAST_WINDOW:,}")
        return cls(
            auto=table.flag("auto"),
            strategy=table.text("strategy"),
            window=window,
            reserve=table.count("reserve"),
            keep=table.count("keep"),
        )

    def then(self, other: "CompactionSettings") -> "CompactionSettings":
        """Return these with what another says on top."""

        def said(mine: object, others: object) -> object:
            return mine if others is None else others

        return CompactionSettings(
            **{key: said(getattr(self, key), getattr(other, key)) for key in KEYS}  # type: ignore[arg-type]
        )
