"""Telling: what one agent is told of a sample that all agents share.

Owns which sources speak to an agent, and what they make of their observation for it.
Observes nothing.
"""

from collections.abc import Iterable, Mapping

from ..contracts import ContextSource, SessionSource
from ..lifecycle.guests import Guest, contained
from ..values.codec import clean_text
from ..values.errors import error_text
from .algebra import Absent, Observed, Result, Snapshot, Unavailable
from .answers import checked


def told_to(
    agent: str,
    results: Mapping[str, Result],
    sources: Iterable[ContextSource | SessionSource],
) -> Snapshot:
    """Return the results as an agent of this name is told of them."""
    made = dict(results)
    for source in sources:
        result = made.get(source.key)
        if result is None:
            continue  # it came meanwhile
        if source.agents is not None and agent not in source.agents:
            made[source.key] = Absent()
        elif isinstance(result, Observed) and getattr(source, "tell", None):
            assert isinstance(source, ContextSource)
            made[source.key] = _told(agent, result, source)
    return Snapshot(dict(sorted(made.items())))


def _told(agent: str, result: Observed, source: ContextSource) -> Result:
    assert source.tell is not None
    try:
        with contained(Guest(None, f"context source {source.key!r}")):
            return checked(source.tell(result.observation, agent))
    except Exception as error:  # a plugin's source: the boundary of a hook call
        reason = clean_text(error_text(error))
        return Unavailable(reason, broken=True, error=error, required=source.required)
