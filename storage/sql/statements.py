"""The names of the statements that every SQL store runs.

Written by ``tests/support/statements.py`` from ``queries``, never by hand. The module
``statements`` of each store has them all, in the words of its database.
"""

from collections.abc import Mapping
from typing import Any, Protocol


class Statements(Protocol):
    """A store's own statements."""

    AGGREGATE: str
    LAST_AGGREGATE: str
    ADD_AGGREGATE: str
    PUT_AGGREGATE: str
    PUT_HEAD: str
    PUT_LEASE: str
    NUMBER_AGGREGATE: str
    ORPHANS: str

    APPROVALS: str
    PUT_APPROVAL: str
    DELETE_APPROVAL: str
    APPROVAL_DIRECTORY: str
    APPROVAL_CHANGES: str
    PUT_APPROVAL_CHANGES: str

    BLOB: str
    PUT_BLOB: str
    PUT_HOLD: str
    HELD_BLOBS: str
    END_HOLD: str
    BLOB_HOLDER: str
    BLOB_SIZE: str
    DROP_BLOB: str
    OUTPUT: str
    HELD_OUTPUT: str
    OUTPUTS: str
    OUTPUTS_SIZE: str
    CHANGE_HOLD: str

    EPOCH: str
    PUT_EPOCH: str

    WAITING_INPUT: str
    HIDDEN_INPUT: str
    SETTLED_INPUT: str
    ANY_PENDING: str
    PUT_WAITING: str
    END_WAITING: str
    END_OTHERWISE: Mapping[Any, str]
    PENDING_INPUTS: Mapping[Any, str]
    PUT_INPUT: str
    ADMISSION: str
    ADD_ADMISSION: str
    MEND_ADMISSION: str
    ADMISSIONS: str

    JOB: str
    JOBS: str
    RUNNING_JOBS: Mapping[Any, str]
    PUT_JOB: str

    EVENTS: str
    FACTS: str
    KINDS: str
    ALL_EVENTS: str
    LOGS: str
    SET_ASIDE: str
    KEEP_ASIDE: str
    TAKE_OUT: str
    LAST_BEFORE: str
    REMOVE_DATA: str
    ADD_EVENT: str
    APPEND_EVENT: str
    LAST_POSITIONS: str
    OCCUPANT: str
    ONE_ASIDE: str
    TAKE_ONE_OUT: str

    MESSAGE: str
    OLDEST_FIRST: str
    NEWEST_FIRST: str
    SETTLED: str
    OPEN_MESSAGES: str
    ADD_MESSAGE: str
    OPEN_MESSAGE: str
    TAKE_MESSAGE_AWAY: str
    PUT_MESSAGE: str
    END_MESSAGE: str

    CLEAR_PROJECTIONS: tuple[str, ...]
    ROW_COUNTS: tuple[str, ...]

    HIDE_SESSION: tuple[str, ...]
    SESSION_APPROVALS: str
    TO_ERASE: str
    ERASE_SOME: tuple[str, ...]
    SOME_HOLDS: str
    ERASE_EVENTS: str

    REQUEST: str
    REQUESTS: str
    PENDING_REQUESTS: Mapping[Any, str]
    PUT_REQUEST: str

    SESSION: str
    LISTINGS: Mapping[Any, str]
    SESSION_IDS: str
    FORKS: str
    SESSIONS_MISSING: str
    ALL_WORK: str
    ALL_COMPACTIONS: str
    PUT_SESSION: str
    CHANGE_SESSION: str
    BEGIN_WORK: str
    END_WORK: str
