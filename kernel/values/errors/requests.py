"""Errors of what a person is asked, and of what was answered."""

from collections.abc import Mapping, Sequence
from typing import Any

from .base import ConflictError, DovetailError, NotFoundError

MAX_SAID = 200
"""Characters of an answer that are told to who comes too late."""


class RequestNotFoundError(NotFoundError):
    """No request with this id waits for an answer: it may have its end already."""

    code = "request.not_found"
    noun = "pending request"


class RequestEndedError(RequestNotFoundError):
    """The request has its end already: somebody else was first, or its time is over.

    Nothing was changed. What the outcome is, is told.
    """

    code = "request.ended"

    def __init__(
        self,
        name: str,
        outcome: str,
        by: str,
        ended: int,
        answer: Mapping[str, Any] | None = None,
    ) -> None:
        self.outcome = outcome
        """``answered``, ``withdrawn`` or ``expired``."""
        self.by = by
        """Who: as the event that ended it says."""
        self.ended = ended
        """When, in milliseconds since 1970."""
        self.answer = dict(answer or {})
        """What was said, in the shape of its kind; empty unless it was answered."""
        # Here, because nothing else of the kernel needs dates.
        from datetime import UTC, datetime

        said = ", ".join(f"{key} {value!r}" for key, value in self.answer.items())
        said = said if len(said) <= MAX_SAID else f"{said[: MAX_SAID - 3]}..."
        moment = datetime.fromtimestamp(ended / 1000, UTC).isoformat(" ", "seconds")
        how = "has expired" if outcome == "expired" else f"was {outcome} already"
        # Not the text of the parent: it is not that there is none.
        DovetailError.__init__(
            self,
            f"request {name!r} {how}, by {by!r} at {moment}"
            + (f": {said}" if said else ""),
        )
        self.name = name


class RequestChangedError(ConflictError):
    """What the request asks is not what was shown to whoever answers. Nothing was
    answered: look at the request as it is now, and answer that."""

    code = "request.changed"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"request {name!r} asks something else than what was shown; look at it "
            "again and answer what it asks now"
        )
        self.name = name


class ApprovalNotFoundError(NotFoundError):
    """No saved approval has this id."""

    code = "approval.not_found"
    noun = "saved approval"


class PermissionDeniedError(DovetailError):
    """A rule denies this action; nothing was read or written (law access.1)."""

    code = "permission.denied"

    def __init__(self, action: str, resources: Sequence[str], why: str = "") -> None:
        shown = ", ".join(repr(resource) for resource in resources)
        super().__init__(
            f"permission to {action} {shown} is denied" + (f": {why}" if why else "")
        )
        self.action = action
        self.resources = tuple(resources)


class PermissionRejectedError(PermissionDeniedError):
    """It was not allowed when it was asked for, mostly because the person said no.

    ``advice`` is what to do instead, or None; the text says whose no it is.
    """

    code = "permission.rejected"

    def __init__(
        self,
        action: str,
        resources: Sequence[str],
        advice: str | None = None,
        why: str = "rejected by the person",
    ) -> None:
        super().__init__(action, resources, advice or why)
        self.advice = advice


class QuestionDismissedError(DovetailError):
    """A call's questions were not answered.

    ``advice`` is why not, or what the person said instead; None when the person only
    said no: then the run stops.
    """

    code = "question.dismissed"

    def __init__(self, advice: str | None = None) -> None:
        why = advice or "the person does not want to answer them"
        super().__init__(f"the questions were not answered: {why}")
        self.advice = advice
