"""A plugin with a tool that does nothing but note the time."""

from collections.abc import Sequence
from time import perf_counter
from typing import Any

from attrs import frozen
from dovetail.kernel import (
    AgentProfile,
    Place,
    Register,
    Session,
    Tool,
    ToolContext,
    hookimpl,
)
from model_server import FINISH
from ours import turn

AGENT = "ticking"


@frozen
class Tick:
    """The tool's input."""

    word: str


class Ticker:
    """Offers the tool ``tick``, and an agent without a limit of Steps that matters."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._enough = 0

    @hookimpl
    def dovetail_register_tools(
        self, register: Register[Tool[Any, Any]], place: Place
    ) -> None:
        register(
            Tool(
                name="tick",
                description="Ticks.",
                input=Tick,
                output=str,
                effect="pure",
                execute=self._tick,
            )
        )

    @hookimpl
    def dovetail_register_agents(
        self, register: Register[AgentProfile], place: Place
    ) -> None:
        register(AgentProfile(AGENT, instructions="Tick.", steps=10**9))

    async def _tick(self, input: Tick, context: ToolContext) -> str:
        self.times.append(perf_counter())
        ends = len(self.times) >= self._enough
        return f"{input.word} {FINISH if ends else len(self.times)}"

    async def steps(self, session: Session, count: int) -> Sequence[float]:
        """Make Steps with a call each, and return how long each but the last took.

        A Step is from one run of the tool to the next.
        """
        self.times = []
        self._enough = count
        await turn(session, "Use the tool until it has had enough.")
        pairs = zip(self.times, self.times[1:], strict=False)
        return [after - before for before, after in pairs]
