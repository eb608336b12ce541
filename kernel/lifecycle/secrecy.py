"""Secrecy: what other processes can see of the keys that this one holds.

Owns two measures of Linux, for as long as a runtime is open. Any process of the same
user can read ``/proc/PID/environ``, and with it the keys that this process was started
with; and it can read the memory of this process or attach to it. So

1. the values of variables whose names sound secret, or that the configuration names,
   are blotted out in the memory that ``/proc/PID/environ`` shows. This stays.
   ``os.environ``, ``getenv`` and what is handed to children are what they were: those
   strings are moved, not changed.
2. the process is made not dumpable, which closes its memory to others of its user,
   and its environment once more. This is undone when the last runtime closes.

Against root neither is a wall: root can read the memory of any process, and the
configuration besides. Nothing of this can fail in a way that stops a runtime: what the
system does not have, or does not allow, is left as it is.
"""

import ctypes
import os
import re
import sys
import threading
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

SECRET = re.compile(rb"key|token|secret|passw|credential|auth|cookie|dsn", re.I)
"""What the name of a variable with a secret sounds like."""

_GET_DUMPABLE, _SET_DUMPABLE = 3, 4  # prctl(2)
_STARTS, _ENDS = 50, 51  # the fields env_start and env_end of /proc/PID/stat, proc(5)

_guard = threading.Lock()
_holders = 0
_was_dumpable = False
_kept: list[ctypes.Array[ctypes.c_char]] = []
"""The moved strings: the process points to them for as long as it lives."""
_readable: set[bytes] | None = None
"""The variables that are still to be read in the block; None before it was looked at.
No string ever comes into the block again, so it is gone through again only for these.
"""


def conceal() -> None:
    """Keep the keys of this process from its children and neighbours, until
    ``reveal`` was called as often as this. Does nothing but on Linux."""
    global _holders, _was_dumpable
    if sys.platform != "linux":
        return
    with _guard:
        _holders += 1
        if _holders > 1:
            return
        blot_out()
        with suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            _was_dumpable = libc.prctl(_GET_DUMPABLE, 0, 0, 0, 0) == 1
            libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)


def reveal() -> None:
    """Undo ``conceal``, as far as debuggers and core dumps go."""
    global _holders
    if sys.platform != "linux":
        return
    with _guard:
        _holders -= 1
        if not _holders and _was_dumpable:
            with suppress(OSError, AttributeError):
                ctypes.CDLL(None).prctl(_SET_DUMPABLE, 1, 0, 0, 0)


def blot_out(names: Collection[str] = ()) -> None:
    """Take the secret variables, and these, out of what ``/proc`` shows. Does nothing
    but on Linux."""
    if sys.platform == "linux":
        with suppress(OSError, ValueError, AttributeError):
            wanted = frozenset(os.fsencode(name) for name in names)
            if _readable is None or not _readable.isdisjoint(wanted):
                _blot_out(wanted)


def _blot_out(names: Collection[bytes]) -> None:
    """Move the secret strings of the environment, then blot out where they were.

    Only what still lies in the block that the system shows is moved; what ``putenv``
    made lies elsewhere. Each pointer is changed in one store, so that a thread in
    ``getenv`` finds the one string or the other.
    """
    global _readable
    stat = Path("/proc/self/stat").read_text(errors="replace")
    # The second field, in parentheses, may hold anything; the third comes after it.
    fields = stat.rpartition(")")[2].split()
    begin, end = int(fields[_STARTS - 3]), int(fields[_ENDS - 3])
    libc = ctypes.CDLL(None)
    strings = ctypes.POINTER(ctypes.c_void_p).in_dll(libc, "environ")
    if not begin or not strings:
        return
    index = 0
    while (address := strings[index]) is not None:
        if begin <= address < end:
            text = ctypes.string_at(address)
            name, sign, value = text.partition(b"=")
            if sign and value and (name in names or SECRET.search(name)):
                moved = ctypes.create_string_buffer(text)
                _kept.append(moved)
                strings[index] = ctypes.addressof(moved)
        index += 1
    # And what nobody points to any more, because it was changed or removed since.
    left: set[bytes] = set()
    at = begin
    while at < end:
        text = ctypes.string_at(at)
        name, sign, value = text.partition(b"=")
        if sign and (name in names or SECRET.search(name)):
            ctypes.memset(at + len(name) + 1, ord("*"), len(value))
        else:
            left.add(name)
        at += len(text) + 1
    _readable = left
