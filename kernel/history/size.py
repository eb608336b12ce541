"""Size: how many tokens a history has, as far as anybody knows.

Owns the estimate. What a provider told of its last request counts first; what came
after it, and all of a history that it told nothing of, is measured by its bytes. Knows
nothing of windows, nor of what is done when one is full.
"""

from collections.abc import Iterable

from ..values.messages import (
    AssistantMessage,
    Message,
    ReasoningPart,
    ToolPart,
    Usage,
    UserMessage,
)
from ..values.tool import Content, TextContent

BYTES_PER_TOKEN = 3
"""Of UTF-8. English and code have three to four in a token, most other scripts two to
four; three is on the safe side of what is usual."""
IMAGE = 1_600
"""Tokens of an image, whatever its bytes: providers bill at most about as many for one
of the size that they take."""
FRAME = 8
"""Tokens of what is around a message or a call: roles, ids, punctuation."""
BELIEVED = 8
"""A provider that tells of less than an eighth of what the bytes say tells of
something else, such as of what it had not kept; then the bytes count."""


def tokens_of_text(text: str) -> int:
    """Return about how many tokens a text has."""
    size = len(text) if text.isascii() else len(text.encode(errors="replace"))
    return -(-size // BYTES_PER_TOKEN)


def tokens_of(message: Message) -> int:
    """Return about how many tokens a message has in a request."""
    if not isinstance(message, AssistantMessage):
        files = message.files if isinstance(message, UserMessage) else ()
        attached = sum(_of_file(one.mime, one.data) for one in files)
        return FRAME + tokens_of_text(message.text) + attached
    total = FRAME
    for part in message.parts:
        if isinstance(part, ToolPart):
            total += 2 * FRAME + tokens_of_text(part.tool + part.arguments)
            total += tokens_of_result(part)
        else:
            total += tokens_of_text(part.text)
            if isinstance(part, ReasoningPart):
                # What a provider wants back with it may be longer than what it shows.
                total += sum(
                    tokens_of_text(one)
                    for one in part.metadata.values()
                    if isinstance(one, str)
                )
    return total


def tokens_of_result(part: ToolPart) -> int:
    """Return about how many tokens the result of a call has."""
    if part.failure is not None:
        return tokens_of_text(part.failure.message)
    return sum(map(_of_content, part.content))


def _of_content(content: Content) -> int:
    if isinstance(content, TextContent):
        return tokens_of_text(content.text)
    return _of_file(content.mime, content.data)


def _of_file(mime: str, data: str) -> int:
    return IMAGE if mime.startswith("image/") else tokens_of_text(data)


class Size:
    """How many tokens the settled messages of a history have."""

    def __init__(self) -> None:
        self.messages = 0
        """All of them, by their bytes."""
        self.grown = 0
        """Those since it was last tried to make them fewer."""
        self.tries = 0
        """How often that was tried."""
        self.cramped = False
        """Whether it was told that no summary could help."""
        self._reported: int | None = None
        self._since = 0

    def add(self, message: Message) -> None:
        """Count one more message."""
        tokens = tokens_of(message)
        self.messages += tokens
        self.grown += tokens
        self._since += tokens

    def tell(self, usage: Usage, message: AssistantMessage) -> None:
        """Take in what the provider told of the request that a message answers, which
        was counted just now."""
        if usage.input:
            self._reported = usage.input + (usage.output or 0)
            self._since = sum(map(tokens_of_result, message.calls))

    def restart(self, messages: Iterable[Message]) -> None:
        """Count these, in the place of those before: nobody told of them yet."""
        self.messages = sum(map(tokens_of, messages))
        self.grown = self._since = 0
        self._reported = None

    def tried(self) -> None:
        """It was tried to make them fewer."""
        self.grown = 0
        self.tries += 1

    def estimate(self, besides: int) -> int:
        """Return how many tokens the next request has, with so many besides the
        messages: the system text and the tools."""
        measured = besides + self.messages
        if self._reported is None or self._reported * BELIEVED < measured - self._since:
            return measured
        return self._reported + self._since
