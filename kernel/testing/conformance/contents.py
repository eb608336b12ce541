"""The public names of the conformance kit, each once, beside its module.

These are the imports that type checkers and editors follow. Nobody imports this module
at run time: ``lazy`` reads it, and imports a name's module when the name is wanted.
"""

from .calling import ToolExample as ToolExample
from .compaction import CompactionConformance as CompactionConformance
from .context import ContextConformance as ContextConformance
from .providers import (
    ProviderConformance as ProviderConformance,
    ProviderExample as ProviderExample,
)
from .report import (
    Finding as Finding,
    NonconformingError as NonconformingError,
    Report as Report,
)
from .skills import SkillConformance as SkillConformance
from .stores import StoreConformance as StoreConformance
from .suite import Check as Check, check as check
from .tools import ToolConformance as ToolConformance
