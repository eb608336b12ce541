"""Errors of tapes, which record the traffic of HTTP clients."""

from collections.abc import Sequence

from .base import DovetailError


class TapeError(DovetailError):
    """A tape cannot be used, or an answer on it cannot be given. The text says why."""

    code = "tape.failed"

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"tape {path!r}: {problem}")
        self.path = path
        self.problem = problem


class TapeDamagedError(TapeError):
    """A file is no tape, or one that a later version wrote."""

    code = "tape.damaged"


class NotOnTapeError(TapeError):
    """A request is not on the tape that is played, or not once more.

    The network was not asked. Record it with the mode ``missing``, or the whole tape
    with ``anew``.
    """

    code = "tape.no_such_request"

    def __init__(
        self, path: str, request: str, problem: str, differences: Sequence[str] = ()
    ) -> None:
        told = "".join(f"\n  {one}" for one in differences)
        super().__init__(path, f"it has no answer to {request}: {problem}{told}")
        self.request = request
        """Its method and its address, without secrets."""
        self.differences = tuple(differences)
        """In what the nearest one on the tape differs: the first few places."""
