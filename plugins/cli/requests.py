"""The requests that a session has sent, as ``show --requests`` and ``--request`` tell.

Owns how they are listed, and that a request that is written again is shown as it went
over the wire, with what its digest says.
"""

from dovetail.kernel import (
    RecordedRequest,
    SentRequestLostError,
    open_runtime,
    to_json,
)

from ..console.options import database_url, json_line
from ..console.terminal import Terminal, visible
from .named import named_session


async def show_requests(
    id: str, db: str | None, as_json: bool, number: int | None, terminal: Terminal
) -> None:
    """List the requests of a session, or write one of them again.

    Raises:
        SentRequestLostError: it is not the one that was sent, or cannot be written.
    """
    async with open_runtime(database_url(db)) as runtime:
        session = await named_session(runtime, id)
        if number is None:
            for one in await session.requests():
                shown = json_line(to_json(one)) if as_json else f"{_line(one)}\n"
                terminal.write(shown)
            return
        made = await session.request(number)
    text = made.body.decode(errors="replace")
    if as_json:
        whole = {**to_json(made.recorded), "body": text, "digest": made.digest}
        terminal.write(json_line({**whole, "problem": made.problem}))
    else:
        terminal.write(f"{visible(text)}\n")
    if made.problem is not None:
        raise SentRequestLostError(number, made.problem)
    if not as_json:
        terminal.tell(f"proven: SHA-256 {made.digest}, as it was recorded when sent")


def _line(one: RecordedRequest) -> str:
    whose = one.message_id or f"for a {one.purpose}"
    told = f"{one.number:>4}  {one.model}  {whose}"
    if one.attempt > 1:
        told += f", attempt {one.attempt}"
    if one.sent is None:
        return visible(f"{told}  nothing was recorded of it")
    parted = f"; parted from the one before: {one.sent.parted}"
    return visible(
        f"{told}  {one.protocol or 'unknown'}  {one.sent.bytes:,} bytes  "
        f"{one.sent.digest[:16]}" + (parted if one.sent.parted else "")
    )
