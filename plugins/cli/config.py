"""The command ``config``: what is set, where it comes from, and setting it.

No secret is ever shown: of tables that may hold one only what cannot be one.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from attrs import evolve, frozen
from dovetail.kernel import (
    DATABASE_VARIABLE,
    Configuration,
    ConfigurationError,
    Json,
    Keys,
    Location,
)

from ..console.config_file import set_setting, user_path
from ..console.exits import FAILED, SUCCEEDED
from ..console.listing import table
from ..console.options import json_line, json_option
from ..console.terminal import Terminal, visible
from .named import did_you_mean

HEADS = ("setting", "value", "from")
HIDDEN = "(not shown)"
VARIABLES = (
    DATABASE_VARIABLE,
    "DOVETAIL_CONFIG",
    "DOVETAIL_KEYS",
    "DOVETAIL_DISABLE_PLUGINS",
    "DOVETAIL_TAPE",
    "DOVETAIL_TAPE_MODE",
)
_SHOWN = {
    "providers": ("protocol", "base_url", "api_key_env", "models", "read_timeout"),
    "plugins": (),
    "mcp": (),
}
"""Of tables that may hold secrets, the names whose values cannot be one."""
KNOWN = (
    "model",
    "small_model",
    "model_titles",
    "agent",
    "disable_plugins",
    "plugin_files",
    "trusted",
    "skills.folders",
    "fallback.models",
    "outputs.days",
    "outputs.megabytes",
)
"""What is set most, for whoever does not spell it right."""


MODELS = ("model", "small_model")


@click.group("config")
def config_command() -> None:
    """Show what is configured and where it comes from, and set it.

    \b
    dovetail config show
    dovetail config set model openai/gpt-5.2
    dovetail config path
    """


@config_command.command("path", short_help="Print where your file is")
def path_command() -> None:
    """Print where your own file is, whether it is there or not."""
    Terminal().write(f"{visible(str(_user_path()))}\n")


@config_command.command("show", short_help="Show every value and where it comes from")
@click.option(
    "--location",
    metavar="DIR",
    default=".",
    show_default=True,
    help="The directory.",
)
@json_option("one value")
@click.pass_context
def show_command(context: click.Context, location: str, as_json: bool) -> None:
    """Show every value that is set for a directory, and which file or variable says it.

    Where two say the same setting, the later one counts and the earlier one is marked.
    No key and no value of a plugin is shown.

    Exits with 1 where a file cannot be used, and says why.
    """
    terminal = Terminal()
    here = Location.at(location)
    code = SUCCEEDED
    read = Configuration()
    try:
        # It refuses what must not be opened, such as a pipe in somebody's clone.
        read = Configuration.load(here, os.environ)
    except ConfigurationError as error:
        terminal.tell(f"error: {visible(str(error))} [{error.code}]")
        code = FAILED
        # What the user's own file says holds elsewhere, and is there to be seen.
        with suppress(ConfigurationError):
            read = Configuration.load(None, os.environ)
    ignored = {str(here.path / "dovetail.toml"): read.ignored}
    found = _marked([*_files(read.sources, ignored), *_keys(), *_variables()])
    if as_json:
        terminal.write("".join(json_line(one.json()) for one in found))
    elif found:
        rows = [(one.name, one.shown, one.origin) for one in found]
        terminal.write(table(HEADS, rows, terminal.width, terminal.style))
    elif code == SUCCEEDED:
        terminal.tell("nothing is configured; `dovetail setup` asks you for a model")
    for notice in read.notices:
        terminal.tell(visible(notice))
    context.exit(code)


@config_command.command("set", short_help="Set one value in your file")
@click.argument("name")
@click.argument("value", required=False)
@click.option("--unset", is_flag=True, help="Take the setting out.")
def set_command(name: str, value: str | None, unset: bool) -> None:
    """Set one value in your own file, and leave every other line as it is.

    NAME is a setting such as model, or table.setting such as skills.folders. VALUE is
    a text, or what TOML writes for a number, true, false or a list. What the file would
    not hold with is refused, and nothing is written.

    \b
    dovetail config set model anthropic/claude-sonnet-4-5
    dovetail config set model_titles false
    dovetail config set skills.folders '["~/skills"]'
    dovetail config set small_model --unset

    A key is no setting: `dovetail keys set PROVIDER` keeps one.
    """
    if unset == (value is not None):
        raise click.UsageError("give a VALUE, or --unset")
    path = _path_of(name)
    if path[-1] == "api_key":
        # The shell's history and other processes would have it.
        raise click.UsageError(
            "a key is not set from a command line, which others can read; use "
            f"`dovetail keys set {visible(path[-2] if len(path) > 1 else 'PROVIDER')}`"
        )
    if name in MODELS and value is not None and "/" not in value:
        raise click.UsageError(
            f"{visible(value)!r} is no model: give provider/model, such as "
            "openai/gpt-5.2; `dovetail models` lists them"
        )
    try:
        file = set_setting(os.environ, path, None if unset else _value(value or ""))
    except ConfigurationError as error:
        meant = did_you_mean(name, KNOWN) if name not in KNOWN else ""
        if not meant or "did you mean" in str(error):
            raise
        raise ConfigurationError(name, f"{error}{meant}") from error
    what = "is taken out of" if unset else "is set in"
    Terminal().tell(f"{visible(name)} {what} {visible(str(file))}")


def _user_path() -> Path:
    found = user_path(os.environ)
    if found is None:
        raise ConfigurationError(
            "DOVETAIL_CONFIG", "is empty: no file of yours is read"
        )
    return found


def _path_of(name: str) -> list[str]:
    """Return the parts of a dotted name, as TOML reads it."""
    try:
        at: Any = tomllib.loads(f"{name} = 0")
    except ValueError:
        raise click.UsageError(f"{visible(name)!r} is no name of a setting") from None
    path = []
    while isinstance(at, dict):
        if len(at) != 1:
            raise click.UsageError(f"{visible(name)!r} is no name of a setting")
        [(part, at)] = at.items()
        path.append(part)
    return path


def _value(text: str) -> object:
    """Return what a person typed: what TOML reads in it, or else the text itself."""
    try:
        found = tomllib.loads(f"x = {text}")
    except (ValueError, RecursionError):
        return text
    value: object = found.get("x")
    plain = len(found) == 1 and isinstance(value, bool | int | float | str | list)
    return value if plain else text


# --- what is set ------------------------------------------------------------------


@frozen
class Setting:
    """One value, and who says it."""

    name: str
    value: Json
    """As it may be shown."""
    source: str
    counts: bool = True
    """False where a later one says the same setting, or nobody vouches for the file."""

    @property
    def shown(self) -> str:
        if isinstance(self.value, str):
            return self.value
        return json_line(self.value).rstrip()

    @property
    def origin(self) -> str:
        return self.source if self.counts else f"{self.source} (does not count)"

    def json(self) -> Json:
        return {
            "setting": self.name,
            "value": self.value,
            "source": self.source,
            "counts": self.counts,
        }


def _marked(found: list[Setting]) -> list[Setting]:
    last = {one.name: at for at, one in enumerate(found) if one.counts}
    return [
        one
        if last.get(one.name) == at or isinstance(one.value, list)
        else Setting(one.name, one.value, one.source, counts=False)
        for at, one in enumerate(found)
    ]


def _files(
    sources: Sequence[str], ignored: Mapping[str, Sequence[str]]
) -> Iterator[Setting]:
    for file in sources:
        document = tomllib.loads(Path(file).read_bytes().decode("utf-8-sig"))
        for one in _leaves(document, (), file):
            counts = not any(_is_of(one.name, key) for key in ignored.get(file, ()))
            yield evolve(one, counts=counts)


def _is_of(name: str, key: str) -> bool:
    """Whether a setting is the one that is named, or in its table; NAME is any name."""
    parts, wanted = name.split("."), key.split(".")
    return len(parts) >= len(wanted) and all(
        one in (part, "NAME") for part, one in zip(parts, wanted, strict=False)
    )


def _leaves(
    table: Mapping[str, Any], path: tuple[str, ...], source: str
) -> Iterator[Setting]:
    for name, value in table.items():
        here = (*path, name)
        if isinstance(value, dict):
            yield from _leaves(value, here, source)
        else:
            yield Setting(".".join(here), _safe(here, value), source)


def _safe(path: tuple[str, ...], value: Any) -> Json:
    """Return a value as it may be shown."""
    allowed = _SHOWN.get(path[0])
    if allowed is not None and (len(path) != 3 or path[2] not in allowed):
        return value if isinstance(value, bool) else HIDDEN
    if path[-1] == "base_url":
        return _without_credentials(value)
    return _json(value)


def _without_credentials(value: object) -> Json:
    try:
        parts = urlsplit(str(value))
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return HIDDEN
    return parts._replace(netloc=host, query="", fragment="").geturl()


def _json(value: Any) -> Json:
    if isinstance(value, dict):
        return {str(name): _json(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_json(one) for one in value]
    return value if isinstance(value, str | bool | int | float) else str(value)


def _keys() -> Iterator[Setting]:
    try:
        kept = Keys.at(os.environ)
        names = sorted(kept.read())
    except ConfigurationError:
        # Said already, by whoever read the configuration.
        return
    for name in names:
        yield Setting(f"keys.{name}", HIDDEN, str(kept.path))


def _variables() -> Iterator[Setting]:
    for name in VARIABLES:
        if name in os.environ:
            value = os.environ[name]
            shown = _without_credentials(value) if "://" in value else value
            yield Setting(name, shown, "environment")
