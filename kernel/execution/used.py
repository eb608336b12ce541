"""Used: what one request took, however it came to its end.

Owns which tokens a request is charged with and what is known of their price. Knows
nothing of what the request was for.
"""

from ..models.catalog import ResolvedModel
from ..values.errors import DovetailError, ProviderError
from ..values.frozen import frozen
from ..values.messages import Usage
from ..values.request import Finish
from .handover import problem_with
from .publisher import Publisher

_NOTHING = Usage()


@frozen
class Used:
    """What a request took, as far as anybody told."""

    usage: Usage = _NOTHING
    """The tokens."""
    cost: float | None = None
    """US dollars; None where no price is known, or not all tokens were told."""
    unpriced: int = 0
    """1 where ``cost`` leaves something out."""


def used(
    model: ResolvedModel, publisher: Publisher, error: DovetailError | None
) -> Used:
    """Return what the request took whose stream a publisher took in.

    ``error`` is why it has no whole answer, or None. What a provider refused before it
    said or told anything took nothing; of an answer that broke off nobody knows what
    else was written, so what was told of it is a part.
    """
    finish = publisher.finish
    if finish is None:
        usage = _usage_in(error)
        whole = not publisher.has_output and usage == _NOTHING and error is not None
        if whole:
            return Used()
    else:
        usage, whole = finish.usage, True
    price = model.info.price if model.info else None
    cost = price.of(usage) if price else None
    return Used(usage, cost, int(cost is None or not whole))


def _usage_in(error: DovetailError | None) -> Usage:
    """Return what a provider told of the tokens of an answer that broke off."""
    told = error.usage if isinstance(error, ProviderError) else None
    if not isinstance(told, Usage) or problem_with(Finish("error", told)) is not None:
        return _NOTHING
    return told
