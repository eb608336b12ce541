"""Every error that dovetail raises on purpose, in one tree.

::

    DovetailError
    +-- InvalidValueError            value.invalid
    |   +-- PromptInvalidError       prompt.invalid
    |   +-- KeyInvalidError          prompt.key_invalid
    |   +-- CursorInvalidError       cursor.invalid
    |   +-- UndecodableError         value.undecodable
    |   +-- ConfigurationError       config.invalid
    |       +-- ConfigurationUntrustedError  config.untrusted
    +-- NotFoundError
    |   +-- SessionNotFoundError     session.not_found
    |   +-- MessageNotFoundError     message.not_found
    |   +-- OutputNotFoundError      output.not_found
    |   +-- InputNotFoundError       input.not_found
    |   +-- LocationNotFoundError    location.not_found
    |   +-- RequestNotFoundError     request.not_found
    |   +-- ApprovalNotFoundError    approval.not_found
    |   +-- AgentNotFoundError       agent.not_found
    |   +-- SkillNotFoundError       skill.not_found
    |   +-- PluginNotFoundError      plugin.not_found
    +-- ConflictError
    |   +-- PromptConflictError      prompt.conflict
    |   +-- InputNotPendingError     input.not_pending
    |   +-- ContinuationChangedError continuation.changed
    |   +-- SessionBusyError         session.busy
    +-- EventLogError
    |   +-- EventGapError            event.gap
    |   +-- EventDivergedError       event.diverged
    |   +-- EventAggregateError      event.wrong_aggregate
    |   +-- EventOwnerError          event.foreign_owner
    |   +-- EventKindError           event.unknown_kind
    |   +-- EventVersionError        event.unknown_version
    |   +-- EventDamagedError        event.damaged
    +-- LiveOverflowError            live.overflow
    +-- OwnerFencedError             owner.fenced
    +-- ExecutionInterruptedError    execution.interrupted
    +-- ModelError
    |   +-- ModelNotSelectedError    model.not_selected
    |   +-- ModelUnknownError        model.unknown
    |   +-- ProviderError            provider.* (see ProviderFault)
    +-- ToolError
    |   +-- ToolFailure              tool.failed
    |   +-- ToolUnknownError         tool.unknown
    |   +-- ToolStaleError           tool.stale
    |   +-- ToolInputError           tool.input_invalid
    |   +-- ToolOutputError          tool.output_invalid
    |   +-- ToolDefinitionError      tool.definition_invalid
    +-- PermissionDeniedError        permission.denied
    |   +-- PermissionRejectedError  permission.rejected
    +-- PluginError                  plugin.failed
    |   +-- PluginImportError        plugin.import_failed
    |   +-- PluginInvalidError       plugin.invalid
    +-- ContextUnavailableError      context.unavailable
    +-- StoreError                   store.failed
    |   +-- StoreUnknownError        store.unknown_url
    |   +-- StoreLockedError         store.locked
    |   +-- StoreFullError           store.full
    |   +-- StoreReadOnlyError       store.read_only
    |   +-- StoreDamagedError        store.damaged
    |   +-- StoreForeignError        store.foreign
    |   +-- StoreNewerError          store.newer
    |   +-- StoreMigrationError      store.migration_failed
    |   +-- StoreClosedError         store.closed
    +-- RuntimeClosedError           runtime.closed

The ``code`` of a class is a promise and the same at every door; the wording is not.
Constructors take facts, keep them as attributes and build the sentence. No message
ever contains a secret (law access.6).
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

MAX_PROBLEM = 500
"""Characters of a stranger's exception that are kept."""


def error_text(error: BaseException) -> str:
    """Return a stranger's exception as one bounded text."""
    try:
        text = str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:
        # Showing it runs a stranger's code once more.
        text = "it cannot even be shown"
    shown = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return shown if len(shown) <= MAX_PROBLEM else f"{shown[: MAX_PROBLEM - 3]}..."


class DovetailError(Exception):
    """The root. Catch it to catch everything that dovetail raises on purpose."""

    code: str = "dovetail.error"


# --- values -----------------------------------------------------------------------


class InvalidValueError(DovetailError):
    """An argument breaks a rule. Correct it and call again; nothing was changed."""

    code = "value.invalid"

    def __init__(self, what: str, value: object, rule: str) -> None:
        shown = _shown(value)
        super().__init__(f"{what} {shown} is refused: {rule}")
        self.what = what
        self.rule = rule


def _shown(value: object) -> str:
    try:
        shown = repr(value[:80] if isinstance(value, str | bytes) else value)
    except Exception:  # another object's repr, or an integer of 5,000 digits
        return f"of type {type(value).__name__}"
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


