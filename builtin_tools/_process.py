"""Child processes: run one in its own group, within bounds, and leave nothing behind.

Owns starting, reading, waiting, stopping. Knows nothing of shells, searches or
permissions. Bytes are handed over as they come; ``Capture`` keeps a bounded amount.

Everything here needs POSIX: process groups, sessions and pipes that can be polled.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence

import anyio
import anyio.lowlevel
import anyio.to_thread
from attrs import frozen

CHUNK = 65_536
STOP_SECONDS = 3.0
"""How long a process group may take to end after SIGTERM before SIGKILL."""
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


async def run(
    command: Sequence[str],
    *,
    cwd: str,
    environment: Mapping[str, str],
    seconds: float,
    stdout: Feed,
    stderr: Feed,
    stdin: int = subprocess.DEVNULL,
) -> Ended:
    """Run a command in a process group of its own and return how it ended.

    Output is handed to ``stdout`` and ``stderr`` chunk by chunk, in the event-loop
    thread. After ``seconds``, on cancellation, and when a feed has enough, the whole
    group gets SIGTERM and, if it is still there after three seconds, SIGKILL; only
    then does this return. A process that left the group by its own ``setsid`` is out
    of reach. When the command ends by itself, whatever it left running stays.

    Raises:
        OSError: the command cannot be started.
    """
    # Starting can take long on a busy machine. Cancelling waits for it: a process that
    # nobody knows of could not be ended.
    process = await anyio.to_thread.run_sync(
        lambda: subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(environment),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
    )
    child = _Child(process)
    timed_out = lingering = False
    try:
        async with anyio.create_task_group() as pumps:
            try:
                pumps.start_soon(child.pump, 0, stdout)
                pumps.start_soon(child.pump, 1, stderr)
                with anyio.move_on_after(seconds) as limit, child.waiting:
                    await child.exited()
                timed_out = limit.cancelled_caught
                if timed_out or child.enough:
                    await child.stop()
                else:
                    with anyio.move_on_after(LINGER_SECONDS) as linger:
                        await child.ends()
                    lingering = linger.cancelled_caught
            finally:
                await child.finish()
    finally:
        child.close()
    return Ended(child.code, timed_out, child.enough, lingering)


class _Child:
    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        pipes = (self._process.stdout, self._process.stderr)
        self._pipes = tuple(pipe for pipe in pipes if pipe is not None)
        for pipe in self._pipes:
            os.set_blocking(pipe.fileno(), False)
        self._ends = tuple(anyio.Event() for _ in self._pipes)
        self._pumps: list[anyio.CancelScope] = []
        self._gone = False
        self.waiting = anyio.CancelScope()
        self.enough = False
        self.code = 0

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
                    chunk = os.read(descriptor, CHUNK)
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
        """End the whole group: SIGTERM, then SIGKILL after three seconds."""
        with anyio.CancelScope(shield=True):
            self._signal(signal.SIGTERM)
            with anyio.move_on_after(STOP_SECONDS):
                await self.exited()
                await self.ends()
            self._signal(signal.SIGKILL)
            await self.exited()
            with anyio.move_on_after(LINGER_SECONDS):
                await self.ends()

    async def finish(self) -> None:
        """Stop the process if it still runs, reap it, and end the pumps."""
        with anyio.CancelScope(shield=True):
            if not self._gone:
                await self.stop()
            self.code = self._process.wait()
        for scope in self._pumps:
            scope.cancel()

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
