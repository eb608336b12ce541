"""A real server with a real, tiny model: no answer of it was written by us.

Run with ``pytest -m local_model``, where what it needs is installed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import AssistantMessage, Generation
from dovetail.kernel.testing import open_small_runtime
from dovetail.plugins.providers.anthropic import plugin as anthropic
from dovetail.plugins.providers.openai import plugin as openai
from support.bounds import HANG
from support.local_model import local_model, missing

BRIEF = Generation(max_output=4, temperature=0)
pytestmark = pytest.mark.local_model


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if missing():
        pytest.skip(f"not installed: {', '.join(missing())}")
    with local_model(tmp_path_factory.mktemp("model") / "model.gguf") as url:
        yield url


@pytest.mark.parametrize(
    ("plugin", "protocol", "below"),
    [
        (openai, "openai-chat", "/v1"),
        (openai, "openai-responses", "/v1"),
        (anthropic, "anthropic-messages", ""),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
async def test_a_session_talks_to_a_real_model(
    server: str, tmp_path: Path, plugin: Any, protocol: str, below: str
) -> None:
    file = tmp_path / "dovetail.toml"
    file.write_text(
        f'[providers.local]\nprotocol = "{protocol}"\nbase_url = "{server}{below}"\n'
        'api_key = "none-needed"\n'
    )
    runtime = open_small_runtime(plugin, environment={"DOVETAIL_CONFIG": str(file)})
    with anyio.fail_after(HANG):
        async with runtime:
            session = await runtime.sessions.create(location=tmp_path, model="local/m")
            for said in ("Say hello.", "And again."):
                await session.prompt(said, generation=BRIEF)
                outcome = await session.wait()
                assert outcome.status in ("succeeded", "failed"), outcome
            shown = await session.messages(order="asc")
    answers = [one for one in shown if isinstance(one, AssistantMessage)]
    assert len(answers) == 2
    for one in answers:
        assert one.text
        assert one.usage is not None
        assert (one.usage.input or 0) > 0
        assert 0 < (one.usage.output or 0) <= 4
