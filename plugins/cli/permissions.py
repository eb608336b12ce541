"""The command ``permissions``: what was approved for good, taking it back, and who
answered what."""

import os
from collections.abc import Iterator, Sequence

import anyio
import click
from attrs import evolve, frozen
from dovetail.kernel import (
    Grant,
    Json,
    PermissionAnswer,
    PermissionRequest,
    RequestAnswered,
    RequestAsked,
    SavedApproval,
    ToolCalled,
    ToolFailed,
    ToolProceeded,
    ToolSpawned,
    ToolStarted,
    ToolSucceeded,
    UndecodableError,
    from_json,
    to_json,
)

from ..console.card import request_lines
from ..console.listing import moment, when
from ..console.options import (
    database_option,
    directory_of,
    json_line,
    json_option,
    opened,
)
from ..console.terminal import Style, Terminal, visible
from .named import named_session, the_one

KINDS = {
    "exact": "exactly",
    "prefix": "whatever begins with",
    "glob": "whatever is like",
}
"""How the text of an approval is read, in words."""

location_option = click.option(
    "--location",
    metavar="DIR",
    help="Of this directory. [default: the working directory]",
)


@click.group("permissions")
def permissions_command() -> None:
    """Show and take back what was approved for good, and who answered what."""


# --- list and revoke --------------------------------------------------------------


@permissions_command.command("list", short_help="List what is approved for good")
@location_option
@database_option
@json_option("one approval")
def list_command(location: str | None, db: str | None, as_json: bool) -> None:
    """List the approvals that can hold in a directory now, as they were saved.

    Each holds in the session that asked for it, in this directory, or everywhere; for
    one agent or for every one; for the very text of a resource (exact), for what
    begins with it (prefix), or for what is like it (glob); with a folder, for commands
    that run there. One that does not count now, because the tool or the rules are
    other ones, says so. What the configuration denies or asks for stays so.

    \b
    dovetail permissions list --location ~/work/app
    """

    async def read() -> Sequence[SavedApproval]:
        async with opened(db) as runtime:
            here = runtime.location(directory_of(location or "."))
            found: Sequence[SavedApproval] = await here.permissions.saved()
            return found

    terminal = Terminal()
    saved = anyio.run(read)
    if as_json:
        terminal.write("".join(json_line(to_json(one)) for one in saved))
    elif saved:
        for one in saved:
            first, *more = _lines(one)
            terminal.write(f"{terminal.style.strong(first)}\n")
            terminal.write("".join(f"  {line}\n" for line in more))
    else:
        directory = os.path.realpath(location or ".")
        terminal.tell(f"nothing is approved for good in {visible(directory)}")


def _lines(one: SavedApproval) -> Iterator[str]:
    """Yield all that an approval allows, and where it came from."""
    first, *more = one.pattern.split("\n")
    yield f"{one.id}  {visible(one.action)} of {KINDS[one.kind]}: {visible(first)}"
    yield from (f"| {visible(line)}" for line in more)
    agent = "every agent" if one.agent is None else f"agent {visible(one.agent)}"
    folder = "" if one.folder is None else f", in folder {visible(one.folder)}"
    yield f"{_where(one)}{folder}, for {agent}"
    until = "until revoked" if one.expires is None else f"until {when(one.expires)}"
    tool = "" if one.tool is None else f" for tool {visible(one.tool)}"
    yield f"by {visible(one.author)} on {when(one.created)}{tool}, {until}"
    if one.request_id is not None:
        session_id = visible(one.session_id or "-")
        yield f"asked by {visible(one.request_id)} of session {session_id}"
    if one.stale is not None:
        yield f"does not count now: {visible(one.stale)}"


def _where(one: SavedApproval) -> str:
    if one.scope == "session":
        return f"in session {visible(one.session_id or '-')} only"
    return "everywhere" if one.scope == "everywhere" else "in this directory"


@permissions_command.command("revoke", short_help="Take approvals back")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@location_option
@database_option
def revoke_command(ids: tuple[str, ...], location: str | None, db: str | None) -> None:
    """Take approvals back. What they allowed so far stays done. The beginning of an id
    will do, as long as only one begins like that.

    \b
    dovetail permissions revoke apr_01a21f
    """

    async def revoke() -> None:
        async with opened(db) as runtime:
            permissions = runtime.location(directory_of(location or ".")).permissions
            known = [one.id for one in await permissions.saved()]
            # All are known before the first is taken back.
            for one in [the_one(given, known) for given in ids]:
                await permissions.revoke(one)
                terminal.tell(f"revoked {visible(one)}")

    terminal = Terminal()
    anyio.run(revoke)


# --- log --------------------------------------------------------------------------


@frozen
class Answered:
    """One permission request of the log, and how it ended."""

    session_id: str
    request: PermissionRequest
    asked: int
    ended: int | None
    """When, in milliseconds since 1970; None: it still waits."""
    outcome: str
    """``once``, ``always``, ``reject``, ``withdrawn``, ``expired``, ``waits``, or
    ``unreadable``."""
    by: str | None
    message: str | None

    def json(self) -> dict[str, Json]:
        return {
            "session_id": self.session_id,
            "request": to_json(self.request),
            "asked": self.asked,
            "ended": self.ended,
            "outcome": self.outcome,
            "by": self.by,
            "message": self.message,
        }


