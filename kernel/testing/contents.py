"""The public names of the testing kit, each once, beside the module that it lives in.

These are the imports that type checkers and editors follow. Nobody imports this module
at run time: ``lazy`` reads it, and imports a name's module when the name is wanted.
"""

from .clock import ManualClock as ManualClock
from .crash.bench import (
    CrashBench as CrashBench,
)
from .crash.driver import (
    CrashFailure as CrashFailure,
    CrashReport as CrashReport,
    crash_storm as crash_storm,
    crash_test as crash_test,
)
from .crash.model import (
    Attempts as Attempts,
)
from .crash.points import (
    FaultPoint as FaultPoint,
)
from .crash.scenario import (
    CrashEnd as CrashEnd,
    CrashRun as CrashRun,
    CrashScenario as CrashScenario,
)
from .crash.world import (
    CrashWorld as CrashWorld,
)
from .memory_store import (
    MemoryStore as MemoryStore,
    MemoryStorePlugin as MemoryStorePlugin,
    open_memory_store as open_memory_store,
)
from .scripted import (
    Gate as Gate,
    ScriptedProvider as ScriptedProvider,
    call as call,
    calls as calls,
    finish as finish,
    reasoning as reasoning,
    text as text,
)
from .small_runtime import (
    open_small_runtime as open_small_runtime,
)
from .tapes import (
    Interaction as Interaction,
    Tape as Tape,
    TapedAnswer as TapedAnswer,
    TapedRequest as TapedRequest,
    TapeMode as TapeMode,
    open_tape as open_tape,
)