class PromptInvalidError(InvalidValueError):
    """A prompt is empty, too long, or not text. Nothing was admitted."""

    code = "prompt.invalid"


class KeyInvalidError(InvalidValueError):
    """An idempotency key is empty, too long, or has a forbidden character."""

    code = "prompt.key_invalid"


class CursorInvalidError(InvalidValueError):
    """A cursor was not given out by this runtime, or for another listing."""

    code = "cursor.invalid"


class UndecodableError(InvalidValueError):
    """Data does not have the shape that its type asks for. ``problems`` lists where."""

    code = "value.undecodable"

    def __init__(self, what: str, problems: Sequence[str]) -> None:
        DovetailError.__init__(self, f"{what} cannot be read: " + "; ".join(problems))
        self.what = what
        self.rule = "must have the shape of its type"
        self.problems = tuple(problems)


class ConfigurationError(InvalidValueError):
    """A configuration file or variable cannot be used. The message names the place."""

    code = "config.invalid"

    def __init__(self, where: str, problem: str) -> None:
        DovetailError.__init__(self, f"{where}: {problem}")
        self.what = where
        self.rule = problem


class ConfigurationUntrustedError(ConfigurationError):
    """A Location's own file asks for what only a trusted one may ask for.

    Add the directory to ``trusted`` in the user's configuration file, or take the
    setting out of the Location's file.
    """

    code = "config.untrusted"


# --- things that are not there ----------------------------------------------------


class NotFoundError(DovetailError):
    """Something named by the caller does not exist. ``name`` is what was asked for."""

    code = "not_found"
    noun: ClassVar[str] = "thing"
    hint: ClassVar[str] = ""

    def __init__(self, name: str, hint: str = "") -> None:
        tail = f"; {hint or self.hint}" if hint or self.hint else ""
        super().__init__(f"there is no {self.noun} {name!r}{tail}")
        self.name = name


class SessionNotFoundError(NotFoundError):
    """No session has this id in this store."""

    code = "session.not_found"
    noun = "session"
    hint = "list the sessions to see their ids"


class MessageNotFoundError(NotFoundError):
    """The session has no message with this id."""

    code = "message.not_found"
    noun = "message"


class OutputNotFoundError(NotFoundError):
    """The session keeps no complete output under this name; the message says why."""

    code = "output.not_found"
    noun = "complete output"


class InputNotFoundError(NotFoundError):
    """The session never admitted an input with this id."""

    code = "input.not_found"
    noun = "admitted input"


class LocationNotFoundError(NotFoundError):
    """The directory does not exist, or is not a directory."""

    code = "location.not_found"
    noun = "directory"


class RequestNotFoundError(NotFoundError):
    """No request with this id waits for an answer: it may have its end already."""

    code = "request.not_found"
    noun = "pending request"


class ApprovalNotFoundError(NotFoundError):
    """No saved approval has this id."""

    code = "approval.not_found"
    noun = "saved approval"


class AgentNotFoundError(NotFoundError):
    """No plugin or configuration offers an agent profile of this name."""

    code = "agent.not_found"
    noun = "agent profile"


class SkillNotFoundError(NotFoundError):
    """No skill of this name is offered in the Location."""

    code = "skill.not_found"
    noun = "skill"


# --- conflicts --------------------------------------------------------------------


class ConflictError(DovetailError):
    """The call contradicts what is already recorded. Nothing was changed."""

    code = "conflict"


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


class ContinuationChangedError(ConflictError):
    """The accepted Continuation Report is not the present one. Look again."""

    code = "continuation.changed"

    def __init__(self, session_id: str, accepted: str, current: str) -> None:
        super().__init__(
            f"the report {accepted!r} of session {session_id!r} is not the present "
            f"one, {current!r}; look at it again before accepting"
        )
        self.session_id = session_id
        self.accepted = accepted
        self.current = current


class SessionBusyError(ConflictError):
    """The session is running, and this may only be done to an idle one."""

    code = "session.busy"

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"session {session_id!r} is running; interrupt it or wait until it is idle"
        )
        self.session_id = session_id


# --- the event log ----------------------------------------------------------------


class EventLogError(DovetailError):
    """An event cannot be appended, replayed or read. ``aggregate`` and ``seq`` say
    which."""

    code = "event.failed"

    def __init__(self, aggregate: str, seq: int, problem: str) -> None:
        super().__init__(f"event {seq} of {aggregate!r}: {problem}")
        self.aggregate = aggregate
        self.seq = seq


class EventGapError(EventLogError):
    """A replayed event does not follow the last stored one."""

    code = "event.gap"


class EventDivergedError(EventLogError):
    """The same sequence number is stored with other content."""

    code = "event.diverged"


class EventAggregateError(EventLogError):
    """A replayed event belongs to another aggregate than it claims."""

    code = "event.wrong_aggregate"


