"""Credentials that a table names, and those that a plugin gives, on the wire."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import ConfigurationError, Credential, ProviderError
from dovetail.kernel.models.credentials import LocationCredentials
from dovetail.kernel.testing import ManualClock, open_small_runtime
from dovetail.plugins.providers import credentials as module
from dovetail.plugins.providers.anthropic import (
    DEFAULTS as ANTHROPIC,
    plugin as anthropic,
)
from dovetail.plugins.providers.endpoints import Endpoint, read_endpoint
from dovetail.plugins.providers.google import DEFAULTS as GOOGLE, plugin as google
from dovetail.plugins.providers.openai import DEFAULTS, plugin as openai
from support.bounds import HANG
from support.replay import JSON, Answer, Request, serve
from support.requests import ask, opened, request

SECRET = "secret-token-0123456789"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "MINE": "from-the-environment"}


def endpoint(defaults: Any = DEFAULTS, **table: Any) -> Endpoint:
    here = LocationCredentials(ManualClock(), {}, {"stored": SECRET})
    name = table.pop("name", "mine")
    given = {"base_url": "https://x.example", **table}
    return read_endpoint(name, given, ENVIRONMENT, defaults, here.seen_by("openai"))


async def given_by(*command: str, **table: Any) -> Credential:
    live = endpoint(api_key_command=list(command), **table).live
    assert live is not None
    return await live.current()


async def test_a_command_is_run_without_a_shell_and_with_the_environment() -> None:
    found = await given_by("printenv", "MINE")
    assert (found.secret, found.bearer) == ("from-the-environment", False)
    assert (await given_by("echo", "a b;$HOME")).secret == "a b;$HOME"


@pytest.mark.parametrize(
    ("told", "secret", "expires"),
    [
        ({"accessToken": SECRET, "expires_on": 1800000000}, SECRET, 1800000000000),
        ({"token": SECRET, "expires_at": "1800000000"}, SECRET, 1800000000000),
        ({"access_token": SECRET, "expiry": 1800000000123}, SECRET, 1800000000123),
        (
            {"token": SECRET, "expiry": "2027-01-15T08:00:00Z"},
            SECRET,
            1800000000000,
        ),
    ],
)
async def test_a_command_may_say_in_json_when_its_token_ends(
    told: Any, secret: str, expires: int
) -> None:
    found = await given_by("echo", json.dumps(told))
    assert (found.secret, found.expires) == (secret, expires)


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (["sh", "-c", f"echo {SECRET}; exit 3"], "ended with 3"),
        (["no-such-program-here"], "cannot be run"),
        (["true"], "printed no key"),
        (["echo", '{"error": "' + SECRET + '"}'], "printed no key"),
        (["sh", "-c", f"echo {SECRET}; echo {SECRET}"], "not printable ASCII"),
        (["yes", SECRET], "printed more than"),
    ],
)
async def test_a_command_that_gives_none_is_told_without_what_it_said(
    command: list[str], problem: str
) -> None:
    with anyio.fail_after(HANG), pytest.raises(ProviderError, match=problem) as caught:
        await given_by(*command)
    assert caught.value.code == "provider.authentication"
    assert SECRET not in str(caught.value)


async def test_a_command_that_hangs_is_ended_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COMMAND_SECONDS", 0.2)
    # Whoever still runs keeps the other end of the fifo open.
    pipe = tmp_path / "pipe"
    script = f"mkfifo {pipe}; (sleep 600 < {pipe} 3<> {pipe}) & sleep 600"
    with anyio.fail_after(HANG):
        with pytest.raises(ProviderError, match="did not end within"):
            await given_by("sh", "-c", script)


def test_a_program_is_named_so_that_nobody_can_put_another_in_its_place() -> None:
    for program in ("./token", "bin/token", "../token"):
        with pytest.raises(ConfigurationError, match="absolute path"):
            endpoint(api_key_command=[program])


@pytest.mark.parametrize(
    "table",
    [
        {"api_key_command": ["echo", "a"], "api_key": SECRET},
        {"api_key_command": ["echo", "a"], "api_key_env": "MINE"},
        {"api_key_command": ["echo", "a"], "api_key_keyring": "dovetail"},
        {"api_key_command": [""]},
        {"api_key_command": [1]},
        {"api_key_command": []},
        {"api_key_keyring": ["a", "b", ""]},
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        endpoint(**table)
    assert SECRET not in str(caught.value)


def test_the_file_of_keys_counts_after_the_environment() -> None:
    usual = {"OPENAI_API_KEY": "from-the-environment"}
    here = LocationCredentials(ManualClock(), {}, {"openai": SECRET}).seen_by("openai")
    assert read_endpoint("openai", {}, usual, DEFAULTS, here).key == usual.popitem()[1]
    assert read_endpoint("openai", {}, {}, DEFAULTS, here).key == SECRET
    named = {"api_key_env": "NOBODY_SETS_IT"}
    found = read_endpoint("openai", named, {}, DEFAULTS, here)
    assert (found.key, found.missing) == (None, "NOBODY_SETS_IT")
    assert endpoint(name="stored").key == SECRET


@pytest.mark.parametrize(
    ("defaults", "bearer", "name"),
    [
        (DEFAULTS, False, "authorization"),
        (ANTHROPIC, False, "x-api-key"),
        (GOOGLE, False, "x-goog-api-key"),
        (ANTHROPIC, True, "authorization"),
        (GOOGLE, True, "authorization"),
    ],
)
def test_a_token_is_shown_as_one_and_a_key_in_the_header_for_keys(
    defaults: Any, bearer: bool, name: str
) -> None:
    found = endpoint(defaults, api_key=SECRET, bearer=bearer)
    shown = f"Bearer {SECRET}" if name == "authorization" else SECRET
    assert found.authentication() == {name: shown}


async def test_the_keyring_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    live = endpoint(api_key_keyring="dovetail").live
    assert live is not None
    monkeypatch.setitem(__import__("sys").modules, "keyring", None)
    with pytest.raises(ProviderError, match=r"dovetail\[keyring\]"):
        await live.current()

    class Ring:
        @staticmethod
        def get_password(service: str, user: str) -> str | None:
            return {("dovetail", "mine"): SECRET}.get((service, user))

    monkeypatch.setitem(__import__("sys").modules, "keyring", Ring)
    assert (await live.current()).secret == SECRET
    other = endpoint(api_key_keyring=["dovetail", "nobody"]).live
    assert other is not None
    with pytest.raises(ProviderError, match="holds none"):
        await other.current()


# --- Vertex AI --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plugin", "name", "path"),
    [
        (
            google,
            "vertex",
            "/publishers/google/models/gemini-x:streamGenerateContent?alt=sse",
        ),
        (
            anthropic,
            "vertex-anthropic",
            "/publishers/anthropic/models/gemini-x:streamRawPredict",
        ),
    ],
)
async def test_vertex_is_shown_a_token_and_told_the_model_in_the_address(
    plugin: Any, name: str, path: str
) -> None:
    refusal = Answer(b'{"error": {"code": 400, "message": "no"}}', 400, JSON)
    publisher = path.split("/")[2]
    async with serve(refusal) as server:
        base = f"{server.url}/v1/projects/p/locations/eu/publishers/{publisher}"
        table = {"base_url": base, "api_key_command": ["echo", SECRET], "bearer": True}
        here = LocationCredentials(ManualClock(), {}, {}).seen_by("it")
        async with opened(
            plugin, environment=ENVIRONMENT, providers={name: table}, credentials=here
        ) as providers:
            with pytest.raises(ProviderError) as caught:
                await ask(providers[name].route("gemini-x"), request())
    assert caught.value.code == "provider.invalid_request"
    (asked,) = server.requests
    assert asked.target == f"/v1/projects/p/locations/eu{path}"
    assert asked.headers["authorization"] == f"Bearer {SECRET}"
    if name == "vertex-anthropic":
        assert "model" not in asked.json()
        assert asked.json()["anthropic_version"] == "vertex-2023-10-16"


def test_vertex_is_where_the_environment_says() -> None:
    project = {"GOOGLE_CLOUD_PROJECT": "my-project"}
    token = {"CLOUDSDK_AUTH_ACCESS_TOKEN": SECRET}
    found = read_endpoint("vertex", {}, {**project, **token}, GOOGLE)
    assert found.base_url == (
        "https://aiplatform.googleapis.com/v1/projects/my-project/locations/global"
        "/publishers/google"
    )
    assert found.authentication() == {"authorization": f"Bearer {SECRET}"}
    there = {**project, "GOOGLE_CLOUD_LOCATION": "europe-west1"}
    other = read_endpoint("vertex-anthropic", {}, there, ANTHROPIC)
    assert other.host == "europe-west1-aiplatform.googleapis.com"
    with pytest.raises(ProviderError, match="CLOUDSDK_AUTH_ACCESS_TOKEN"):
        other.usable_key()
    for odd in ({}, {"GOOGLE_CLOUD_PROJECT": "x/../../y"}):
        with pytest.raises(ConfigurationError):
            read_endpoint("vertex", {}, odd, GOOGLE)


@pytest.mark.law("models.1")
async def test_a_list_of_what_is_served_is_asked_for_with_a_renewed_token(
    tmp_path: Path,
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("first-token-0001\nsecond-token-0002\n")
    # Each run gives the next one.
    script = f"head -n 1 {tokens}; sed -i 1d {tokens}"

    def answer(asked: Request) -> Answer:
        if asked.headers["authorization"] == "Bearer second-token-0002":
            return Answer(b'{"data": [{"id": "m"}]}', 200, JSON)
        return Answer(b'{"error": {"message": "expired"}}', 401, JSON)

    async with serve(answer) as server:
        table = {
            "base_url": f"{server.url}/v1",
            "api_key_command": ["sh", "-c", script],
        }
        here = LocationCredentials(ManualClock(), {}, {}).seen_by("it")
        async with opened(
            openai, environment=ENVIRONMENT, providers={"mine": table}, credentials=here
        ) as providers:
            served = providers["mine"].served
            assert served is not None
            with anyio.fail_after(HANG):
                assert [one.name for one in await served()] == ["mine/m"]
    assert len(server.requests) == 2


@pytest.mark.parametrize("key", [None, "sk-of-the-table-1234567890"])
async def test_a_refusal_for_want_of_a_key_tells_why_the_file_of_keys_was_not_used(
    tmp_path: Path, key: str | None
) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text(f'there = "{SECRET}"\n')
    keys.chmod(0o644)
    own = f'api_key = "{key}"\n' if key else ""
    file = tmp_path / "dovetail.toml"
    refused = Answer(b'{"error": {"message": "no key given"}}', 401, JSON)
    async with serve(refused) as server:
        file.write_text(f'[providers.there]\nbase_url = "{server.url}"\n{own}')
        environment = {"DOVETAIL_CONFIG": str(file), "DOVETAIL_KEYS": str(keys)}
        runtime = open_small_runtime(openai, environment=environment)
        with anyio.fail_after(HANG):
            async with runtime:
                session = await runtime.sessions.create(
                    location=tmp_path, model="there/m"
                )
                await session.prompt("Hi")
                outcome = await session.wait()
    assert outcome.reason is not None
    assert outcome.reason.code == "provider.authentication"
    assert ("chmod 600" in outcome.reason.message) == (key is None)
    assert SECRET not in outcome.reason.message
