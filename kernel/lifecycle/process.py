"""Process: which process this is, and whether a named one has ended for certain.

Owns a name that tells a process from every other one, also from a later one with the
same number, and the proof that the process of a name runs no more. Where nothing can be
proven (another machine, another container, another system than Linux) it says so, and
who asks has to wait instead.
"""

import hashlib
import os
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
_STATE, _THREADS, _STARTED = 0, 17, 19
"""Fields of ``/proc/PID/stat`` behind the name of the command: see proc(5)."""


def name_of_process(number: int | None = None) -> str | None:
    """Return the name of a process that is there, by default of this one, or None where
    processes cannot be told apart.

    It holds no secret: a digest of the machine's start and of the namespaces, the
    number of the process and the tick in which it started.
    """
    number = os.getpid() if number is None else number
    realm, found = _realm(), _stat(number)
    if realm is None or found is None:
        return None
    return f"{realm}.{number}.{found[_STARTED]}"


def has_ended(name: str | None) -> bool:
    """Return whether the process of a name has ended for certain.

    False means only that it cannot be proven from here. A process that was stopped has
    not ended.
    """
    parts = (name or "").split(".")
    if len(parts) != 3 or parts[0] != _realm() or not parts[1].isdecimal():
        return False
    number = int(parts[1])
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        # It is there and somebody else's; what it says of itself may be hidden.
        pass
    found = _stat(number)
    if found is None:
        return False
    if found[_STARTED] != parts[2]:
        return True  # a later process, which was given the same number
    # Killed, and not yet asked for by its parent. Only as a whole: where the first
    # thread ended alone, the others live on.
    return found[_STATE] in ("Z", "X") and int(found[_THREADS]) <= 1


@cache
def _realm() -> str | None:
    """Return what is the same for all processes whose numbers mean the same."""
    try:
        parts = [
            (_PROC / "sys/kernel/random/boot_id").read_text().strip(),
            os.readlink(_PROC / "self/ns/pid"),
        ]
        if (_PROC / "self/ns/time").is_symlink():
            # In another one the same instant has another number.
            parts.append(os.readlink(_PROC / "self/ns/time"))
    except OSError:
        return None
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _stat(number: int) -> list[str] | None:
    try:
        text = (_PROC / str(number) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # A command may be called anything, also "x) Z 1".
    fields = text.rpartition(")")[2].split()
    return fields if len(fields) > _STARTED else None
