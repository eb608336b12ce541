"""Every error that dovetail raises on purpose, in one tree.

::

    DovetailError
    +-- InvalidValueError            value.invalid
    |   +-- PromptInvalidError       prompt.invalid
    |   +-- KeyInvalidError          prompt.key_invalid
    |   +-- ForkPointError           session.fork_point
    |   +-- CursorInvalidError       cursor.invalid
    |   +-- SessionAmbiguousError    session.ambiguous
    |   +-- UndecodableError         value.undecodable
    |   +-- FrontMatterError         front_matter.invalid
    |   +-- ConfigurationError       config.invalid
    |       +-- ConfigurationUntrustedError  config.untrusted
    +-- NotFoundError
    |   +-- SessionNotFoundError     session.not_found
    |   |   +-- SessionRemovedError  session.removed
    |   +-- MessageNotFoundError     message.not_found
    |   +-- OutputNotFoundError      output.not_found
    |   |   +-- OutputCleanedError   output.cleaned
    |   +-- InputNotFoundError       input.not_found
    |   +-- SentRequestNotFoundError sent_request.not_found
    |   +-- LocationNotFoundError    location.not_found
    |   +-- RequestNotFoundError     request.not_found
    |   |   +-- RequestEndedError    request.ended
    |   +-- ApprovalNotFoundError    approval.not_found
    |   +-- JobNotFoundError         job.not_found
    |   +-- AgentNotFoundError       agent.not_found
    |   +-- SkillNotFoundError       skill.not_found
    |   +-- ValueNotGivenError       output.not_given
    |   +-- PluginNotFoundError      plugin.not_found
    +-- ConflictError
    |   +-- PromptConflictError      prompt.conflict
    |   +-- InputNotPendingError     input.not_pending
    |   +-- RequestChangedError      request.changed
    |   +-- ContinuationChangedError continuation.changed
    |   +-- SessionBusyError         session.busy
    |   +-- SessionSharedError       session.shared
    |   +-- MessageSharedError       session.message_shared
    |   +-- NothingRevertedError     session.nothing_reverted
    |   +-- JobLimitError            job.limit
    |   +-- JobUnmanagedError        job.unmanaged
    |   +-- CallNotDetachableError   job.not_detachable
    |   +-- ChildLimitError          child.limit
    +-- EventLogError
    |   +-- EventGapError            event.gap
    |   +-- EventDivergedError       event.diverged
    |   +-- EventAggregateError      event.wrong_aggregate
    |   +-- EventOwnerError          event.foreign_owner
    |   +-- EventKindError           event.unknown_kind
    |   +-- EventUnwritableError     event.unwritable
    |   +-- EventVersionError        event.unknown_version
    |   +-- EventDamagedError        event.damaged
    +-- RowDamagedError              row.damaged
    +-- LiveOverflowError            live.overflow
    +-- OwnerFencedError             owner.fenced
    +-- SentRequestLostError         sent_request.lost
    +-- SessionPastMissingError      session.past_missing
    +-- ModelError
    |   +-- ModelFactsError          model.facts
    |   +-- ModelNotSelectedError    model.not_selected
    |   +-- ModelUnknownError        model.unknown
    |   +-- OutputInvalidError       output.invalid
    |   +-- MediaUnsupportedError    media.unsupported
    |   +-- MediaTooLargeError       media.too_large
    |   +-- ProviderError            provider.* (see ProviderFault)
    +-- ToolError
    |   +-- ToolFailure              tool.failed
    |   +-- ToolUnknownError         tool.unknown
    |   +-- ToolStaleError           tool.stale
    |   +-- ToolCancelledError       tool.cancelled
    |   +-- ToolInputError           tool.input_invalid
    |   +-- ToolOutputError          tool.output_invalid
    |   +-- ToolDefinitionError      tool.definition_invalid
    +-- PermissionDeniedError        permission.denied
    |   +-- PermissionRejectedError  permission.rejected
    +-- QuestionDismissedError       question.dismissed
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
    |   +-- StoreVersionError        store.other_version
    |   +-- StoreMigrationError      store.migration_failed
    |   +-- StoreClosedError         store.closed
    +-- TapeError                    tape.failed
    |   +-- TapeDamagedError         tape.damaged
    |   +-- NotOnTapeError           tape.no_such_request
    +-- ServerError                  server.failed
    |   +-- ServerUnreachableError   server.unreachable
    |   +-- ServerAnswerError        server.answer_invalid
    |       +-- ServerAnswerTooLargeError  server.answer_too_large
    |       +-- ServerLogError       server.log_broken
    +-- RuntimeClosedError           runtime.closed

The ``code`` of a class is a promise and the same at every door; the wording is not.
Constructors take facts, keep them as attributes and build the sentence. No message
ever contains a secret (law access.6).
"""

