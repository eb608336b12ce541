"""The command ``dovetail mcp``: which servers there are, whether they work, and
dovetail as one.

Owns what is shown and asked at the terminal. Everything that a server says is other
people's text, and is shown on one line each, without what a terminal obeys.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import anyio
import click
import platformdirs
from dovetail.kernel import (
    DATABASE_VARIABLE,
    Configuration,
    ConfigurationError,
    InvalidValueError,
    Location,
    Place,
    default_database_url,
    first_of,
    open_runtime,
)

from .names import one_line
from .settings import McpSettings, Server, without_secrets
from .toml_edit import put, take

FAILED, SUCCEEDED = 1, 0
TOKEN_VARIABLE = "DOVETAIL_TOKEN"

where_option = click.option(
    "--location",
    metavar="DIR",
    default=".",
    type=click.Path(exists=True, file_okay=False),
    help="The directory whose servers are meant.  [default: this one]",
)


class Servers(Protocol):
    """What the commands look at: the plugin that offers what is configured."""

    def servers_of(self, place: Place) -> tuple[list[Server], list[str]]: ...

    def servers_in(self, directory: str) -> Any: ...


@click.group("mcp")
def mcp_command() -> None:
    """Servers of the Model Context Protocol, and dovetail as one."""


def command_of(plugin: Servers) -> click.Group:
    """Return the command, for the plugin that it is about."""
    mcp_command.context_settings["obj"] = plugin
    return mcp_command


def _plugin() -> Servers:
    found: Servers = click.get_current_context().obj
    return found


def _place(directory: str) -> Place:
    location = Location.at(directory)
    found = Configuration.load(location, os.environ)
    settings = found.plugins.get("mcp", {})
    logs = os.environ.get("DOVETAIL_MCP_LOGS") or settings.get("logs")
    return Place(
        location,
        environment=dict(os.environ),
        settings=McpSettings(
            logs=logs if isinstance(logs, str) else None,
            checkout=settings.get("checkout") is not False,
        ),
        mcp=found.mcp,
        trusted=found.trusted_folders,
    )


def _servers(directory: str) -> tuple[list[Server], list[str]]:
    return _plugin().servers_of(_place(directory))


def _one(directory: str, name: str) -> Server:
    servers, wrong = _servers(directory)
    for server in servers:
        if server.name == name:
            return server
    known = ", ".join(one.name for one in servers) or "none"
    told = "".join(f"; {one}" for one in wrong)
    raise click.UsageError(f"there is no server {name!r} here, only {known}{told}")


# --- list, add, remove ------------------------------------------------------------


@mcp_command.command("list", short_help="List the servers")
@where_option
@click.option("--json", "as_json", is_flag=True, help="Print one server a line.")
def list_command(location: str, as_json: bool) -> int:
    """List the servers of a directory. None is begun; values of headers and of the
    environment are not shown."""
    servers, wrong = _servers(location)
    for server in map(without_secrets, servers):
        reached = server.url or " ".join(server.command)
        if as_json:
            shown: dict[str, Any] = {
                "name": server.name,
                "command": list(server.command),
                "url": server.url,
                "env": sorted(server.env),
                "headers": sorted(server.headers),
                "timeout": server.timeout,
                "trusted": server.trusted,
                "source": server.source,
            }
            click.echo(json.dumps(shown))
        else:
            trusted = ", trusted" if server.trusted else ""
            click.echo(f"{server.name}: {one_line(reached)} ({server.source}{trusted})")
    if not servers and not as_json:
        click.echo("no MCP server is configured here", err=True)
    for one in wrong:
        click.echo(f"warning: {one_line(one, 500)}", err=True)
    return SUCCEEDED


def _file(here: bool, location: str) -> Path:
    if here:
        return Path(location).resolve() / "dovetail.toml"
    named = os.environ.get("DOVETAIL_CONFIG")
    if named == "":
        raise click.UsageError("DOVETAIL_CONFIG is empty: there is no file of yours")
    if named is not None:
        return Path(named).expanduser().absolute()
    folder = platformdirs.user_config_path("dovetail", appauthor=False)
    return folder / "dovetail.toml"


here_option = click.option(
    "--here",
    is_flag=True,
    help="In the dovetail.toml of the directory, which counts where you trust it.",
)


def _pairs(given: Sequence[str], option: str) -> dict[str, str]:
    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{option} takes NAME=VALUE")
        found[name.strip()] = value
    return found


@mcp_command.command("add", short_help="Add a server")
@click.argument("name")
@click.argument("command", nargs=-1)
@click.option("--url", metavar="URL", help="A server that is reached over HTTP.")
@click.option("--env", "env", metavar="NAME=VALUE", multiple=True)
@click.option("--header", "headers", metavar="NAME=VALUE", multiple=True)
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True))
@click.option("--trusted", is_flag=True, help="Believe what it says of its effects.")
@here_option
@where_option
def add_command(
    name: str,
    command: tuple[str, ...],
    url: str | None,
    env: tuple[str, ...],
    headers: tuple[str, ...],
    timeout: float | None,
    trusted: bool,
    here: bool,
    location: str,
) -> int:
    """Add a server to your dovetail.toml: a program with its arguments, or a URL.

    \b
    dovetail mcp add files -- npx -y @modelcontextprotocol/server-filesystem .
    dovetail mcp add tracker --url https://mcp.example.com/mcp
    dovetail mcp add db --env 'PASSWORD=${DB_PASSWORD}' -- db-server

    In values, ${NAME} stands for a variable of the environment at the time that the
    server is begun: so no secret needs to be written down.
    """
    table: dict[str, Any] = {}
    if command:
        table["command"] = list(command)
    if url is not None:
        table["url"] = url
    if timeout is not None:
        table["timeout"] = timeout
    if trusted:
        table["trusted"] = True
    for key, values in (("env", env), ("headers", headers)):
        if values:
            table[key] = _pairs(values, "--header" if key == "headers" else "--env")
    path = _file(here, location)
    try:
        # What is missing now may be there when it is begun.
        _check(name, table, str(path))
        put(path, name, table)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"{name} is in {path}; dovetail mcp check {name} tries it", err=True)
    return SUCCEEDED


class _Anything(dict[str, str]):
    """An environment in which everything is set."""

    def get(self, name: str, otherwise: Any = None) -> Any:
        return "x"


def _check(name: str, table: dict[str, Any], source: str) -> None:
    if "$" in str(table.get("url", "")):
        table = {**table, "url": "https://x"}
    Server.of(name, table, _Anything(), source)


@mcp_command.command("remove", short_help="Remove a server, and its login")
@click.argument("name")
@here_option
@where_option
def remove_command(name: str, here: bool, location: str) -> int:
    """Take a server out of your dovetail.toml, and forget its login."""
    path = _file(here, location)
    known = [one for one in _servers(location)[0] if one.name == name]
    try:
        take(path, name)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    if known and known[0].url is not None:
        _forget(known[0])
    click.echo(f"{name} is no longer in {path}", err=True)
    return SUCCEEDED


def _tokens(server: Server) -> Any:
    _needs_extra()
    from .tokens import TokenFile

    assert server.url is not None
    return TokenFile(server.name, server.url)


def _forget(server: Server) -> bool:
    """Forget the login at a server, and say whether there was one."""
    _needs_extra()
    from .login import give_back

    return anyio.run(give_back, _tokens(server))


def _needs_extra() -> None:
    try:
        import mcp  # noqa: F401
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f'{error.name} is not installed: pip install "dovetail[mcp]"'
        ) from error


# --- check, log, login ------------------------------------------------------------


@mcp_command.command("check", short_help="Begin the servers and say whether they work")
@click.argument("names", nargs=-1)
@where_option
def check_command(names: tuple[str, ...], location: str) -> int:
    """Begin the servers, all or those that are named, and say what each offers or why
    it is not there. Exit code 1: one is not there."""
    _needs_extra()
    for name in names:
        _one(location, name)
    wrong = _servers(location)[1]
    directory = str(Path(location).resolve())
    return anyio.run(_check_all, _plugin(), names, directory, wrong)


async def _check_all(
    plugin: Servers, names: tuple[str, ...], directory: str, wrong: list[str]
) -> int:
    sound = True
    async with (
        open_runtime("sqlite://") as runtime,
        runtime.location(directory),
    ):
        servers = plugin.servers_in(directory)
        for one in wrong:
            sound = False
            click.echo(f"warning: {one_line(one, 500)}", err=True)
        if servers is None:
            click.echo("no MCP server is configured here", err=True)
            return SUCCEEDED if sound else FAILED
        await servers.settled()
        if servers.problem:
            sound = False
            click.echo(f"problem: {one_line(servers.problem, 1_000)}")
        for name, kept in sorted(servers.kept.items()):
            if names and name not in names:
                continue
            offer = kept.keeper.offer
            if offer is None:
                sound = False
                click.echo(f"{name}: not there: {one_line(kept.keeper.problem, 1_000)}")
                continue
            click.echo(
                f"{name}: {len(kept.given)} tools, {len(offer.resources)} resources, "
                f"{len(offer.prompts)} prompts"
            )
            for tool, given in sorted(kept.given.items()):
                about = given.offered.description.removeprefix(f"[MCP server {name}] ")
                click.echo(f"  {tool} ({given.offered.effect}): {one_line(about, 100)}")
            for problem in kept.problems:
                sound = False
                click.echo(f"  problem: {one_line(problem, 300)}")
    return SUCCEEDED if sound else FAILED


def problems(plugin: Servers) -> list[str]:
    """Begin the servers of this directory, and return what is wrong with them."""
    servers, wrong = plugin.servers_of(_place("."))
    if not servers:
        return wrong
    if find_spec("mcp") is None:
        return [*wrong, 'mcp is not installed: pip install "dovetail[mcp]"']
    return [*wrong, *anyio.run(_problems_in, plugin, str(Path().resolve()))]


async def _problems_in(plugin: Servers, directory: str) -> list[str]:
    async with (
        open_runtime("sqlite://") as runtime,
        runtime.location(directory),
    ):
        servers = plugin.servers_in(directory)
        if servers is None:
            return []
        await servers.settled()
        found = [servers.problem] if servers.problem else []
        for name, kept in sorted(servers.kept.items()):
            if kept.keeper.offer is None:
                found.append(f"MCP server {name!r}: {kept.keeper.problem}")
            found += [f"MCP server {name!r}: {one}" for one in kept.problems]
        return found


@mcp_command.command("log", short_help="Show what a server wrote to standard error")
@click.argument("name")
@where_option
def log_command(name: str, location: str) -> int:
    """Show the last of what a server wrote to its standard error, and what became of
    it."""
    from .words import Words, folder_of

    place = _place(location)
    _one(location, name)
    words = Words(folder_of(place.settings.logs), place.location.directory, name)
    text = words.read()
    if not text:
        click.echo(f"{name} has said nothing here", err=True)
    click.echo(text, nl=False)
    return SUCCEEDED


@mcp_command.command("login", short_help="Log in at a server")
@click.argument("name")
@click.option(
    "--paste",
    is_flag=True,
    help="Type in the address that the browser ends at: for a browser elsewhere.",
)
@click.option(
    "--device",
    is_flag=True,
    help="Show a code to type in, in a browser anywhere, where the server knows that.",
)
@click.option("--forget", is_flag=True, help="Forget the login instead.")
@where_option
def login_command(
    name: str, paste: bool, device: bool, forget: bool, location: str
) -> int:
    """Log in at a server that is reached over HTTP, in a browser.

    What that gives is kept in a file that only you can read, and refreshed for all
    processes at once. On a machine without a browser, --device or --paste.
    """
    server = _one(location, name)
    if server.url is None:
        raise click.UsageError(f"{name} is begun here: there is nothing to log in at")
    if forget:
        found = _forget(server)
        click.echo("forgotten" if found else "there was no login", err=True)
        return SUCCEEDED
    _needs_extra()
    from .faults import error_text
    from .tokens import private

    if not private(server.url):
        raise click.UsageError(f"{name} has no TLS: a login there is open to anybody")

    def tell(url: str) -> None:
        click.echo(f"Open this address to log in at {name}:\n{one_line(url, 8_000)}")

    def read() -> str:
        click.echo("The address that the browser ended at: ", nl=False)
        return sys.stdin.readline().strip()

    def show(url: str, code: str) -> None:
        click.echo(f"Open {url} in a browser, and type in the code {code}")

    async def run() -> bool:
        if device:
            from .device import log_in_by_code

            return await log_in_by_code(server, show)
        from .login import log_in

        return await log_in(server, tell, read if paste else None, browser=not paste)

    try:
        kept = anyio.run(run)
    except Exception as error:
        # Boundary: whatever a server does at a login, it fails and no more.
        told = one_line(error_text(first_of(error)), 500)
        click.echo(f"the login failed: {told}", err=True)
        return FAILED
    click.echo("logged in" if kept else f"{name} wants no login", err=True)
    return SUCCEEDED


@mcp_command.command("prompt", short_help="Print a prompt of a server")
@click.argument("name")
@click.argument("prompt", required=False)
@click.argument("arguments", nargs=-1)
@where_option
def prompt_command(
    name: str, prompt: str | None, arguments: tuple[str, ...], location: str
) -> int:
    """Print a prompt of a server, filled in, to be piped on; without its name, list
    those that there are.

    \b
    dovetail mcp prompt tracker
    dovetail mcp prompt tracker triage issue=42 | dovetail run
    """
    _needs_extra()
    from .prompts import listed, written

    server = _one(location, name)
    place = _place(location)
    if prompt is None:
        click.echo(anyio.run(listed, server, place), nl=False)
        return SUCCEEDED
    given = _pairs(arguments, "an argument")
    try:
        click.echo(anyio.run(written, server, place, prompt, given))
    except Exception as error:
        # Boundary: whatever a server does, the command fails and no more.
        from .faults import error_text

        told = one_line(error_text(first_of(error)), 500)
        click.echo(f"{name} gave no prompt: {told}", err=True)
        return FAILED
    return SUCCEEDED


# --- serve ------------------------------------------------------------------------


@mcp_command.command("serve", short_help="Offer sessions as a server")
@click.option(
    "--db",
    metavar="URL",
    envvar=DATABASE_VARIABLE,
    help="The database, such as sqlite:///agents.db. "
    f"[default: {DATABASE_VARIABLE}, or a file of yours]",
)
@click.option("--model", metavar="NAME", help="The model of sessions that name none.")
@click.option("--http", "port", type=click.IntRange(0, 65535), metavar="PORT")
@click.option("--host", default="127.0.0.1", show_default=True)
@where_option
def serve_command(
    db: str | None, model: str | None, port: int | None, host: str, location: str
) -> int:
    """Offer the sessions of a directory to another program, as tools and resources:
    over standard input and output, or with --http PORT over streamable HTTP.

    \b
    dovetail mcp serve --model openai/gpt-5.2
    dovetail mcp serve --http 4100

    With DOVETAIL_TOKEN set, callers over HTTP must show it. Without it only this
    machine may be listened on.
    """
    _needs_extra()
    from .serving import serve_http, serve_stdio

    url = db or default_database_url()
    directory = str(Path(location).resolve())
    if port is None:
        anyio.run(serve_stdio, url, directory, model)
        return SUCCEEDED
    from ..http.door import Admittance
    from ..http.serve import is_loopback, listen

    token = os.environ.get(TOKEN_VARIABLE) or None
    if token is None and not is_loopback(host):
        raise click.UsageError(
            f"{host} can be reached from elsewhere: set {TOKEN_VARIABLE}"
        )
    try:
        # Where a token is set, no name leads anybody in who does not know it.
        admittance = Admittance(token, () if token is None else ("*",))
    except InvalidValueError as error:
        raise click.UsageError(str(error)) from error
    with listen(host, port) as listening:
        anyio.run(serve_http, url, directory, model, listening, admittance)
    return SUCCEEDED
