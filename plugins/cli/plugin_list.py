"""The command ``plugins``: what is installed, what became of it, and whether it is
sound."""

import importlib.metadata
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import click
from attrs import frozen
from dovetail.kernel import (
    PROJECT,
    DovetailError,
    Json,
    LocationPlugin,
    PluginError,
    PluginState,
    SourceState,
    clean_text,
    missing_requirements,
    open_runtime,
    to_json,
)

from ..console.exits import FAILED, SUCCEEDED
from ..console.listing import table
from ..console.options import json_line, json_option
from ..console.terminal import Terminal, first_line, visible
from .new_plugin import new_command
from .program import CommandLine

HEADS = ("name", "state", "from", "time", "offers")
STORE = "sqlite://"
"""In memory: nothing that is looked at here leaves anything behind."""


@click.group("plugins")
def plugins_command() -> None:
    """Show and check what is installed, and begin something new."""


plugins_command.add_command(new_command)


# --- list -------------------------------------------------------------------------


@frozen
class Listed:
    """A plugin as it was found, and as it is in a Location."""

    found: PluginState | None
    here: LocationPlugin | None = None

    @property
    def name(self) -> str:
        known = self.found or self.here
        assert known is not None
        return known.name

    @property
    def state(self) -> str:
        if self.found is not None and self.found.state != "loaded":
            return self.found.state
        if self.here is not None and self.here.state != "open":
            return self.here.state
        return "loaded"

    @property
    def seconds(self) -> float:
        return sum(one.seconds for one in (self.found, self.here) if one is not None)

    @property
    def offers(self) -> str:
        known = self.found or self.here
        assert known is not None
        hooks = [hook.removeprefix("dovetail_") for hook in known.hooks]
        contributions = self.here.contributions if self.here is not None else ()
        others = [
            hook
            for hook in hooks
            if not hook.startswith("register_") or not contributions
        ]
        return ", ".join([*contributions, *others]) or "-"

    @property
    def problems(self) -> Sequence[str]:
        """What is wrong with it, whether it is left out for that or not."""
        told: list[str | None] = []
        if self.found is not None:
            told += [self.found.error, self.found.last_error, *self.found.warnings]
        if self.here is not None and self.here.state != "open":
            told.append(self.here.error)
        if self.here is not None:
            told.append(self.here.last_error)
        return list(dict.fromkeys(each for each in told if each))

    @property
    def blocking(self) -> Sequence[str]:
        """What of it took so long that others waited for it: told, and no fault that
        a check would find, since it may be the machine's."""
        known = [one.last_blocking for one in (self.found, self.here) if one]
        return list(dict.fromkeys(each for each in known if each))

    def json(self) -> Json:
        shown = to_json(self.found) if self.found is not None else {"name": self.name}
        return {
            **shown,
            "state": self.state,
            "seconds": self.seconds,
            "contributions": list(self.here.contributions) if self.here else [],
            "here": None if self.here is None else to_json(self.here),
        }


@plugins_command.command("list", short_help="List plugins and what they offer")
@click.option(
    "--location",
    metavar="DIR",
    default=".",
    show_default=True,
    help="Where to open them, to see what they offer.",
)
@json_option("one plugin")
@click.pass_context
def list_command(context: click.Context, location: str, as_json: bool) -> None:
    """List the plugins that were found, what they offer, and what is wrong."""
    found = _program(context).plugins.states()
    terminal = Terminal()
    try:
        opened = anyio.run(_opened, location)
    except DovetailError as error:
        # What is installed is worth seeing, most of all when something is wrong.
        terminal.tell(f"{visible(location)} was not opened: {visible(str(error))}")
        opened = []
    listed = _merged(found, opened)
    if as_json:
        terminal.write("".join(json_line(one.json()) for one in listed))
        return
    rows = [_row(one) for one in listed]
    terminal.write(table(HEADS, rows, terminal.width, terminal.style))
    for one in listed:
        for problem in (*one.problems, *one.blocking):
            terminal.write(f"{visible(one.name)}: {visible(first_line(problem))}\n")


async def _opened(location: str) -> Sequence[LocationPlugin]:
    async with open_runtime(STORE) as runtime:
        return await runtime.location(location).plugins.list()


