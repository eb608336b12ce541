"""The supervisor of a job: a program of its own, which outlives whoever started it.

    python -I -S _supervisor.py END UNTIL BYTES SECONDS GRACE TOKEN COMMAND...

Waits for a line on its input; without one nothing is begun. Then runs the command in a
process group of its own, with closed input, and copies what it prints to its own
output. Ends it, with everything that descends from it or whose environment carries the
token, after so many seconds or printed bytes, and when it gets SIGTERM itself: first
with SIGTERM, and what is left after GRACE seconds with SIGKILL. The file
UNTIL, if it is there when the time is over, holds a later time on the monotonic clock,
which is the same for all processes of a system. In the end it writes into END how it
ended, in one go, and what of it could not be ended.

On Linux it adopts what loses its parent below it (a "child subreaper", see prctl(2)),
so that nothing gets out of its sight, whatever group, session and environment it gives
itself. Elsewhere what left both the group and the environment is out of reach.

It imports nothing of dovetail: it must start fast, and work whatever becomes of that.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time

CHUNK = 65_536
ROOM = 512
"""Bytes that are kept free for how it ended."""
MAX_SAID = 300
"""Characters of what could not be ended."""
KILL_SECONDS = 3.0
"""How long the end of what got SIGKILL is waited for."""
SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of linux/prctl.h."""


def carriers(token: bytes) -> "list[int]":
    """Return the other processes whose environment carries the token."""
    found = []
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if not name.isdecimal() or int(name) == os.getpid():
                continue
            environ = f"/proc/{name}/environ"
            with contextlib.suppress(OSError), open(environ, "rb") as file:
                if token in file.read().split(b"\0"):
                    found.append(int(name))
    return found


def adopt() -> None:
    """Become the parent of what loses its own below this process."""
    if sys.platform != "linux":
        return
    # A Python that was built without it: then it is as on other systems.
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def descendants() -> "list[int]":
    """Return what descends from this process and runs."""
    parents: dict[int, int] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if not name.isdecimal():
                continue
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                # The name, in parentheses, may hold anything.
                state, parent = file.read().rpartition(b")")[2].split()[:2]
                if state not in (b"Z", b"X", b"x"):
                    parents[int(name)] = int(parent)
    found = {os.getpid()}
    grown = True
    while grown:
        more = {one for one, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return sorted(found - {os.getpid()})


def send(group: int, token: bytes, number: int) -> None:
    """Send a signal to the group of the command, and to what left it, once to each."""
    outside = []
    for one in {*descendants(), *carriers(token)}:
        with contextlib.suppress(OSError):
            if os.getpgid(one) != group:
                outside.append(one)
    with contextlib.suppress(OSError):
        os.killpg(group, number)
    for one in outside:
        with contextlib.suppress(OSError):
            os.kill(one, number)


def kill(child: "subprocess.Popen[bytes]", token: bytes) -> None:
    """End everything for good. What begins meanwhile is ended as well: it is looked for
    until nothing is left, or as long as anybody waits."""
    until = time.monotonic() + KILL_SECONDS
    while True:
        send(child.pid, token, signal.SIGKILL)
        reap(child)
        if not descendants() or time.monotonic() >= until:
            return
        time.sleep(0.01)


def reap(child: "subprocess.Popen[bytes]") -> None:
    """Let go of what was adopted and has ended."""
    while True:
        child.poll()
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except (ChildProcessError, AttributeError):
            return  # nothing is left, or a system on which nothing is adopted
        if found is None:
            return
        if found.si_pid != child.pid:
            os.waitpid(found.si_pid, 0)


def later(until: str, deadline: float) -> float:
    """Return when the time is over, as was said last."""
    with contextlib.suppress(OSError, ValueError), open(until) as file:
        return max(deadline, float(file.read(64)))
    return deadline


def supervise(
    until: str,
    most: int,
    seconds: float,
    grace: float,
    token: str,
    command: "list[str]",
) -> "dict[str, object]":
    """Run the command, and return how it ended."""
    wake, woken = os.pipe()
    for end in (wake, woken):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(woken)
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        process_group=0,
    )
    assert child.stdout is not None
    source = child.stdout.fileno()
    carried = f"DOVETAIL_CALL={token}".encode()
    deadline = time.monotonic() + seconds
    printed, open_ = 0, True
    why: str | None = None
    killing: float | None = None
    while open_ or child.poll() is None or (killing is not None and descendants()):
        reap(child)
        now = time.monotonic()
        if why is None:
            if stopped:
                why = "stopped"
            elif printed > most:
                why = "overflowed"
            elif now >= deadline:
                deadline = later(until, deadline)
                why = None if now < deadline else "timed_out"
            if why is not None:
                send(child.pid, carried, signal.SIGTERM)
                killing = now + grace
        elif killing is not None and now >= killing:
            kill(child, carried)
            # What even that does not end is not waited for.
            deadline, killing = now + KILL_SECONDS, None
        elif killing is None and now >= deadline:
            break
        wait = (deadline if killing is None else killing) - time.monotonic()
        ready, _, _ = select.select(
            [wake, source] if open_ else [wake], [], [], max(0.0, min(wait, 3600.0))
        )
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, CHUNK)
        if source in ready:
            data = os.read(source, CHUNK)
            open_ = bool(data)
            kept = data[: max(0, most - printed)]
            printed += len(data)
            try:
                while kept:
                    kept = kept[os.write(1, kept) :]
            except OSError:
                kill(child, carried)
                raise
    code = child.poll()
    if why is None:
        why = "succeeded" if code == 0 else "failed"
        return {"state": why, "code": code}
    left = descendants()
    numbers = ", ".join(map(str, left))[:MAX_SAID]
    said = f"Not all of it could be ended; this still runs: {numbers}." if left else ""
    return {"state": why, "code": None, "said": said}


def main() -> None:
    end, until, most, seconds, grace, token, *command = sys.argv[1:]
    if not os.read(0, 1):
        return
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    adopt()
    made = f"{end}.new"
    telling = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # The room for it is taken before the command can fill the disk.
    with contextlib.suppress(OSError):
        os.write(telling, b" " * ROOM)
    try:
        found = supervise(
            until, int(most), float(seconds), float(grace), token, command
        )
    except OSError as error:
        # The disk is full, say, or the command is too long for the system.
        found = {"state": "failed", "code": None, "said": os.strerror(error.errno or 0)}
    os.pwrite(telling, json.dumps(found).encode().ljust(ROOM), 0)
    os.rename(made, end)


if __name__ == "__main__":
    main()