class EventOwnerError(EventLogError):
    """The aggregate is replayed by another owner."""

    code = "event.foreign_owner"


class EventKindError(EventLogError):
    """No event of this kind is known. A newer release or a plugin may know it."""

    code = "event.unknown_kind"


class EventVersionError(EventLogError):
    """The kind is known, this version of it is not."""

    code = "event.unknown_version"


class EventDamagedError(EventLogError):
    """A stored event does not decode, or breaks the hash chain."""

    code = "event.damaged"


class LiveOverflowError(DovetailError):
    """A live subscriber fell behind and was dropped; nobody else was.

    Durable events are not lost: read them with ``session.events(after=cursor)``.
    """

    code = "live.overflow"

    def __init__(self, capacity: int) -> None:
        super().__init__(
            f"this subscriber fell more than {capacity} events behind; "
            "read on from its last cursor"
        )
        self.capacity = capacity


# --- execution --------------------------------------------------------------------


class OwnerFencedError(DovetailError):
    """Another worker owns the session's execution now. Stop; nothing was written."""

    code = "owner.fenced"

    def __init__(self, session_id: str, fence: int, current: int) -> None:
        super().__init__(
            f"execution of session {session_id!r} moved on: this owner holds fence "
            f"{fence}, the current one is {current}"
        )
        self.session_id = session_id
        self.fence = fence
        self.current = current


class ExecutionInterruptedError(DovetailError):
    """The execution was interrupted. It can be resumed."""

    code = "execution.interrupted"

    def __init__(self, reason: str = "interrupted") -> None:
        super().__init__(f"the execution was interrupted ({reason})")
        self.reason = reason


# --- models and providers ---------------------------------------------------------


class ModelError(DovetailError):
    """A model cannot be used."""

    code = "model.failed"


class ModelNotSelectedError(ModelError):
    """Neither the session, its agent nor the configuration names a model."""

    code = "model.not_selected"

    def __init__(self) -> None:
        super().__init__(
            "no model is selected: give the session a model such as "
            "'openai/gpt-5.2', or set `model` in dovetail.toml"
        )


class ModelUnknownError(ModelError):
    """No provider in the Location serves ``model``."""

    code = "model.unknown"

    def __init__(self, model: str, known: Sequence[str] = ()) -> None:
        offered = ", ".join(repr(name) for name in known[:8])
        tail = f"; offered here: {offered}" if offered else "; no provider is offered"
        super().__init__(f"model {model!r} is not offered (use provider/model){tail}")
        self.model = model


ProviderFault = Literal[
    "provider.authentication",
    "provider.key_missing",
    "provider.rate_limited",
    "provider.quota",
    "provider.invalid_request",
    "provider.context_overflow",
    "provider.content_refused",
    "provider.unavailable",
    "provider.unreachable",
    "provider.stream_broken",
    "provider.invalid_output",
    "provider.failed",
]


class ProviderError(ModelError):
    """A provider refused, failed or broke off.

    ``code`` says which fault it is: ``provider.authentication`` (401, 403),
    ``key_missing`` (no key is configured), ``rate_limited`` (429), ``quota`` (429 or
    402: paying would help, waiting would not), ``invalid_request`` (other 4xx),
    ``context_overflow`` (too much input), ``content_refused``, ``unavailable`` (5xx),
    ``unreachable`` (no connection), ``stream_broken`` (a response that broke off),
    ``invalid_output`` (a response that breaks the protocol) and ``failed``.
    ``status`` is the HTTP status or None, ``retry_after`` the provider's own advice in
    seconds or None, ``retryable`` whether the same request may succeed later.
    """

    code = "provider.failed"

    def __init__(
        self,
        fault: ProviderFault,
        provider: str,
        problem: str,
        *,
        status: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        answered = f" answered {status}" if status is not None else ""
        super().__init__(f"provider {provider!r}{answered}: {problem}")
        self.code = fault
        self.provider = provider
        self.problem = problem
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after


# --- tools ------------------------------------------------------------------------


class ToolError(DovetailError):
    """A tool call did not succeed. The model is told the message."""

    code = "tool.error"


class ToolFailure(ToolError):
    """Raise this in a tool for an expected failure; the model reads the text."""

    code = "tool.failed"


class ToolUnknownError(ToolError):
    """The model called a tool that was not advertised in that request."""

    code = "tool.unknown"

    def __init__(self, name: str, offered: Sequence[str] = ()) -> None:
        tail = f"; offered: {', '.join(offered)}" if offered else ""
        super().__init__(f"there is no tool {name!r}{tail}")
        self.name = name


class ToolStaleError(ToolError):
    """The advertised tool was closed or replaced before the call could start."""

    code = "tool.stale"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"tool {name!r} was replaced or removed after it was advertised; "
            "call it again if it is still offered"
        )
        self.name = name


