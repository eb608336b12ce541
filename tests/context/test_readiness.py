"""Readiness: what is waited for before a prompt, and who is not there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import ContextSource, InvalidValueError, hookimpl, open_runtime
from dovetail.kernel.context.readiness import ready
from support.bounds import HANG


async def nothing() -> None:
    return None


class Slow:
    """A plugin whose sources begin something."""

    name = "slow"

    def __init__(self) -> None:
        self.begun = 0

    async def hang(self) -> Sequence[str]:
        self.begun += 1
        await anyio.sleep_forever()
        raise AssertionError

    async def there(self) -> Sequence[str]:
        self.begun += 1
        return ["a is not there"]

    async def broken(self) -> Sequence[str]:
        raise ValueError("no")

    async def nonsense(self) -> Any:
        return "text"

    @hookimpl
    def dovetail_register_context(self, register: Any) -> None:
        register(ContextSource("slow/c", nothing, ready=self.there))
        register(ContextSource("slow/b", nothing, ready=self.broken))
        register(ContextSource("slow/a", nothing, ready=self.nonsense))
        register(ContextSource("slow/d", nothing))


@pytest.mark.law("context.27")
async def test_what_is_not_there_is_named_by_each_source_in_the_order_of_keys(
    tmp_path: Path,
) -> None:
    slow = Slow()
    async with open_runtime("sqlite://", plugins=[slow]) as runtime:
        here = runtime.location(tmp_path)
        states = [one.state for one in await here.context() if "slow" in one.key]
        assert (states, slow.begun) == (["absent"] * 4, 0)  # only who asks begins it
        with anyio.fail_after(HANG):
            lines = await here.ready()
        assert lines == [
            "slow/a: ready must return lines of text",
            "slow/b: ValueError: no",
            "a is not there",
        ]


@pytest.mark.law("context.27")
async def test_what_hangs_is_named_and_holds_nobody_for_longer_than_it_may() -> None:
    slow = Slow()
    hanging = ContextSource("slow/hang", nothing, ready=slow.hang)
    there = ContextSource("slow/there", nothing, ready=slow.there)
    with anyio.fail_after(HANG):
        lines = await ready([there, hanging], seconds=0.01)
    assert lines[0] == "slow/hang: not ready within 0.01 s"


async def test_what_is_no_function_is_refused(tmp_path: Path) -> None:
    class Wrong:
        name = "wrong"

        @hookimpl
        def dovetail_register_context(self, register: Any) -> None:
            odd: Any = "soon"
            with pytest.raises(InvalidValueError, match="ready must be a function"):
                register(ContextSource("wrong/a", nothing, ready=odd))

    async with open_runtime("sqlite://", plugins=[Wrong()]) as runtime:
        await runtime.location(tmp_path)
