"""The memory store: the reference model of the ``Store`` port, in plain dictionaries.

Owns what every store must do, written as simply as it can be said, with a room for each
port; the contract suite and the state machines compare others with it. Durable as long
as its state is kept: several stores may be opened on one state, one after another or
side by side, as several processes would on one file. Not for production: nothing
survives the process.
"""

from .state import (
    MemoryState as MemoryState,
)
from .store import (
    MemoryReader as MemoryReader,
    MemoryStore as MemoryStore,
    MemoryStorePlugin as MemoryStorePlugin,
    MemoryTransaction as MemoryTransaction,
    open_memory_store as open_memory_store,
)
