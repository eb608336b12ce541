"""Problems: what a caller is told when something is refused, and under which status.

Owns the one shape of every error that leaves the door. What nobody foresaw becomes a
number to look for in the log, and nothing else of it goes out.
"""

import logging
import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from dovetail.kernel import (
    AgentNotFoundError,
    ConflictError,
    CursorInvalidError,
    DovetailError,
    EventDamagedError,
    EventLogError,
    EventOwnerError,
    InvalidValueError,
    JobLimitError,
    Json,
    LocationNotFoundError,
    MessageNotFoundError,
    ModelError,
    ModelNotSelectedError,
    ModelUnknownError,
    NotFoundError,
    PermissionDeniedError,
    Problem,
    ProviderError,
    RequestNotFoundError,
    RowDamagedError,
    RuntimeClosedError,
    SessionBusyError,
    SessionNotFoundError,
    SkillNotFoundError,
    StoreError,
    UndecodableError,
    raised,
)

from .wrong import MisplacedError, path_text

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1
"""After which what may pass by itself is tried again."""


class Refusal(Exception):
    """The door itself refuses a request; nothing behind it was asked."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        tag: str = "InvalidRequestError",
        headers: Mapping[str, str] | None = None,
        **fields: Json,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.tag = tag
        self.headers = dict(headers or {})
        self.fields = fields


class AbsentError(Exception):
    """Something is not there, and what the request named on the way to it."""

    def __init__(
        self, error: NotFoundError, path: str, named: Mapping[str, str]
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.path = path
        self.named = dict(named)


def malformed(message: str, field: str | None = None) -> Refusal:
    """Return the refusal of a request that cannot be read."""
    fields: dict[str, Any] = {} if field is None else {"field": field}
    return Refusal(400, "server.malformed", message, kind="request", **fields)


def too_large(what: str, most: int) -> Refusal:
    """Return the refusal of something that is over its bound."""
    return Refusal(413, "server.too_large", f"{what} is over {most} bytes", kind="size")


def headers_too_large(most: int) -> Refusal:
    """Return the refusal of a head that is over its bound."""
    return Refusal(431, "server.too_large", f"the headers are over {most} bytes")


def unsupported(what: str, instead: str, path: str | None = None) -> Refusal:
    """Return the answer to what this server does not offer, whoever asks; with the path
    of what asks for it, where that is in a body or a query."""
    message = f"{what} is not offered here: {instead}"
    fields: dict[str, Any] = {"kind": "unsupported"}
    if path is not None:
        fields |= {"field": path, "problems": [{"path": path, "message": message}]}
    return Refusal(422, "server.unsupported", message, **fields)


def busy(message: str) -> Refusal:
    """Return the refusal of one more than there may be at once."""
    return Refusal(
        429,
        "server.busy",
        message,
        tag="TooManyRequestsError",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )


def closing() -> Refusal:
    """Return the refusal of whoever comes while the server ends."""
    return Refusal(
        503,
        "server.closing",
        "the server is closing; try another one, or this one later",
        tag="ServiceUnavailableError",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )


_STATUS: Sequence[tuple[type[DovetailError], int, str]] = (
    # The first that fits counts.
    (CursorInvalidError, 400, "InvalidCursorError"),
    (JobLimitError, 429, "TooManyRequestsError"),
    (SessionNotFoundError, 404, "SessionNotFoundError"),
    (MessageNotFoundError, 404, "MessageNotFoundError"),
    (NotFoundError, 404, "NotFoundError"),
    (SessionBusyError, 409, "ConflictError"),
    (ConflictError, 409, "ConflictError"),
    (InvalidValueError, 422, "InvalidRequestError"),
    (PermissionDeniedError, 403, "ForbiddenError"),
    (RuntimeClosedError, 503, "ServiceUnavailableError"),
    (ModelNotSelectedError, 422, "InvalidRequestError"),
    (ModelUnknownError, 404, "NotFoundError"),
    (ModelError, 422, "InvalidRequestError"),
    (EventDamagedError, 500, "UnknownError"),
    (RowDamagedError, 500, "UnknownError"),
    (EventOwnerError, 409, "ConflictError"),
    (EventLogError, 409, "ConflictError"),
)

_IDS: Mapping[type[DovetailError], str] = {
    SessionNotFoundError: "sessionID",
    MessageNotFoundError: "messageID",
    RequestNotFoundError: "requestID",
    LocationNotFoundError: "directory",
    AgentNotFoundError: "agent",
    SkillNotFoundError: "skill",
}

_REQUESTS: Mapping[str, str] = {
    "/permission/": "PermissionNotFoundError",
    "/question/": "QuestionNotFoundError",
}
"""What a request that is not there is called by opencode, by what is in the path."""


def answer_to(error: BaseException) -> tuple[int, dict[str, str], dict[str, Json]]:
    """Return the status, the headers and the body that tell of an error.

    One that is none of ours is logged with its traceback, and told as a reference.
    """
    error = raised(error)
    if isinstance(error, Refusal):
        body: dict[str, Json] = {
            "_tag": error.tag,
            "message": str(error),
            "code": error.code,
        }
        return error.status, error.headers, {**body, **error.fields}
    if isinstance(error, MisplacedError):
        status, headers, body = answer_to(error.error)
        if "problems" not in body:
            body["field"] = error.path
            body["problems"] = [{"path": error.path, "message": str(error)}]
        return status, headers, body
    if isinstance(error, AbsentError):
        status, headers, body = answer_to(error.error)
        if isinstance(error.error, RequestNotFoundError):
            tags = (tag for part, tag in _REQUESTS.items() if part in error.path)
            body["_tag"] = next(tags, body["_tag"])
        return status, headers, {**error.named, **body}
    if isinstance(error, DovetailError):
        return _told_of_ours(error)
    reference = f"err_{uuid.uuid4().hex[:16]}"
    logger.error("unexpected error %s", reference, exc_info=error)
    return (
        500,
        {},
        {
            "_tag": "UnknownError",
            "message": f"something unexpected happened; the log says what: {reference}",
            "code": "server.failed",
            "ref": reference,
        },
    )


def _told_of_ours(
    error: DovetailError,
) -> tuple[int, dict[str, str], dict[str, Json]]:
    status, tag = _status_of(error)
    headers = {}
    body: dict[str, Json] = {"_tag": tag, "message": str(error), "code": error.code}
    if status in (429, 503):
        headers["Retry-After"] = str(RETRY_SECONDS)
    if isinstance(error, SessionBusyError) and error.seconds is not None:
        headers["Retry-After"] = str(math.ceil(error.seconds))
    for kind, name in _IDS.items():
        if isinstance(error, kind) and isinstance(error, NotFoundError):
            body[name] = error.name
    if isinstance(error, UndecodableError):
        body["problems"] = [_problem(one) for one in error.problems]
        body["field"] = body["problems"][0]["path"] if body["problems"] else ""
    elif isinstance(error, InvalidValueError):
        body["field"] = str(error.what)
    details = {
        name: dict(value) if isinstance(value, Mapping) else value
        for name, value in vars(error).items()
        if _is_plain(name, value)
    }
    if "problems" in body:
        # Told already, each with its path.
        del details["problems"]
    if details:
        body["details"] = details
    return status, headers, body


def _status_of(error: DovetailError) -> tuple[int, str]:
    if isinstance(error, ProviderError):
        # Whom the server asks may answer later, or never as it is configured.
        later = 503, "ServiceUnavailableError"
        return later if error.retryable else (409, "ConflictError")
    for kind, status, tag in _STATUS:
        if isinstance(error, kind):
            return status, tag
    if isinstance(error, StoreError):
        passes = 503 if error.may_pass else 500
        return passes, "ServiceUnavailableError" if passes == 503 else "UnknownError"
    return 409, "ConflictError"


def _problem(one: str) -> dict[str, Json]:
    # A limit is told in one line, and what is of another type with its path.
    path, _, text = one.partition(": ")
    if isinstance(one, Problem) and one.path:
        return {"path": path_text(one.path), "message": one.text}
    if not path.startswith("$"):
        return {"path": "$", "message": one}
    return {"path": path, "message": text}


def _is_plain(name: str, value: Any) -> bool:
    """Whether a fact of an error can be told as it is: a text, a number, a list, or an
    object of JSON."""
    if name.startswith("_"):
        return False
    if isinstance(value, Mapping):
        return True
    if isinstance(value, list | tuple):
        return all(isinstance(one, str | int | float) for one in value)
    return value is None or isinstance(value, str | int | float)
