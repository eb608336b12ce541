"""The command ``models``: what can be asked here, and what keeps others away."""

from collections.abc import Sequence

import anyio
import click
from attrs import evolve, field, frozen
from dovetail.kernel import (
    DovetailError,
    Json,
    LocationHandle,
    ModelInfo,
    ProviderState,
    to_json,
)

from ..console.exits import FAILED, SUCCEEDED
from ..console.listing import table
from ..console.options import directory_of, json_line, json_option, opened, server_url
from ..console.terminal import Terminal, visible
from .keys import keys_problem
from .named import did_you_mean

HEADS = ("model", "context", "output", "in $", "out $", "abilities")
STORE = "sqlite://"
"""In memory: nothing that is looked at here leaves anything behind."""
PATIENCE = 2.0
"""Seconds that a server of this machine may take to say what it serves."""


@frozen
class Found:
    """A provider, and which models of it are known."""

    state: ProviderState
    models: Sequence[ModelInfo] = ()
    problem: str | None = None
    """Why it did not say what it serves."""
    asked: bool = field(default=False)


@click.command("models", short_help="List the models that can be asked")
@click.argument("providers", metavar="[PROVIDER]...", nargs=-1)
@click.option(
    "--ask",
    is_flag=True,
    help="Ask every provider that has its key what it serves.",
)
@click.option(
    "--filter",
    "wanted",
    metavar="TEXT",
    multiple=True,
    help="Only models with this in their name or abilities, such as sonnet or image. "
    "May be repeated: all of them are wanted.",
)
@click.option(
    "--refresh",
    is_flag=True,
    help="First fetch newer facts about well-known models.",
)
@click.option(
    "-a",
    "--all",
    "whole",
    is_flag=True,
    help="Also say what each provider needs that has no key.",
)
@click.option(
    "--location",
    metavar="DIR",
    default=".",
    show_default=True,
    help="The directory.",
)
@json_option("one provider")
@click.pass_context
def models_command(
    context: click.Context,
    providers: tuple[str, ...],
    ask: bool,
    wanted: tuple[str, ...],
    refresh: bool,
    whole: bool,
    location: str,
    as_json: bool,
) -> None:
    """List the models that sessions of a directory can ask, with the tokens that fit
    and that come back at the most, and US dollars for a million of either.

    What is known without a network is shown, and what a server of this machine says
    that it serves. A provider that is named is asked, wherever it is. Those that have
    no key are named on one line.

    \b
    dovetail models
    dovetail models ollama
    dovetail models --filter gpt --filter image
    dovetail models --ask --json
    dovetail models --refresh

    Exits with 1 when a provider that was named cannot be asked, or there are no newer
    facts to be had.
    """
    terminal = Terminal()
    if refresh:
        for line in anyio.run(_refreshed, location):
            terminal.tell(visible(line))
    found = anyio.run(_found, location, providers, ask)
    offered = {one.state.name for one in found}
    if wanted:
        found = [_narrowed(one, wanted) for one in found]
        found = [one for one in found if one.models]
        if not found:
            terminal.tell(f"no model is like {visible(' and '.join(wanted))!r}")
    if as_json:
        terminal.write("".join(json_line(_json(one)) for one in found))
    else:
        _show(terminal, found, named=bool(providers), whole=whole)
    absent = sorted(set(providers) - offered)
    for name in absent:
        meant = did_you_mean(name, anyio.run(_names, location))
        terminal.tell(f"no provider {visible(name)!r} is offered here{meant}")
    wrong = absent or any(one.problem for one in found if providers)
    context.exit(FAILED if wrong else SUCCEEDED)


async def _refreshed(location: str) -> Sequence[str]:
    async with (
        opened(STORE) as runtime,
        runtime.location(directory_of(location)) as here,
    ):
        unread: Sequence[str] = await here.refresh_models()
        return unread


async def _names(location: str) -> Sequence[str]:
    async with (
        opened(STORE) as runtime,
        runtime.location(directory_of(location)) as here,
    ):
        return [one.name for one in await here.providers()]


