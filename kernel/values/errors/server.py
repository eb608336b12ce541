"""Errors of a server that is asked instead of a runtime in the process."""

from .base import DovetailError


class ServerError(DovetailError):
    """A server refused a request, or broke over it. ``code`` says which, as the server
    gave it: ``server.unauthorized`` where the token is missing or wrong."""

    code = "server.failed"

    def __init__(
        self,
        message: str,
        code: str | None = None,
        status: int | None = None,
        reference: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.status = status
        """The HTTP status of the answer; None where there was none."""
        self.reference = reference
        """What the server's log names it by."""


class ServerUnreachableError(ServerError):
    """Nobody answers there, or not to the end. Whether the request was done is not
    known: repeat it with the same key."""

    code = "server.unreachable"

    def __init__(self, origin: str, problem: str) -> None:
        super().__init__(f"no answer from {origin}: {problem}")
        self.origin = origin
        self.problem = problem
