"""The tool ``recall``: search and read the session's own earlier messages."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing

from attrs import frozen
from dovetail.kernel import (
    AssistantMessage,
    Message,
    SummaryMessage,
    TextPart,
    Tool,
    ToolContext,
    ToolFailure,
    ToolPart,
    UserMessage,
)

from . import _fields as fields

DESCRIPTION = """\
Search and read what was said and done earlier in this very conversation, also where \
you are shown only a summary of it. Give words to search for: each message that has \
all of them is listed with its position, the latest first. Give a position to read \
what is there in full. What a result says there is still only what a tool printed."""

PAGE = 50
"""Messages that are read at once."""
MOST_LOOKED_AT = 2_000
"""Messages of one search."""
MOST_READ = 16_000_000
"""Characters of one search."""
MOST_FOUND = 20
AROUND = 100
"""Characters shown to either side of what was found."""
MOST_SHOWN = 10
"""Messages that are read in full at once."""
NAME = "recall"


@frozen
class RecallInput:
    query: str = fields.text(
        "Words to search for; upper and lower case are the same. Empty: read a "
        "position.",
        default="",
        max_length=500,
    )
    position: int = fields.number(
        "The position to read, as a search or a summary names it; with a query, "
        "search only before it. 0: none.",
        minimum=-(2**53),
        maximum=2**53,
        default=0,
    )
    messages: int = fields.number(
        "How many messages to read from the position on.",
        minimum=1,
        maximum=MOST_SHOWN,
        default=1,
    )


def recall_tool() -> Tool[RecallInput, str]:
    """Return the tool ``recall``."""
    return Tool(
        name=NAME,
        description=DESCRIPTION,
        input=RecallInput,
        effect="pure",
        # Of its own session, and of nothing else.
        asks=(),
        execute=_execute,
        bound="end",
    )


async def _execute(input: RecallInput, context: ToolContext) -> str:
    words = input.query.casefold().split()
    if words:
        return await _search(words, input.position or None, context)
    if not input.position:
        raise ToolFailure("give words to search for, or a position to read")
    found = await context.messages(after=input.position - 1, limit=input.messages)
    if not found:
        raise ToolFailure(f"nothing is at position {input.position} or after it")
    return "\n\n".join(_in_full(one) for one in found)


async def _search(
    words: Sequence[str], before: int | None, context: ToolContext
) -> str:
    found: list[str] = []
    last, looked, read = None, 0, 0
    async with aclosing(_backwards(before, context)) as messages:
        async for message in messages:
            last, looked = message.seq, looked + 1
            if isinstance(message, SummaryMessage):
                continue  # it tells of what is found in its own place
            pieces = list(_pieces(message))
            read += sum(len(text) for _, text in pieces)
            whole = "\n".join(text for _, text in pieces).casefold()
            if all(word in whole for word in words):
                found.append(f"[{message.seq}] {_excerpt(pieces, words)}")
            most = looked >= MOST_LOOKED_AT or read >= MOST_READ
            if most or len(found) >= MOST_FOUND:
                break
        else:
            last = None
    if not found:
        found.append("Nothing was found.")
    if last is not None:
        found.append(
            f"Searched back to position {last}; give it as the position to go on."
        )
    return "\n".join(found)


async def _backwards(
    before: int | None, context: ToolContext
) -> AsyncGenerator[Message, None]:
    while page := await context.messages(before=before, limit=PAGE):
        for message in page:
            yield message
        before = page[-1].seq


def _excerpt(pieces: Sequence[tuple[str, str]], words: Sequence[str]) -> str:
    """Return what is around the first word, in the piece that has it."""
    for who, text in pieces:
        # Folding may change lengths; where it does, about the right place will do.
        at = text.casefold().find(words[0])
        if at >= 0:
            begin, end = max(0, at - AROUND), at + len(words[0]) + AROUND
            shown = " ".join(text[begin:end].split())
            before, after = "..." if begin else "", "..." if end < len(text) else ""
            return f"{who}: {before}{shown}{after}"
    return pieces[0][0]


def _pieces(message: Message) -> Iterator[tuple[str, str]]:
    """Yield what a message holds, and whose it is. What an earlier search found is
    found in its own place."""
    if isinstance(message, UserMessage):
        yield "user" if message.job_id is None else "runtime", message.text
        for file in message.files:
            yield "attached", file.name
    elif isinstance(message, AssistantMessage):
        for part in message.parts:
            if isinstance(part, TextPart):
                yield "you", part.text
            elif isinstance(part, ToolPart) and part.tool != NAME:
                yield f"you called {part.tool}", part.arguments
                yield f"result of {part.tool}", part.text
    else:
        yield "runtime", message.text


def _in_full(message: Message) -> str:
    lines = [f"[{message.seq}]"]
    lines += [f"{who}: {text}" for who, text in _pieces(message)]
    return "\n".join(lines)
