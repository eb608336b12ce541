"""Child processes: run one in its own group, within bounds, and leave nothing behind.

Owns starting, reading, waiting, stopping. Knows nothing of shells, searches or
permissions. Bytes are handed over as they come; ``Capture`` keeps a bounded amount.

A child whose start must be known to others first begins as a launcher that waits until
it is told to go on; if this process dies meanwhile, it never becomes the command. On
Linux the system is asked to end a child when this process dies. It means the thread
that started it, so all are started by one thread that lives as long as the process.

Everything here needs POSIX: process groups, sessions and pipes that can be polled.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import anyio
import anyio.lowlevel
import anyio.to_thread
from attrs import frozen
from dovetail.kernel import DetachWanted

from ._marks import MAX_OUTPUT, STOP_SECONDS, Family

CHUNK = 65_536
LOOK_SECONDS = 0.02
"""Between looks at what descends from a process."""
LINGER_SECONDS = 1.0
"""How long the output is still read after the process itself ended, while something
that it left behind keeps the pipes open."""

Feed = Callable[[bytes], bool | None]
"""Takes a chunk of output; True says that nothing more is wanted."""


@frozen
class Ended:
    """How a process came to its end."""

    code: int
    """Its exit code; ``-n`` when signal ``n`` ended it."""
    timed_out: bool = False
    enough: bool = False
    """It was stopped because a ``Feed`` wanted nothing more."""
    lingering: bool = False
    """Something that it started still held its output open."""
    group: int = 0
    """The number of its process group."""
    running: tuple[int, ...] = ()
    """Of one that was stopped: what descends from it and could not be ended."""
    detached: "Child | None" = None
    """The process, which goes on and is the caller's from now on; see ``run``."""


class Capture:
    """Keeps the head and the tail of a stream in bounded memory."""

    def __init__(self, limit: int) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._head_limit = limit // 2
        self._tail_limit = limit - self._head_limit
        self.total = 0

    def feed(self, chunk: bytes) -> None:
        """Add what came."""
        self.total += len(chunk)
        free = self._head_limit - len(self._head)
        if free > 0:
            self._head += chunk[:free]
            chunk = chunk[free:]
        self._tail += chunk
        # Cut in big steps, so that the cost per byte stays constant.
        if len(self._tail) > self._tail_limit + 16 * CHUNK:
            del self._tail[: -self._tail_limit]

    def kept(self) -> bytes:
        """Return the bytes that were kept, with a line where some are missing."""
        tail = bytes(self._tail)[-self._tail_limit :]
        gap = f"\n... {self.dropped} bytes were not kept ...\n".encode()
        return bytes(self._head) + (gap if self.dropped else b"") + tail

    @property
    def dropped(self) -> int:
        """How many bytes are missing between the head and the tail."""
        return max(0, self.total - self._head_limit - self._tail_limit)

    def text(self) -> str:
        """Return what was kept; bytes that are not UTF-8 become U+FFFD."""
        tail = bytes(self._tail)[-self._tail_limit :]
        if not self.dropped:
            return (bytes(self._head) + tail).decode("utf-8", "replace")
        # Neither half may show a character that the cut went through as damaged.
        head = bytes(self._head)
        head = head[: len(head) - _incomplete_end(head)]
        start = 0
        while start < min(4, len(tail)) and 0x80 <= tail[start] < 0xC0:
            start += 1
        return "".join(
            (
                head.decode("utf-8", "replace"),
                f"\n\n... {self.dropped} bytes were not kept ...\n\n",
                tail[start:].decode("utf-8", "replace"),
            )
        )


