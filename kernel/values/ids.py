"""Opaque identifiers: a prefix and a 128-bit time-ordered value.

The time part (48 bits of milliseconds) only keeps index pages together. Nothing is
ever ordered or compared as "newer" by an id (law events.10): order is the sequence.
"""

import os
import re
from typing import NewType

from .clock import Clock
from .errors import InvalidValueError

SessionId = NewType("SessionId", str)
MessageId = NewType("MessageId", str)
"""The id of a transcript message. A promoted prompt keeps its input's id."""
RequestId = NewType("RequestId", str)
"""The id of a permission request."""
JobId = NewType("JobId", str)
"""The id of a job, within its session."""

MAX_ID_LENGTH = 128
_CALLER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*\Z")
_SOURCE_KEY = re.compile(r"[a-z0-9][a-z0-9._-]*(?:/[a-z0-9._-]+)+\Z")


def new_id(prefix: str, clock: Clock) -> str:
    """Return a fresh id such as ``ses_0199f3...``, 32 hexadecimal digits long."""
    return f"{prefix}_{clock.now() & 0xFFFFFFFFFFFF:012x}{os.urandom(10).hex()}"


def check_caller_id(what: str, value: str) -> str:
    """Return an id chosen by a caller, or refuse it.

    Raises:
        InvalidValueError: it is empty, over 128 characters, or has a character
            other than ASCII letters, digits and ``_ . : -``.
    """
    if not isinstance(value, str) or len(value) > MAX_ID_LENGTH:
        raise InvalidValueError(what, value, f"at most {MAX_ID_LENGTH} characters")
    if not _CALLER_ID.match(value):
        raise InvalidValueError(
            what, value, "ASCII letters, digits and _ . : - only, starting with one"
        )
    return value


def check_source_key(what: str, value: str) -> str:
    """Return the key of a source that a plugin offers, or refuse it.

    Raises:
        InvalidValueError: it is not ``namespace/name`` in lower case letters, digits
            and ``. _ -`` with more ``/`` allowed in the name, or is too long.
    """
    if not isinstance(value, str) or not _SOURCE_KEY.match(value):
        rule = "write namespace/name in lower case letters, digits and . _ -"
        raise InvalidValueError(what, value, rule)
    if len(value) > MAX_ID_LENGTH:
        raise InvalidValueError(what, value, f"at most {MAX_ID_LENGTH} characters")
    return value
