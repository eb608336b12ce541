"""A key that a provider is asked with stays out of the store, the log and the model."""

import base64
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    ModelInfo,
    Provider,
    ProviderError,
    Redactor,
    TextContent,
    Tool,
    ToolContext,
    ToolError,
    hookimpl,
)
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from support.bounds import HANG
from support.hosts import host

KEY = "sk-live-0123456789abcdefghij"


@frozen
class Nothing:
    pass


@frozen
class Found:
    name: str
    where: list[str]


class Keyed:
    """A provider with a key, that tells it."""

    @hookimpl
    def dovetail_register_providers(self, register: Any) -> None:
        register(
            Provider(
                "keyed",
                lambda _: self,
                models=[ModelInfo("keyed/m")],
                redact=Redactor([KEY]),
            )
        )

    @asynccontextmanager
    async def stream(self, request: Any) -> AsyncIterator[Any]:
        problem = f"401 for {json.dumps(KEY)} at http://h?key={KEY}"
        raise ProviderError("provider.authentication", "keyed", problem)
        yield


async def say(input: Nothing, context: ToolContext) -> str:
    hidden = base64.b64encode(f"user:{KEY}".encode()).decode()
    return (
        f"KEY={KEY}\nBasic {hidden}\n"
        + "x\n" * 3000
        + "".join(f"\\u{ord(sign):04x}" for sign in KEY)
    )


async def find(input: Nothing, context: ToolContext) -> Found:
    return Found(KEY, [f"a {KEY}", "b"])


async def fail(input: Nothing, context: ToolContext) -> str:
    raise ToolError(f"cannot log in with '{KEY}'")


async def breaks(input: Nothing, context: ToolContext) -> str:
    raise RuntimeError(f"cannot log in with '{KEY}'")


TOOLS = [
    Tool("say", "Say.", Nothing, say),
    Tool("find", "Find.", Nothing, find, output=Found),
    Tool("fail", "Fail.", Nothing, fail),
    Tool("breaks", "Break.", Nothing, breaks),
]


def written_in(folder: Path) -> str:
    files = [one for one in folder.rglob("*") if one.is_file()]
    return "".join(one.read_bytes().decode("latin-1") for one in files)


@pytest.mark.law("access.14")
async def test_a_key_is_in_nothing_that_is_kept_or_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    asked = [calls(call(tool.name, {})) for tool in TOOLS]
    script = ScriptedProvider(*asked, text("done"))
    async with host(tmp_path, script, *TOOLS, plugins=[Keyed()]) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model="scripted/model"
        )
        await session.prompt("go")
        with anyio.fail_after(HANG):
            assert (await session.wait()).status == "succeeded"
        message = [one for one in await session.history() if one.type == "assistant"]
        parts = [part for one in message for part in one.calls]
        assert [part.state for part in parts] == ["succeeded"] * 2 + ["failed"] * 2
        shown = parts[0].content[0]
        assert isinstance(shown, TextContent)
        assert shown.text.count("[redacted]") >= 3
        data = [getattr(one, "data", None) async for one in session.events()]
        assert {"name": "[redacted]", "where": ["a [redacted]", "b"]} in data
        other = await runtime.sessions.create(location=tmp_path, model="keyed/m")
        await other.prompt("go")
        with anyio.fail_after(HANG):
            outcome = await other.wait()
        assert "401 for" in str(outcome)
        assert "[redacted]" in str(outcome)
    everything = caplog.text + written_in(tmp_path)
    assert "RuntimeError: cannot log in with '[redacted]'" in caplog.text
    encoded = base64.b64encode(KEY.encode()).decode()[4:12]
    for form in (KEY, KEY[3:], encoded, "\\u0073"):
        assert form not in everything
