"""Credentials that a plugin gives are renewed once, for all sessions."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import define, field
from dovetail.kernel import (
    Credential,
    CredentialSource,
    Place,
    Register,
    RetryPolicy,
    hookimpl,
    open_runtime,
)
from dovetail.plugins.providers.openai import plugin as openai
from dovetail.storage.plugin import plugin as sqlite
from support.bounds import HANG
from support.replay import JSON, Answer, Request, serve, sse

STOP = sse(
    {"id": "r", "choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}
)


@define(eq=False)
class Login:
    """A plugin that gives tokens for a provider of the configuration."""

    tokens: list[str]
    asked: list[str | None] = field(factory=list)

    @hookimpl
    def dovetail_register_credentials(
        self, register: Register[CredentialSource], place: Place
    ) -> None:
        register(CredentialSource("mine", self.fetch, about="a login"))

    async def fetch(self, refused: Credential | None) -> Credential:
        self.asked.append(None if refused is None else refused.secret)
        return Credential(self.tokens.pop(0))


SESSIONS = 5


async def conversation(
    tmp_path: Path, login: Login, answer: Any, sessions: int = SESSIONS
) -> tuple[list[str], str]:
    """Return how sessions ended that were prompted at once, and all that is recorded
    of them."""
    async with serve(answer) as server:
        file = tmp_path / "dovetail.toml"
        file.write_text(f'[providers.mine]\nbase_url = "{server.url}/v1"\n')
        async with open_runtime(
            f"sqlite:///{tmp_path / 'a.db'}",
            plugins=[sqlite, openai, login],
            load_entry_points=False,
            environment={"DOVETAIL_CONFIG": str(file)},
            retry=RetryPolicy(retries=2, first=0.01, jitter=0),
        ) as runtime:
            made = [
                await runtime.sessions.create(location=tmp_path, model="mine/m")
                for _ in range(sessions)
            ]
            for one in made:
                await one.prompt("go")
            with anyio.fail_after(HANG):
                outcomes = [await one.wait() for one in made]
            recorded = [repr(event) for one in made async for event in one.events()]
            return [one.status for one in outcomes], "\n".join(recorded)


@pytest.mark.law("models.1")
@pytest.mark.law("models.2")
async def test_register_credentials_gives_what_is_renewed_once_for_all_sessions(
    tmp_path: Path,
) -> None:
    login = Login(["secret-token-0001", "secret-token-0002"])
    waiting: list[str] = []

    def answer(request: Request) -> Answer:
        shown = request.headers["authorization"]
        if shown == "Bearer secret-token-0002":
            return Answer(STOP)
        waiting.append(shown)
        told = {"error": {"message": f"{shown} has expired"}}
        return Answer(json.dumps(told).encode(), 401, JSON)

    statuses, recorded = await conversation(tmp_path, login, answer)
    assert statuses == ["succeeded"] * SESSIONS
    assert login.asked == [None, "secret-token-0001"]
    assert set(waiting) == {"Bearer secret-token-0001"}
    assert recorded.count("RetryScheduled(") == len(waiting)
    assert "secret-token" not in recorded


@pytest.mark.law("models.1")
async def test_a_renewed_token_that_is_refused_as_well_ends_the_work(
    tmp_path: Path,
) -> None:
    login = Login(["secret-token-0001", "secret-token-0002", "secret-token-0003"])
    asked = 0

    def answer(request: Request) -> Answer:
        nonlocal asked
        asked += 1
        return Answer(b'{"error": {"message": "no"}}', 401, JSON)

    statuses, recorded = await conversation(tmp_path, login, answer, sessions=1)
    assert statuses == ["failed"]
    assert asked == 2
    assert login.asked == [None, "secret-token-0001"]
    assert "provider.authentication" in recorded
    assert "secret-token" not in recorded