from .base import (
    MAX_PROBLEM as MAX_PROBLEM,
    ConflictError as ConflictError,
    CursorInvalidError as CursorInvalidError,
    DovetailError as DovetailError,
    InvalidValueError as InvalidValueError,
    LocationNotFoundError as LocationNotFoundError,
    NotFoundError as NotFoundError,
    Problem as Problem,
    RuntimeClosedError as RuntimeClosedError,
    UndecodableError as UndecodableError,
    error_text as error_text,
    errors_in as errors_in,
    first_of as first_of,
    problem_of as problem_of,
    raised as raised,
)
from .configuration import (
    ConfigurationError as ConfigurationError,
    ConfigurationUntrustedError as ConfigurationUntrustedError,
    FrontMatterError as FrontMatterError,
)
from .context import (
    AgentNotFoundError as AgentNotFoundError,
    ContextUnavailableError as ContextUnavailableError,
    SkillNotFoundError as SkillNotFoundError,
)
from .execution import (
    CONTINUATION_UNACCEPTED as CONTINUATION_UNACCEPTED,
    EXECUTION_INTERRUPTED as EXECUTION_INTERRUPTED,
    ContinuationChangedError as ContinuationChangedError,
    OwnerFencedError as OwnerFencedError,
)
from .jobs import (
    CallNotDetachableError as CallNotDetachableError,
    ChildLimitError as ChildLimitError,
    JobLimitError as JobLimitError,
    JobNotFoundError as JobNotFoundError,
    JobUnmanagedError as JobUnmanagedError,
)
from .log import (
    EventAggregateError as EventAggregateError,
    EventDamagedError as EventDamagedError,
    EventDivergedError as EventDivergedError,
    EventGapError as EventGapError,
    EventKindError as EventKindError,
    EventLogError as EventLogError,
    EventOwnerError as EventOwnerError,
    EventUnwritableError as EventUnwritableError,
    EventVersionError as EventVersionError,
    LiveOverflowError as LiveOverflowError,
    RowDamagedError as RowDamagedError,
)
from .models import (
    MediaTooLargeError as MediaTooLargeError,
    MediaUnsupportedError as MediaUnsupportedError,
    ModelError as ModelError,
    ModelFactsError as ModelFactsError,
    ModelNotSelectedError as ModelNotSelectedError,
    ModelUnknownError as ModelUnknownError,
    OutputInvalidError as OutputInvalidError,
    ProviderError as ProviderError,
    ProviderFault as ProviderFault,
    ValueNotGivenError as ValueNotGivenError,
)
from .plugins import (
    PluginError as PluginError,
    PluginImportError as PluginImportError,
    PluginInvalidError as PluginInvalidError,
    PluginNotFoundError as PluginNotFoundError,
)
from .requests import (
    ApprovalNotFoundError as ApprovalNotFoundError,
    PermissionDeniedError as PermissionDeniedError,
    PermissionRejectedError as PermissionRejectedError,
    QuestionDismissedError as QuestionDismissedError,
    RequestChangedError as RequestChangedError,
    RequestEndedError as RequestEndedError,
    RequestNotFoundError as RequestNotFoundError,
)
from .server import (
    ServerAnswerError as ServerAnswerError,
    ServerAnswerTooLargeError as ServerAnswerTooLargeError,
    ServerError as ServerError,
    ServerLogError as ServerLogError,
    ServerUnreachableError as ServerUnreachableError,
)
from .sessions import (
    ForkPointError as ForkPointError,
    InputNotFoundError as InputNotFoundError,
    InputNotPendingError as InputNotPendingError,
    KeyInvalidError as KeyInvalidError,
    MessageNotFoundError as MessageNotFoundError,
    MessageSharedError as MessageSharedError,
    NothingRevertedError as NothingRevertedError,
    OutputCleanedError as OutputCleanedError,
    OutputNotFoundError as OutputNotFoundError,
    PromptConflictError as PromptConflictError,
    PromptInvalidError as PromptInvalidError,
    SentRequestLostError as SentRequestLostError,
    SentRequestNotFoundError as SentRequestNotFoundError,
    SessionAmbiguousError as SessionAmbiguousError,
    SessionBusyError as SessionBusyError,
    SessionNotFoundError as SessionNotFoundError,
    SessionPastMissingError as SessionPastMissingError,
    SessionRemovedError as SessionRemovedError,
    SessionSharedError as SessionSharedError,
)
from .store import (
    StoreClosedError as StoreClosedError,
    StoreDamagedError as StoreDamagedError,
    StoreError as StoreError,
    StoreForeignError as StoreForeignError,
    StoreFullError as StoreFullError,
    StoreLockedError as StoreLockedError,
    StoreMigrationError as StoreMigrationError,
    StoreNewerError as StoreNewerError,
    StoreReadOnlyError as StoreReadOnlyError,
    StoreUnknownError as StoreUnknownError,
    StoreVersionError as StoreVersionError,
)
from .tape import (
    NotOnTapeError as NotOnTapeError,
    TapeDamagedError as TapeDamagedError,
    TapeError as TapeError,
)
from .tools import (
    ToolCancelledError as ToolCancelledError,
    ToolDefinitionError as ToolDefinitionError,
    ToolError as ToolError,
    ToolFailure as ToolFailure,
    ToolInputError as ToolInputError,
    ToolOutputError as ToolOutputError,
    ToolStaleError as ToolStaleError,
    ToolUnknownError as ToolUnknownError,
)
