"""Known models: how much those of Anthropic write at the most.

Messages demands a number in every request. What else is known of models is the
catalog's, and what a table says counts before this.
"""

from collections.abc import Mapping

MOST: Mapping[str, int] = {
    "claude-3-5-haiku-latest": 8_192,
    "claude-3-haiku-20240307": 4_096,
    "claude-haiku-4-5": 64_000,
    "claude-opus-4-0": 32_000,
    "claude-opus-4-1": 32_000,
    "claude-opus-4-5": 64_000,
    "claude-opus-4-6": 128_000,
    "claude-opus-4-7": 128_000,
    "claude-sonnet-4-0": 64_000,
    "claude-sonnet-4-5": 64_000,
    "claude-sonnet-4-6": 64_000,
}
"""Tokens, by name or by the beginning of one."""
