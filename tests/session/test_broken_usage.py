"""What a provider told of its tokens before it broke off is not lost."""

from pathlib import Path

from dovetail.kernel import (
    StepFailed,
)
from dovetail.kernel.testing import ScriptedProvider
from dovetail.plugins.providers import anthropic
from support.hosts import host
from support.replay import Answer, serve, sse

TOLD = {"input_tokens": 100, "output_tokens": 1}
START = {"type": "message_start", "message": {"id": "m", "usage": TOLD}}
BLOCK = {"type": "text", "text": "A"}
BEGUN = {"type": "content_block_start", "index": 0, "content_block": BLOCK}


async def test_what_was_told_before_a_stream_broke_counts(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    async with serve(Answer(sse(START, BEGUN))) as server:
        mine.write_text(
            f"""[providers.p]
protocol = "anthropic-messages"
base_url = "{server.url}"
api_key = "k"
models = [{{ name = "m", price = {{ input = 1, output = 10 }} }}]
"""
        )
        async with host(
            tmp_path,
            ScriptedProvider(),
            plugins=[anthropic.plugin],
            environment={"DOVETAIL_CONFIG": str(mine)},
        ) as runtime:
            session = await runtime.sessions.create(location=tmp_path, model="p/m")
            await session.prompt("go")
            assert (await session.wait()).status == "failed"
            [step] = [e async for e in session.events() if isinstance(e, StepFailed)]
            info = await session.info()
    assert (step.usage.input, step.usage.output) == (100, 1)
    assert step.cost == info.cost == 0.00011
    assert info.usage.input == 100
