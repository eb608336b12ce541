"""The table ``[fallback]``: which models go on when one does not answer.

Owns its keys, their bounds, and what holds where nothing is said.
"""

from ..values.errors import ProviderFault
from ..values.frozen import frozen
from .table import Table

KEYS = ("models", "also_on", "wait")
MAX_MODELS = 16
WAIT = 30.0
"""Seconds that are spent waiting for one model while another could go on."""

MOVES: frozenset[str] = frozenset[ProviderFault | str](
    (
        "model.unknown",
        "provider.authentication",
        "provider.failed",
        "provider.invalid_output",
        "provider.key_missing",
        "provider.quota",
        "provider.rate_limited",
        "provider.stream_broken",
        "provider.unavailable",
        "provider.unknown_model",
        "provider.unreachable",
    )
)
"""The errors that another model goes on after."""
OPTIONAL: frozenset[str] = frozenset[ProviderFault | str](
    (
        "provider.answer_limit",
        "provider.content_refused",
        "provider.context_overflow",
        "provider.empty_answer",
        "provider.invalid_request",
        "provider.part_refused",
    )
)
"""Those that it goes on after only where that is said: mostly they are about what was
asked, and not about who was."""


@frozen
class FallbackSettings:
    """What is said about it. None is nothing said."""

    models: tuple[str, ...] | None = None
    """In the order in which they are tried, as ``provider/model``."""
    also_on: tuple[str, ...] | None = None
    """Further codes of errors."""
    wait: int | None = None
    """Seconds."""

    @classmethod
    def by(cls, table: Table) -> "FallbackSettings":
        """Read the table.

        Raises:
            ConfigurationError: a key or a type that it should not have.
        """
        table.only(*KEYS)
        models, also_on = table.texts("models"), table.texts("also_on")
        if models is not None and len(models) > MAX_MODELS:
            raise table.error("models", f"must hold at most {MAX_MODELS} models")
        if not all(all(one.partition("/")) for one in models or ()):
            raise table.error("models", "must hold names like provider/model")
        unknown = [one for one in also_on or () if one not in OPTIONAL]
        if unknown:
            known = ", ".join(sorted(OPTIONAL))
            raise table.error("also_on", f"must hold codes of these: {known}")
        return cls(models, also_on, table.count("wait"))

    def then(self, other: "FallbackSettings") -> "FallbackSettings":
        """Return these with what another says on top."""
        return FallbackSettings(
            self.models if other.models is None else other.models,
            self.also_on if other.also_on is None else other.also_on,
            self.wait if other.wait is None else other.wait,
        )
