"""Contracts: what a plugin hands over.

Owns the shapes of tools, providers and their routes, context sources, skill sources
and agent profiles. Knows nothing of how the kernel keeps or calls them. Plugin objects
compare by identity: two equal-looking tools are two tools.
"""

from .agents import (
    Action as Action,
    AgentProblem as AgentProblem,
    AgentProfile as AgentProfile,
    PermissionQuestion as PermissionQuestion,
    ResourceKind as ResourceKind,
    Rule as Rule,
    RuleEffect as RuleEffect,
    layer_of as layer_of,
)
from .children import (
    CallChildren as CallChildren,
    ChildAnswer as ChildAnswer,
)
from .compaction import (
    CompactionStrategy as CompactionStrategy,
    CompactionWork as CompactionWork,
)
from .context import (
    ContextSource as ContextSource,
    Observation as Observation,
    SessionSource as SessionSource,
    SessionView as SessionView,
    Skill as Skill,
    SkillProblem as SkillProblem,
    SkillSource as SkillSource,
)
from .credentials import (
    Credential as Credential,
    Credentials as Credentials,
    CredentialSource as CredentialSource,
    NoCredentials as NoCredentials,
    ProviderCredential as ProviderCredential,
)
from .editors import (
    Editor as Editor,
)
from .hooks import (
    Command as Command,
    Contribution as Contribution,
    Place as Place,
    Register as Register,
    Tap as Tap,
)
from .prompts import (
    PromptArgument as PromptArgument,
    PromptCommand as PromptCommand,
    PromptSource as PromptSource,
)
from .providers import (
    ModelFacts as ModelFacts,
    Provider as Provider,
    ProviderProtocol as ProviderProtocol,
    ProviderRoute as ProviderRoute,
)
from .tools import (
    BlockingToolContext as BlockingToolContext,
    CallJobs as CallJobs,
    CallNotice as CallNotice,
    DetachWanted as DetachWanted,
    JobWork as JobWork,
    Restoration as Restoration,
    Tool as Tool,
    ToolContext as ToolContext,
)
