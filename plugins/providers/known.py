"""Known models: how much fits into them, and what they cost.

Owns public facts about the models of OpenAI, Anthropic and Google, as they were in the
middle of 2026: tokens that fit, tokens that are written at the most, and US dollars for
a million of them. A ``[providers.NAME]`` table says otherwise, model by model; other
models are asked all the same, and cost what nobody knows.
"""

from collections.abc import Mapping

from dovetail.kernel import Price, PriceAbove

from .endpoints import Known

OPENAI: Mapping[str, Known] = {
    "gpt-4.1": (1_047_576, 32_768, Price(2.0, 8.0, 0.5)),
    "gpt-4.1-mini": (1_047_576, 32_768, Price(0.4, 1.6, 0.1)),
    "gpt-4.1-nano": (1_047_576, 32_768, Price(0.1, 0.4, 0.03)),
    "gpt-4o": (128_000, 16_384, Price(2.5, 10.0, 1.25)),
    "gpt-4o-mini": (128_000, 16_384, Price(0.15, 0.6, 0.08)),
    "gpt-5": (400_000, 128_000, Price(1.25, 10.0, 0.125)),
    "gpt-5-codex": (400_000, 128_000, Price(1.25, 10.0, 0.125)),
    "gpt-5-mini": (400_000, 128_000, Price(0.25, 2.0, 0.025)),
    "gpt-5-nano": (400_000, 128_000, Price(0.05, 0.4, 0.005)),
    "gpt-5.1": (400_000, 128_000, Price(1.25, 10.0, 0.13)),
    "gpt-5.1-codex": (400_000, 128_000, Price(1.25, 10.0, 0.125)),
    "gpt-5.2": (400_000, 128_000, Price(1.75, 14.0, 0.175)),
    "gpt-5.2-codex": (400_000, 128_000, Price(1.75, 14.0, 0.175)),
    "gpt-5.3-codex": (400_000, 128_000, Price(1.75, 14.0, 0.175)),
    "gpt-5.4": (
        1_050_000,
        128_000,
        Price(2.5, 15.0, 0.25, above=(PriceAbove(272000, 5.0, 22.5, 0.5),)),
    ),
    "gpt-5.4-mini": (400_000, 128_000, Price(0.75, 4.5, 0.075)),
    "gpt-5.4-nano": (400_000, 128_000, Price(0.2, 1.25, 0.02)),
    "gpt-5.5": (
        1_050_000,
        128_000,
        Price(5.0, 30.0, 0.5, above=(PriceAbove(272000, 10.0, 45.0, 1.0),)),
    ),
    "o3": (200_000, 100_000, Price(2.0, 8.0, 0.5)),
    "o3-mini": (200_000, 100_000, Price(1.1, 4.4, 0.55)),
    "o4-mini": (200_000, 100_000, Price(1.1, 4.4, 0.28)),
}
ANTHROPIC: Mapping[str, Known] = {
    "claude-3-5-haiku-latest": (200_000, 8_192, Price(0.8, 4.0, 0.08, 1.0)),
    "claude-3-haiku-20240307": (200_000, 4_096, Price(0.25, 1.25, 0.03, 0.3)),
    "claude-haiku-4-5": (200_000, 64_000, Price(1.0, 5.0, 0.1, 1.25)),
    "claude-opus-4-0": (200_000, 32_000, Price(15.0, 75.0, 1.5, 18.75)),
    "claude-opus-4-1": (200_000, 32_000, Price(15.0, 75.0, 1.5, 18.75)),
    "claude-opus-4-5": (200_000, 64_000, Price(5.0, 25.0, 0.5, 6.25)),
    "claude-opus-4-6": (1_000_000, 128_000, Price(5.0, 25.0, 0.5, 6.25)),
    "claude-opus-4-7": (1_000_000, 128_000, Price(5.0, 25.0, 0.5, 6.25)),
    "claude-sonnet-4-0": (200_000, 64_000, Price(3.0, 15.0, 0.3, 3.75)),
    "claude-sonnet-4-5": (200_000, 64_000, Price(3.0, 15.0, 0.3, 3.75)),
    "claude-sonnet-4-6": (1_000_000, 64_000, Price(3.0, 15.0, 0.3, 3.75)),
}
GOOGLE: Mapping[str, Known] = {
    "gemini-2.0-flash": (1_048_576, 8_192, Price(0.1, 0.4, 0.025)),
    "gemini-2.5-flash": (1_048_576, 65_536, Price(0.3, 2.5, 0.03)),
    "gemini-2.5-flash-lite": (1_048_576, 65_536, Price(0.1, 0.4, 0.01)),
    "gemini-2.5-pro": (
        1_048_576,
        65_536,
        Price(1.25, 10.0, 0.125, above=(PriceAbove(200000, 2.5, 15.0, 0.25),)),
    ),
    "gemini-3-flash-preview": (1_048_576, 65_536, Price(0.5, 3.0, 0.05)),
    "gemini-3-pro-preview": (
        1_000_000,
        64_000,
        Price(2.0, 12.0, 0.2, above=(PriceAbove(200000, 4.0, 18.0, 0.4),)),
    ),
    "gemini-3.1-flash-lite": (1_048_576, 65_536, Price(0.25, 1.5, 0.025)),
    "gemini-3.1-pro-preview": (
        1_048_576,
        65_536,
        Price(2.0, 12.0, 0.2, above=(PriceAbove(200000, 4.0, 18.0, 0.4),)),
    ),
}
