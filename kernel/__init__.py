"""dovetail: durable sessions for AI agents. This page is the table of contents.

Every public name of the kernel is here, loaded on first use, so that importing
``dovetail.kernel`` stays cheap. The parts are described where they live; start with
``hookspecs`` (what a plugin may implement) and ``ports`` (what a store must keep).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .access.permissions import (
        PermissionRequest as PermissionRequest,
        SavedApproval as SavedApproval,
    )
    from .access.rules import (
        deciding_rule as deciding_rule,
    )
    from .configuration.table import (
        Configuration as Configuration,
    )
    from .contracts import (
        AgentProfile as AgentProfile,
        CallNotice as CallNotice,
        Command as Command,
        ContextSource as ContextSource,
        Observation as Observation,
        PermissionQuestion as PermissionQuestion,
        Place as Place,
        Provider as Provider,
        ProviderRoute as ProviderRoute,
        Register as Register,
        Rule as Rule,
        RuleEffect as RuleEffect,
        Skill as Skill,
        SkillProblem as SkillProblem,
        SkillSource as SkillSource,
        Tool as Tool,
        ToolContext as ToolContext,
    )
    from .execution.continuation import (
        ContinuationReport as ContinuationReport,
        Moved as Moved,
        OpenCall as OpenCall,
    )
    from .execution.coordinator import (
        Outcome as Outcome,
    )
    from .hookspecs import (
        PROJECT as PROJECT,
        Hooks as Hooks,
        hookimpl as hookimpl,
    )
    from .location.services import (
        DEFAULT_AGENT as DEFAULT_AGENT,
        LocationHandle as LocationHandle,
        PermissionsHandle as PermissionsHandle,
        PluginsHandle as PluginsHandle,
    )
    from .log.commit import (
        UnreadableEvent as UnreadableEvent,
    )
    from .log.live import (
        LiveLines as LiveLines,
        LiveSubscription as LiveSubscription,
    )
    from .log.tail import (
        Placed as Placed,
        RuntimeTail as RuntimeTail,
        Tail as Tail,
    )
    from .models.retry import (
        RetryPolicy as RetryPolicy,
    )
    from .plugins.instance import (
        HookLimits as HookLimits,
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
    from .ports import (
        Reader as Reader,
        Store as Store,
        Transaction as Transaction,
    )
    from .runtime import (
        Runtime as Runtime,
        open_runtime as open_runtime,
    )
    from .sessions.sessions import (
        Page as Page,
        Session as Session,
        SessionInfo as SessionInfo,
        Sessions as Sessions,
    )
    from .upkeep.replay import (
        Export as Export,
        ExportedEvent as ExportedEvent,
        Replayed as Replayed,
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
    from .values.errors import (
        AgentNotFoundError as AgentNotFoundError,
        ApprovalNotFoundError as ApprovalNotFoundError,
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
        EventVersionError as EventVersionError,
        ExecutionInterruptedError as ExecutionInterruptedError,
        InputNotFoundError as InputNotFoundError,
        InputNotPendingError as InputNotPendingError,
        InvalidValueError as InvalidValueError,
        KeyInvalidError as KeyInvalidError,
        LiveOverflowError as LiveOverflowError,
        LocationNotFoundError as LocationNotFoundError,
        MessageNotFoundError as MessageNotFoundError,
        ModelError as ModelError,
        ModelNotSelectedError as ModelNotSelectedError,
        ModelUnknownError as ModelUnknownError,
        NotFoundError as NotFoundError,
        OutputNotFoundError as OutputNotFoundError,
        OwnerFencedError as OwnerFencedError,
        PermissionDeniedError as PermissionDeniedError,
        PermissionNotFoundError as PermissionNotFoundError,
        PermissionRejectedError as PermissionRejectedError,
        PluginError as PluginError,
        PluginImportError as PluginImportError,
        PluginInvalidError as PluginInvalidError,
        PluginNotFoundError as PluginNotFoundError,
        PromptConflictError as PromptConflictError,
        PromptInvalidError as PromptInvalidError,
        ProviderError as ProviderError,
        ProviderFault as ProviderFault,
        RuntimeClosedError as RuntimeClosedError,
        SessionBusyError as SessionBusyError,
        SessionNotFoundError as SessionNotFoundError,
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
        ToolDefinitionError as ToolDefinitionError,
        ToolError as ToolError,
        ToolFailure as ToolFailure,
        ToolInputError as ToolInputError,
        ToolOutputError as ToolOutputError,
        ToolStaleError as ToolStaleError,
        ToolUnknownError as ToolUnknownError,
        UndecodableError as UndecodableError,
    )
    from .values.events import (
        AgentSwitched as AgentSwitched,
        ContextUpdated as ContextUpdated,
        ContinuationAccepted as ContinuationAccepted,
        ContinuationReported as ContinuationReported,
        EpochStarted as EpochStarted,
        Event as Event,
        EventSetAside as EventSetAside,
        ExecutionEnded as ExecutionEnded,
        ExecutionStarted as ExecutionStarted,
        FactsRecorded as FactsRecorded,
        LiveDelta as LiveDelta,
        LiveEvent as LiveEvent,
        ModelSwitched as ModelSwitched,
        NoticeAdded as NoticeAdded,
        OutcomeStatus as OutcomeStatus,
        PermissionAsked as PermissionAsked,
        PermissionReplied as PermissionReplied,
        PermissionReply as PermissionReply,
        PluginDisabled as PluginDisabled,
        PromptAdmitted as PromptAdmitted,
        PromptPromoted as PromptPromoted,
        PromptRedelivered as PromptRedelivered,
        PromptWithdrawn as PromptWithdrawn,
        ReasoningEnded as ReasoningEnded,
        Retention as Retention,
        RetryScheduled as RetryScheduled,
        SessionBudgeted as SessionBudgeted,
        SessionCreated as SessionCreated,
        SessionPruned as SessionPruned,
        SessionRepaired as SessionRepaired,
        SessionTitled as SessionTitled,
        StepEnded as StepEnded,
        StepFailed as StepFailed,
        StepStarted as StepStarted,
        TextEnded as TextEnded,
        ToolCalled as ToolCalled,
        ToolFailed as ToolFailed,
        ToolStarted as ToolStarted,
        ToolSucceeded as ToolSucceeded,
        event_to_json as event_to_json,
        kinds as kinds,
    )
    from .values.ids import (
        MessageId as MessageId,
        RequestId as RequestId,
        SessionId as SessionId,
    )
    from .values.location import (
        Location as Location,
    )
    from .values.messages import (
        AssistantMessage as AssistantMessage,
        Message as Message,
        NoticeMessage as NoticeMessage,
        Part as Part,
        ReasoningPart as ReasoningPart,
        TextPart as TextPart,
        ToolPart as ToolPart,
        Usage as Usage,
        UserMessage as UserMessage,
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
    from .values.request import (
        Finish as Finish,
        FinishReason as FinishReason,
        ModelEvent as ModelEvent,
        ModelInfo as ModelInfo,
        ModelRequest as ModelRequest,
        Price as Price,
        ReasoningDelta as ReasoningDelta,
        ReasoningEnd as ReasoningEnd,
        RequestHistory as RequestHistory,
        TextDelta as TextDelta,
        TextEnd as TextEnd,
        ToolCall as ToolCall,
        ToolInputDelta as ToolInputDelta,
    )
    from .values.tool import (
        CallState as CallState,
        Content as Content,
        EffectClass as EffectClass,
        Failure as Failure,
        FileContent as FileContent,
        Json as Json,
        ManagedPage as ManagedPage,
        TextContent as TextContent,
        ToolDefinition as ToolDefinition,
        effect_token as effect_token,
    )

_HOMES = {
    "access.permissions": (
        "PermissionRequest",
        "SavedApproval",
    ),
    "access.rules": ("deciding_rule",),
    "contracts": (
        "AgentProfile",
        "CallNotice",
        "Command",
        "ContextSource",
        "Observation",
        "PermissionQuestion",
        "Place",
        "Provider",
        "ProviderRoute",
        "Register",
        "Rule",
        "RuleEffect",
        "Skill",
        "SkillProblem",
        "SkillSource",
        "Tool",
        "ToolContext",
    ),
    "log.live": (
        "LiveLines",
        "LiveSubscription",
    ),
    "log.commit": ("UnreadableEvent",),
    "upkeep.replay": ("Export", "ExportedEvent", "Replayed"),
    "upkeep.retention": ("Pruned",),
    "log.tail": (
        "Placed",
        "RuntimeTail",
        "Tail",
    ),
    "upkeep.verification": ("Repaired", "Verified"),
    "hookspecs": (
        "Hooks",
        "PROJECT",
        "hookimpl",
    ),
    "configuration.table": ("Configuration",),
    "plugins.loader": (
        "load_plugins",
        "missing_requirements",
    ),
    "plugins.object": ("PluginState",),
    "plugins.set": ("PluginSet",),
    "models.retry": ("RetryPolicy",),
    "ports": (
        "Reader",
        "Store",
        "Transaction",
    ),
    "runtime": (
        "Runtime",
        "open_runtime",
    ),
    "execution.continuation": (
        "ContinuationReport",
        "Moved",
        "OpenCall",
    ),
    "execution.coordinator": ("Outcome",),
    "plugins.instance": (
        "HookLimits",
        "LocationPlugin",
    ),
    "location.services": (
        "DEFAULT_AGENT",
        "LocationHandle",
        "PermissionsHandle",
        "PluginsHandle",
    ),
    "sessions.sessions": (
        "Page",
        "Session",
        "SessionInfo",
        "Sessions",
    ),
    "values.clock": ("Clock",),
    "values.codec": (
        "clean_text",
        "from_json",
        "loads_exact",
        "sanitised",
        "to_json",
    ),
    "values.errors": (
        "AgentNotFoundError",
        "ApprovalNotFoundError",
        "ConfigurationError",
        "ConfigurationUntrustedError",
        "ConflictError",
        "ContextUnavailableError",
        "ContinuationChangedError",
        "CursorInvalidError",
        "DovetailError",
        "EventAggregateError",
        "EventDamagedError",
        "EventDivergedError",
        "EventGapError",
        "EventKindError",
        "EventLogError",
        "EventOwnerError",
        "EventVersionError",
        "ExecutionInterruptedError",
        "InputNotFoundError",
        "InputNotPendingError",
        "InvalidValueError",
        "KeyInvalidError",
        "LiveOverflowError",
        "LocationNotFoundError",
        "MessageNotFoundError",
        "ModelError",
        "ModelNotSelectedError",
        "ModelUnknownError",
        "NotFoundError",
        "OutputNotFoundError",
        "OwnerFencedError",
        "PermissionDeniedError",
        "PermissionNotFoundError",
        "PermissionRejectedError",
        "PluginError",
        "PluginImportError",
        "PluginInvalidError",
        "PluginNotFoundError",
        "PromptConflictError",
        "PromptInvalidError",
        "ProviderError",
        "ProviderFault",
        "RuntimeClosedError",
        "SessionBusyError",
        "SessionNotFoundError",
        "SkillNotFoundError",
        "StoreClosedError",
        "StoreDamagedError",
        "StoreError",
        "StoreForeignError",
        "StoreFullError",
        "StoreLockedError",
        "StoreMigrationError",
        "StoreNewerError",
        "StoreReadOnlyError",
        "StoreUnknownError",
        "ToolDefinitionError",
        "ToolError",
        "ToolFailure",
        "ToolInputError",
        "ToolOutputError",
        "ToolStaleError",
        "ToolUnknownError",
        "UndecodableError",
    ),
    "values.events": (
        "AgentSwitched",
        "ContextUpdated",
        "ContinuationAccepted",
        "ContinuationReported",
        "EpochStarted",
        "Event",
        "EventSetAside",
        "ExecutionEnded",
        "ExecutionStarted",
        "FactsRecorded",
        "LiveDelta",
        "LiveEvent",
        "ModelSwitched",
        "NoticeAdded",
        "OutcomeStatus",
        "PermissionAsked",
        "PermissionReplied",
        "PermissionReply",
        "PluginDisabled",
        "PromptAdmitted",
        "PromptPromoted",
        "PromptRedelivered",
        "PromptWithdrawn",
        "ReasoningEnded",
        "Retention",
        "RetryScheduled",
        "SessionBudgeted",
        "SessionCreated",
        "SessionPruned",
        "SessionRepaired",
        "SessionTitled",
        "StepEnded",
        "StepFailed",
        "StepStarted",
        "TextEnded",
        "ToolCalled",
        "ToolFailed",
        "ToolStarted",
        "ToolSucceeded",
        "event_to_json",
        "kinds",
    ),
    "values.ids": (
        "MessageId",
        "RequestId",
        "SessionId",
    ),
    "values.location": ("Location",),
    "values.messages": (
        "AssistantMessage",
        "Message",
        "NoticeMessage",
        "Part",
        "ReasoningPart",
        "TextPart",
        "ToolPart",
        "Usage",
        "UserMessage",
    ),
    "values.prompt": (
        "AdmittedPrompt",
        "Budget",
        "Delivery",
        "Input",
        "InputState",
        "Prompt",
        "PromptFile",
    ),
    "values.request": (
        "Finish",
        "FinishReason",
        "ModelEvent",
        "ModelInfo",
        "ModelRequest",
        "Price",
        "ReasoningDelta",
        "ReasoningEnd",
        "RequestHistory",
        "TextDelta",
        "TextEnd",
        "ToolCall",
        "ToolInputDelta",
    ),
    "values.tool": (
        "CallState",
        "Content",
        "EffectClass",
        "Failure",
        "FileContent",
        "Json",
        "ManagedPage",
        "TextContent",
        "ToolDefinition",
        "effect_token",
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
