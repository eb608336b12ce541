"""Answers: what a source answered, as what can be told, or why it cannot be.

Owns the bounds of what one source may say, and that no answer of a stranger's breaks
anything. Knows nothing of when sources are asked.
"""

from collections.abc import Iterator, Mapping

from attrs import evolve

from ..contracts import Observation
from ..values.codec import clean_text
from ..values.errors import error_text
from .algebra import Absent, Observed, Result, Unavailable, digest_of

MAX_TEXT = 1024 * 1024
"""Characters that one source may say. No model takes more, whoever asks it to."""

MAX_PARTS = 1_000
"""Parts that one source may have."""


def checked(found: object) -> Result:
    """Return what a source answered as what can be told, or why it cannot be."""
    if found is None:
        return Absent()
    problem = next(_problems(found), None)
    if problem is not None:
        return Unavailable(problem, broken=True)
    assert isinstance(found, Observation)
    made = _cleaned(found)
    if found.parts is not None:
        named = {clean_text(name): _cleaned(one) for name, one in found.parts.items()}
        parts = {name: one for name, one in named.items() if one.baseline}
        made = evolve(made, parts=parts)
        said = list(parts.values())
    else:
        said = [made] if made.baseline else []
    try:
        for one in said:
            digest_of(one)
    except Exception as error:  # a stranger's value, which may do anything
        problem = f"its value cannot be compared: {error_text(error)}"
        return Unavailable(clean_text(problem), broken=True, error=error)
    holds = found.holds if callable(found.holds) else None
    return Observed(made, holds) if said else Absent(holds)


def _problems(found: object) -> Iterator[str]:
    """Yield why something is no answer."""
    if not isinstance(found, Observation):
        yield "it did not return an Observation or None"
        return
    parts: object = {} if found.parts is None else found.parts
    if not isinstance(parts, Mapping) or not all(
        isinstance(name, str) and name and _is_part(one) for name, one in parts.items()
    ):
        yield "its parts are not Observations by name, without parts of their own"
        return
    if len(parts) > MAX_PARTS:
        yield f"it has more than {MAX_PARTS} parts"
    told = [found, *parts.values()]
    if not all(
        isinstance(one.baseline, str)
        and isinstance(one.update, str | None)
        and isinstance(one.removal, str | None)
        for one in told
    ):
        yield "it did not return an Observation of texts"
    elif (
        max(
            sum(len(one.baseline) for one in told),
            sum(len(one.update or "") for one in told),
            sum(len(one.removal or "") for one in told),
        )
        > MAX_TEXT
    ):
        yield f"it says more than {MAX_TEXT} characters"


def _is_part(one: object) -> bool:
    return isinstance(one, Observation) and one.parts is None


def _cleaned(one: Observation) -> Observation:
    """Return an observation in texts that can be stored, without what is about it."""
    return Observation(
        clean_text(one.baseline).strip(),
        clean_text(one.update or "").strip() or None,
        one.value,
        clean_text(one.removal or "").strip() or None,
        common=one.common is True,
    )
