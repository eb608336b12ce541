"""Leftovers: servers that outlived a dovetail that was killed.

Owns how a server is marked with whose it is, and how one is found whose owner is gone
and that did not end when its input did. Nothing is ended because of what a file says:
the mark is in a process's own environment, the process still is the first of the
session that it was begun in, and its input is a pipe; what a server began to outlive it
has none of that. Only on Linux, where this can be seen.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

VARIABLE = "DOVETAIL_MCP_OWNER"
_PROC = Path("/proc")


@cache
def _system() -> str:
    """Return which run of which system numbers the processes that are seen here."""
    with suppress(OSError):
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(_PROC / 'self/ns/pid')}"
    return ""


def _stat(process_id: int) -> list[str]:
    """Return the fields from the state on (proc(5)); none for what has ended."""
    with suppress(OSError):
        text = (_PROC / str(process_id) / "stat").read_text(errors="replace")
        # The name, in parentheses, may hold anything.
        fields = text.rpartition(")")[2].split()
        if len(fields) >= 20 and fields[0] not in ("Z", "X", "x"):
            return fields
    return []


def owner_of(process_id: int) -> str:
    """Return the mark of what a process begins."""
    fields = _stat(process_id)
    return f"{_system()} {process_id} {fields[19] if fields else ''}"


def marked(environment: dict[str, str]) -> dict[str, str]:
    """Return an environment with the mark of this process."""
    return {**environment, VARIABLE: owner_of(os.getpid())}


def end_left() -> None:
    """End the servers whose owner is gone, with their groups. Looks at all processes:
    call it in a thread."""
    if not _system():
        return
    for process_id, owner in _servers():
        system, _, rest = owner.rpartition(" ")[0].rpartition(" ")
        if system != _system() or not rest.isdecimal():
            continue
        if owner_of(int(rest)) == owner:
            continue
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process_id, signal.SIGKILL)


def _servers() -> Iterator[tuple[int, str]]:
    """Yield what looks as a server did when it was begun, and its mark."""
    head = f"{VARIABLE}=".encode()
    with suppress(OSError):
        for name in os.listdir(_PROC):
            if not name.isdecimal():
                continue
            with suppress(OSError):
                variables = (_PROC / name / "environ").read_bytes().split(b"\0")
                mark = next((one for one in variables if one.startswith(head)), None)
                if mark is None:
                    continue
                fields = _stat(int(name))
                leads = bool(fields) and fields[2] == fields[3] == name
                piped = os.readlink(_PROC / name / "fd" / "0").startswith("pipe:")
                if leads and piped:
                    yield int(name), mark[len(head) :].decode(errors="replace")
