"""Errors of what a person is asked, and of what was answered."""

from collections.abc import Sequence

from .base import DovetailError, NotFoundError


class RequestNotFoundError(NotFoundError):
    """No request with this id waits for an answer: it may have its end already."""

    code = "request.not_found"
    noun = "pending request"


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
