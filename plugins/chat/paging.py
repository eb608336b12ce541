"""Paging: something that is shown in short, shown whole, a screen at a time.

Owns how much a page holds: as much as the screen has rows. Knows nothing of how a call
is told, which is its own.
"""

from anyio import to_thread
from dovetail.kernel import DovetailError

from ..console.folding import fold
from ..console.terminal import drawable
from .asks import Ask
from .talking import Talking


async def whole(talk: Talking, number: int) -> None:
    """Show a call whole, in pages."""
    call = talk.script.calls.by_number(number)
    if call is None:
        talk.screen.hint(f"there is no call {number}")
        return
    text = call.whole()
    if call.outcome is not None and call.outcome.managed and talk.session:
        try:
            output = await talk.session.output(
                call.event.message_id, call.event.call_id
            )
        except DovetailError as error:
            talk.fail(error)
        else:
            text = await to_thread.run_sync(
                lambda: f"{call.head()}\n{drawable(output)}"
            )
    await paged(talk, text)


async def paged(talk: Talking, text: str) -> None:
    """Show clean text, a screen at a time."""
    lines = text.split("\n")
    room = max(talk.screen.height - 4, 5)
    at = 0
    while at < len(lines):
        width = max(talk.screen.width - 1, 20)
        shown: list[str] = []
        while at < len(lines) and len(shown) < room:
            # A line of megabytes is a page of its own beginning.
            parts = fold(lines[at][: width * room], width)
            if shown and len(shown) + len(parts) > room:
                break
            cut = len(lines[at]) > width * room
            shown += [*parts[:room], *(["… the line goes on"] if cut else [])]
            at += 1
        talk.show("".join(f"{line}\n" for line in shown))
        if at < len(lines):
            left = f"{len(lines) - at:,} more lines"
            keys = {"space": True, "enter": True, "q": False, "escape": False}
            hint = f"Enter or space goes on, q ends · {left}"
            if await talk.ask(Ask("", hint, keys)) is not True:
                talk.say(f"{left} are not shown")
                return
