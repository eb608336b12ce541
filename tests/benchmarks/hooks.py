"""Benchmarks of plugins: what a hook call costs, and opening a Location with many."""

from pathlib import Path
from time import perf_counter
from typing import Any

from attrs import frozen
from dovetail.kernel import (
    Location,
    ModelRequest,
    Place,
    Register,
    Tool,
    ToolContext,
    hookimpl,
)
from dovetail.kernel.history.history import History
from dovetail.kernel.plugins.loader import load_plugins
from measure import Bench, Line, Program, interleaved, timed
from ours import opened

CALLS = 200


@frozen
class Said:
    """A tool's input."""

    word: str


class Adjuster:
    """A plugin with a hook and a tool."""

    def __init__(self, number: int) -> None:
        self.name = f"adjuster-{number:03}"
        self._tool: Tool[Any, Any] = Tool(
            name=f"say_{number}",
            description="Says a word.",
            input=Said,
            output=str,
            effect="pure",
            execute=_say,
        )

    @hookimpl
    def dovetail_prepare_request(self, request: ModelRequest, place: Place) -> None:
        return None

    @hookimpl
    def dovetail_register_tools(
        self, register: Register[Tool[Any, Any]], place: Place
    ) -> None:
        register(self._tool)


async def _say(input: Said, context: ToolContext) -> str:
    return input.word


async def hook_calls(bench: Bench) -> list[Line]:
    """A hook call through 1, 10 and 50 plugins, over calling their functions."""
    request = ModelRequest("text", (), History("ses_none").snapshot())
    place = Place(Location.at(bench.folder()))
    programs: dict[str, Program] = {}
    for count in (1, 10, 50):
        made = [Adjuster(number) for number in range(count)]
        plugins = load_plugins(made, entry_points=False, environment={})
        functions = [one.dovetail_prepare_request for one in made]

        def hooked(plugins: Any = plugins) -> None:
            plugins.each("dovetail_prepare_request", request=request, place=place)

        def bare(functions: Any = functions) -> None:
            for function in functions:
                function(request, place)

        programs[f"{count}"] = _repeated(hooked)
        programs[f"{count} bare"] = _repeated(bare)
    found = await interleaved(programs, bench.of(20, 80))
    return [
        Line(f"hook call, {count} plugins", "us", found[count], found[f"{count} bare"])
        for count in ("1", "10", "50")
    ]


def _repeated(call: Any) -> Program:
    async def program() -> float:
        began = perf_counter()
        for _ in range(CALLS):
            call()
        return (perf_counter() - began) / CALLS

    return program


async def open_location(bench: Bench) -> list[Line]:
    """Opening a Location with 50 more plugins, over opening one without them."""
    many = [Adjuster(number) for number in range(50)]
    async with (
        opened(bench.url, bench.file(), *many) as crowded,
        opened(bench.url, bench.file()) as plain,
    ):

        async def opening(runtime: Any) -> None:
            await runtime.location(folders.pop())

        rounds = bench.of(15, 60)
        folders: list[Path] = [bench.folder() for _ in range(2 * (rounds + 3))]
        found = await interleaved(
            {
                "many": timed(lambda: opening(crowded)),
                "few": timed(lambda: opening(plain)),
            },
            rounds,
        )
    return [Line("open a Location, 50 more plugins", "ms", found["many"], found["few"])]