class ToolInputError(ToolError):
    """The arguments do not fit the tool's input type; the executor never ran."""

    code = "tool.input_invalid"

    def __init__(self, name: str, problems: Sequence[str]) -> None:
        super().__init__(f"invalid input for {name!r}: " + "; ".join(problems))
        self.name = name
        self.problems = tuple(problems)


class ToolOutputError(ToolError):
    """The tool returned something that is not of its output type."""

    code = "tool.output_invalid"

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"tool {name!r} returned an invalid output: {problem}")
        self.name = name


class ToolDefinitionError(ToolError):
    """A tool cannot be registered: its name or one of its types is not usable."""

    code = "tool.definition_invalid"

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"tool {name!r} cannot be registered: {problem}")
        self.name = name


# --- access -----------------------------------------------------------------------


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
    """The person said no. ``advice`` is what they said to do instead, or None."""

    code = "permission.rejected"

    def __init__(
        self, action: str, resources: Sequence[str], advice: str | None = None
    ) -> None:
        super().__init__(action, resources, advice or "rejected by the person")
        self.advice = advice


# --- plugins and context ----------------------------------------------------------


class PluginError(DovetailError):
    """A plugin did something wrong; everything else goes on without it.

    ``plugin``, ``hook`` and ``location`` name the culprit (law plugins.1).
    """

    code = "plugin.failed"

    def __init__(
        self,
        plugin: str,
        problem: str,
        *,
        hook: str | None = None,
        location: str | None = None,
    ) -> None:
        where = f" in {hook}" if hook else ""
        place = f" at {location}" if location else ""
        super().__init__(f"plugin {plugin!r}{where}{place}: {problem}")
        self.plugin = plugin
        self.hook = hook
        self.location = location


class PluginImportError(PluginError):
    """The plugin's module cannot be imported."""

    code = "plugin.import_failed"


class PluginInvalidError(PluginError):
    """The plugin's hooks do not fit the hook specifications."""

    code = "plugin.invalid"


class PluginNotFoundError(NotFoundError):
    """No plugin of this name is loaded."""

    code = "plugin.not_found"
    noun = "plugin"


class ContextUnavailableError(DovetailError):
    """A Context Source cannot be observed now; it is never read as removed."""

    code = "context.unavailable"

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"context source {key!r} cannot be observed: {problem}")
        self.key = key
        self.problem = problem


# --- the store --------------------------------------------------------------------


class StoreError(DovetailError):
    """The store could not do it. What was confirmed before stays confirmed."""

    code = "store.failed"

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"store {where}: {problem}")
        self.where = where
        self.problem = problem


class StoreUnknownError(StoreError):
    """No plugin opens stores of this kind of URL."""

    code = "store.unknown_url"


class StoreLockedError(StoreError):
    """Another process kept the store locked for longer than ``waited`` seconds."""

    code = "store.locked"

    def __init__(self, where: str, waited: float) -> None:
        super().__init__(where, f"locked by another process for over {waited:g} s")
        self.waited = waited


class StoreFullError(StoreError):
    """The disk is full. Nothing of this transaction was kept."""

    code = "store.full"


class StoreReadOnlyError(StoreError):
    """The file or its folder cannot be written."""

    code = "store.read_only"


class StoreDamagedError(StoreError):
    """The file is damaged: what it holds cannot be read as a database."""

    code = "store.damaged"


class StoreForeignError(StoreError):
    """The file is a database of another program; it was not touched."""

    code = "store.foreign"


class StoreNewerError(StoreError):
    """A newer release wrote this file; this one would not understand it."""

    code = "store.newer"


class StoreMigrationError(StoreError):
    """A migration failed and the file is as it was. ``step`` names it."""

    code = "store.migration_failed"

    def __init__(self, where: str, step: str, problem: str) -> None:
        super().__init__(where, f"migration {step} failed and was undone: {problem}")
        self.step = step


class StoreClosedError(StoreError):
    """The store was closed."""

    code = "store.closed"

    def __init__(self, where: str) -> None:
        super().__init__(where, "closed")


class RuntimeClosedError(DovetailError):
    """The runtime was closed; open a new one."""

    code = "runtime.closed"

    def __init__(self) -> None:
        super().__init__("the runtime is closed")


def problem_of(error: BaseException) -> Mapping[str, str]:
    """Return an error as the ``code`` and ``message`` that records and doors show."""
    if isinstance(error, DovetailError):
        return {"code": error.code, "message": str(error)}
    name = type(error).__name__
    return {"code": "internal", "message": f"{name}: {error}" if str(error) else name}
