"""The command ``sessions rm``: remove sessions for good.

Owns that all that is named is found before anything goes, and that a person is asked
first. What goes together, and what refuses, is the runtime's.
"""

from collections.abc import Sequence
from time import time
from typing import Any

import anyio
import click
from dovetail.kernel import (
    DovetailError,
    Removed,
    SessionInfo,
    SessionSharedError,
    to_json,
)

from ..console.exits import SUCCEEDED, code_of_error
from ..console.folding import fitting
from ..console.listing import ago
from ..console.options import database_option, json_line, json_option, opened
from ..console.terminal import Terminal, counted, short, tell_error, visible
from .durations import DURATION
from .named import named_session

SHOWN = 20
"""Sessions that are named before somebody is asked."""
MOST_COUNTED = 1000
"""Sessions whose children are looked for, to be counted before somebody is asked."""
MAX_TITLE = 50


@click.command("rm", short_help="Remove sessions for good")
@click.argument("ids", metavar="ID...", nargs=-1)
@click.option(
    "--older-than",
    type=DURATION,
    metavar="TIME",
    help="All that nothing happened in for so long, such as 30d.",
)
@click.option("--yes", "-y", is_flag=True, help="Ask nobody.")
@click.option(
    "--interrupt",
    is_flag=True,
    help="Stop their jobs first, over --server their work.",
)
@click.option(
    "--with-forks", is_flag=True, help="Also sessions that share the past of one."
)
@database_option
@json_option("each removal")
def remove_command(
    ids: tuple[str, ...],
    older_than: float | None,
    yes: bool,
    interrupt: bool,
    with_forks: bool,
    db: str | None,
    as_json: bool,
) -> int:
    """Remove sessions for good, with those that work for them.

    What they held is deleted and overwritten in the files of the database, and their
    ids are never given out again. `dovetail export` keeps one elsewhere. Beginnings of
    ids will do; where one is wrong, nothing is removed.

    \b
    dovetail sessions rm ses_01a21f ses_01a220
    dovetail sessions rm --older-than 30d --yes
    """
    if bool(ids) == (older_than is not None):
        raise click.UsageError("name sessions, or those of a time with --older-than")
    # Here, because a listing asks nobody.
    from .asking import Person

    terminal = Terminal()
    person = Person(terminal)
    if not yes and not person.there:
        raise click.UsageError("nobody can be asked here: say --yes to remove them")

    async def run() -> int:
        async with opened(db) as runtime:
            found = await _named(runtime, ids, older_than)
            if not found:
                terminal.tell("no sessions")
                return SUCCEEDED
            if not yes:
                _tell(found, terminal)
                many = counted(len(found), "session")
                beside = await _beside(runtime, found, with_forks=with_forks)
                if not await person.confirm(f"remove {many}{beside} for good"):
                    terminal.tell("nothing was removed")
                    return SUCCEEDED
            code = SUCCEEDED
            for info in found:
                try:
                    done = await runtime.sessions.remove(
                        info.id, interrupt=interrupt, with_forks=with_forks
                    )
                except DovetailError as error:
                    # The others are removed all the same.
                    tell_error(terminal, str(error), error.code)
                    if isinstance(error, SessionSharedError):
                        terminal.tell("--with-forks removes them, too")
                    code = code or code_of_error(error)
                else:
                    _tell_done(done, terminal, as_json=as_json)
            return code

    return anyio.run(run)


async def _named(
    runtime: Any, ids: Sequence[str], older_than: float | None
) -> Sequence[SessionInfo]:
    """Return what is known of the sessions that are meant, each once."""
    if older_than is None:
        named = [await named_session(runtime, one) for one in ids]
        known = {one.id: one for one in named}
        return [await one.info() for one in known.values()]
    before = time() * 1000 - older_than * 1000
    found: list[SessionInfo] = []
    cursor: str | None = None
    while True:
        page = await runtime.sessions.list(limit=200, cursor=cursor, roots=True)
        found += [
            one for one in page if one.updated < before and one.status != "running"
        ]
        cursor = page.cursor
        if cursor is None:
            return found


async def _beside(
    runtime: Any, found: Sequence[SessionInfo], *, with_forks: bool
) -> str:
    """Return what else goes with these, in words."""
    known = {one.id for one in found}
    waiting = [one.id for one in found]
    looked = 0
    while waiting and looked < MOST_COUNTED:
        parent, cursor, more = waiting.pop(), None, True
        looked += 1
        while more and len(known) - len(found) < MOST_COUNTED:
            page = await runtime.sessions.list(parent=parent, limit=200, cursor=cursor)
            new = [one.id for one in page if one.id not in known]
            known.update(new)
            waiting += new
            cursor = page.cursor
            more = cursor is not None
    others = len(known) - len(found)
    parts = []
    if others or waiting:
        many = counted(others, "session") if others else "others"
        least = "at least " if waiting and others else ""
        verb = "works" if others == 1 else "work"
        parts.append(f"{least}{many} that {verb} for them")
    if with_forks:
        parts.append("their forks")
    return f", with {' and '.join(parts)}," if parts else ""


def _tell(found: Sequence[SessionInfo], terminal: Terminal) -> None:
    for info in found[:SHOWN]:
        title = short(info.title or "-", MAX_TITLE)
        line = f"  {visible(info.id)}  {ago(info.updated)}  {title}"
        # On one row: what a title says on another one could be taken for a session.
        terminal.tell(fitting(line, terminal.error_width - 1))
    if len(found) > SHOWN:
        terminal.tell(f"  and {len(found) - SHOWN} more")


def _tell_done(done: Removed, terminal: Terminal, *, as_json: bool) -> None:
    if as_json:
        terminal.write(json_line(to_json(done)))
        return
    others = len(done.sessions) - 1
    beside = f", and {counted(others, 'session')} with it" if others > 0 else ""
    terminal.tell(f"removed {visible(done.session_id)}{beside}")
