"""What a command leaves running: marking it, finding it again, ending it.

Owns how a process group is named so that another process can recognise it, and where
the output goes that a left process still writes. Knows nothing of sessions: a ``token``
names the call, and every process of the call carries it in its environment.

Nothing is ever ended because of what a record says of it: numbers are given again, and
a record may come out of a log that somebody else wrote. A process counts as the call's
when its own environment holds the token, or when it is in the recorded session with one
that does: nobody gets into a session from outside. What is recorded and shows no token
is left alone and told.
"""

import hashlib
import os
import re
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from attrs import frozen
from dovetail.kernel import ProcessMark

VARIABLE = "DOVETAIL_CALL"
"""Holds the token in the environment of everything that a call starts."""
RUNNING = "running:"
"""Before the name of later output, where a path is given."""
UNENDED = "not all of it could be ended; this still runs"
"""Before the numbers of processes that outlived a stop."""
MAX_OUTPUT = 16 * 1024 * 1024
"""Bytes of later output that are kept; what comes then is thrown away, and the process
goes on."""
MAX_AGE = 7 * 24 * 3600
"""Seconds after which later output is removed, counted from when it last grew."""
STOP_SECONDS = 3.0
"""How long processes may take to end after SIGTERM before SIGKILL."""
KILL_SECONDS = 3.0
"""How long the end of what got SIGKILL is waited for."""
_LOOKS = 100
"""How often an environment is read again that is empty in the midst of an exec."""
_BETWEEN_LOOKS = 0.002
"""Seconds from one to the next."""
_PROC = Path("/proc")
_GONE = ("Z", "X", "x")


# --- naming -----------------------------------------------------------------------


def host_mark() -> str:
    """Return which run of which system numbers the processes that are seen here."""
    with suppress(OSError):
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(_PROC / 'self/ns/pid')}"
    system = os.uname()
    return f"{system.nodename} {system.sysname}"


def mark_of(process_id: int) -> ProcessMark:
    """Return what names the group of a process that was started as its first."""
    return ProcessMark(process_id, started_at(process_id) or "", host_mark())


def started_at(process_id: int) -> str | None:
    """Return when a process started; None when it does not run."""
    if (_PROC / "self/stat").exists():
        seen = _seen(process_id)
        return seen.started if seen else None
    return _asked("-o", "lstart=", process_id) or None


@frozen
class _Seen:
    """One process as the system lists it."""

    id: int
    parent: int
    group: int
    session: int
    started: str


