"""Errors of a server that is asked instead of a runtime in the process."""

from collections.abc import Sequence

from .base import DovetailError, Problem

MOST_TOLD = 3
"""Problems that a message names; all of them are data."""


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


class ServerAnswerError(ServerError):
    """What answers there is no server of dovetail, or one of another version: what it
    said is not what was to come. Look at the address; where it is the right one, bring
    both to one release. Whether the request was done is not known.

    ``origin`` is the address that answered, ``asked`` what it was asked, and
    ``problems`` say what is wrong, each with its ``path`` in the answer.
    """

    code = "server.answer_invalid"

    def __init__(
        self,
        origin: str,
        asked: str,
        problems: Sequence[Problem],
        status: int | None = None,
    ) -> None:
        told = "; ".join(problems[:MOST_TOLD])
        super().__init__(
            f"what answers at {origin} is no server of dovetail, or one of another "
            "version: look at the address, and whether `dovetail serve` runs there "
            f"({asked}: {told})",
            status=status,
        )
        self.origin = origin
        self.asked = asked
        self.problems = tuple(problems)

    @property
    def path(self) -> tuple[str | int, ...]:
        """Where the first thing is that is wrong; empty: the answer as a whole."""
        return self.problems[0].path


class ServerAnswerTooLargeError(ServerAnswerError):
    """An answer goes on beyond what is read of one, ``most`` bytes. Ask for less at
    once, such as shorter pages."""

    code = "server.answer_too_large"

    def __init__(self, origin: str, asked: str, most: int) -> None:
        text = f"it says more than {most} bytes at once"
        super().__init__(origin, asked, [Problem(text)])
        self.args = (f"{origin} answers {asked} with more than {most} bytes at once",)
        self.most = most


class ServerLogError(ServerAnswerError):
    """The events of a log do not follow one another as a server tells them, also when
    it was asked once more: some are missing, or it is another log.

    ``session_id`` says whose they are, ``due`` the number of the event that was to
    come and ``came`` that of the one that did; None: none did. All before ``due`` were
    given. Have the server verify the session; who wants to go on without those that
    are missing reads on after ``came - 1``.
    """

    code = "server.log_broken"

    def __init__(
        self,
        origin: str,
        asked: str,
        session_id: str | None,
        due: int,
        came: int | None,
        problem: str,
    ) -> None:
        super().__init__(origin, asked, [Problem(f"$: {problem}", (), problem)])
        of = "of all sessions" if session_id is None else f"of {session_id!r}"
        self.args = (f"the log {of} as {origin} tells it is broken: {problem}",)
        self.session_id = session_id
        self.due = due
        self.came = came
