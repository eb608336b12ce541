"""The command ``doctor``: whether what is needed is there and works, and what to do
where it does not.

Owns the checks, each by itself: one that breaks is told as such and the others go on.
Nothing is asked over a network unless that is said, nothing is changed, and no key is
shown.
"""

import os
import shutil
import sqlite3
import stat
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import anyio
import click
from attrs import frozen
from dovetail.kernel import (
    DovetailError,
    Json,
    Keys,
    LocationHandle,
    ProviderState,
    default_database_url,
    open_runtime,
    to_json,
)

from ..console.config_file import user_path
from ..console.exits import FAILED, SUCCEEDED
from ..console.listing import ago
from ..console.options import command_text, database_option, json_line, json_option
from ..console.terminal import Style, Terminal, counted, visible

STORE = "sqlite://"
LEAST_PYTHON = (3, 11)
LEAST_SQLITE = (3, 35, 0)
"""Before it there is no RETURNING."""
LOW_BYTES = 500 * 1024 * 1024
PATIENCE = 10.0
"""Seconds that a provider may take to answer."""
MAX_SESSIONS = 1_000
"""Sessions that are looked at, the newest first."""

State = Literal["ok", "warning", "problem"]


@frozen
class Finding:
    """What one look came to."""

    about: str
    state: State
    text: str
    advice: str | None = None
    """What to do."""


Check = Callable[[], Awaitable[list[Finding]]]


@click.command("doctor", short_help="Look whether all that is needed works")
@click.option("--network", is_flag=True, help="Also ask the providers that have a key.")
@click.option(
    "--location",
    metavar="DIR",
    default=".",
    show_default=True,
    help="The directory.",
)
@database_option
@json_option("one finding")
def doctor_command(network: bool, location: str, db: str | None, as_json: bool) -> int:
    """Look at Python, SQLite, files, disk, programs, plugins, keys and sessions, and
    say what to do where something is wrong. Nothing is changed, and no key is shown.

    \b
    dovetail doctor
    dovetail doctor --network
    dovetail doctor --json | jq 'select(.state != "ok")'

    Exits with 1 when something is a problem; a warning is none.
    """
    terminal = Terminal()
    worst = SUCCEEDED
    for one in anyio.run(_looked, network, location, db):
        worst = FAILED if one.state == "problem" else worst
        if as_json:
            terminal.write(json_line(to_json(one)))
        else:
            terminal.write(_line(one, terminal.style))
    return worst


def _line(one: Finding, style: Style) -> str:
    paint = {"ok": style.good, "warning": style.strong, "problem": style.bad}
    state = paint[one.state](one.state.ljust(7))
    line = f"{state}  {one.about.ljust(9)}  {visible(one.text)}\n"
    if one.advice is not None:
        line += f"{' ' * 20}{style.dim(visible(one.advice))}\n"
    return line


async def _looked(network: bool, location: str, db: str | None) -> list[Finding]:
    checks: list[tuple[str, Check]] = [
        ("python", _of(python)),
        ("sqlite", _of(sqlite)),
        ("files", _of(files, db)),
        ("disk", _of(disk, db)),
        ("programs", _of(programs)),
        ("location", lambda: _of_location(location, network)),
        ("sessions", lambda: _of_sessions(db)),
    ]
    found: list[Finding] = []
    for about, check in checks:
        try:
            found += await check()
        except Exception as error:
            # Boundary: what one look breaks with is a finding of its own.
            code = getattr(error, "code", type(error).__name__)
            found.append(Finding(about, "problem", f"{error} [{code}]"))
    return found


def _of(look: Callable[..., Iterator[Finding]], *given: Any) -> Check:
    async def check() -> list[Finding]:
        return list(look(*given))

    return check


# --- this machine -----------------------------------------------------------------


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Iterator[Finding]:
    """Look at the interpreter."""
    text = f"Python {'.'.join(map(str, version))}, {sys.executable}"
    if version < LEAST_PYTHON:
        yield Finding("python", "problem", text, "use Python 3.11 or later")
    else:
        yield Finding("python", "ok", text)


