"""Options that several commands share, and what they mean when they are left out."""

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import click
import platformdirs
from dovetail.kernel import Json

F = TypeVar("F", bound=Callable[..., Any])

DATABASE_VARIABLE = "DOVETAIL_DB"


def database_option(command: F) -> F:
    """Add ``--db``, as ``db``; None when nobody said."""
    return click.option(
        "--db",
        metavar="URL",
        envvar=DATABASE_VARIABLE,
        help="The database, such as sqlite:///agents.db. "
        f"[default: {DATABASE_VARIABLE}, or a file of yours]",
    )(command)


def json_option(what: str) -> Callable[[F], F]:
    """Add ``--json``, as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} a line.")


def database_url(given: str | None) -> str:
    """Return the URL of the database; the default one is made possible.

    Raises:
        ClickException: the folder of the default one cannot be made.
    """
    if given is not None:
        return given
    folder = Path(platformdirs.user_data_dir("dovetail"))
    try:
        # What sessions saw is nobody else's business.
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise click.ClickException(
            f"{folder} cannot be made ({error.strerror}); name a database with --db"
        ) from error
    return f"sqlite:///{quote((folder / 'dovetail.db').as_posix())}"


def command_text(*arguments: str, db: str | None) -> str:
    """Return a command line that a person may type, for the same database."""
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
