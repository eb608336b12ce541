"""Telling: what one agent is told of a sample that all agents share.

Owns which sources speak to an agent, and what they make of their observation for it.
Observes nothing.
"""

from collections.abc import Callable, Iterable, Mapping

from attrs import evolve

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
    owner: Callable[[str], str | None] = lambda _: None,
) -> Snapshot:
    """Return the results as an agent of this name is told of them.

    ``owner`` says whose source has a key, to name a culprit.
    """
    made = dict(results)
    for source in sources:
        result = made.get(source.key)
        if result is None:
            continue  # it came meanwhile
        if source.agents is not None and agent not in source.agents:
            made[source.key] = Absent()
        elif isinstance(result, Observed) and getattr(source, "tell", None):
            assert isinstance(source, ContextSource)
            made[source.key] = _for_agent(agent, result, source, owner)
    return Snapshot(dict(sorted(made.items())))


def _for_agent(
    agent: str,
    result: Observed,
    source: ContextSource,
    owner: Callable[[str], str | None],
) -> Result:
    assert source.tell is not None
    try:
        with contained(Guest(None, f"context source {source.key!r}")):
            made = checked(source.tell(result.observation, agent))
    except Exception as error:  # a plugin's source: the boundary of a hook call
        made = Unavailable(clean_text(error_text(error)), broken=True, error=error)
    if isinstance(made, Unavailable):
        return evolve(made, plugin=owner(source.key), required=source.required)
    return made
