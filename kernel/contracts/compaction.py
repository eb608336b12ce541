"""Compaction: who makes the summary that stands for older history."""

from collections.abc import Awaitable, Callable, Sequence

from ..values.frozen import frozen
from ..values.ids import SessionId
from ..values.location import Location
from ..values.messages import Message


@frozen(eq=False)
class CompactionWork:
    """What a strategy is to make a summary of, and what it may use for that."""

    session_id: SessionId
    """Whose history it is."""
    location: Location
    """Where that session works."""
    messages: Sequence[Message]
    """What is replaced, in order; every call in it has its result. The first may be a
    SummaryMessage, which stands for what was replaced before."""
    room: int
    """Tokens that the summary may have. Of a longer one the end is cut off."""
    window: int | None
    """Tokens that one request may have with its answer; None where nobody knows."""
    ask: Callable[[str, str], Awaitable[str]]
    """``await ask(instructions, text)`` asks the model for a text. Each use is one
    request and counts in the session's budget. Raises ProviderError: let it pass,
    unless another text could help, as with ``provider.context_overflow``."""
    tokens: Callable[[str], int]
    """Returns about how many tokens a text has."""


@frozen(eq=False)
class CompactionStrategy:
    """Who makes summaries. Handed over by ``dovetail_register_compaction``."""

    name: str
    """What ``strategy`` of the ``[compaction]`` table calls it by."""
    summarise: Callable[[CompactionWork], Awaitable[str]]
    """Returns the summary. What it raises fails the compaction, and replaces
    nothing."""
