"""How long a request waits for who asked it."""

import math
from typing import Any

import anyio
import pytest
from dovetail.plugins.http import operation
from dovetail.plugins.http.waiting import Bound
from support.bounds import HANG
from support.doors import served


class LateError(Exception):
    """Something waited for too long."""


async def _now(value: object) -> object:
    return value


async def test_what_does_not_wait_gets_no_deadline() -> None:
    asked: list[object] = []

    def deadline() -> float:
        asked.append(None)
        return -math.inf

    with anyio.CancelScope() as scope:
        bound = Bound(scope)
        assert await bound.within(_now(1), deadline, LateError) == 1
    assert not asked
    assert not scope.cancel_called


async def test_what_waits_is_ended_when_its_time_is_over() -> None:
    with anyio.fail_after(HANG), anyio.CancelScope() as scope:
        bound = Bound(scope)
        await bound.within(anyio.sleep_forever(), anyio.current_time, LateError)
    assert scope.cancelled_caught
    assert isinstance(bound.late, LateError)


async def test_a_wait_that_ends_in_time_leaves_no_deadline() -> None:
    come = anyio.Event()

    async def waits() -> str:
        await come.wait()
        await anyio.lowlevel.checkpoint()
        return "there"

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_set, come)
        with anyio.fail_after(HANG), anyio.CancelScope() as scope:
            bound = Bound(scope)
            far = anyio.current_time() + HANG
            assert await bound.within(waits(), lambda: far, LateError) == "there"
            assert scope.deadline == math.inf


async def _set(event: anyio.Event) -> None:
    event.set()


async def test_what_breaks_after_it_waited_breaks_as_it_would() -> None:
    async def breaks() -> None:
        await anyio.lowlevel.checkpoint()
        raise ZeroDivisionError

    with anyio.CancelScope() as scope:
        bound = Bound(scope)
        far = anyio.current_time() + HANG
        with pytest.raises(ZeroDivisionError):
            await bound.within(breaks(), lambda: far, LateError)
        assert scope.deadline == math.inf


async def test_a_cancelled_wait_cleans_up() -> None:
    cleaned = anyio.Event()

    async def waits() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cleaned.set()

    with anyio.fail_after(HANG), anyio.CancelScope() as outer:
        with anyio.CancelScope() as scope:
            bound = Bound(scope)
            outer.cancel()
            await bound.within(waits(), lambda: math.inf, LateError)
    assert cleaned.is_set()
    assert not scope.cancelled_caught


@pytest.mark.parametrize("brought", [0, 1])
async def test_a_body_that_does_not_come_is_refused(
    brought: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation, "BODY_SECONDS", 0.01)
    parts = [{"type": "http.request", "body": b"{", "more_body": True}] * brought
    said: list[Any] = []

    async def receive() -> Any:
        if not parts:
            await anyio.sleep_forever()
        return parts.pop()

    async def send(message: Any) -> None:
        said.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/session",
        "query_string": b"",
        "headers": [
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"content-length", b"20"),
        ],
    }
    async with served() as it:
        with anyio.fail_after(HANG):
            await it.door(scope, receive, send)
        assert said[0]["status"] == 408
        assert b"server.too_slow" in said[1]["body"]
        # It holds no place any more.
        assert (await it.http.get("/api/health")).status_code == 200
