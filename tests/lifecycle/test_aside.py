"""A look aside: taken in a thread, waited for no longer than whoever asked likes."""

import logging
import os
import threading
from contextvars import ContextVar

import anyio
import pytest
from dovetail.kernel.lifecycle import aside
from dovetail.kernel.lifecycle.aside import look_aside
from support.bounds import HANG


async def test_a_look_is_taken_in_another_thread_and_is_over_when_that_returns() -> (
    None
):
    took: list[int] = []
    await look_aside(lambda: took.append(threading.get_ident()))
    assert len(took) == 1
    assert took[0] != threading.get_ident()


async def test_looks_one_after_another_do_not_each_take_a_new_thread() -> None:
    took: list[int] = []
    for _ in range(5):
        await look_aside(lambda: took.append(threading.get_ident()))
    # One that another test left behind may come back in between.
    assert len(set(took)) < 5


async def test_looks_at_one_time_do_not_wait_for_each_other() -> None:
    met = threading.Barrier(3)
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(look_aside, lambda: met.wait(HANG))


async def test_whoever_leaves_a_look_that_hangs_is_free_and_so_is_the_next() -> None:
    began, hangs, ended = anyio.Event(), threading.Event(), threading.Event()
    token = anyio.lowlevel.current_token()

    def look() -> None:
        anyio.from_thread.run_sync(began.set, token=token)
        hangs.wait(HANG)
        ended.set()

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look_aside, look)
            await began.wait()
            tasks.cancel_scope.cancel()
        await look_aside(lambda: None)
    hangs.set()
    assert ended.wait(HANG)


async def test_what_a_look_raises_reaches_the_operator_and_nobody_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def leaves() -> None:
        raise SystemExit

    with caplog.at_level(logging.ERROR):
        await look_aside(leaves)
    assert "a look from a thread of its own failed" in caplog.text
    await look_aside(lambda: None)


async def test_a_look_knows_whose_it_is_and_leaves_nothing_to_the_next() -> None:
    said = ContextVar("said", default="nothing")
    heard: list[tuple[int, str]] = []

    def look() -> None:
        heard.append((threading.get_ident(), said.get()))
        said.set("what a look said")

    said.set("what a caller said")
    for _ in range(5):
        await look_aside(look)
    said.set("something else")
    await look_aside(look)
    assert [one for _, one in heard] == [*5 * ["what a caller said"], "something else"]
    # At least once, two of them were taken in the same thread.
    assert len({thread for thread, _ in heard}) < 6


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_that_forks_leaves_its_threads_to_itself() -> None:
    anyio.run(look_aside, str)
    assert aside._free
    child = os.fork()
    if not child:
        os._exit(len(aside._free))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_threads_without_anything_to_do_end_when_they_are_told_to() -> None:
    took: list[threading.Thread] = []
    anyio.run(look_aside, lambda: took.append(threading.current_thread()))
    aside.end_free_threads()
    assert not took[0].is_alive()
    assert not aside._free
    anyio.run(look_aside, lambda: took.append(threading.current_thread()))
    assert took[1] is not took[0]
