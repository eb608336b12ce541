"""Errors of sessions, and of what callers say to them."""

from collections.abc import Sequence
from datetime import UTC, datetime

from .base import ConflictError, DovetailError, InvalidValueError, NotFoundError


class PromptInvalidError(InvalidValueError):
    """A prompt is empty, too long, or not text. Nothing was admitted."""

    code = "prompt.invalid"


class KeyInvalidError(InvalidValueError):
    """An idempotency key is empty, too long, or has a forbidden character."""

    code = "prompt.key_invalid"


class SessionNotFoundError(NotFoundError):
    """No session has this id in this store."""

    code = "session.not_found"
    noun = "session"
    hint = "list the sessions to see their ids"


class SessionRemovedError(SessionNotFoundError):
    """The session was removed. Nothing of it can be read, and no other session ever
    gets its id: ``create`` another one, under another id."""

    code = "session.removed"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.args = (
            f"session {name!r} was removed for good, and its id is not given out "
            "again; use another one",
        )


class SessionAmbiguousError(InvalidValueError):
    """Several sessions have ids that begin like this. ``candidates`` are some of them,
    in alphabetical order; write more of the id that is meant."""

    code = "session.ambiguous"

    def __init__(self, beginning: str, candidates: Sequence[str]) -> None:
        several = ", ".join(candidates)
        rule = f"several ids begin like it: {several}; write more of the one you mean"
        super().__init__("session id", beginning, rule)
        self.beginning = beginning
        self.candidates = tuple(candidates)


class MessageNotFoundError(NotFoundError):
    """The session has no message with this id."""

    code = "message.not_found"
    noun = "message"


class OutputNotFoundError(NotFoundError):
    """The session keeps no complete output under this name; the message says why."""

    code = "output.not_found"
    noun = "complete output"


class OutputCleanedError(OutputNotFoundError):
    """The complete output was cleaned up by age or size; ``cleaned`` says when, in
    milliseconds since 1970."""

    code = "output.cleaned"

    def __init__(self, name: str, cleaned: int) -> None:
        when = datetime.fromtimestamp(cleaned / 1000, UTC)
        super().__init__(
            name,
            f"it was cleaned up on {when:%Y-%m-%d at %H:%M} UTC, as old outputs are; "
            "do again what gave it, if it is still needed",
        )
        self.cleaned = cleaned


class InputNotFoundError(NotFoundError):
    """The session never admitted an input with this id."""

    code = "input.not_found"
    noun = "admitted input"


class PromptConflictError(ConflictError):
    """The key names an earlier admission with other content (law inbox.4).

    ``differs`` names the parts: ``prompt``, ``delivery`` or both.
    """

    code = "prompt.conflict"

    def __init__(self, session_id: str, key: str, differs: Sequence[str]) -> None:
        super().__init__(
            f"key {key!r} of session {session_id!r} was used before with another "
            f"{' and another '.join(differs)}; use a new key for a new prompt"
        )
        self.session_id = session_id
        self.key = key
        self.differs = tuple(differs)


class InputNotPendingError(ConflictError):
    """The input was already promoted or withdrawn, so it cannot be changed."""

    code = "input.not_pending"

    def __init__(self, input_id: str, state: str) -> None:
        super().__init__(f"input {input_id!r} is {state}, not pending")
        self.input_id = input_id
        self.state = state


class SessionBusyError(ConflictError):
    """The session is running, and this may only be done to an idle one.

    ``job`` is the job that goes on while nothing else does, if it is that.
    ``seconds`` is how long another process holds it without a sign of life, if it is
    one: where that has gone, the same may be done after as many seconds.
    """

    code = "session.busy"

    def __init__(
        self, session_id: str, seconds: float | None = None, job: str | None = None
    ) -> None:
        gone = ""
        if seconds is not None:
            gone = f"; if its process has gone, try again in {seconds:.0f} s"
        super().__init__(
            f"session {session_id!r} is running; interrupt it or wait until it is idle"
            f"{gone}"
            if job is None
            else f"job {job!r} of session {session_id!r} is running; stop it or wait "
            "until it has ended"
        )
        self.session_id = session_id
        self.seconds = seconds
        self.job = job


class SentRequestNotFoundError(NotFoundError):
    """The session has sent no request of this number, or for this message."""

    code = "sent_request.not_found"
    noun = "sent request"
    hint = "session.requests() lists them"


class SentRequestLostError(DovetailError):
    """A request cannot be written again; the message says what is missing."""

    code = "sent_request.lost"

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(f"request {number} cannot be written again: {problem}")
        self.number = number
        self.problem = problem


class SessionPastMissingError(DovetailError):
    """A fork's past is not in this store, or not all of it."""

    code = "session.past_missing"

    def __init__(self, session_id: str, origin: str, problem: str) -> None:
        super().__init__(
            f"session {session_id!r} shares the past of session {origin!r}: {problem}"
        )
        self.session_id = session_id
        self.origin = origin


class SessionSharedError(ConflictError):
    """Forks share a part of the session, which therefore stays as it is."""

    code = "session.shared"

    def __init__(self, session_id: str, forks: Sequence[str], seq: int) -> None:
        named = ", ".join(repr(one) for one in forks[:5])
        more = f" and {len(forks) - 5} more" if len(forks) > 5 else ""
        super().__init__(
            f"session {session_id!r} is shared up to event {seq} by {named}{more}: "
            "what is removed of it would be removed from them"
        )
        self.session_id = session_id
        self.forks = tuple(forks)
        self.seq = seq


class ForkPointError(InvalidValueError):
    """A session cannot be forked there; ``nearest`` is the last event before where it
    can."""

    code = "session.fork_point"

    def __init__(self, at: object, rule: str, nearest: int) -> None:
        super().__init__("fork point", at, f"{rule}; event {nearest} is the nearest")
        self.nearest = nearest


class MessageSharedError(ConflictError):
    """The message is of the past that a fork shares, with more of it behind, none of
    which can be hidden in the fork: fork at that message instead.

    ``origin`` is the session that it is from.
    """

    code = "session.message_shared"

    def __init__(self, session_id: str, message_id: str, origin: str) -> None:
        super().__init__(
            f"message {message_id!r} is of what session {session_id!r} shares with "
            f"{origin!r}, and what is shared stays as it is; to go on from there, fork "
            "again at that message"
        )
        self.session_id = session_id
        self.message_id = message_id
        self.origin = origin


class NothingRevertedError(ConflictError):
    """Nothing of the session is hidden that could be seen again."""

    code = "session.nothing_reverted"

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"nothing of session {session_id!r} is hidden that could be seen again: a "
            "new prompt, or a compaction, after a revert lets go of it for good"
        )
        self.session_id = session_id