def sqlite(
    version: tuple[int, ...] = sqlite3.sqlite_version_info,
) -> Iterator[Finding]:
    """Look at the version of SQLite, and at bugs that are known of it."""
    text = f"SQLite {'.'.join(map(str, version))}"
    if version < LEAST_SQLITE:
        yield Finding("sqlite", "problem", text, "3.35 or later is needed")
    elif has_wal_reset_bug(version):
        yield Finding(
            "sqlite",
            "warning",
            f"{text} has the WAL-reset bug: where two connections write or checkpoint "
            "at the very same instant, the database can be damaged; rarely",
            "use SQLite 3.51.3 or later, or 3.50.7 or 3.44.6; `dovetail verify` finds "
            "damage",
        )
    else:
        yield Finding("sqlite", "ok", text)


def has_wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Return whether a release has the WAL-reset bug: those from 3.7.0 to 3.51.2, but
    for the fixed 3.44.6 and 3.50.7 (https://www.sqlite.org/wal.html#walresetbug)."""
    if version < (3, 7, 0) or version >= (3, 51, 3):
        return False
    mended = {(3, 44): 6, (3, 50): 7}.get((version[0], version[1]))
    return mended is None or version[2] < mended


def files(db: str | None) -> Iterator[Finding]:
    """Look at who else can read what is the person's own."""
    for name, path in (("database", database_file(db)), ("keys", _keys_file())):
        if path is None or not path.exists():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077 and sys.platform != "win32":
            yield Finding(
                "files",
                "problem" if name == "keys" else "warning",
                f"others may read or write the {name}: {path} has mode {mode:o}",
                f"chmod 600 {path}",
            )
        else:
            yield Finding("files", "ok", f"{name} {path}, for its owner alone")
    own = user_path(os.environ)
    if own is not None and own.exists():
        mode = stat.S_IMODE(own.stat().st_mode)
        if mode & 0o022 and sys.platform != "win32":
            text = f"others may change your settings: {own} has mode {mode:o}"
            yield Finding("files", "problem", text, f"chmod go-w {own}")
        else:
            yield Finding("files", "ok", f"settings {own}")


def database_file(db: str | None) -> Path | None:
    """Return the file of the database; None where it is none."""
    url = db if db is not None else default_database_url()
    scheme, _, place = url.partition(":///")
    place = place.partition("?")[0]
    if scheme.lower() != "sqlite" or place in ("", ":memory:"):
        return None
    return Path(place).absolute()


def _keys_file() -> Path | None:
    return Keys.at(os.environ).path


def disk(db: str | None) -> Iterator[Finding]:
    """Look at how much room is left where the database is."""
    path = database_file(db)
    if path is None:
        return
    folder = next((one for one in path.parents if one.exists()), Path("/"))
    free = shutil.disk_usage(folder).free
    text = f"{free / 1024**3:.1f} GiB are free in {folder}"
    if free < LOW_BYTES:
        advice = "make room; `dovetail prune --outputs` gives some back"
        yield Finding("disk", "warning", text, advice)
    else:
        yield Finding("disk", "ok", text)
    size = sum(
        one.stat().st_size
        for one in (path, path.with_name(f"{path.name}-wal"))
        if one.exists()
    )
    if size:
        yield Finding("disk", "ok", f"the database takes {size / 1024**2:.1f} MiB")


def programs() -> Iterator[Finding]:
    """Look for what tools use where it is there."""
    # As the tools look for it: beside this interpreter first.
    beside = Path(sys.executable).with_name("rg")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("rg")
    if found is None:
        yield Finding(
            "programs",
            "warning",
            "ripgrep is not there; `grep` and `glob` search by themselves, slower",
            "install ripgrep, or dovetail[search]",
        )
    else:
        yield Finding("programs", "ok", f"ripgrep {found}")
    if shutil.which("git") is None:
        text = "git is not there; the model is not told of branches and changes"
        yield Finding("programs", "warning", text, "install git")
    try:
        # What commands are looked at with before anybody is asked.
        import tree_sitter
        import tree_sitter_bash

        tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))
    except Exception as error:
        # Boundary: a library of another build breaks in ways of its own.
        text = f"the parser of shell commands does not load: {error}"
        advice = "install tree-sitter and tree-sitter-bash again"
        yield Finding("programs", "problem", text, advice)
    else:
        yield Finding("programs", "ok", "the parser of shell commands loads")


