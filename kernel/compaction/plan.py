"""The plan: what to show a model less of, so that a history fits again.

Owns the choice, from messages and limits alone. Old tool results are shortened first,
because nothing of what was said is lost by it; where that is not enough, older history
is replaced. A call and its result are in one message, and messages stay or go whole.
"""

from collections.abc import Sequence

from ..history.cutting import shortened
from ..history.size import BYTES_PER_TOKEN, tokens_of
from ..values.frozen import frozen
from ..values.messages import AssistantMessage, Message, SummaryMessage
from .limits import Limits

SHORT = 200
"""Characters that stay of an old tool result."""
SPARED = ("skill",)
"""Tools whose results are instructions that are followed for as long as they are
shown."""
SHORTEST = 1_000
"""Characters that stay at least of a recent result, however little room there is."""


@frozen
class Shortening:
    """Show only the beginning of old tool results."""

    before: int
    """The place in the transcript up to which."""
    results: int
    """How many become shorter."""
    tokens: int
    """How many tokens that frees."""


@frozen
class Cut:
    """Replace what is older than this place by a summary."""

    kept: int
    """The place in the transcript of the first message that stays."""
    longest: int | None
    """Characters of a result in what stays, where it would be too much otherwise."""
    replaced: tuple[Message, ...]
    """What is replaced, in order."""
    frees: int
    """Tokens of what goes, but for the summary of before."""
    stays: int
    """Tokens of what stays."""


def shortening(
    messages: Sequence[Message], limits: Limits, estimate: int, done: int
) -> Shortening | None:
    """Return what shortening would do, where that is enough for a while.

    ``estimate`` is what the next request has, ``done`` up to where it was done before.
    """
    first = _first_kept(messages, limits.keep)
    if not first or limits.limit is None:
        return None
    before, freed, results = messages[first].seq, 0, 0
    for message in messages[:first]:
        if message.seq < done or not isinstance(message, AssistantMessage):
            continue
        made = shortened(message, SHORT, SPARED)
        if made is not message:
            assert isinstance(made, AssistantMessage)
            freed += tokens_of(message) - tokens_of(made)
            results += sum(
                one is not other
                for one, other in zip(message.parts, made.parts, strict=True)
            )
    enough = limits.besides + limits.free * 3 // 4
    if freed < limits.free // 4 or estimate - freed > enough:
        return None
    return Shortening(before, results, freed)


def cut(messages: Sequence[Message], limits: Limits, *, asked: bool) -> Cut | None:
    """Return which messages a summary would stand for, or None where there are none
    that it could.

    What somebody ``asked`` for replaces half of a history that would fit.
    """
    keep = limits.keep
    if asked:
        keep = min(keep, sum(map(tokens_of, messages)) // 2)
    first = _first_kept(messages, keep)
    replaced = tuple(messages[:first])
    if all(map(_is_summary, replaced)):
        return None
    stays = messages[first:]
    longest = None
    if sum(map(tokens_of, stays)) > keep:
        results = sum(
            len(one.calls) for one in stays if isinstance(one, AssistantMessage)
        )
        room = keep * BYTES_PER_TOKEN // 2 // max(1, results)
        longest = max(SHORTEST, room)
    kept = stays[0].seq if stays else messages[-1].seq + 1
    now = sum(map(tokens_of, stays))
    then = now
    if longest is not None:
        then = sum(tokens_of(shortened(one, longest)) for one in stays)
    gone = sum(tokens_of(one) for one in replaced if not _is_summary(one))
    return Cut(kept, longest, replaced, gone + now - then, then)


def _is_summary(message: Message) -> bool:
    return isinstance(message, SummaryMessage)


def _first_kept(messages: Sequence[Message], keep: int) -> int:
    """Return the place of the first message that stays: as many of the last ones as
    fit, and in any case the last answer and what came after it."""
    first, room = len(messages), keep
    answered = False
    for place in reversed(range(len(messages))):
        message = messages[place]
        if isinstance(message, SummaryMessage):
            break
        room -= tokens_of(message)
        if room < 0 and answered:
            break
        first = place
        answered = answered or isinstance(message, AssistantMessage)
    return first