async def _looked_at(
    location: str,
) -> tuple[Sequence[LocationPlugin], Sequence[SourceState]]:
    async with open_runtime(STORE) as runtime, runtime.location(location) as here:
        sources = await here.context()
        return await here.plugins.list(), sources


def _merged(
    found: Sequence[PluginState], opened: Sequence[LocationPlugin]
) -> list[Listed]:
    here = {one.name: one for one in opened}
    listed = [
        Listed(one, here.pop(one.name, None) if one.state == "loaded" else None)
        for one in found
    ]
    # What only this Location has, such as a file in it.
    return [*listed, *(Listed(None, one) for one in here.values())]


def _row(one: Listed) -> tuple[str, ...]:
    origin = one.found.origin if one.found is not None else "this location"
    return one.name, one.state, origin, f"{one.seconds * 1000:.1f} ms", one.offers


# --- check ------------------------------------------------------------------------


@plugins_command.command("check", short_help="Tell what is wrong with plugins")
@json_option("one problem")
@click.pass_context
def check_command(context: click.Context, as_json: bool) -> int:
    """Load every plugin, open it in an empty directory, and tell what is wrong.

    Exits with 1 when anything is. Plugins that are denied or disabled are left alone.
    Servers of the Model Context Protocol that you use in this directory are begun, and
    told of where one does not work.
    """
    program = _program(context)
    terminal = Terminal()
    problems = [
        *_commands(context, program),
        *_requirements(program.plugins.states()),
    ]
    with tempfile.TemporaryDirectory(prefix="dovetail-check-") as folder:
        try:
            opened, sources = anyio.run(_looked_at, str(Path(folder).resolve()))
        except DovetailError as error:
            opened, sources = [], []
            problems.append(("-", f"no Location can be opened: {error}"))
    listed = _merged(program.plugins.states(), opened)
    for one in listed:
        if one.state not in ("denied", "disabled", "left out") or one.here is not None:
            problems += [
                (one.name, problem)
                for problem in one.problems
                if one.state != "left out"
            ]
    problems += [
        (one.plugin or "-", _unavailable(one))
        for one in sources
        if one.state == "unavailable"
    ]
    problems = list(dict.fromkeys(problems))
    for name, problem in problems:
        if as_json:
            line = {"plugin": name, "problem": clean_text(problem)}
            terminal.write(json_line(line))
        else:
            terminal.write(f"{visible(name)}: {visible(first_line(problem))}\n")
    if not problems and not as_json:
        sound = sum(one.state == "loaded" for one in listed)
        terminal.write(f"{sound} plugins, nothing is wrong\n")
    return FAILED if problems else SUCCEEDED


def _unavailable(source: SourceState) -> str:
    then = (
        "no session begins without it"
        if source.required
        else "sessions begin without it"
    )
    return (
        f"context source {source.key!r} cannot be observed, so {then}: {source.reason}"
    )


def _commands(
    context: click.Context, program: CommandLine
) -> Sequence[tuple[str, str]]:
    """Return why commands cannot be loaded, with the plugins that added them."""
    problems = []
    for name in program.list_commands(context):
        try:
            program.get_command(context, name)
        except PluginError as error:
            problems.append((error.plugin, str(error)))
    return [*problems, *_checked(program)]


def _checked(program: CommandLine) -> Iterator[tuple[str, str]]:
    """Yield what commands find wrong with what they are about."""
    for name, one in sorted(program.offered.items()):
        if one.command.check is None:
            continue
        try:
            found = [str(problem) for problem in one.command.check()]
        except Exception as error:
            # Boundary: a stranger's check that fails is what is wrong, and no more.
            found = [f"command {name!r}: its check failed: {error!r}"]
        yield from ((one.plugin, problem) for problem in found)


def _requirements(states: Sequence[PluginState]) -> Sequence[tuple[str, str]]:
    """Return what the distributions of loaded plugins need and is not installed."""
    names = {one.name for one in states if one.state == "loaded"}
    problems = []
    for entry in importlib.metadata.entry_points(group=PROJECT):
        missing = missing_requirements(entry.dist) if entry.name in names else ()
        if missing:
            lacks = ", ".join(missing)
            problems.append((entry.name, f"it needs, and there is not: {lacks}"))
    return problems


def _program(context: click.Context) -> CommandLine:
    program = context.find_root().command
    assert isinstance(program, CommandLine)
    return program
