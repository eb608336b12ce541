"""Aside: a quick look at something, in a thread, so that the loop never waits for it.

Owns the threads that such looks are taken in, one for each that goes on, kept for the
next. Whoever asks waits for as long as it likes and may leave; a look that hangs, such
as at a disk that does not answer, keeps its thread and nobody else. Knows nothing of
what is looked at.

A Step takes a look each time. That is why this is no worker thread of anyio's, whose
way there and back takes three rounds of the loop: this one takes a single one.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue

import anyio

from .loop import CallInLoop, loop_caller

logger = logging.getLogger(__name__)

KEPT_SECONDS = 10.0
"""How long a thread without anything to do is kept."""


async def look_aside(look: Callable[[], object]) -> None:
    """Call a function in a thread, and return once it returned.

    What it raises is logged and goes nowhere: its result is what it leaves behind.
    Cancelling ends the waiting, and the function goes on. It has a copy of the context
    of whoever asked, so that what it sets there is nobody else's.
    """
    # The thread's own context would bring it to whatever is looked at there later.
    look = partial(copy_context().run, look)
    seen = anyio.Event()
    try:
        thread = _free.pop()
    except IndexError:
        thread = _Thread()
    thread.take(look, loop_caller(), seen.set)
    await seen.wait()


def end_free_threads() -> None:
    """End the threads that have nothing to do, and wait for their end.

    Before a process forks: it should have no thread but the one that does.
    """
    with suppress(IndexError):
        while True:
            _free.pop().end()


class _Thread:
    """A thread, and the one look at a time that it takes."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[
            tuple[Callable[[], object], CallInLoop, Callable[[], None]] | None
        ] = SimpleQueue()
        # A daemon: a disk that hangs must not keep the process from ending.
        self._thread = threading.Thread(
            target=self._run, name="dovetail-look", daemon=True
        )
        self._thread.start()

    def take(
        self, look: Callable[[], object], call: CallInLoop, seen: Callable[[], None]
    ) -> None:
        self._asked.put((look, call, seen))

    def end(self) -> None:
        self._asked.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                asked = self._asked.get(timeout=KEPT_SECONDS)
            except Empty:
                try:
                    _free.remove(self)
                except ValueError:
                    continue  # somebody took it, and is about to ask
                return
            if asked is None:
                return
            look, call, seen = asked
            try:
                look()
            except BaseException:
                logger.exception("a look from a thread of its own failed")
            # Before it is told: who is may take the next look at once.
            _free.append(self)
            try:
                call(seen)
            except RuntimeError:
                logger.debug("a look outlived its event loop")
            del asked, look, call, seen  # until somebody asks, it holds nothing


_free: deque[_Thread] = deque()
"""Those that have nothing to do, the one that had something to do last at the end."""

if hasattr(os, "register_at_fork"):
    # The threads of a process that forks are not in the new one.
    os.register_at_fork(after_in_child=_free.clear)