def _narrowed(found: Found, wanted: Sequence[str]) -> Found:
    """Return a provider with the models alone that have all of these words."""

    def like(model: ModelInfo) -> bool:
        words = f"{model.name} {' '.join(model.abilities or ())}".lower()
        return all(word.lower() in words for word in wanted)

    return evolve(found, models=[one for one in found.models if like(one)])


async def _found(location: str, named: Sequence[str], ask: bool) -> list[Found]:
    async with (
        opened(STORE) as runtime,
        runtime.location(directory_of(location)) as here,
    ):
        known = await here.models()
        states = [
            one for one in await here.providers() if not named or one.name in named
        ]
        found: dict[str, Found] = {}

        async def look(state: ProviderState) -> None:
            models = [one for one in known if one.name.startswith(f"{state.name}/")]
            near = state.assumed or state.local
            wanted = state.name in named or near or ask
            if state.missing is not None or not wanted:
                found[state.name] = Found(state, models, state.missing)
            else:
                found[state.name] = await _asked(
                    here, state, models, quietly=not (named or ask)
                )

        async with anyio.create_task_group() as asking:
            for state in states:
                asking.start_soon(look, state)
        return [found[state.name] for state in states]


async def _asked(
    here: LocationHandle,
    state: ProviderState,
    models: Sequence[ModelInfo],
    *,
    quietly: bool,
) -> Found:
    """Ask a provider; ``quietly`` one that is likely not there at all."""
    problem: str | None = "it gave no answer in time"
    with anyio.move_on_after(PATIENCE if quietly else None):
        try:
            served = await here.served_models(state.name)
        except DovetailError as error:
            problem = str(error)
        else:
            priced = {one.name: one for one in models}
            told = [priced.get(one.name, one) for one in served]
            return Found(state, told, asked=True)
    return Found(state, models, problem, asked=True)


def _show(
    terminal: Terminal, found: Sequence[Found], *, named: bool, whole: bool
) -> None:
    rows = [_row(model) for one in found for model in one.models if _usable(one)]
    if rows:
        terminal.write(table(HEADS, rows, terminal.width, terminal.style))
    any_of = [one.state.name for one in found if _usable(one) and not one.models]
    for name in any_of:
        terminal.write(f"{visible(name)}/... (any model that it has)\n")
    style = terminal.style
    keyless = []
    if not (named or whole):
        keyless = [one for one in found if one.state.missing is not None]
    for one in found:
        # A server of this machine that does not run is no news.
        told = named or not one.state.assumed
        if one.problem is not None and told and one not in keyless:
            terminal.write(style.dim(f"{visible(one.problem)}") + "\n")
    if keyless:
        names = ", ".join(visible(one.state.name) for one in keyless)
        line = f"no key: {names}; `dovetail keys set NAME` keeps one, --all says more"
        terminal.write(style.dim(line) + "\n")
        unread = None if server_url() else keys_problem()
        if unread is not None:
            terminal.write(style.dim(visible(unread)) + "\n")


def _usable(one: Found) -> bool:
    return one.state.missing is None and (one.problem is None or bool(one.models))


def _row(model: ModelInfo) -> tuple[str, ...]:
    price = model.price
    return (
        model.name,
        f"{model.context:,}" if model.context else "-",
        f"{model.output:,}" if model.output else "-",
        f"{price.input:g}" if price else "-",
        f"{price.output:g}" if price else "-",
        _abilities(model),
    )


def _abilities(model: ModelInfo) -> str:
    """Return what a model can do, as far as anybody knows."""
    if model.abilities is None:
        return "-"
    told = ", ".join(model.abilities) or "text alone"
    return f"{told} (deprecated)" if model.deprecated else told


def _json(one: Found) -> Json:
    return {
        "provider": one.state.name,
        "plugin": one.state.plugin,
        "usable": _usable(one),
        "asked": one.asked,
        "problem": one.problem,
        "models": [to_json(model) for model in one.models],
    }
