"""The provider keeps what every provider must: checked by dovetail's own suite."""

from collections.abc import Mapping
from typing import ClassVar

from dovetail.kernel.testing.conformance import ProviderConformance, ProviderExample
from dovetail_lantern import plugin
from lantern_server import line

LINES: Mapping[str, str] = {"content-type": "text/x-lantern"}
CALL = line("call", {"id": "c1", "tool": "roll", "input": '{"sides": 6}'})


class TestLantern(ProviderConformance):
    version = 1
    plugin = plugin
    provider = "lantern"
    environment: ClassVar[Mapping[str, str]] = {
        "LANTERN_URL": "{url}",
        "LANTERN_KEY": ProviderConformance.key,
    }
    examples = (
        ProviderExample(
            line("think", "Hm.")
            + line("say", "Hello, ")
            + line("say", "wörld")
            + line("end", {"why": "stop", "in": 3, "out": 2}),
            headers=LINES,
            text="Hello, wörld",
            finish="stop",
        ),
        ProviderExample(
            line("say", "I roll.") + CALL + line("end", {"why": "calls"}),
            headers=LINES,
            calls=[("roll", {"sides": 6})],
            finish="tool_calls",
        ),
        ProviderExample(
            line("say", "So") + line("fail", {"what": "down", "text": "bye"}),
            headers=LINES,
            error="provider.unavailable",
        ),
        ProviderExample(
            b'{"what": "busy", "after": 2}',
            status=429,
            headers={"content-type": "application/json"},
            error="provider.rate_limited",
        ),
    )