def _incomplete_end(data: bytes) -> int:
    """Return how many bytes at the end begin a character that is not complete."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if back < size else 0
        if byte < 0x80:
            return 0
    return 0


# --- starting ---------------------------------------------------------------------

_GATE = 'read -r _ && exec "$@" </dev/null'
"""For sh: become the command once a line comes, end when nobody can send one."""
_DEATH = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)
"""For Python: PR_SET_PDEATHSIG with SIGKILL, then become the command."""


@cache
def _dying_with_us() -> tuple[str, ...]:
    """Return what starts a command that the system ends when its parent dies."""
    if sys.platform != "linux":
        return ()
    if found := shutil.which("setpriv", path=os.defpath):
        try:
            # Not every setpriv can: busybox has one of its own.
            known = subprocess.run([found, "--help"], capture_output=True, check=False)
        except OSError:
            known = None
        if known is not None and b"--pdeathsig" in known.stdout + known.stderr:
            return (found, "--pdeathsig", "KILL", "--")
    return (sys.executable, "-I", "-S", "-c", _DEATH) if sys.executable else ()


class _Starter:
    """The one thread that starts children, made anew in a process that was forked."""

    def __init__(self) -> None:
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._thread = ThreadPoolExecutor(1, "dovetail-children")

    def start(
        self, make: Callable[[], "subprocess.Popen[bytes]"]
    ) -> "subprocess.Popen[bytes]":
        return self._thread.submit(make).result()


_STARTER = _Starter()


async def run(
    command: Sequence[str],
    *,
    cwd: str,
    environment: Mapping[str, str],
    seconds: float,
    stdout: Feed,
    stderr: Feed | None,
    stdin: int = subprocess.DEVNULL,
    chunk: int = CHUNK,
    announce: Callable[[int], Awaitable[None]] | None = None,
    later: Callable[[], int] | None = None,
    leave: DetachWanted | None = None,
) -> Ended:
    """Run a command in a process group of its own and return how it ended.

    Output is handed to ``stdout`` and ``stderr`` chunk by chunk, in the event-loop
    thread, which others wait for as long as the feed takes for a ``chunk``. Without
    ``stderr`` both streams come to ``stdout``, in the order they were written. After
    ``seconds``, on cancellation, and when a feed has enough, the whole group gets
    SIGTERM and, if it is still there after three seconds, SIGKILL; only then does this
    return. When the command ends by itself, whatever it left running stays: what that
    still writes goes to the file that ``later`` opens, up to a limit, or without one to
    nobody.

    ``announce`` is told the number of the process, and so of its group, before it
    becomes the command; what it raises passes, and nothing was run then. Such a command
    has no input. On Linux what descends from it is ended with it, also outside of the
    group; ``Ended.running`` names what even that did not end. Out of reach is what had
    lost its parent before, and on other systems whatever left the group.

    When ``leave`` is set before the command has ended, this returns at once with the
    process, whose output waits in its pipe: whoever called goes on with it by
    ``Child.carry_on``.

    Raises:
        OSError: the command cannot be started.
    """
    gate: tuple[int, int] | None = None
    command = [*await anyio.to_thread.run_sync(_dying_with_us), *command]
    if announce is not None:
        command = ["/bin/sh", "-c", _GATE, "sh", *command]
        gate = os.pipe()
        stdin = gate[0]
    try:
        # Starting can take long on a busy machine. Cancelling waits for it: a process
        # that nobody knows of could not be ended.
        process = await anyio.to_thread.run_sync(
            _STARTER.start,
            lambda: subprocess.Popen(
                command,
                cwd=cwd,
                env=dict(environment),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if stderr is None else subprocess.PIPE,
                start_new_session=True,
                bufsize=0,
            ),
        )
    except BaseException:
        if gate is not None:
            os.close(gate[1])
        raise
    finally:
        if gate is not None:
            os.close(gate[0])
    child = Child(process, chunk, Family(process.pid) if announce else None)
    timed_out = lingering = False
    try:
        async with anyio.create_task_group() as pumps:
            try:
                pumps.start_soon(child.pump, 0, stdout)
                if stderr is not None:
                    pumps.start_soon(child.pump, 1, stderr)
                with anyio.move_on_after(seconds) as limit, child.waiting:
                    if gate is not None and announce is not None:
                        await _let_go(gate[1], child, announce)
                    if leave is not None:
                        # Not before: what has not begun is not left.
                        pumps.start_soon(child.leave_when, leave)
                    await child.exited()
                timed_out = limit.cancelled_caught
                if timed_out or child.enough:
                    await child.stop()
                elif not child.left:
                    with anyio.move_on_after(LINGER_SECONDS) as linger:
                        await child.ends()
                    lingering = linger.cancelled_caught
                child.left = child.left and not timed_out
            except BaseException:
                child.left = False
                raise
            finally:
                if child.left:
                    child.end_pumps()
                else:
                    await child.finish()
        if lingering and later is not None:
            await anyio.to_thread.run_sync(child.hand_over, later)
    finally:
        if not child.left:
            child.close()
    if child.left:
        return Ended(0, group=process.pid, detached=child)
    return Ended(
        *(child.code, timed_out, child.enough, lingering, process.pid),
        running=child.running,
    )


async def _let_go(
    gate: int, child: "Child", announce: Callable[[int], Awaitable[None]]
) -> None:
    """Tell others of a process, then let it become its command."""
    try:
        await announce(child.id)
        try:
            os.write(gate, b"\n")
        except BrokenPipeError:
            return  # it was ended from outside before it began
    finally:
        os.close(gate)


_READ_ON = (
    "exec 3<&0; "
    f"{{ (ulimit -c 0; ulimit -f {MAX_OUTPUT // 512}; cat); exec cat >/dev/null; }} "
    "<&3 3<&- &"
)
"""For sh: leave a process behind that reads on, and be done. The detour is needed,
because what sh puts into the background loses its input; and cat, because it holds
nothing back. Where the file may not grow any more, the system ends the first one."""


class Child:
    """One process while it is looked after."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        chunk: int,
        family: Family | None = None,
    ) -> None:
        self._process = process
        self._family = family
        self._chunk = chunk
        pipes = (self._process.stdout, self._process.stderr)
        self._pipes = tuple(pipe for pipe in pipes if pipe is not None)
        for pipe in self._pipes:
            os.set_blocking(pipe.fileno(), False)
        self._ends = tuple(anyio.Event() for _ in self._pipes)
        self._pumps: list[anyio.CancelScope] = []
        self._gone = self._finished = False
        self.id = process.pid
        self.waiting = anyio.CancelScope()
        self.left = False
        """Whether it goes on without whoever started it."""
        self.enough = False
        self.code = 0
        self.running: tuple[int, ...] = ()
        """What could not be ended with it."""

    async def pump(self, index: int, feed: Feed) -> None:
        """Hand one stream over until it ends, nothing more is wanted, or finish.

        Shielded, because what a process says while it is being stopped still counts
        and because it could not end while its pipe is full.
        """
        with anyio.CancelScope(shield=True) as scope:
            self._pumps.append(scope)
            descriptor = self._pipes[index].fileno()
            wanted = True
            while True:
                try:
                    chunk = os.read(descriptor, self._chunk)
                except BlockingIOError:
                    await anyio.wait_readable(descriptor)
                    continue
                if not chunk:
                    break
                if wanted and feed(chunk):
                    wanted = False
                    self.enough = True
                    self.waiting.cancel()
                # A fast writer must not starve the other tasks of the loop.
                await anyio.lowlevel.checkpoint()
            self._ends[index].set()

    async def ends(self) -> None:
        """Return when both streams have ended."""
        for end in self._ends:
            await end.wait()

    async def exited(self) -> None:
        """Return when the process itself ended.

        It is not reaped yet: until ``finish`` its number, which is also the group's,
        cannot be given to anybody else, so that no signal can reach a stranger.
        """
        if self._gone:
            return
        await anyio.to_thread.run_sync(
            self._wait, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1)
        )
        self._gone = True

    def _wait(self) -> None:
        if not hasattr(os, "waitid"):
            # macOS before Python 3.13: there is no way to wait without reaping.
            self._process.wait()
            return
        try:
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            return  # reaped meanwhile: it is gone, which was the question

    async def stop(self) -> None:
        """End the whole group: SIGTERM, then SIGKILL after three seconds. What descends
        from the process is ended with it, if it has a family."""
        with anyio.CancelScope(shield=True):
            # Who loses its parent is known only if it was seen before. The group comes
            # first: a shell must not go on to its next command when the last one ends.
            await self._look()
            self._signal(signal.SIGTERM)
            await self._send_family(signal.SIGTERM)
            with anyio.move_on_after(STOP_SECONDS):
                await self.exited()
                await self.ends()
                while await self._look():  # noqa: ASYNC110 - they are not our children
                    await anyio.sleep(LOOK_SECONDS)
            self._signal(signal.SIGKILL)
            await self.exited()
            with anyio.move_on_after(LINGER_SECONDS):
                # Again and again: what begins meanwhile is ended as well.
                while await self._look():
                    await self._send_family(signal.SIGKILL)
                    await anyio.sleep(LOOK_SECONDS)
                await self.ends()
            self.running = await self._look()

    async def _look(self) -> tuple[int, ...]:
        if self._family is None:
            return ()
        return await anyio.to_thread.run_sync(self._family.look)

    async def _send_family(self, number: int) -> None:
        if self._family is not None:
            await anyio.to_thread.run_sync(self._family.send, number)

    async def finish(self) -> None:
        """Stop the process if it still runs, reap it, and end the pumps."""
        with anyio.CancelScope(shield=True):
            if not self._gone:
                await self.stop()
            self.code = self._process.wait()
        self._finished = True
        self.end_pumps()

    def end_pumps(self) -> None:
        """Read no more of what it prints; nothing that was read is lost."""
        for scope in self._pumps:
            scope.cancel()
        self._pumps.clear()

    async def leave_when(self, leave: DetachWanted) -> None:
        """Stop waiting for it when it is to be left; a pump, in that it ends so."""
        with anyio.CancelScope(shield=True) as scope:
            if self._finished:
                return
            self._pumps.append(scope)
            await leave.wait()
            if not (self._gone or self.enough or self.waiting.cancel_called):
                self.left = True
                self.waiting.cancel()

    async def carry_on(self, feed: Feed, until: Callable[[], float]) -> Ended:
        """Go on with a process that was left, and return how it ended.

        It may run until the clock of ``time.monotonic`` shows what ``until`` returns,
        which is asked again when that has come. ``interrupt`` ends it, and so does
        cancelling.
        """
        self.left, timed_out = False, False
        self.waiting = anyio.CancelScope()
        try:
            async with anyio.create_task_group() as pumps:
                try:
                    pumps.start_soon(self.pump, 0, feed)
                    with self.waiting:
                        while (rest := until() - time.monotonic()) > 0:
                            with anyio.move_on_after(rest):
                                await self.exited()
                                await self.ends()
                                break
                        else:
                            timed_out = True
                    if timed_out or self.waiting.cancelled_caught:
                        await self.stop()
                finally:
                    await self.finish()
        finally:
            self.close()
        return Ended(
            *(self.code, timed_out, self.enough), group=self.id, running=self.running
        )

    def interrupt(self) -> None:
        """End it soon; for one that is carried on."""
        self.waiting.cancel()

    def hand_over(self, later: Callable[[], int]) -> None:
        """Let a small process go on reading what is still written, so that nobody who
        writes it is ended by a broken pipe. It outlives this process."""
        for pipe in self._pipes:
            # The reader waits; we did not.
            os.set_blocking(pipe.fileno(), True)
            target = later()
            try:
                subprocess.run(
                    ["/bin/sh", "-c", _READ_ON],
                    check=False,
                    cwd="/",
                    env={"PATH": os.defpath},
                    stdin=pipe.fileno(),
                    stdout=target,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            finally:
                os.close(target)

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.close()

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return  # nobody is left in the group
        except PermissionError:
            # macOS says this of a group in which only the unreaped leader is left.
            return
