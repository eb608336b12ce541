"""A terminal that is closed at the worst moment: where nobody waits for what fails."""

import asyncio
import os
import pty
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import anyio
import pytest
from dovetail.plugins.chat.history import PromptHistory, history_path
from dovetail.plugins.chat.screen import LiveScreen
from prompt_toolkit.application import create_app_session
from support.bounds import HANG


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, TextIO, TextIO]]:
    """The far end of a terminal, which the test closes, and both ways of the near."""
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    given = open(slave, encoding="utf-8")  # noqa: SIM115
    out = open(os.dup(slave), "w", encoding="utf-8")  # noqa: SIM115
    yield master, given, out
    for file in (given, out):
        with suppress(OSError):
            file.close()


@pytest.mark.parametrize("typed", [b"", b"\x03"], ids=["silent", "interrupting"])
async def test_a_terminal_that_is_closed_while_something_draws_ends_the_screen(
    terminal: tuple[int, TextIO, TextIO],
    monkeypatch: pytest.MonkeyPatch,
    typed: bytes,
) -> None:
    master, given, out = terminal
    monkeypatch.setattr(sys, "stdin", given)
    monkeypatch.setattr(sys, "stdout", out)
    with create_app_session():
        await closed_while_something_draws(master, out, typed)


async def closed_while_something_draws(master: int, out: TextIO, typed: bytes) -> None:
    screen = LiveScreen(colour=False)
    loop = asyncio.get_running_loop()
    failed: list[int | None] = []

    def draw() -> None:
        # As a key does that draws: in a callback of the loop, which nobody awaits.
        try:
            os.write(out.fileno(), b"drawn")
        except OSError as error:
            failed.append(error.errno)
            raise

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(screen.run)
            await screen.drawn()
            os.write(master, typed)
            # In one turn of the loop: before it can see that the terminal is gone.
            os.close(master)
            loop.call_soon(draw)
    assert failed


async def test_a_line_that_was_typed_while_it_opened_is_kept_when_it_is_left(
    terminal: tuple[int, TextIO, TextIO],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    master, given, out = terminal
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", given)
    monkeypatch.setattr(sys, "stdout", out)
    os.write(master, b"Fix it\n")
    with create_app_session(), anyio.fail_after(HANG):
        screen = LiveScreen(colour=False)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(screen.run)
            await screen.drawn()
            screen.leave()
        screen.finish()
        # A terminal hands over whatever it has by then, perhaps less than was written.
        shown = b""
        while b"not sent: Fix it" not in shown:
            await anyio.wait_readable(master)
            shown += os.read(master, 65_536)
    os.close(master)
    assert list(PromptHistory(history_path).load_history_strings()) == ["Fix it"]
