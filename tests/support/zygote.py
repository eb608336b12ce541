"""A process that has imported the command line, and forks one process per command.

Most of what a command costs is that Python starts and imports. A fork of this process
is a real one, with its own streams, signals, terminal and end, and costs a hundredth.
Programs that use dovetail are run by it as well.
What is wrong with starting and importing itself is found where real ones are started.

There is one for all processes that run tests, started by the first that asks: to get
warm costs as much as a hundred commands. It ends when nobody is connected any more.

This file is run by ``Zygote``, and is its other half as well. For each command it is
sent the order, what will be standard input, output and error, and a socket, on which
it answers with the process id, and with the exit code at the end.
"""

import atexit
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import anyio
from filelock import FileLock

WELCOME = b"+"
"""What each is told first that connects."""

LATER = (
    "httpcore",
    "prompt_toolkit.input.vt100",
    "prompt_toolkit.key_binding.bindings.search",
    "pytest",
    "tree_sitter_bash",
    "trio",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.h11_impl",
)
"""What commands and programs import by way of others, or when they come to it."""

# --- those who order --------------------------------------------------------------


class Zygote:
    """The way to the process that forks, which all share who name the same folder."""

    def __init__(self, folder: Path) -> None:
        self._told = folder / "zygote.told"
        self._process: subprocess.Popen[bytes] | None = None
        address = folder / "zygote.address"
        with FileLock(folder / "zygote.lock"):
            found = _reached(address)
            if found is None:
                # A folder of its own, whose path is short: that of a socket has to be.
                place = Path(tempfile.mkdtemp(prefix="zygote-"), "socket")
                found = self._started(place)
                address.write_text(str(place))
        self._channel = found

    def _started(self, place: Path) -> socket.socket:
        with (
            socket.socket(socket.AF_UNIX) as door,
            self._told.open("wb") as told,
        ):
            door.bind(str(place))
            door.listen()
            self._process = subprocess.Popen(
                # Its own folder is none to import from.
                [sys.executable, "-P", __file__, str(door.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=told,
                pass_fds=[door.fileno()],
                # A signal for those who test is none for it.
                start_new_session=True,
            )
            # Before it is let go of here: what it never answers to ends with it.
            channel = socket.socket(socket.AF_UNIX)
            channel.connect(str(place))
        return channel

    def close(self) -> None:
        """Let go of it. Who started it waits until all others have let go as well, and
        it has ended; its children go on."""
        # Not only closed: a child that was forked here may have it as well.
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        self._channel.close()
        if self._process is not None:
            self._process.wait()

    async def fork(
        self,
        arguments: Sequence[str],
        streams: Sequence[int],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        own_session: bool = False,
        program: Path | str | None = None,
    ) -> "Forked":
        """Run a command; ``streams`` are its standard input, output and error.

        With ``program`` that is run instead, a file as ``python -B`` does it, and code
        as ``python -c``.
        """
        order = {
            "file": str(program) if isinstance(program, Path) else None,
            "code": program if isinstance(program, str) else None,
            "arguments": list(arguments),
            "cwd": str(cwd),
            "environment": dict(environment),
            "own_session": own_session,
        }
        talk, other = socket.socketpair()
        with other, tempfile.TemporaryFile() as file:
            file.write(json.dumps(order).encode())
            file.seek(0)
            descriptors = [file.fileno(), *streams, other.fileno()]
            socket.send_fds(self._channel, [b"!"], descriptors)
        talk.setblocking(False)
        forked = Forked(talk)
        try:
            forked.pid = int(await forked.hear())
        except EOFError:
            raise RuntimeError(self._told.read_text("utf-8", "replace")) from None
        return forked


def _reached(address: Path) -> socket.socket | None:
    """Return a connection to the process that is there, if there is one."""
    try:
        place = address.read_text()
    except FileNotFoundError:
        return None
    channel = socket.socket(socket.AF_UNIX)
    try:
        channel.connect(place)
        # One that is about to end says nothing any more.
        if channel.recv(1) == WELCOME:
            return channel
    except OSError:
        pass
    channel.close()
    return None


class Forked:
    """A process, of which its parent tells."""

    pid: int

    def __init__(self, talk: socket.socket) -> None:
        self.returncode: int | None = None
        self._talk = talk
        self._heard = b""

    async def hear(self) -> bytes:
        """Return the next line that its parent says.

        Raises:
            EOFError: it says nothing more.
        """
        while b"\n" not in self._heard:
            await anyio.wait_readable(self._talk)
            if not (data := self._talk.recv(64)):
                raise EOFError
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        return line

    async def wait(self) -> int:
        """Wait for its end and return the exit code; a signal is a negative one."""
        if self.returncode is None:
            self.returncode = int(await self.hear())
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, or do nothing where it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    async def aclose(self) -> None:
        """Wait for the end of what was killed or has ended, and let go of it."""
        with suppress(EOFError):
            await self.wait()
        self._talk.close()


# --- the process itself -----------------------------------------------------------


def main() -> None:
    """Fork whatever is ordered, until nobody is left to order anything.

    In each child it runs its command, which ends as every program does.
    """
    door = socket.socket(fileno=int(sys.argv[1]))
    place = Path(door.getsockname())
    warm_up()
    # The end of a child arrives like an order: as something to read.
    ended, signalled = socket.socketpair()
    ended.setblocking(False)
    signalled.setblocking(False)
    signal.set_wakeup_fd(signalled.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poll = select.poll()
    poll.register(door, select.POLLIN)
    poll.register(ended, select.POLLIN)
    channels: dict[int, socket.socket] = {}
    talks: dict[int, int] = {}
    while True:
        ready = [descriptor for descriptor, _ in poll.poll()]
        if ended.fileno() in ready:
            ended.recv(4096)
            for pid in list(talks):
                gone, status = os.waitpid(pid, os.WNOHANG)
                if gone:
                    talk = talks.pop(pid)
                    tell(talk, os.waitstatus_to_exitcode(status))
                    os.close(talk)
        if door.fileno() in ready:
            channel, _ = door.accept()
            channels[channel.fileno()] = channel
            poll.register(channel, select.POLLIN)
            with suppress(OSError):
                channel.sendall(WELCOME)
        for descriptor in channels.keys() & set(ready):
            order = ordered(channels[descriptor])
            if order is None:
                poll.unregister(descriptor)
                channels.pop(descriptor).close()
                if not channels:
                    shutil.rmtree(place.parent)
                    return
                continue
            given, *streams, talk = order
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                # Closed in a moment, and not again by whoever sweeps up.
                for used in (door, ended, signalled, *channels.values()):
                    used.detach()
                try:
                    be(json.loads(os.fdopen(given, "rb").read()), streams)
                except SystemExit as end:
                    leave(end.code)
                leave(None)
            for one in (given, *streams):
                os.close(one)
            talks[pid] = talk
            tell(talk, pid)


def ordered(channel: socket.socket) -> list[int] | None:
    """Return the descriptors of the next order, or None where nobody is left."""
    try:
        signs, descriptors, _, _ = socket.recv_fds(channel, 1, 5)
    except ConnectionResetError:
        return None  # killed
    return descriptors if signs else None


def tell(talk: int, number: int) -> None:
    with suppress(BrokenPipeError):
        os.write(talk, b"%d\n" % number)


def warm_up() -> None:
    """Do once what every command would do, as far as it does not depend on it."""
    import dovetail.builtin_tools
    import dovetail.kernel
    import dovetail.plugins
    import dovetail.storage
    from dovetail.plugins.cli.program import run_program

    for top in (
        dovetail.kernel,
        dovetail.storage,
        dovetail.builtin_tools,
        dovetail.plugins,
    ):
        for found in pkgutil.walk_packages(top.__path__, f"{top.__name__}."):
            if not {"testing", "__main__"} & set(found.name.split(".")):
                importlib.import_module(found.name)
    for name in LATER:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.clear()
        os.environ["HOME"] = folder
        # The event loop and the database, whose parts come when they are wanted.
        os.environ["DOVETAIL_DB"] = f"sqlite:///{folder}/s.db"
        assert run_program(["sessions"]) == 0
    for thread in threading.enumerate():
        # A fork has none but the one that forks.
        if thread is not threading.main_thread():
            thread.join()
    gc.freeze()


def be(order: Any, streams: Sequence[int]) -> None:
    """Become the process that runs a command."""
    if order["own_session"]:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    if order["own_session"] and os.isatty(0):
        # The keys of the terminal that send signals are this session's.
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    tempfile.tempdir = None
    time.tzset()
    sys.argv[1:] = order["arguments"]
    # As in a new process, where nobody knows the streams of the one before.
    sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    if order["file"] or order["code"]:
        return be_program(order["file"], order["code"])
    from dovetail.plugins.cli import main as command_line

    return command_line()


def leave(code: "int | str | None") -> NoReturn:
    """End this process as Python does, without taking down what it was forked with:
    that takes four times as long as all else, and tells nothing of the command."""
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is None or stream.closed:
            continue
        try:
            stream.flush()
        except OSError:
            code = 120  # as Python says it
    os._exit(code or 0)


def be_program(file: str | None, code: str | None) -> None:
    """Run a program by what the environment says to Python."""
    sys.dont_write_bytecode = True
    sys.argv[0] = file or "-c"
    sys.path[0:0] = [os.path.dirname(file) if file else ""]
    if filters := os.environ.get("PYTHONWARNINGS"):
        warnings.resetwarnings()
        warnings.simplefilter(filters)  # type: ignore[arg-type]
    if file:
        runpy.run_path(file, run_name="__main__")
    elif code:
        main = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(code, "<string>", "exec"), vars(main))


if __name__ == "__main__":
    main()
