"""The watchdog: says whose code holds things up, while it does.

Owns a thread that looks at two things: calls of a stranger's code that are not awaited
(a hook, an import), and whether the event loop still answers. What takes too long is
told with the plugin, what is called of it, and the line that it is at, and again in
growing intervals; what follows from it is decided by others. Code that holds the
interpreter itself (a regular expression, a C extension) holds up this thread, too, and
is told as soon as it lets go.

It looks in real time: it watches threads, which no test's clock moves.
"""

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context, Token
from types import FrameType, TracebackType

from attrs import define

from ..values.frozen import frozen
from .guests import GUEST, Guest
from .loop import CallInLoop, loop_caller

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.25
FIRST_SECONDS = 1.0
"""How long something may take before it is told."""
LONGEST_PAUSE = 60.0
"""Seconds between two tellings of the same at most; they double up to it."""
REMEMBERED = 50

_STANDARD = os.path.dirname(os.__file__) + os.sep
_PACKAGES = ("site-packages", "dist-packages")


@frozen
class Blocking:
    """Code that takes long in a thread where others wait for it."""

    guest: Guest | None
    """Whose it is, as far as that is known."""
    where: str
    """The line that it is at: ``file:line in function``."""
    seconds: float
    """For how long it has been going on, or went on."""
    loop: bool
    """Whether the event loop stands still for it: nothing else goes on in there."""

    def __str__(self) -> str:
        what = "held up the event loop for" if self.loop else "taken"
        return f"{self.who} has {what} {self.seconds:.1f} s, at {self.where}"

    @property
    def who(self) -> str:
        """Whose code it is, or ``code`` where that is not known."""
        return "code" if self.guest is None else str(self.guest)


@define(eq=False)
class _Wait:
    """Something that is waited for, and when it is told next."""

    began: float
    next: float
    last: Blocking | None = None
    """How it was told last."""