@frozen
class Use:
    """Something that a call was allowed without a question, or after one."""

    session_id: str
    message_id: str
    call_id: str
    tool: str | None
    at: int
    """When it was recorded, in milliseconds since 1970."""
    grant: Grant

    def json(self) -> dict[str, Json]:
        return {
            "use": to_json(self.grant),
            "session_id": self.session_id,
            "message_id": self.message_id,
            "call_id": self.call_id,
            "tool": self.tool,
            "at": self.at,
        }


@permissions_command.command("log", short_help="Show who allowed what")
@click.option("--session", metavar="ID", help="Only those of this session.")
@click.option(
    "--approval",
    metavar="ID",
    help="Only what this saved approval allowed, also after it was revoked.",
)
@database_option
@json_option("one request or use")
def log_command(
    session: str | None, approval: str | None, db: str | None, as_json: bool
) -> None:
    """Show every permission that was asked for, who answered how, and what allowed each
    call, oldest first.

    A call was allowed by a saved approval, a rule, the answer to a request, a policy or
    a plugin. What a search left out or looked at is told together.

    \b
    dovetail permissions log --session ses_01a21f
    """

    async def read() -> Sequence[Answered | Use]:
        async with opened(db) as runtime:
            book = _Book()
            if session is None:
                async with runtime.events() as tail:
                    async for placed in tail:
                        book.take(placed.event)
            else:
                one = await named_session(runtime, session)
                async with one.events() as events:
                    async for event in events:
                        book.take(event)
            return [*book.entries.values()]

    terminal = Terminal()
    wanted = None if approval is None else f"approval {approval}"
    found = [
        one
        for one in anyio.run(read)
        if not wanted or (isinstance(one, Use) and wanted in one.grant.by)
    ]
    if not found and not as_json:
        terminal.tell("nothing was asked for or allowed")
    for one in found:
        if as_json:
            terminal.write(json_line(one.json()))
        else:
            terminal.write(_line(one, terminal.style))


def _line(one: Answered | Use, style: Style) -> str:
    session_id = visible(one.session_id)
    if isinstance(one, Use):
        grant = one.grant
        to = ", ".join(visible(text) for text in grant.resources)
        more = f" and {grant.more} more" if grant.more else ""
        by = ", ".join(visible(text) for text in grant.by)
        call = f"{visible(one.tool or 'a call')} ({visible(one.call_id)})"
        return (
            f"{style.dim(moment(one.at))} {session_id} {call}: "
            f"{visible(grant.action)} {to}{more}\n  allowed by {by}\n"
        )
    first, *more_lines = request_lines(one.request)
    who = f" by {visible(one.by)}" if one.by else ""
    return (
        f"{style.dim(moment(one.asked))} {session_id} {first}\n"
        + "".join(f"{line}\n" for line in more_lines)
        + f"  {one.outcome}{who}"
        + (f": {visible(one.message)}" if one.message else "")
        + f" ({visible(one.request.id)})\n"
    )


class _Book:
    """What was asked and what was allowed, in the order of the log."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, ...], Answered | Use] = {}
        self._tools: dict[tuple[str, str, str], str] = {}

    def take(self, event: object) -> None:
        """Take note of a request, of its end, or of what a call was allowed."""
        if isinstance(event, RequestAsked):
            request = PermissionRequest.of(event)
            key = (event.session_id, event.request_id)
            if request is not None and key not in self.entries:
                self.entries[key] = Answered(
                    event.session_id, request, event.created, None, "waits", None, None
                )
        elif isinstance(event, RequestAnswered):
            asked = self.entries.get((event.session_id, event.request_id))
            if isinstance(asked, Answered):
                outcome, message = _outcome_of(event)
                self.entries[event.session_id, event.request_id] = evolve(
                    asked,
                    ended=event.created,
                    outcome=outcome,
                    by=event.by,
                    message=message,
                )
        elif isinstance(event, ToolCalled):
            call = (event.session_id, event.message_id, event.call_id)
            self._tools[call] = event.tool
        elif isinstance(event, GRANTING):
            call = (event.session_id, event.message_id, event.call_id)
            for number, grant in enumerate(event.granted):
                self.entries[*call, str(event.seq), str(number)] = Use(
                    *call, self._tools.get(call), event.created, grant
                )


GRANTING = (ToolStarted, ToolSpawned, ToolProceeded, ToolSucceeded, ToolFailed)
"""The events that say what a call was allowed."""


def _outcome_of(event: RequestAnswered) -> tuple[str, str | None]:
    """Return how a request ended, and what was said beside it."""
    if event.outcome != "answered":
        return event.outcome, None
    try:
        said = from_json(dict(event.answer), PermissionAnswer)
    except UndecodableError:
        return "unreadable", None
    return said.reply, said.message
