"""The record: a history as a text that a model is asked to read, not to go on with.

Owns what of a message is in it: all that was said, what was called with which
arguments, and the beginning of each result. Thoughts and files are left out.
"""

from collections.abc import Iterator, Sequence

from dovetail.kernel import (
    AssistantMessage,
    FileContent,
    Message,
    SummaryMessage,
    TextPart,
    ToolPart,
    UserMessage,
)

RESULT = 2_000
"""Characters of one result."""
ARGUMENTS = 1_000
"""Characters of the arguments of one call."""
SAID = 20_000
"""Characters of one text."""


def entries(messages: Sequence[Message]) -> Iterator[str]:
    """Yield each message as an entry of its own."""
    for message in messages:
        lines = list(_lines(message))
        if lines:
            yield f"[{message.seq}] " + "\n".join(lines)


def _lines(message: Message) -> Iterator[str]:
    if isinstance(message, UserMessage):
        who = "user" if message.job_id is None else "runtime"
        yield f"{who}: {_cut(message.text, SAID)}"
        for file in message.files:
            yield f"attached: {file.name} ({file.mime})"
    elif isinstance(message, SummaryMessage):
        yield f"what stood for everything before:\n{message.text}"
    elif isinstance(message, AssistantMessage):
        for part in message.parts:
            if isinstance(part, TextPart) and part.text.strip():
                yield f"assistant: {_cut(part.text, SAID)}"
            elif isinstance(part, ToolPart):
                yield f"call {part.tool}: {_cut(part.arguments, ARGUMENTS)}"
                yield f"{_outcome(part)}: {_cut(part.text, RESULT)}"
                for one in part.content:
                    if isinstance(one, FileContent):
                        yield f"shown: {one.name or 'a file'} ({one.mime})"
        if message.failure is not None:
            yield f"the answer failed: {message.failure.code}"
    else:
        yield f"runtime: {_cut(message.text, RESULT)}"


def _outcome(part: ToolPart) -> str:
    return "result" if part.failure is None else "failed"


def _cut(text: str, most: int) -> str:
    """Return a text with its middle left out where it is too long."""
    if len(text) <= most:
        return text
    half = most // 2
    left = len(text) - 2 * half
    return f"{text[:half]} [... {left} characters left out ...] {text[-half:]}"
