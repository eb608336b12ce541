"""Sessions with a small window, and a model that writes their summaries."""

from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen
from dovetail.kernel import (
    CompactionStrategy,
    CompactionWork,
    Message,
    ModelRequest,
    Register,
    SummaryMessage,
    Tool,
    ToolContext,
    hookimpl,
)
from dovetail.kernel.testing.scripted import ScriptedProvider, call, calls, text
from dovetail.plugins.compaction import plugin as shipped

SUMMARY = "## Goal\nShip it\n## Open items\nthe release notes"


@frozen
class Look:
    path: str
    size: int = 1_500


async def _look(input: Look, context: ToolContext) -> str:
    return f"content of {input.path}: " + "x" * input.size


LOOK = Tool("look", "Look at a file.", Look, _look, effect="pure")


def is_for_summary(request: ModelRequest) -> bool:
    """Whether a request asks for a summary."""
    return any("You write the summary" in one for one in request.system)


def worker(
    steps: int, *, context: int | None = 8_000, summary: Any = SUMMARY, **options: Any
) -> ScriptedProvider:
    """Return a model that looks at a file in each of so many Steps of a prompt, and
    writes summaries in between."""
    made = 0

    def answer(request: ModelRequest) -> Sequence[Any]:
        nonlocal made
        if is_for_summary(request):
            wanted = summary(request) if callable(summary) else summary
            return wanted if isinstance(wanted, list) else text(wanted)
        made += 1
        if made % (steps + 1) == 0:
            return text("done")
        return calls(call("look", {"path": f"src/f{made}.py"}, id=f"call_{made}"))

    return ScriptedProvider(*[answer] * (20 * steps + 100), context=context, **options)


def summary_of(history: Sequence[Message]) -> SummaryMessage:
    """Return what stands for older history."""
    assert isinstance(history[0], SummaryMessage)
    return history[0]


class Strategy:
    """A plugin with a strategy of its own under the name of the shipped one."""

    def __init__(self, summarise: Callable[[CompactionWork], Any]) -> None:
        self._summarise = summarise

    @hookimpl
    def dovetail_register_compaction(
        self, register: Register[CompactionStrategy]
    ) -> None:
        register(CompactionStrategy("summary", self._summarise))


__all__ = ["LOOK", "SUMMARY", "Look", "Strategy", "shipped", "summary_of", "worker"]
