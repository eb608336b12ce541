"""Settings: what a session is set to by whoever uses it, and what may be said there.

Owns the checks of names and titles, and how budgets and instructions are recorded.
"""

from collections.abc import Sequence

from ..log.commit import LogTransaction
from ..values.codec import clean_text
from ..values.errors import InvalidValueError
from ..values.events import GenerationSet, SessionBudgeted, SessionInstructed
from ..values.generation import NO_GENERATION, Generation
from ..values.ids import SessionId
from ..values.prompt import Budget

MAX_TITLE = 200
MAX_FALLBACK = 16


def budgeted(tx: LogTransaction, session_id: SessionId, budget: Budget | None) -> None:
    """Record what limits all the work of a session."""
    tx.session(session_id)
    tx.append(SessionBudgeted(session_id=session_id, budget=budget))


def instructed(tx: LogTransaction, session_id: SessionId, said: str | None) -> None:
    """Record what a session is to keep to, where something was said."""
    if said is not None:
        tx.append(SessionInstructed(session_id=session_id, instructions=said))


def generated(
    tx: LogTransaction, session_id: SessionId, generation: Generation
) -> None:
    """Record how the answers of a session are generated."""
    tx.session(session_id)
    said = None if generation == NO_GENERATION else generation
    tx.append(GenerationSet(session_id=session_id, generation=said))


def check_model(model: str | None) -> None:
    """Check the name of a model.

    Raises:
        InvalidValueError: it is not of the form ``provider/model``.
    """
    if model is not None and (
        not isinstance(model, str) or not all(model.partition("/"))
    ):
        raise InvalidValueError("model", model, "it is named provider/model")


def check_fallback(models: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the names of models that go on for another one, checked.

    Raises:
        InvalidValueError: one is no name, or there are too many.
    """
    if models is None:
        return None
    if isinstance(models, str) or len(models) > MAX_FALLBACK:
        rule = f"at most {MAX_FALLBACK} models, in the order in which they are tried"
        raise InvalidValueError("fallback", models, rule)
    for one in models:
        check_model(one)
        if one is None:
            raise InvalidValueError("fallback", one, "it is named provider/model")
    return tuple(models)


def check_agent(agent: str | None) -> None:
    """Check the name of an agent.

    Raises:
        InvalidValueError: it is no text.
    """
    if agent is not None and not isinstance(agent, str):
        raise InvalidValueError("agent", agent, "the name of an agent profile")


def check_title(title: str | None) -> None:
    """Check a title.

    Raises:
        InvalidValueError: it is too long, or no text.
    """
    if title is None:
        return
    if not isinstance(title, str) or len(title) > MAX_TITLE:
        raise InvalidValueError("title", title, f"at most {MAX_TITLE} characters")
    if clean_text(title) != title:
        raise InvalidValueError("title", clean_text(title), "text without surrogates")