class _Call(_Wait):
    """One call of a stranger's code, on the stack of its thread."""

    __slots__ = ("guest", "thread", "token", "watchdog")

    def __init__(self, watchdog: "Watchdog", guest: Guest) -> None:
        super().__init__(0.0, watchdog.first)
        self.watchdog = watchdog
        self.guest = guest
        self.thread = 0
        self.token: Token[Guest | None] | None = None

    def __enter__(self) -> None:
        self.thread = threading.get_ident()
        self.token = GUEST.set(self.guest)
        self.began = time.monotonic()
        self.watchdog.began(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.watchdog.ended(self)
        assert self.token is not None
        GUEST.reset(self.token)


class Watchdog:
    """Watches the calls of one runtime's plugins, and its event loop."""

    def __init__(
        self, first: float = FIRST_SECONDS, look: float = LOOK_SECONDS
    ) -> None:
        """``first`` is after how many seconds something is told, ``look`` how many are
        between two looks."""
        self.first = first
        self._look_seconds = look
        self.on_blocking: Callable[[Blocking], None] | None = None
        """Hears what is told, in the watchdog's thread, and once more when it ended,
        in that of the code."""
        self._calls: dict[int, list[_Call]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._end = threading.Event()
        self._call_in_loop: CallInLoop | None = None
        self._loop_thread = 0
        self._asked: _Wait | None = None
        self.past: deque[Blocking] = deque(maxlen=REMEMBERED)
        """What was told and is over, the latest last."""

    # --- what is watched ----------------------------------------------------------

    def calling(self, guest: Guest) -> _Call:
        """Watch a call that is not awaited, for as long as this is entered."""
        return _Call(self, guest)

    def began(self, call: _Call) -> None:
        """Put a call on the stack of its thread."""
        self._calls.setdefault(call.thread, []).append(call)
        if self._thread is None:
            self._begin()

    def ended(self, call: _Call) -> None:
        """Take a call from the stack of its thread."""
        stack = self._calls[call.thread]
        stack.remove(call)
        if not stack:
            del self._calls[call.thread]
        self._over(call)

    def watch_loop(self) -> Callable[[], None]:
        """Watch the event loop that runs here. Returns a function that ends it."""
        self._loop_thread = threading.get_ident()
        self._call_in_loop = loop_caller()
        self._begin()

        def end() -> None:
            self._call_in_loop = self._asked = None
            self._end.set()

        return end

    def silence(self) -> float:
        """Return for how many seconds the event loop has not answered by now."""
        asked = self._asked
        return 0.0 if asked is None else time.monotonic() - asked.began

    def now(self) -> Sequence[Blocking]:
        """Return what takes long at this moment, the longest first."""
        now = time.monotonic()
        found = [self._seen(one, now) for one in self._waits()]
        long = [one for one in found if one.seconds >= self.first]
        return sorted(long, key=lambda one: -one.seconds)

    # --- the thread ---------------------------------------------------------------

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None:
                self._end.clear()
                self._thread = threading.Thread(
                    target=self._run, name="dovetail-watchdog", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        idle, looked = 0, time.monotonic()
        spent = time.process_time()
        while True:
            self._end.wait(self._look_seconds)
            now, used = time.monotonic(), time.process_time()
            late = now - looked - self._look_seconds
            if late > self.first:
                self._stood_still(now, late, held=used - spent > late / 20)
            looked, spent = now, used
            self._look(now)
            idle = 0 if self._calls or self._call_in_loop is not None else idle + 1
            with self._lock:
                if self._end.is_set() or idle > 1:
                    # A runtime that was closed leaves no thread behind, and calls
                    # outside of one are few: the next begins another.
                    if not self._calls:
                        self._thread = None
                        return
                    self._end.clear()

    def _look(self, now: float) -> None:
        for wait in self._waits():
            self._tell(wait, now)
        if self._asked is None:
            self._ask(now)

    def _ask(self, now: float) -> None:
        call = self._call_in_loop
        if call is None:
            return
        self._asked = asked = _Wait(now, self.first)
        try:
            call(self._answer, asked)
        except RuntimeError:
            # The loop has ended, and was never let go of.
            self._call_in_loop = self._asked = None

    def _answer(self, asked: _Wait) -> None:
        if self._asked is asked:
            self._asked = None
        self._over(asked)

    def _stood_still(self, now: float, late: float, *, held: bool) -> None:
        """Hear that this thread did not run when it should have."""
        asked = self._asked
        if held:
            # By code that kept the interpreter to itself, and has just let go. Told at
            # once, while its thread has not come far, if that is not waited for anyway.
            if self._call_in_loop is not None and self._loop_thread not in [
                self._thread_of(one) for one in self._waits()
            ]:
                wait = _Wait(now - late, self.first)
                self._tell(wait, now)
                self._over(wait)
            return
        # The process was stopped, or its machine: nobody's doing.
        for wait in (*self._tops(), *([] if asked is None else [asked])):
            wait.began += late

    # --- telling ------------------------------------------------------------------

    def _waits(self) -> list[_Wait]:
        """Return what is waited for: calls, and the loop where it is none of them."""
        tops, asked = self._tops(), self._asked
        waits: list[_Wait] = [*tops]
        if asked is not None and all(one.thread != self._loop_thread for one in tops):
            waits.append(asked)
        return waits

    def _tops(self) -> list[_Call]:
        """Return what is called last in each thread; what called it waits for it."""
        return [stack[-1] for stack in self._calls.copy().values() if stack]

    def _tell(self, wait: _Wait, now: float) -> None:
        seconds = now - wait.began
        if seconds < wait.next:
            return
        wait.next = seconds + min(seconds, LONGEST_PAUSE)
        wait.last = told = self._seen(wait, now)
        meanwhile = "; no session of this process goes on meanwhile" * told.loop
        logger.warning("%s%s", told, meanwhile)
        if self.on_blocking is not None:
            self.on_blocking(told)

    def _over(self, wait: _Wait) -> None:
        if wait.last is None:
            return
        told = wait.last
        seconds = time.monotonic() - wait.began
        wait.last = ended = Blocking(told.guest, told.where, seconds, told.loop)
        self.past.append(ended)
        logger.warning("%s went on after %.1f s", ended.who, seconds)
        if self.on_blocking is not None:
            self.on_blocking(ended)

    def _thread_of(self, wait: _Wait) -> int:
        return wait.thread if isinstance(wait, _Call) else self._loop_thread

    def _seen(self, wait: _Wait, now: float) -> Blocking:
        thread = self._thread_of(wait)
        frame = sys._current_frames().get(thread)
        guest = wait.guest if isinstance(wait, _Call) else _guest_of(frame)
        held = thread == self._loop_thread and self._call_in_loop is not None
        return Blocking(guest, _place_of(frame), now - wait.began, held)


_HANDLES = os.path.join("asyncio", "events.py")


def _guest_of(frame: FrameType | None) -> Guest | None:
    """Return whose task or callback runs in a loop's thread.

    Both loops run each with the context that it was made in, in a frame of a function
    of theirs.
    """
    while frame is not None:
        context: object = None
        code = frame.f_code
        if code.co_qualname == "Handle._run" and code.co_filename.endswith(_HANDLES):
            context = getattr(frame.f_locals.get("self"), "_context", None)
        elif code.co_name == "unrolled_run" and code.co_filename.endswith("_run.py"):
            context = getattr(frame.f_locals.get("task"), "context", None)
        if isinstance(context, Context):
            return context.get(GUEST)
        frame = frame.f_back
    return None


def _place_of(frame: FrameType | None) -> str:
    """Return the innermost line that is not of Python's own library."""
    innermost = frame
    while frame is not None and _is_standard(frame.f_code.co_filename):
        frame = frame.f_back
    frame = frame or innermost
    if frame is None:
        return "an unknown place"
    code = frame.f_code
    return f"{code.co_filename}:{frame.f_lineno} in {code.co_name}"


def _is_standard(file: str) -> bool:
    if file.startswith("<"):
        return True
    return file.startswith(_STANDARD) and not any(one in file for one in _PACKAGES)