# --- a directory ------------------------------------------------------------------


async def _of_location(location: str, network: bool) -> list[Finding]:
    found: list[Finding] = []
    async with (
        open_runtime(STORE) as runtime,
        runtime.location(location) as here,
    ):
        plugins = await here.plugins.list()
        # What a person turned off is as it should be.
        bad = [one for one in plugins if one.state not in ("open", "left out")]
        for one in bad:
            why = one.error or one.last_error or one.state
            advice = "`dovetail plugins check` says more"
            text = f"{one.name} is {one.state}: {why}"
            found.append(Finding("plugins", "problem", text, advice))
        troubled = [one for one in plugins if one.errors and one not in bad]
        for one in troubled:
            text = f"{one.name} had {counted(one.errors, 'error')}: {one.last_error}"
            found.append(Finding("plugins", "warning", text))
        sound = len(plugins) - len(bad) - len(troubled)
        found.append(Finding("plugins", "ok", f"{counted(sound, 'plugin')} sound"))
        states = await here.providers()
        found += _of_keys(states)
        try:
            model = await here.model_for(None, None)
        except DovetailError as error:
            advice = "`dovetail setup` asks you for one"
            text = f"no model is used from here by itself [{error.code}]"
            found.append(Finding("model", "warning", text, advice))
        else:
            found.append(Finding("model", "ok", f"{model} is used here"))
        if network:
            found += await _reached(here, states)
    return found


def _of_keys(states: Sequence[ProviderState]) -> Iterator[Finding]:
    there = [one.name for one in states if one.missing is None and not one.assumed]
    if there:
        yield Finding("keys", "ok", f"there are keys of {', '.join(there)}")
    else:
        text = "no provider has its key"
        yield Finding("keys", "warning", text, "`dovetail setup` asks you for one")


async def _reached(
    here: LocationHandle, states: Sequence[ProviderState]
) -> list[Finding]:
    asked = [one.name for one in states if one.missing is None and not one.assumed]
    found: dict[str, Finding] = {}

    async def ask(name: str) -> None:
        begun = time.monotonic()
        finding = Finding(
            "network", "problem", f"{name} gave no answer within {PATIENCE:g} s"
        )
        with anyio.move_on_after(PATIENCE):
            try:
                served = await here.served_models(name)
            except DovetailError as error:
                finding = Finding("network", "problem", f"{error} [{error.code}]")
            else:
                took = time.monotonic() - begun
                text = f"{name} answers in {took:.1f} s, with {len(served)} models"
                finding = Finding("network", "ok", text)
        found[name] = finding

    async with anyio.create_task_group() as tasks:
        for name in asked:
            tasks.start_soon(ask, name)
    return [found[name] for name in asked]


# --- sessions ---------------------------------------------------------------------


async def _of_sessions(db: str | None) -> list[Finding]:
    path = database_file(db)
    if path is not None and not path.exists():
        return [Finding("sessions", "ok", "there is no database yet")]
    url = db if db is not None else default_database_url()
    found: list[Finding] = []
    looked = running = 0
    async with open_runtime(url) as runtime:
        cursor: str | None = None
        while looked < MAX_SESSIONS:
            page = await runtime.sessions.list(limit=200, cursor=cursor)
            for info in page:
                looked += 1
                running += info.status == "running"
                if info.damage is not None:
                    text = f"{info.id} is damaged: {info.damage.message}"
                    advice = command_text("verify", info.id, "--repair", db=db)
                    found.append(Finding("sessions", "problem", text, advice))
                elif info.status == "lost":
                    text = f"{info.id} was left by a process, {ago(info.updated)}"
                    advice = command_text("run", "--session", info.id, db=db)
                    found.append(Finding("sessions", "warning", text, advice))
                elif info.trouble is not None:
                    text = f"{info.id} stands still: {_trouble_text(info.trouble)}"
                    found.append(Finding("sessions", "warning", text))
            cursor = page.cursor
            if cursor is None:
                break
    text = f"{counted(looked, 'session')} looked at, {running} running now"
    return [*found, Finding("sessions", "ok", text)]


def _trouble_text(trouble: Any) -> Json:
    return str(getattr(trouble, "message", trouble))
