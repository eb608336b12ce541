"""Options that several commands share, and what they mean when they are left out."""

import json
import os
import shlex
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import click
from dovetail.kernel import (
    DATABASE_VARIABLE,
    ConfigurationError,
    Json,
    default_database_url,
    open_runtime,
)

from .server_name import SERVER, TOKEN_VARIABLE
from .terminal import visible

F = TypeVar("F", bound=Callable[..., Any])


def database_option(command: F) -> F:
    """Add ``--db``, as ``db``; None when nobody said."""
    return click.option(
        "--db",
        metavar="URL",
        envvar=DATABASE_VARIABLE,
        help="The database, such as sqlite:///agents.db. "
        f"[default: {DATABASE_VARIABLE}, or a file of yours]",
    )(command)


def server_url() -> str | None:
    """Return the address of the server that was named, if one was."""
    context = click.get_current_context(silent=True)
    found: str | None = None if context is None else context.meta.get(SERVER)
    return found


def opened(
    db: str | None,
    *,
    new: bool = False,
    patience: float | None = None,
    **options: Any,
) -> AbstractAsyncContextManager[Any]:
    """Return the runtime that a command works on: that of the server that was named,
    or one on the database with these options of ``open_runtime``. A server has its own;
    ``patience`` is for how many seconds it is waited for when it goes away.

    Raises:
        UsageError: as ``database_url``.
    """
    server = server_url()
    if server is None:
        return open_runtime(database_url(db, new=new), **options)
    # Here, because most commands ask nobody over a network.
    from ..client import connect

    token = os.environ.get(TOKEN_VARIABLE)
    return (
        connect(server, token)
        if patience is None
        else connect(server, token, patience=patience)
    )


def directory_of(location: str) -> str:
    """Return the directory that a person means, also for a server, which works in
    another one: it need not be on this machine then."""
    return location if server_url() is None else os.path.abspath(location)


def check_here(what: str) -> None:
    """Refuse what only works on a database of this machine, where a server was named.

    Raises:
        UsageError: one was.
    """
    if server_url() is not None:
        raise click.UsageError(f"{what} do not work over --server")


def json_option(what: str) -> Callable[[F], F]:
    """Add ``--json``, as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} a line.")


def database_url(given: str | None, *, new: bool = False) -> str:
    """Return the URL of the database; the default one is made possible.

    One that somebody typed is a mistake where it is not there: only a command that
    begins something ``new`` makes one. A folder for it is never made.

    Raises:
        UsageError: the file that was named is not there, or its folder.
        ClickException: the folder of the default one cannot be made.
    """
    if given is not None:
        _check_file(given, new or given == os.environ.get(DATABASE_VARIABLE))
        return given
    try:
        return default_database_url()
    except ConfigurationError as error:
        raise click.ClickException(f"{error}; name one with --db") from error


def used_database(db: str | None) -> str:
    """Return what tells the database or server apart from others that a command works
    on, wherever it is called."""
    server = server_url()
    if server is not None:
        return server
    url = db or os.environ.get(DATABASE_VARIABLE) or ""
    scheme, found, place = url.partition(":///")
    return f"{scheme}:///{os.path.abspath(place)}" if found else url


def _check_file(url: str, new: bool) -> None:
    scheme, _, place = url.partition(":///")
    if scheme.lower() != "sqlite":
        # Of another store, or wrong: whoever opens it says so.
        return
    path = Path(unquote(place.partition("?")[0]))
    if path.name in ("", ":memory:"):
        return
    if not new and not _is_there(path):
        raise click.UsageError(f"there is no database {visible(str(path))}")
    if not _is_there(path.parent):
        raise click.UsageError(
            f"there is no folder {visible(str(path.parent))} for the database; make it "
            "first, or name another one with --db"
        )


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        # What cannot be looked at may be there; opening it says what is wrong.
        return True
    return True


def command_text(*arguments: str, db: str | None) -> str:
    """Return a command line that a person may type, for the same database or server."""
    server = server_url()
    if server is not None:
        return shlex.join(["dovetail", "--server", server, *arguments])
    told = ["dovetail", *arguments]
    # A variable of the environment is still there when it is typed.
    if db is not None and db != os.environ.get(DATABASE_VARIABLE):
        told += ["--db", db]
    return shlex.join(told)


def go_on_text(session_id: str, *options: str, db: str | None) -> str:
    """Return the command that goes on with what a session has left."""
    return command_text("run", "--session", session_id, *options, db=db)


def next_prompt_text(session_id: str, *options: str, db: str | None) -> str:
    """Return the command that goes on with a session, but for the prompt."""
    return go_on_text(session_id, *options, db=db) + ' "..."'


def json_line(value: Json) -> str:
    """Return JSON on one line, in ASCII: nothing in it can disturb a terminal."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n"
