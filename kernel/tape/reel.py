"""The reel: one file, what is on it, and what it is used for.

Owns the order in which answers are given, and is the one place that reads and writes
the file. Which bytes a client sends and sees is ``traffic``'s.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import anyio
from anyio import to_thread

from ..values.errors import (
    InvalidValueError,
    NotOnTapeError,
    TapeDamagedError,
    TapeError,
)
from ..values.secrets import Redactor
from .hiding import Hiding, secrets_in
from .lines import Interaction, LineError, TapedRequest, header, read, written
from .nearest import nearest

TapeMode = Literal["replay", "missing", "anew", "tap"]
MODES: tuple[TapeMode, ...] = ("replay", "missing", "anew", "tap")


class Reel:
    """What ``Tape`` is, without a client."""

    def __init__(
        self,
        path: "str | os.PathLike[str]",
        mode: TapeMode = "replay",
        *,
        headers: Sequence[str] = ("content-type",),
        secrets: Sequence[str] = (),
        steady: Callable[[bytes], bytes] | None = None,
    ) -> None:
        if mode not in MODES:
            raise InvalidValueError("mode", mode, f"one of {', '.join(MODES)}")
        self.path = os.path.abspath(path)
        """Where the tape is."""
        self.mode: TapeMode = mode
        """What it is used for."""
        self.headers = tuple(name.lower() for name in headers)
        self._secrets = Redactor(secrets)
        self._environment = Redactor()
        self._steady = steady
        self._kept: list[Interaction] = []
        """Those that were on the tape when it was opened, and those since."""
        self._waiting: dict[object, deque[int]] = {}
        self._used: set[int] = set()
        self._guard = threading.Lock()
        self._written = False

    def __repr__(self) -> str:
        name, kept = type(self).__name__, len(self._kept)
        return f"<{name} {self.path!r} ({self.mode}): {kept} kept>"

    @property
    def replays(self) -> bool:
        """Whether answers that are on the tape are given."""
        return self.mode in ("replay", "missing")

    @property
    def records(self) -> bool:
        """Whether the network is asked for what is not given, and it is recorded."""
        return self.mode != "replay"

    @property
    def interactions(self) -> tuple[Interaction, ...]:
        """What is on the tape, in its order: what was there, and what came."""
        return tuple(self._kept)

    @property
    def unused(self) -> tuple[TapedRequest, ...]:
        """The recorded requests that nobody made yet, where the tape is played."""
        if not self.replays:
            return ()
        return tuple(
            one.request for at, one in enumerate(self._kept) if at not in self._used
        )

    def hide(self, environment: Mapping[str, str]) -> None:
        """Take the values of variables that are called as those of keys are for
        secrets, too."""
        self._environment = Redactor(secrets_in(environment))

    # --- what traffic asks --------------------------------------------------------

    def hiding(
        self, url: str, headers: Sequence[tuple[str, str]], known: Any = None
    ) -> Hiding:
        """Return what hides the secrets of one request; ``known`` is what its client
        takes out of texts by itself."""
        redactors = [self._secrets, self._environment]
        if isinstance(known, Redactor):
            redactors.append(known)
        return Hiding(url, headers, redactors)

    def steadied(self, body: bytes) -> bytes:
        """Return a request's body without what varies from run to run."""
        return self._steady(body) if self._steady is not None else body

    def take(self, request: TapedRequest) -> Interaction | None:
        """Return the next answer to a request, or None where it has to be recorded.

        Raises:
            NotOnTapeError: it may not be recorded.
        """
        if self.replays:
            with self._guard:
                waiting = self._waiting.get(request.key)
                if waiting:
                    at = waiting.popleft()
                    self._used.add(at)
                    return self._kept[at]
        if self.records:
            return None
        raise self._not_on_tape(request)

    def _not_on_tape(self, request: TapedRequest) -> NotOnTapeError:
        kept = [one.request for one in self._kept]
        times = kept.count(request)
        if times:
            problem = f"it was recorded {times} times, and all of them were given"
            return NotOnTapeError(self.path, str(request), problem)
        found = nearest(request, kept)
        if found is None:
            return NotOnTapeError(self.path, str(request), "nothing is on it")
        near = f"request {found.at + 1} of {len(kept)}, {kept[found.at]}"
        problem = f"the nearest is {near}, and differs in"
        return NotOnTapeError(self.path, str(request), problem, found.told)

    async def keep(self, interaction: Interaction) -> None:
        """Write an interaction down; also when the one who asked is cancelled.

        Raises:
            TapeError: it cannot be written.
        """
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(self._append, interaction)

    def _append(self, interaction: Interaction) -> None:
        lines = written(interaction)
        try:
            with self._guard:
                self._write(lines)
                self._used.add(len(self._kept))
                self._kept.append(interaction)
        except OSError as error:
            raise TapeError(
                self.path, f"it cannot be written ({error.strerror})"
            ) from error

    def _write(self, lines: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        path = self._target()
        if not self._written:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            if self.mode == "anew":
                # What an earlier run left, which was killed.
                Path(path).unlink(missing_ok=True)
        # What was said to a model is for nobody else to read.
        opened = os.open(path, flags, 0o600)
        try:
            if not os.fstat(opened).st_size:
                lines = header() + lines
            elif not self._written and not _ends_with_a_line(path):
                # A writer that was killed left half a line; it stays one of its own.
                lines = b"\n" + header() + lines
            # At once, so that what two processes write does not mix.
            left = memoryview(lines)
            while left:
                left = left[os.write(opened, left) :]
        finally:
            os.close(opened)
        self._written = True

    def _target(self) -> str:
        # A tape that is recorded anew is replaced as a whole, when all went well.
        return f"{self.path}.new" if self.mode == "anew" else self.path

    def load(self) -> None:
        """Read what is on it, where that is played.

        Raises:
            TapeError: there is none, or it cannot be read.
        """
        if not self.replays:
            return
        try:
            with open(self.path, "rb") as file:
                self._kept = list(read(file))
        except FileNotFoundError:
            if self.mode == "replay":
                raise TapeError(
                    self.path, "there is none; record it with the mode 'missing'"
                ) from None
        except OSError as error:
            raise TapeError(
                self.path, f"it cannot be read ({error.strerror})"
            ) from error
        except LineError as error:
            raise TapeDamagedError(self.path, str(error)) from None
        for at, one in enumerate(self._kept):
            self._waiting.setdefault(one.request.key, deque()).append(at)

    def replace(self) -> None:
        """Put what was recorded anew into the place of what was there."""
        if self.mode == "anew" and self._written:
            os.replace(self._target(), self.path)


def _ends_with_a_line(path: str) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
