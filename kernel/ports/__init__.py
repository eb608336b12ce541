"""Ports: what the kernel asks of a store, and with which guarantees.

A store keeps four kinds of things, and has a port for each: the event log (facts),
projections (rows derived from events, disposable), operational rows (admissions,
approvals, leases: not derived and never rebuilt) and blobs (large values, by content).
``store`` puts them together. Who writes which row, and when, is decided by the kernel;
a store knows nothing of sessions beyond these rows.
"""

from .blobs import (
    BlobReader as BlobReader,
    BlobWriter as BlobWriter,
)
from .log import (
    LogReader as LogReader,
    LogWriter as LogWriter,
)
from .operational import (
    OperationalReader as OperationalReader,
    OperationalWriter as OperationalWriter,
)
from .projections import (
    ProjectionReader as ProjectionReader,
    ProjectionWriter as ProjectionWriter,
)
from .rows import (
    EVERYWHERE as EVERYWHERE,
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
    made_here as made_here,
)
from .store import (
    Reader as Reader,
    Store as Store,
    Transaction as Transaction,
)
