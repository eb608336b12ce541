"""dovetail: durable sessions for AI agents. This page is the table of contents.

Every public name of the kernel is here, loaded on first use, so that importing
``dovetail.kernel`` stays cheap. The parts are described where they live; start with
``hookspecs`` (what a plugin may implement) and ``ports`` (what a store must keep).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .contracts import (
        AgentProfile as AgentProfile,
    )
    from .contracts import (
        Command as Command,
    )
    from .contracts import (
        ContextSource as ContextSource,
    )
    from .contracts import (
        Observation as Observation,
    )
    from .contracts import (
        Place as Place,
    )
    from .contracts import (
        Provider as Provider,
    )
    from .contracts import (
        ProviderRoute as ProviderRoute,
    )
    from .contracts import (
        Register as Register,
    )
    from .contracts import (
        Rule as Rule,
    )
    from .contracts import (
        RuleEffect as RuleEffect,
    )
    from .contracts import (
        Skill as Skill,
    )
    from .contracts import (
        SkillProblem as SkillProblem,
    )
    from .contracts import (
        SkillSource as SkillSource,
    )
    from .contracts import (
        Tool as Tool,
    )
    from .contracts import (
        ToolContext as ToolContext,
    )
    from .hookspecs import (
        PROJECT as PROJECT,
    )
    from .hookspecs import (
        Hooks as Hooks,
    )
    from .hookspecs import (
        hookimpl as hookimpl,
    )
    from .lifecycle.location_map import (
        LocationHandle as LocationHandle,
    )
    from .ports import (
        Reader as Reader,
    )
    from .ports import (
        Store as Store,
    )
    from .ports import (
        Transaction as Transaction,
    )
    from .runtime import (
        Runtime as Runtime,
    )
    from .runtime import (
        open_runtime as open_runtime,
    )
    from .session.sessions import (
        Outcome as Outcome,
    )
    from .session.sessions import (
        Page as Page,
    )
    from .session.sessions import (
        Session as Session,
    )
    from .session.sessions import (
        SessionInfo as SessionInfo,
    )
    from .session.sessions import (
        Sessions as Sessions,
    )
    from .values.clock import (
        Clock as Clock,
    )
    from .values.codec import (
        clean_text as clean_text,
    )
    from .values.codec import (
        from_json as from_json,
    )
    from .values.codec import (
        loads_exact as loads_exact,
    )
    from .values.codec import (
        sanitised as sanitised,
    )
    from .values.codec import (
        to_json as to_json,
    )
    from .values.errors import (
        AgentNotFoundError as AgentNotFoundError,
    )
    from .values.errors import (
        ApprovalNotFoundError as ApprovalNotFoundError,
    )
    from .values.errors import (
        ConfigurationError as ConfigurationError,
    )
    from .values.errors import (
        ConflictError as ConflictError,
    )
    from .values.errors import (
        ContextUnavailableError as ContextUnavailableError,
    )
    from .values.errors import (
        CursorInvalidError as CursorInvalidError,
    )
    from .values.errors import (
        DovetailError as DovetailError,
    )
    from .values.errors import (
        EventAggregateError as EventAggregateError,
    )
    from .values.errors import (
        EventDamagedError as EventDamagedError,
    )
    from .values.errors import (
        EventDivergedError as EventDivergedError,
    )
    from .values.errors import (
        EventGapError as EventGapError,
    )
    from .values.errors import (
        EventKindError as EventKindError,
    )
    from .values.errors import (
        EventLogError as EventLogError,
    )
    from .values.errors import (
        EventOwnerError as EventOwnerError,
    )
    from .values.errors import (
        EventVersionError as EventVersionError,
    )
    from .values.errors import (
        ExecutionInterruptedError as ExecutionInterruptedError,
    )
    from .values.errors import (
        InputNotFoundError as InputNotFoundError,
    )
    from .values.errors import (
        InputNotPendingError as InputNotPendingError,
    )
    from .values.errors import (
        InvalidValueError as InvalidValueError,
    )
    from .values.errors import (
        KeyInvalidError as KeyInvalidError,
    )
    from .values.errors import (
        LiveOverflowError as LiveOverflowError,
    )
    from .values.errors import (
        LocationNotFoundError as LocationNotFoundError,
    )
    from .values.errors import (
        MessageNotFoundError as MessageNotFoundError,
    )
    from .values.errors import (
        ModelError as ModelError,
    )
    from .values.errors import (
        ModelNotSelectedError as ModelNotSelectedError,
    )
    from .values.errors import (
        ModelUnknownError as ModelUnknownError,
    )
    from .values.errors import (
        NotFoundError as NotFoundError,
    )
    from .values.errors import (
        OwnerFencedError as OwnerFencedError,
    )
    from .values.errors import (
        PermissionDeniedError as PermissionDeniedError,
    )
    from .values.errors import (
        PermissionNotFoundError as PermissionNotFoundError,
    )
    from .values.errors import (
        PermissionRejectedError as PermissionRejectedError,
    )
    from .values.errors import (
        PluginError as PluginError,
    )
    from .values.errors import (
        PluginImportError as PluginImportError,
    )
    from .values.errors import (
        PluginInvalidError as PluginInvalidError,
    )
    from .values.errors import (
        PluginNotFoundError as PluginNotFoundError,
    )
    from .values.errors import (
        PromptConflictError as PromptConflictError,
    )
    from .values.errors import (
        PromptInvalidError as PromptInvalidError,
    )
    from .values.errors import (
        ProviderError as ProviderError,
    )
    from .values.errors import (
        ProviderFault as ProviderFault,
    )
    from .values.errors import (
        RuntimeClosedError as RuntimeClosedError,
    )
    from .values.errors import (
        SessionNotFoundError as SessionNotFoundError,
    )
    from .values.errors import (
        SkillNotFoundError as SkillNotFoundError,
    )
    from .values.errors import (
        StepLimitError as StepLimitError,
    )
    from .values.errors import (
        StoreClosedError as StoreClosedError,
    )
    from .values.errors import (
        StoreDamagedError as StoreDamagedError,
    )
    from .values.errors import (
        StoreError as StoreError,
    )
    from .values.errors import (
        StoreForeignError as StoreForeignError,
    )
    from .values.errors import (
        StoreFullError as StoreFullError,
    )
    from .values.errors import (
        StoreLockedError as StoreLockedError,
    )
    from .values.errors import (
        StoreMigrationError as StoreMigrationError,
    )
    from .values.errors import (
        StoreNewerError as StoreNewerError,
    )
    from .values.errors import (
        StoreReadOnlyError as StoreReadOnlyError,
    )
    from .values.errors import (
        StoreUnknownError as StoreUnknownError,
    )
    from .values.errors import (
        ToolDefinitionError as ToolDefinitionError,
    )
    from .values.errors import (
        ToolError as ToolError,
    )
    from .values.errors import (
        ToolFailure as ToolFailure,
    )
    from .values.errors import (
        ToolInputError as ToolInputError,
    )
    from .values.errors import (
        ToolOutputError as ToolOutputError,
    )
    from .values.errors import (
        ToolStaleError as ToolStaleError,
    )
    from .values.errors import (
        ToolUnknownError as ToolUnknownError,
    )
    from .values.errors import (
        UndecodableError as UndecodableError,
    )
    from .values.events import (
        AgentSwitched as AgentSwitched,
    )
    from .values.events import (
        ContextUpdated as ContextUpdated,
    )
    from .values.events import (
        EpochStarted as EpochStarted,
    )
    from .values.events import (
        Event as Event,
    )
    from .values.events import (
        ExecutionEnded as ExecutionEnded,
    )
    from .values.events import (
        ExecutionStarted as ExecutionStarted,
    )
    from .values.events import (
        LiveDelta as LiveDelta,
    )
    from .values.events import (
        LiveEvent as LiveEvent,
    )
    from .values.events import (
        ModelSwitched as ModelSwitched,
    )
    from .values.events import (
        NoticeAdded as NoticeAdded,
    )
    from .values.events import (
        OutcomeStatus as OutcomeStatus,
    )
    from .values.events import (
        PermissionAsked as PermissionAsked,
    )
    from .values.events import (
        PermissionReplied as PermissionReplied,
    )
    from .values.events import (
        PermissionReply as PermissionReply,
    )
    from .values.events import (
        PluginDisabled as PluginDisabled,
    )
    from .values.events import (
        PromptAdmitted as PromptAdmitted,
    )
    from .values.events import (
        PromptPromoted as PromptPromoted,
    )
    from .values.events import (
        PromptRedelivered as PromptRedelivered,
    )
    from .values.events import (
        PromptWithdrawn as PromptWithdrawn,
    )
    from .values.events import (
        ReasoningEnded as ReasoningEnded,
    )
    from .values.events import (
        Retention as Retention,
    )
    from .values.events import (
        SessionCreated as SessionCreated,
    )
    from .values.events import (
        SessionTitled as SessionTitled,
    )
    from .values.events import (
        StepEnded as StepEnded,
    )
    from .values.events import (
        StepFailed as StepFailed,
    )
    from .values.events import (
        StepStarted as StepStarted,
    )
    from .values.events import (
        TextEnded as TextEnded,
    )
    from .values.events import (
        ToolCalled as ToolCalled,
    )
    from .values.events import (
        ToolFailed as ToolFailed,
    )
    from .values.events import (
        ToolStarted as ToolStarted,
    )
    from .values.events import (
        ToolSucceeded as ToolSucceeded,
    )
    from .values.events import (
        event_to_json as event_to_json,
    )
    from .values.events import (
        kinds as kinds,
    )
    from .values.ids import (
        MessageId as MessageId,
    )
    from .values.ids import (
        RequestId as RequestId,
    )
    from .values.ids import (
        SessionId as SessionId,
    )
    from .values.location import (
        Location as Location,
    )
    from .values.messages import (
        AssistantMessage as AssistantMessage,
    )
    from .values.messages import (
        Message as Message,
    )
    from .values.messages import (
        NoticeMessage as NoticeMessage,
    )
    from .values.messages import (
        Part as Part,
    )
    from .values.messages import (
        ReasoningPart as ReasoningPart,
    )
    from .values.messages import (
        TextPart as TextPart,
    )
    from .values.messages import (
        ToolPart as ToolPart,
    )
    from .values.messages import (
        Usage as Usage,
    )
    from .values.messages import (
        UserMessage as UserMessage,
    )
    from .values.prompt import (
        AdmittedPrompt as AdmittedPrompt,
    )
    from .values.prompt import (
        Delivery as Delivery,
    )
    from .values.prompt import (
        Input as Input,
    )
    from .values.prompt import (
        InputState as InputState,
    )
    from .values.prompt import (
        Prompt as Prompt,
    )
    from .values.prompt import (
        PromptFile as PromptFile,
    )
    from .values.request import (
        Finish as Finish,
    )
    from .values.request import (
        FinishReason as FinishReason,
    )
    from .values.request import (
        ModelEvent as ModelEvent,
    )
    from .values.request import (
        ModelInfo as ModelInfo,
    )
    from .values.request import (
        ModelRequest as ModelRequest,
    )
    from .values.request import (
        ReasoningDelta as ReasoningDelta,
    )
    from .values.request import (
        ReasoningEnd as ReasoningEnd,
    )
    from .values.request import (
        RequestHistory as RequestHistory,
    )
    from .values.request import (
        TextDelta as TextDelta,
    )
    from .values.request import (
        TextEnd as TextEnd,
    )
    from .values.request import (
        ToolCall as ToolCall,
    )
    from .values.request import (
        ToolInputDelta as ToolInputDelta,
    )
    from .values.tool import (
        CallState as CallState,
    )
    from .values.tool import (
        Content as Content,
    )
    from .values.tool import (
        EffectClass as EffectClass,
    )
    from .values.tool import (
        Failure as Failure,
    )
    from .values.tool import (
        FileContent as FileContent,
    )
    from .values.tool import (
        Json as Json,
    )
    from .values.tool import (
        TextContent as TextContent,
    )
    from .values.tool import (
        ToolDefinition as ToolDefinition,
    )
    from .values.tool import (
        effect_token as effect_token,
    )

_HOMES = {
    "contracts": (
        "AgentProfile",
        "Command",
        "ContextSource",
        "Observation",
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
    "hookspecs": (
        "Hooks",
        "PROJECT",
        "hookimpl",
    ),
    "lifecycle.location_map": ("LocationHandle",),
    "ports": (
        "Reader",
        "Store",
        "Transaction",
    ),
    "runtime": (
        "Runtime",
        "open_runtime",
    ),
    "session.sessions": (
        "Outcome",
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
        "ConflictError",
        "ContextUnavailableError",
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
        "SessionNotFoundError",
        "SkillNotFoundError",
        "StepLimitError",
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
        "EpochStarted",
        "Event",
        "ExecutionEnded",
        "ExecutionStarted",
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
        "SessionCreated",
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