def _seen(process_id: int) -> _Seen | None:
    try:
        text = (_PROC / str(process_id) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The name, in parentheses, may hold anything.
    fields = text.rpartition(")")[2].split()
    if len(fields) < 20 or fields[0] in _GONE:
        return None
    parent, group, session = map(int, fields[1:4])
    return _Seen(process_id, parent, group, session, fields[19])


def _all() -> Iterator[_Seen]:
    with suppress(OSError):
        for name in os.listdir(_PROC):
            if name.isdecimal() and (seen := _seen(int(name))) is not None:
                yield seen


def carries(process_id: int, token: str) -> bool:
    """Tell whether a process was given the token of a call. May block for a moment.

    In the midst of an ``execve`` a process shows no environment, whatever it was given;
    so an empty one is looked at again, unless it is known to have been given none. What
    has no memory, a zombie or a thread of the system, never had one.
    """
    wanted = f"{VARIABLE}={token}".encode()
    folder = _PROC / str(process_id)
    with suppress(OSError):
        for _ in range(_LOOKS):
            data = (folder / "environ").read_bytes()
            if data:
                return wanted in data.split(b"\0")
            if (folder / "statm").read_bytes().startswith(b"0 "):
                return False
            if _is_without_environment(folder):
                return False
            time.sleep(_BETWEEN_LOOKS)
    return False


def _is_without_environment(folder: Path) -> bool:
    """Tell whether a process has become its program, and was given no environment.

    All is of one instant: the beginning of its code (the field 26 of proc_pid_stat(5)),
    which Linux sets last in an ``execve``, and where its environment begins and ends
    (50 and 51), which are the same for a while in between.
    """
    text = (folder / "stat").read_text(errors="replace")
    # After the name of the program, which may hold anything, comes the third field.
    fields = text.rpartition(")")[2].split()
    return fields[23] != "0" and fields[47] == fields[48]


# --- finding and ending -------------------------------------------------------------


@frozen
class Found:
    """What became of the processes of a call."""

    ended: int = 0
    """How many still ran and were ended."""
    running: tuple[int, ...] = ()
    """Those that could not be ended, or are not proven to be the call's."""
    elsewhere: bool = False
    """They were started where this process cannot look."""


def end_left(marks: tuple[ProcessMark, ...], token: str) -> Found:
    """End what a call left running: SIGTERM, then SIGKILL after ``STOP_SECONDS``.

    Blocks as long as that takes; call it in a thread.
    """
    here = [mark for mark in marks if mark.host == host_mark()]
    before = _members(here, token)
    waiting = before
    for number, seconds in (
        (signal.SIGTERM, STOP_SECONDS),
        (signal.SIGKILL, KILL_SECONDS),
    ):
        for seen in waiting:
            # Between looking and this the number cannot be a stranger's: it was just
            # verified, and numbers are not given again so fast.
            with suppress(ProcessLookupError, PermissionError):
                os.kill(seen.id, number)
        deadline = time.monotonic() + seconds
        while (waiting := _members(here, token)) and time.monotonic() < deadline:
            time.sleep(0.02)
        if not waiting:
            break
    left = tuple({seen.id for seen in waiting} | set(_unproven(here)))
    elsewhere = len(here) < len(marks)
    return Found(len({seen.id for seen in before} - set(left)), left, elsewhere)


class Family:
    """What descends from a process, whatever group, session and environment it gave
    itself. Who was seen stays known when its parent ends.

    ``first`` must not be reaped meanwhile, so that its number names it. Where there is
    no /proc, the family is empty.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._known: dict[int, str] = {}

    def look(self) -> tuple[int, ...]:
        """Return those that run now, without the first."""
        everything = list(_all())
        found = {
            seen.id: seen.started
            for seen in everything
            if self._known.get(seen.id) == seen.started
        }
        grown = True
        while grown:
            more = {
                seen.id: seen.started
                for seen in everything
                if (seen.parent == self._first or seen.parent in found)
                and seen.id not in found
            }
            found |= more
            grown = bool(more)
        self._known = found
        return tuple(sorted(found))

    def send(self, number: int) -> None:
        """Send a signal to those outside of the group of the first."""
        for one in self.look():
            # Between looking and this the number cannot be a stranger's: numbers are
            # not given again so fast.
            with suppress(ProcessLookupError, PermissionError):
                if os.getpgid(one) != self._first:
                    os.kill(one, number)


def group_runs(group: int, token: str) -> bool:
    """Tell whether something of a call still runs in its process group.

    Where there is no /proc, something that only was not reaped yet counts, too.
    """
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    if not (_PROC / "self/stat").exists():
        return True
    return any(seen.group == group and carries(seen.id, token) for seen in _all())


def _members(marks: list[ProcessMark], token: str) -> list[_Seen]:
    if not (_PROC / "self/stat").exists():
        return _recorded(marks, token)
    everything = list(_all())
    ours = (os.getpid(), os.getppid())  # a command may have started this very process
    carriers = {seen.id: seen for seen in everything if carries(seen.id, token)}
    recorded = {mark.group for mark in marks}
    sessions = {seen.session for seen in carriers.values()} & recorded
    return [
        seen
        for seen in everything
        if seen.id not in ours and (seen.id in carriers or seen.session in sessions)
    ]


def _unproven(marks: list[ProcessMark]) -> list[int]:
    """Return the recorded processes that still run, whoever's they are."""
    return [mark.group for mark in marks if started_at(mark.group) == mark.started]


def _recorded(marks: list[ProcessMark], token: str) -> list[_Seen]:
    """Return the recorded processes that carry the token: without /proc nobody lists
    the others."""
    return [
        _Seen(mark.group, 0, mark.group, mark.group, mark.started)
        for mark in marks
        if mark.started
        and started_at(mark.group) == mark.started
        and f"{VARIABLE}={token}" in _asked("ewwo", "command=", mark.group).split()
    ]


def _asked(how: str, column: str, process_id: int) -> str:
    """Return what ``ps`` says of a process; empty when it does not run."""
    found = subprocess.run(
        ["ps", how, column, "-p", str(process_id)],
        capture_output=True,
        check=False,
        env={"PATH": os.defpath, "LC_ALL": "C"},
    )
    return found.stdout.decode("utf-8", "replace").strip()


# --- later output -------------------------------------------------------------------

_NAME = re.compile(r"[0-9a-f]{32}\Z")


class LaterOutput:
    """Where the output of left processes goes, each session's by itself."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def create(self, session_id: str, token: str) -> tuple[str, int]:
        """Return the name of a new file for a call, and a descriptor to write to it.

        Raises:
            OSError: it cannot be made.
        """
        folder = self._session(session_id)
        folder.mkdir(mode=0o700, exist_ok=True)
        self._forget_old(folder)
        name = hashlib.sha256(f"{token} {time.time_ns()}".encode()).hexdigest()[:32]
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        return name, os.open(folder / name, flags | os.O_NOFOLLOW, 0o600)

    def path_of(self, session_id: str, name: str) -> Path | None:
        """Return where a file of this session is; None where the name is no name.

        Raises:
            OSError: the folder is not one that nobody else may look into.
        """
        return self._session(session_id) / name if _NAME.match(name) else None

    def open(self, session_id: str, name: str) -> int | None:
        """Return a descriptor to read a file of this session; None without one."""
        if not _NAME.match(name):
            return None
        # A command of the same user can put anything here: what is no file of its own
        # is not opened, so that nothing waits for a fifo or reads another one's file.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(self._session(session_id) / name, flags)
        except OSError:
            return None
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            return descriptor
        os.close(descriptor)
        return None

    def _session(self, session_id: str) -> Path:
        named = hashlib.sha256(session_id.encode("utf-8", "surrogatepass"))
        return self._own() / named.hexdigest()[:32]

    def _own(self) -> Path:
        """Return the folder of this user, which nobody else may look into or made."""
        if self._folder is None:
            self._folder = Path(tempfile.gettempdir()) / f"dovetail-{os.getuid()}"
        with suppress(FileExistsError):
            self._folder.mkdir(mode=0o700)
        status = self._folder.lstat()
        if (
            not stat.S_ISDIR(status.st_mode)
            or status.st_uid != os.getuid()
            or status.st_mode & 0o077
        ):
            raise PermissionError(
                f"{self._folder} is not a private folder of this user"
            )
        return self._folder

    def _forget_old(self, folder: Path) -> None:
        for path in folder.iterdir():
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - MAX_AGE:
                    path.unlink()
