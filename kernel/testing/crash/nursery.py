"""The nursery: a process that has imported what is crashed, and forks its zygotes.

Owns where zygotes come from, how they are spoken with, and how all of them end. To
start Python and to import a module takes longer than many lives; who crashes scenarios
of one module after another keeps its nursery meanwhile (``nurseries_kept``). Knows
nothing of runs and of plans.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from attrs import frozen

from ...values.codec import dumps, from_json, loads, to_json
from ...values.errors import InvalidValueError
from .zygote import Answer, Factory, Order, Ready, Source

MOST_KEPT = 4
"""Nurseries that wait at a time; the one that waited longest ends before another."""


@contextmanager
def nurseries_kept() -> "Iterator[None]":
    """Start a nursery for each module whose scenarios are crashed in here, and not one
    for each crash test; ``MOST_KEPT`` wait for more at a time.

    Each scenario is made in zygotes of its own: what making it changes, the next one
    does not see. A module is imported once, as in a process that runs tests.
    """
    kept: dict[_Surroundings, _Nursery] = {}
    token = _KEPT.set(kept)
    try:
        yield
    finally:
        _KEPT.reset(token)
        for nursery in kept.values():
            nursery.end()


@contextmanager
def zygotes(factory: Factory, number: int) -> "Iterator[Sequence[Zygote]]":
    """Have zygotes of a scenario; they end when this does.

    Raises:
        InvalidValueError: the scenario is not a function of a module.
        RuntimeError: what was to fork them has ended.
    """
    source = _source(factory)
    kept = _KEPT.get()
    surroundings = _Surroundings.of(source)
    nursery = kept.pop(surroundings, None) if kept is not None else None
    nursery = nursery or _Nursery(source)
    try:
        with nursery.zygotes(factory.__qualname__, number) as made:
            yield made
    except BaseException:
        nursery.kill()
        raise
    if kept is None:
        nursery.end()
        return
    kept[surroundings] = nursery
    while len(kept) > MOST_KEPT:
        kept.pop(next(iter(kept))).end()


@frozen
class _Surroundings:
    """What a nursery has from whoever started it, and can not change."""

    source: Source
    folder: str
    environment: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, source: Source) -> "_Surroundings":
        # Which test runs says pytest in a variable.
        environment = {**os.environ, "PYTEST_CURRENT_TEST": ""}
        return cls(source, os.getcwd(), tuple(sorted(environment.items())))


_KEPT: ContextVar[dict[_Surroundings, "_Nursery"] | None] = ContextVar(
    "dovetail_nurseries", default=None
)


class _Nursery:
    """The process, as whoever wants zygotes sees it."""

    def __init__(self, source: Source) -> None:
        self._channel, other = socket.socketpair()
        with other:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", __name__.rpartition(".")[0] + ".zygote"),
                    *(str(other.fileno()), dumps(to_json(source)).decode()),
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
                # A group of its own: all of them can be killed at once.
                process_group=0,
            )

    @contextmanager
    def zygotes(self, name: str, number: int) -> "Iterator[Sequence[Zygote]]":
        """Fork some, and wait for their end when it is over."""
        with ExitStack() as stack:
            made = []
            theirs = []
            for _ in range(number):
                mine, other = socket.socketpair()
                made.append(Zygote(name, stack.enter_context(mine)))
                theirs.append(stack.enter_context(other))
            # When it has ended, that is found by who reads.
            with suppress(OSError):
                socket.send_fds(self._channel, [b"!"], [one.fileno() for one in theirs])
            for other in theirs:
                other.close()
            made[0].begin()
            yield made
            for one in made:
                one.end()
            # Only then: the first of them waits for the others.
            for one in made:
                one.ended()

    def end(self) -> None:
        """Let it end: nobody wants more of it."""
        self._channel.close()
        self._process.wait()

    def kill(self) -> None:
        """End it and all that it forked, whatever they do."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self.end()


class Zygote:
    """One zygote, as the driver sees it."""

    def __init__(self, name: str, channel: socket.socket) -> None:
        self._name = name
        self._channel = channel
        self._talk = channel.makefile("rwb")

    def begin(self) -> None:
        """Say what is to be crashed."""
        self._send(dumps(self._name))

    def ready(self) -> Ready:
        """Wait until it has imported everything."""
        return from_json(loads(self._receive()), Ready)

    def perform(self, order: Order) -> Answer:
        """Have one run done."""
        self._send(dumps(to_json(order)))
        return from_json(loads(self._receive()), Answer)

    def end(self) -> None:
        """Let it end."""
        self._channel.shutdown(socket.SHUT_WR)

    def ended(self) -> None:
        """Wait until it has ended."""
        while self._channel.recv(1):
            pass

    def _send(self, line: bytes) -> None:
        try:
            self._talk.write(line + b"\n")
            self._talk.flush()
        except OSError as error:
            raise self._dead() from error

    def _receive(self) -> bytes:
        try:
            line = self._talk.readline()
        except ConnectionResetError:
            line = b""
        if not line.endswith(b"\n"):
            raise self._dead()
        return line

    def _dead(self) -> RuntimeError:
        return RuntimeError(
            f"the process that was to crash {self._name} ended; what it wrote to "
            "standard error says why"
        )


def _source(factory: Factory) -> Source:
    name = getattr(factory, "__qualname__", "")
    module = sys.modules.get(getattr(factory, "__module__", ""))
    file = getattr(module, "__file__", None)
    if not name or "<" in name or module is None or file is None:
        raise InvalidValueError(
            "scenario",
            factory,
            "a function at the top of a module, so that other processes find it",
        )
    return Source(module.__name__, str(Path(file).resolve()), tuple(sys.path))
