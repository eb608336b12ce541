"""Session events: the durable facts, their kinds and versions, and the live deltas.

Owns every kind that the kernel records, how each is encoded, and the hash that chains
them. Knows nothing of stores. A kind, once released, keeps its meaning; a change is a
new version with an upcaster from the one before (law events.6).

Content events name the message they belong to. A Step's beginning is durable and
small, deltas are live only, and each part is durable once, whole, when it is complete.
"""

from .children import (
    ChildAsked as ChildAsked,
    ChildSpent as ChildSpent,
)
from .compaction import (
    CompactionEnded as CompactionEnded,
    CompactionFailed as CompactionFailed,
    CompactionReason as CompactionReason,
    CompactionRequested as CompactionRequested,
    CompactionStarted as CompactionStarted,
    OutputsShortened as OutputsShortened,
    UserWords as UserWords,
)
from .context import (
    AvailabilityChanged as AvailabilityChanged,
    ContextUpdated as ContextUpdated,
    EpochStarted as EpochStarted,
    LeftOut as LeftOut,
    NoticeAdded as NoticeAdded,
)
from .declaring import (
    ENVELOPE as ENVELOPE,
    Event as Event,
    Retention as Retention,
    Upcaster as Upcaster,
    event as event,
    kinds as kinds,
    upcaster as upcaster,
)
from .encoding import (
    decode_event as decode_event,
    encode_event as encode_event,
    written_event as written_event,
)
from .execution import (
    ContinuationAccepted as ContinuationAccepted,
    ContinuationReported as ContinuationReported,
    ExecutionEnded as ExecutionEnded,
    ExecutionStarted as ExecutionStarted,
    FactsRecorded as FactsRecorded,
    ModelFellBack as ModelFellBack,
    OutcomeStatus as OutcomeStatus,
    ReasoningEnded as ReasoningEnded,
    RetryScheduled as RetryScheduled,
    StepEnded as StepEnded,
    StepFailed as StepFailed,
    StepStarted as StepStarted,
    TextEnded as TextEnded,
)
from .hashing import (
    NO_HASH as NO_HASH,
    chain_hash as chain_hash,
    payload_digest as payload_digest,
)
from .inbox import (
    PromptAdmitted as PromptAdmitted,
    PromptPromoted as PromptPromoted,
    PromptRedelivered as PromptRedelivered,
    PromptWithdrawn as PromptWithdrawn,
)
from .jobs import (
    JobEnded as JobEnded,
    JobStarted as JobStarted,
    JobWanted as JobWanted,
)
from .live import (
    LiveDelta as LiveDelta,
    LiveEvent as LiveEvent,
    event_from_json as event_from_json,
    event_to_json as event_to_json,
)
from .output import (
    FileMade as FileMade,
    OutputAccepted as OutputAccepted,
    OutputRefused as OutputRefused,
)
from .plugins import (
    PluginDisabled as PluginDisabled,
)
from .requests import (
    PermissionReply as PermissionReply,
    RequestAnswered as RequestAnswered,
    RequestAsked as RequestAsked,
    RequestOutcome as RequestOutcome,
)
from .session import (
    LOST_POLICY as LOST_POLICY,
    AgentSwitched as AgentSwitched,
    EventSetAside as EventSetAside,
    FallbackSet as FallbackSet,
    GenerationSet as GenerationSet,
    ModelSwitched as ModelSwitched,
    SessionBudgeted as SessionBudgeted,
    SessionCreated as SessionCreated,
    SessionInstructed as SessionInstructed,
    SessionMoved as SessionMoved,
    SessionPruned as SessionPruned,
    SessionRemoved as SessionRemoved,
    SessionRepaired as SessionRepaired,
    SessionTitled as SessionTitled,
    TitleFailed as TitleFailed,
)
from .todos import (
    TodosReplaced as TodosReplaced,
)
from .tools import (
    ToolCalled as ToolCalled,
    ToolFailed as ToolFailed,
    ToolProceeded as ToolProceeded,
    ToolSpawned as ToolSpawned,
    ToolStarted as ToolStarted,
    ToolSucceeded as ToolSucceeded,
)
from .travel import (
    FilesRestored as FilesRestored,
    SessionReverted as SessionReverted,
    SessionUnreverted as SessionUnreverted,
)
