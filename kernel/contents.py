"""The public names of the kernel, each once, beside the module that it lives in.

These are the imports that type checkers and editors follow. Nobody imports this module
at run time: ``lazy`` reads it, and imports a name's module when the name is wanted.
"""

from .access.approvals import (
    ApprovalKind as ApprovalKind,
    ApprovalPattern as ApprovalPattern,
    ApprovalScope as ApprovalScope,
    SavedApproval as SavedApproval,
    Saving as Saving,
)
from .access.request import (
    PermissionAnswer as PermissionAnswer,
    PermissionBody as PermissionBody,
    PermissionRequest as PermissionRequest,
    RestingOn as RestingOn,
)
from .access.rules import (
    WorkingFolder as WorkingFolder,
    decide as decide,
    to_be_allowed as to_be_allowed,
)
from .configuration.database import (
    DATABASE_VARIABLE as DATABASE_VARIABLE,
    default_database_url as default_database_url,
)
from .configuration.front_matter import (
    UnreadableKey as UnreadableKey,
    read_front_matter as read_front_matter,
)
from .configuration.keys import (
    Keys as Keys,
)
from .configuration.merging import (
    Configuration as Configuration,
)
from .configuration.skill_file import (
    is_skill_name as is_skill_name,
    read_skill as read_skill,
)
from .context.looks import (
    Looks as Looks,
)
from .context.registry import (
    SourceState as SourceState,
)
from .contracts import (
    Action as Action,
    AgentProblem as AgentProblem,
    AgentProfile as AgentProfile,
    BlockingToolContext as BlockingToolContext,
    CallChildren as CallChildren,
    CallJobs as CallJobs,
    CallNotice as CallNotice,
    ChildAnswer as ChildAnswer,
    Command as Command,
    CompactionStrategy as CompactionStrategy,
    CompactionWork as CompactionWork,
    ContextSource as ContextSource,
    Contribution as Contribution,
    Credential as Credential,
    Credentials as Credentials,
    CredentialSource as CredentialSource,
    DetachWanted as DetachWanted,
    Editor as Editor,
    JobWork as JobWork,
    ModelFacts as ModelFacts,
    NoCredentials as NoCredentials,
    Observation as Observation,
    PermissionQuestion as PermissionQuestion,
    Place as Place,
    PromptArgument as PromptArgument,
    PromptCommand as PromptCommand,
    PromptSource as PromptSource,
    Provider as Provider,
    ProviderCredential as ProviderCredential,
    ProviderProtocol as ProviderProtocol,
    ProviderRoute as ProviderRoute,
    Register as Register,
    ResourceKind as ResourceKind,
    Restoration as Restoration,
    Rule as Rule,
    RuleEffect as RuleEffect,
    SessionSource as SessionSource,
    SessionView as SessionView,
    Skill as Skill,
    SkillProblem as SkillProblem,
    SkillSource as SkillSource,
    Tap as Tap,
    Tool as Tool,
    ToolContext as ToolContext,
    layer_of as layer_of,
)
from .execution.continuation import (
    ContinuationReport as ContinuationReport,
    Moved as Moved,
    OpenCall as OpenCall,
    OpenJob as OpenJob,
)
from .execution.coordinator import (
    Outcome as Outcome,
)
from .execution.restoring import (
    FileRestore as FileRestore,
    UnsureCall as UnsureCall,
)
from .hookspecs import (
    PROJECT as PROJECT,
    Hooks as Hooks,
    hookimpl as hookimpl,
)
from .location.handles import (
    LocationHandle as LocationHandle,
    PermissionsHandle as PermissionsHandle,
    PluginsHandle as PluginsHandle,
    QuestionsHandle as QuestionsHandle,
)
from .location.requests import (
    PendingRequest as PendingRequest,
    RequestsHandle as RequestsHandle,
)
from .location.shipped import (
    DEFAULT_AGENT as DEFAULT_AGENT,
)
from .log.lineage import (
    Span as Span,
)
from .log.live import (
    LiveLines as LiveLines,
    LiveSubscription as LiveSubscription,
)
from .log.reading import (
    UnreadableEvent as UnreadableEvent,
)
from .log.tail import (
    Placed as Placed,
    RuntimeTail as RuntimeTail,
    Tail as Tail,
    Written as Written,
)
from .models.catalog import (
    ProviderState as ProviderState,
)
from .models.retry import (
    RetryPolicy as RetryPolicy,
)
from .plugins.budgets import (
    HookLimits as HookLimits,
)
from .plugins.instance import (
    LocationPlugin as LocationPlugin,
)
from .plugins.loader import (
    load_plugins as load_plugins,
    missing_requirements as missing_requirements,
)
from .plugins.object import (
    PluginState as PluginState,
)
from .plugins.set import (
    PluginSet as PluginSet,
)
from .ports.blobs import (
    BlobReader as BlobReader,
    BlobWriter as BlobWriter,
)
from .ports.log import (
    LogReader as LogReader,
    LogWriter as LogWriter,
)
from .ports.operational import (
    OperationalReader as OperationalReader,
    OperationalWriter as OperationalWriter,
)
from .ports.projections import (
    ProjectionReader as ProjectionReader,
    ProjectionWriter as ProjectionWriter,
)
from .ports.rows import (
    AdmissionRow as AdmissionRow,
    ApprovalRow as ApprovalRow,
    EpochRow as EpochRow,
    EventRecord as EventRecord,
    Head as Head,
    InputRow as InputRow,
    JobRow as JobRow,
    LeaseRow as LeaseRow,
    MessageRow as MessageRow,
    OutputRow as OutputRow,
    RequestRow as RequestRow,
    RowCounts as RowCounts,
    SessionRow as SessionRow,
    SettledRow as SettledRow,
    StoredFact as StoredFact,
)
from .ports.store import (
    Reader as Reader,
    Store as Store,
    Transaction as Transaction,
)
from .requests.questions import (
    OnQuestion as OnQuestion,
    QuestionBody as QuestionBody,
    QuestionReply as QuestionReply,
    QuestionRequest as QuestionRequest,
)
from .runtime import (
    OnPermission as OnPermission,
    Resume as Resume,
    Runtime as Runtime,
    open_runtime as open_runtime,
)
from .sessions.epochs import (
    ContextEpoch as ContextEpoch,
    ContextUpdate as ContextUpdate,
    UnavailableSource as UnavailableSource,
)
from .sessions.info import (
    SessionInfo as SessionInfo,
)
from .sessions.pages import (
    Page as Page,
)
from .sessions.reverting import (
    Reverted as Reverted,
    RevertPlan as RevertPlan,
)
from .sessions.sent import (
    RebuiltRequest as RebuiltRequest,
    RecordedRequest as RecordedRequest,
)
from .sessions.session import (
    Session as Session,
)
from .sessions.sessions import (
    Sessions as Sessions,
)
from .sessions.spending import (
    Spending as Spending,
)
from .tools.images import (
    MAX_IMAGE_SOURCE as MAX_IMAGE_SOURCE,
    FittedImage as FittedImage,
    ImageRefusedError as ImageRefusedError,
    fit_image as fit_image,
    image_type as image_type,
)
from .tools.schema import (
    input_decoder as input_decoder,
    input_schema as input_schema,
    shared_schemas as shared_schemas,
)
from .upkeep.outputs import (
    ExportedOutput as ExportedOutput,
)
from .upkeep.removal import (
    Removed as Removed,
)
from .upkeep.replay import (
    Export as Export,
    ExportedEvent as ExportedEvent,
    Replayed as Replayed,
    exported_from_line as exported_from_line,
)
from .upkeep.retention import (
    Pruned as Pruned,
)
from .upkeep.verification import (
    Repaired as Repaired,
    Verified as Verified,
)
from .values.clock import (
    Clock as Clock,
)
from .values.codec import (
    clean_text as clean_text,
    from_json as from_json,
    loads_exact as loads_exact,
    sanitised as sanitised,
    to_json as to_json,
)
from .values.encoding import (
    text_encoding as text_encoding,
)
from .values.errors import (
    CONTINUATION_UNACCEPTED as CONTINUATION_UNACCEPTED,
    AgentNotFoundError as AgentNotFoundError,
    ApprovalNotFoundError as ApprovalNotFoundError,
    CallNotDetachableError as CallNotDetachableError,
    ChildLimitError as ChildLimitError,
    ConfigurationError as ConfigurationError,
    ConfigurationUntrustedError as ConfigurationUntrustedError,
    ConflictError as ConflictError,
    ContextUnavailableError as ContextUnavailableError,
    ContinuationChangedError as ContinuationChangedError,
    CursorInvalidError as CursorInvalidError,
    DovetailError as DovetailError,
    EventAggregateError as EventAggregateError,
    EventDamagedError as EventDamagedError,
    EventDivergedError as EventDivergedError,
    EventGapError as EventGapError,
    EventKindError as EventKindError,
    EventLogError as EventLogError,
    EventOwnerError as EventOwnerError,
    EventUnwritableError as EventUnwritableError,
    EventVersionError as EventVersionError,
    ForkPointError as ForkPointError,
    FrontMatterError as FrontMatterError,
    InputNotFoundError as InputNotFoundError,
    InputNotPendingError as InputNotPendingError,
    InvalidValueError as InvalidValueError,
    JobLimitError as JobLimitError,
    JobNotFoundError as JobNotFoundError,
    JobUnmanagedError as JobUnmanagedError,
    KeyInvalidError as KeyInvalidError,
    LiveOverflowError as LiveOverflowError,
    LocationNotFoundError as LocationNotFoundError,
    MediaTooLargeError as MediaTooLargeError,
    MediaUnsupportedError as MediaUnsupportedError,
    MessageNotFoundError as MessageNotFoundError,
    MessageSharedError as MessageSharedError,
    ModelError as ModelError,
    ModelFactsError as ModelFactsError,
    ModelNotSelectedError as ModelNotSelectedError,
    ModelUnknownError as ModelUnknownError,
    NotFoundError as NotFoundError,
    NothingRevertedError as NothingRevertedError,
    NotOnTapeError as NotOnTapeError,
    OutputCleanedError as OutputCleanedError,
    OutputInvalidError as OutputInvalidError,
    OutputNotFoundError as OutputNotFoundError,
    OwnerFencedError as OwnerFencedError,
    PermissionDeniedError as PermissionDeniedError,
    PermissionRejectedError as PermissionRejectedError,
    PluginError as PluginError,
    PluginImportError as PluginImportError,
    PluginInvalidError as PluginInvalidError,
    PluginNotFoundError as PluginNotFoundError,
    Problem as Problem,
    PromptConflictError as PromptConflictError,
    PromptInvalidError as PromptInvalidError,
    ProviderError as ProviderError,
    ProviderFault as ProviderFault,
    QuestionDismissedError as QuestionDismissedError,
    RequestChangedError as RequestChangedError,
    RequestEndedError as RequestEndedError,
    RequestNotFoundError as RequestNotFoundError,
    RowDamagedError as RowDamagedError,
    RuntimeClosedError as RuntimeClosedError,
    SentRequestLostError as SentRequestLostError,
    SentRequestNotFoundError as SentRequestNotFoundError,
    ServerAnswerError as ServerAnswerError,
    ServerAnswerTooLargeError as ServerAnswerTooLargeError,
    ServerError as ServerError,
    ServerLogError as ServerLogError,
    ServerUnreachableError as ServerUnreachableError,
    SessionAmbiguousError as SessionAmbiguousError,
    SessionBusyError as SessionBusyError,
    SessionNotFoundError as SessionNotFoundError,
    SessionPastMissingError as SessionPastMissingError,
    SessionRemovedError as SessionRemovedError,
    SessionSharedError as SessionSharedError,
    SkillNotFoundError as SkillNotFoundError,
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
    TapeDamagedError as TapeDamagedError,
    TapeError as TapeError,
    ToolCancelledError as ToolCancelledError,
    ToolDefinitionError as ToolDefinitionError,
    ToolError as ToolError,
    ToolFailure as ToolFailure,
    ToolInputError as ToolInputError,
    ToolOutputError as ToolOutputError,
    ToolStaleError as ToolStaleError,
    ToolUnknownError as ToolUnknownError,
    UndecodableError as UndecodableError,
    ValueNotGivenError as ValueNotGivenError,
    errors_in as errors_in,
    first_of as first_of,
    problem_of as problem_of,
    raised as raised,
)
from .values.events import (
    NO_HASH as NO_HASH,
    AgentSwitched as AgentSwitched,
    AvailabilityChanged as AvailabilityChanged,
    ChildAsked as ChildAsked,
    ChildSpent as ChildSpent,
    CompactionEnded as CompactionEnded,
    CompactionFailed as CompactionFailed,
    CompactionReason as CompactionReason,
    CompactionRequested as CompactionRequested,
    CompactionStarted as CompactionStarted,
    ContextUpdated as ContextUpdated,
    ContinuationAccepted as ContinuationAccepted,
    ContinuationReported as ContinuationReported,
    EpochStarted as EpochStarted,
    Event as Event,
    EventSetAside as EventSetAside,
    ExecutionEnded as ExecutionEnded,
    ExecutionStarted as ExecutionStarted,
    FactsRecorded as FactsRecorded,
    FallbackSet as FallbackSet,
    FileMade as FileMade,
    FilesRestored as FilesRestored,
    GenerationSet as GenerationSet,
    JobEnded as JobEnded,
    JobStarted as JobStarted,
    JobWanted as JobWanted,
    LeftOut as LeftOut,
    LiveDelta as LiveDelta,
    LiveEvent as LiveEvent,
    ModelFellBack as ModelFellBack,
    ModelSwitched as ModelSwitched,
    NoticeAdded as NoticeAdded,
    OutcomeStatus as OutcomeStatus,
    OutputAccepted as OutputAccepted,
    OutputRefused as OutputRefused,
    OutputsShortened as OutputsShortened,
    PermissionReply as PermissionReply,
    PluginDisabled as PluginDisabled,
    PromptAdmitted as PromptAdmitted,
    PromptPromoted as PromptPromoted,
    PromptRedelivered as PromptRedelivered,
    PromptWithdrawn as PromptWithdrawn,
    ReasoningEnded as ReasoningEnded,
    RequestAnswered as RequestAnswered,
    RequestAsked as RequestAsked,
    RequestOutcome as RequestOutcome,
    Retention as Retention,
    RetryScheduled as RetryScheduled,
    SessionBudgeted as SessionBudgeted,
    SessionCreated as SessionCreated,
    SessionInstructed as SessionInstructed,
    SessionMoved as SessionMoved,
    SessionPruned as SessionPruned,
    SessionRemoved as SessionRemoved,
    SessionRepaired as SessionRepaired,
    SessionReverted as SessionReverted,
    SessionTitled as SessionTitled,
    SessionUnreverted as SessionUnreverted,
    StepEnded as StepEnded,
    StepFailed as StepFailed,
    StepStarted as StepStarted,
    TextEnded as TextEnded,
    TitleFailed as TitleFailed,
    TodosReplaced as TodosReplaced,
    ToolCalled as ToolCalled,
    ToolFailed as ToolFailed,
    ToolProceeded as ToolProceeded,
    ToolSpawned as ToolSpawned,
    ToolStarted as ToolStarted,
    ToolSucceeded as ToolSucceeded,
    UserWords as UserWords,
    event_from_json as event_from_json,
    event_to_json as event_to_json,
    kinds as kinds,
)
from .values.generation import (
    Generation as Generation,
    NamedTool as NamedTool,
    ReasoningEffort as ReasoningEffort,
    ToolChoice as ToolChoice,
)
from .values.grant import (
    Grant as Grant,
)
from .values.ids import (
    JobId as JobId,
    MessageId as MessageId,
    RequestId as RequestId,
    SessionId as SessionId,
)
from .values.job import (
    Job as Job,
    JobEnd as JobEnd,
    JobEnding as JobEnding,
    JobState as JobState,
)
from .values.json_schema import (
    problems_with as problems_with,
    understood_schema as understood_schema,
)
from .values.location import (
    Location as Location,
)
from .values.media import (
    ability_for as ability_for,
)
from .values.messages import (
    AssistantMessage as AssistantMessage,
    Citation as Citation,
    FilePart as FilePart,
    Message as Message,
    NoticeMessage as NoticeMessage,
    Part as Part,
    ReasoningPart as ReasoningPart,
    SummaryMessage as SummaryMessage,
    TextPart as TextPart,
    ToolPart as ToolPart,
    Usage as Usage,
    UserMessage as UserMessage,
)
from .values.money import (
    added_cost as added_cost,
)
from .values.output import (
    Output as Output,
    OutputMode as OutputMode,
)
from .values.outputs import (
    CleanedOutputs as CleanedOutputs,
    OutputPolicy as OutputPolicy,
)
from .values.prompt import (
    AdmittedPrompt as AdmittedPrompt,
    Budget as Budget,
    Delivery as Delivery,
    Input as Input,
    InputState as InputState,
    Prompt as Prompt,
    PromptFile as PromptFile,
)
from .values.question import (
    Question as Question,
    QuestionAnswer as QuestionAnswer,
    QuestionOption as QuestionOption,
)
from .values.request import (
    AnswerLimits as AnswerLimits,
    Finish as Finish,
    FinishReason as FinishReason,
    ModelEvent as ModelEvent,
    ModelFile as ModelFile,
    ModelInfo as ModelInfo,
    ModelRequest as ModelRequest,
    Price as Price,
    PriceAbove as PriceAbove,
    ReasoningDelta as ReasoningDelta,
    ReasoningEnd as ReasoningEnd,
    RequestHistory as RequestHistory,
    TextDelta as TextDelta,
    TextEnd as TextEnd,
    ToolCall as ToolCall,
    ToolInputDelta as ToolInputDelta,
)
from .values.secrets import (
    Redactor as Redactor,
)
from .values.sent import (
    AskedText as AskedText,
    RequestBody as RequestBody,
    RequestDescription as RequestDescription,
    SentRequest as SentRequest,
)
from .values.titles import (
    title_of as title_of,
)
from .values.todo import (
    Todo as Todo,
    TodoPriority as TodoPriority,
    TodoState as TodoState,
)
from .values.tool import (
    CallState as CallState,
    Content as Content,
    Deed as Deed,
    EffectClass as EffectClass,
    Failure as Failure,
    FileChange as FileChange,
    FileContent as FileContent,
    Json as Json,
    ManagedPage as ManagedPage,
    ProcessMark as ProcessMark,
    TextContent as TextContent,
    ToolDefinition as ToolDefinition,
    effect_token as effect_token,
)
