"""The commands ``fork``, ``revert``, ``unrevert`` and ``move``: back, aside, elsewhere.

Owns how a point in a session's past is named on the command line, and that what a
revert cannot restore is told before anything is done.
"""

import anyio
import click
from dovetail.kernel import (
    Json,
    Reverted,
    RevertPlan,
    Session,
    to_json,
)

from ..console.exits import FAILED, SUCCEEDED
from ..console.options import (
    database_option,
    directory_of,
    json_line,
    json_option,
    opened,
)
from ..console.terminal import Terminal, counted, visible
from .named import named_message, named_session


@click.command("fork")
@click.argument("id")
@click.option(
    "--at",
    metavar="WHERE",
    help="The last event that is shared, by its number, or a message, by its id. "
    "Without it, all there is.",
)
@click.option("--as", "fork_id", metavar="NEW", help="What the new session is called.")
@click.option(
    "--title", metavar="TITLE", help="Its title; without it, that of the session."
)
@database_option
@json_option("what is known of the new session")
def fork_command(
    id: str,
    at: str | None,
    fork_id: str | None,
    title: str | None,
    db: str | None,
    as_json: bool,
) -> None:
    """Begin a session that shares the past of another one, and not its future.

    Nothing is copied, and the session itself stays as it is. Prints the id of the new
    one.

    \b
    dovetail fork ses_01a21f --at 42 --title "Another way"
    """
    where = int(at) if at is not None and at.isdecimal() else at

    async def fork() -> tuple[str, Json]:
        async with opened(db) as runtime:
            session = await named_session(runtime, id)
            point = where
            if isinstance(point, str):
                point = await named_message(session, point)
            made = await session.fork(point, id=fork_id, title=title)
            return made.id, to_json(await made.info())

    terminal = Terminal()
    made, info = anyio.run(fork)
    terminal.write(json_line(info) if as_json else f"{visible(made)}\n")


@click.command("revert")
@click.argument("id")
@click.option(
    "--to",
    metavar="MESSAGE",
    help="The last message that the model still sees, by its id: `dovetail log` tells.",
)
@click.option("--all", "everything", is_flag=True, help="Before the first message.")
@click.option("--look", is_flag=True, help="Only say what would be done.")
@database_option
@json_option("what was done, or would be,")
def revert_command(
    id: str,
    to: str | None,
    everything: bool,
    look: bool,
    db: str | None,
    as_json: bool,
) -> int:
    """Hide what follows a message, and restore the files that the session changed.

    Files that somebody else changed stay, and are named. `dovetail unrevert` brings all
    of it back, until the session goes on. The exit code is 1 when a file was left.

    \b
    dovetail revert ses_01a21f --to msg_01a220 --look
    dovetail revert ses_01a21f --all
    """
    if (to is None) != everything:
        raise click.UsageError("say where to: --to with a message, or --all")

    async def turn(session: Session, terminal: Terminal) -> int:
        until = None if to is None else await named_message(session, to)
        plan = await session.plan_revert(until)
        if look:
            _tell_plan(plan, terminal, as_json=as_json)
            return SUCCEEDED
        if not as_json:
            _tell_plan(plan, terminal, as_json=False)
        return _tell(await session.revert(until), terminal, as_json=as_json)

    return _turning(id, db, turn)


@click.command("unrevert")
@click.argument("id")
@database_option
@json_option("what was done")
def unrevert_command(id: str, db: str | None, as_json: bool) -> int:
    """Bring back what `dovetail revert` hid, and the files.

    As long as the session has not gone on since. The exit code is 1 when a file was
    left.

    \b
    dovetail unrevert ses_01a21f
    """

    async def turn(session: Session, terminal: Terminal) -> int:
        made = await session.unrevert()
        if not as_json:
            terminal.tell("what was hidden is seen again")
        return _tell(made, terminal, as_json=as_json)

    return _turning(id, db, turn)


@click.command("move")
@click.argument("id")
@click.argument("directory")
@database_option
def move_command(id: str, directory: str, db: str | None) -> None:
    """Let a session work in another directory from its next Step on.

    No file is moved. What is allowed there is what rules and approvals of there say.

    \b
    dovetail move ses_01a21f ~/work/elsewhere
    """

    async def move() -> str:
        async with opened(db) as runtime:
            session = await named_session(runtime, id)
            await session.move(directory_of(directory))
            moved: str = (await session.info()).location.directory
            return moved

    terminal = Terminal()
    where = anyio.run(move)
    terminal.tell(f"{visible(id)} works in {visible(where)} from its next Step on")


def _turning(id: str, db: str | None, turn: object) -> int:
    assert callable(turn)
    terminal = Terminal()

    async def run() -> int:
        async with opened(db) as runtime:
            code: int = await turn(await named_session(runtime, id), terminal)
            return code

    return anyio.run(run)


def _tell_plan(plan: RevertPlan, terminal: Terminal, *, as_json: bool) -> None:
    if as_json:
        terminal.write(json_line(to_json(plan)))
        return
    are = "is" if plan.messages == 1 else "are"
    terminal.tell(f"{counted(plan.messages, 'message')} {are} hidden")
    for one in plan.files:
        if one.problem is None:
            terminal.tell(f"  restores {visible(one.path)}")
        else:
            terminal.tell(f"  leaves {visible(one.path)}: {visible(one.problem)}")
    for call in plan.unsure:
        tool = visible(call.tool)
        terminal.tell(f"  what a call of {tool} changed is not known any more")


def _tell(made: Reverted, terminal: Terminal, *, as_json: bool) -> int:
    if as_json:
        terminal.write(json_line(to_json(made)))
    else:
        for path in made.done:
            terminal.tell(f"restored {visible(path)}")
        for path, why in made.left.items():
            terminal.tell(f"left {visible(path)}: {visible(why)}")
    return FAILED if made.left else SUCCEEDED
