"""Endpoints come from tables and the environment, checked, and without leaks."""

from collections.abc import Mapping
from typing import Any

import pytest
from dovetail.kernel import (
    AnswerLimits,
    ConfigurationError,
    ModelInfo,
    Price,
    Provider,
    ProviderError,
    Usage,
)
from dovetail.plugins.providers.anthropic import plugin as anthropic
from dovetail.plugins.providers.deployments import CHAT
from dovetail.plugins.providers.endpoints import read_endpoint
from dovetail.plugins.providers.ollama import plugin as ollama
from dovetail.plugins.providers.openai import DEFAULTS, plugin as openai
from dovetail.plugins.providers.transport import Transport
from support.replay import Answer, serve, sse
from support.requests import ask, opened, place_of, providers_of, request

SECRET = "sk-secret-0123456789"
STOP = sse(
    {"id": "r", "choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}
)


def offered(
    plugin: Any, tables: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> dict[str, Provider]:
    place = place_of(environment=environment or {}, resource=Transport(), tables=tables)
    return providers_of(plugin, place)


def test_each_plugin_takes_the_tables_of_its_protocol() -> None:
    tables = {
        "ollama": {"base_url": "http://localhost:11434/v1"},
        "glm": {"base_url": "https://x.example", "protocol": "anthropic-messages"},
        "local": {"base_url": "http://localhost/v1", "protocol": "openai-chat"},
        "gem": {"protocol": "gemini"},
    }
    ours = {*offered(openai, tables)} - {*offered(openai, {})}
    assert ours == {"local"}
    assert sorted(offered(anthropic, tables)) == ["anthropic", "glm"]
    assert sorted(offered(ollama, tables)) == ["ollama"]


@pytest.mark.parametrize("name", [*CHAT])
def test_a_deployment_needs_no_table_and_says_which_variable_it_needs(
    name: str,
) -> None:
    deployment = CHAT[name]
    environment = {}
    if deployment.base_url is None:
        assert name not in offered(openai, {})
        environment[deployment.url_variable or ""] = "https://mine.openai.azure.com/"
    route = offered(openai, {}, environment)[name].route
    if deployment.key_variable is None:
        route("m")
        return
    with pytest.raises(ProviderError, match=deployment.key_variable):
        route("m")
    environment[deployment.key_variable] = SECRET
    provider = offered(openai, {}, environment)[name]
    provider.route("m")
    assert SECRET not in provider.redact(f"it is {SECRET}")


@pytest.mark.parametrize(
    ("plugin", "tables", "environment", "name", "local"),
    [
        (ollama, {}, {}, "ollama", True),
        (ollama, {}, {"OLLAMA_HOST": "0.0.0.0:8080"}, "ollama", True),
        (ollama, {}, {"OLLAMA_HOST": "gpu.example"}, "ollama", False),
        (openai, {}, {}, "lmstudio", True),
        (openai, {}, {"GROQ_API_KEY": SECRET}, "groq", False),
        (openai, {"mine": {"base_url": "http://[::1]:9/v1"}}, {}, "mine", True),
        (openai, {"mine": {"base_url": "http://10.0.0.1/v1"}}, {}, "mine", False),
    ],
)
def test_a_provider_on_this_machine_is_known_to_be_there(
    plugin: Any,
    tables: dict[str, Any],
    environment: dict[str, str],
    name: str,
    local: bool,
) -> None:
    """So `dovetail models` asks it what it serves, wherever a variable says it is."""
    assert offered(plugin, tables, environment)[name].local is local


async def test_a_table_of_a_deployment_says_what_is_other_about_it() -> None:
    async with serve(Answer(STOP)) as server:
        table = {"base_url": f"{server.url}/mine", "headers": {"x-team": "a"}}
        environment = {"GROQ_API_KEY": SECRET}
        async with opened(
            openai, environment=environment, providers={"groq": table}
        ) as providers:
            await ask(providers["groq"].route("m"), request())
    (asked,) = server.requests
    assert asked.target == "/mine/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {SECRET}"
    assert asked.headers["x-team"] == "a"


@pytest.mark.parametrize(
    ("key", "header"),
    [
        (SECRET, {"api-key": SECRET}),
        ("eyJ0.eyJh.c2ln", {"authorization": "Bearer eyJ0.eyJh.c2ln"}),
    ],
)
def test_azure_is_shown_a_key_or_a_token_of_entra(
    key: str, header: dict[str, str]
) -> None:
    environment = {
        "AZURE_OPENAI_API_KEY": key,
        "AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com/",
    }
    endpoint = read_endpoint("azure", {}, environment, DEFAULTS)
    assert endpoint.url("/chat/completions") == (
        "https://mine.openai.azure.com/openai/v1/chat/completions"
    )
    assert endpoint.authentication() == header


@pytest.mark.parametrize(
    ("plugin", "name", "variable"),
    [
        (openai, "openai", "OPENAI_API_KEY"),
        (anthropic, "anthropic", "ANTHROPIC_API_KEY"),
    ],
)
def test_a_missing_key_is_told_when_a_route_is_made(
    plugin: Any, name: str, variable: str
) -> None:
    for environment in ({}, {variable: " \n"}):
        provider = offered(plugin, {}, environment)[name]
        with pytest.raises(ProviderError, match=variable) as caught:
            provider.route("m")
        assert caught.value.code == "provider.key_missing"
    assert offered(plugin, {}, {variable: "k"})[name].route("m")


def test_an_endpoint_of_ones_own_needs_no_key_unless_it_names_one() -> None:
    own = {"base_url": "http://localhost/v1"}
    assert offered(openai, {"own": own})["own"].route("m")
    assert offered(openai, {}, {"OPENAI_BASE_URL": "http://localhost/v1"})[
        "openai"
    ].route("m")
    keyed = offered(openai, {"own": {**own, "api_key_env": "MY_KEY"}})["own"]
    with pytest.raises(ProviderError, match="MY_KEY"):
        keyed.route("m")


async def test_the_environment_names_endpoint_and_key() -> None:
    async with serve(Answer(STOP)) as server:
        environment = {"OPENAI_BASE_URL": f"{server.url}/v1/", "OPENAI_API_KEY": "k\n"}
        async with opened(openai, environment=environment) as providers:
            await ask(providers["openai"].route("m"), request())
    (sent,) = server.requests
    assert sent.target == "/v1/chat/completions"
    assert sent.headers["authorization"] == "Bearer k"


async def test_an_endpoint_without_a_key_sends_none() -> None:
    async with serve(Answer(STOP)) as server:
        tables = {"own": {"base_url": server.url}}
        async with opened(
            openai, environment={"OPENAI_API_KEY": SECRET}, providers=tables
        ) as providers:
            await ask(providers["own"].route("m"), request())
    (sent,) = server.requests
    assert SECRET not in str(sent.headers)
    assert "authorization" not in sent.headers


async def test_a_table_sets_headers_options_and_the_query_of_its_address() -> None:
    async with serve(Answer(STOP)) as server:
        table = {
            "base_url": f"{server.url}/deployments/x?api-version=7",
            "headers": {"Api-Key": "abc", "Authorization": "Basic xyz"},
            "options": {"temperature": 0},
        }
        async with opened(openai, providers={"own": table}) as providers:
            await ask(providers["own"].route("m"), request())
    (sent,) = server.requests
    assert sent.target == "/deployments/x/chat/completions?api-version=7"
    assert sent.headers["api-key"] == "abc"
    assert sent.headers["authorization"] == "Basic xyz"
    assert sent.json()["temperature"] == 0


@pytest.mark.parametrize("base", ["", "/", "/v1", "/v1/", "/proxy", "/proxy/v1"])
async def test_messages_are_found_below_any_base(base: str) -> None:
    body = sse(
        {"type": "message_start", "message": {"id": "m"}}, {"type": "message_stop"}
    )
    async with serve(Answer(body)) as server:
        environment = {"ANTHROPIC_BASE_URL": server.url + base}
        async with opened(anthropic, environment=environment) as providers:
            await ask(providers["anthropic"].route("m"), request())
    root = base.rstrip("/").removesuffix("/v1")
    assert server.requests[0].target == f"{root}/v1/messages"


def test_models_are_names_or_tables() -> None:
    table = {
        "base_url": "http://x/v1",
        "models": ["b", {"name": "a/c", "context": 10, "output": 5}],
        "open": False,
    }
    own = offered(openai, {"own": table})["own"]
    assert own.models == (ModelInfo("own/a/c", 10, 5), ModelInfo("own/b"))
    assert own.open is False
    assert offered(openai, {})["openai"].catalog == "openai"
    assert offered(openai, {})["openai-responses"].catalog == "openai"
    assert offered(openai, {})["groq"].catalog == "groq"
    assert offered(openai, {})["vllm"].catalog == "vllm"
    assert offered(openai, {})["openai"].open is True
    # What OpenAI serves is not what another endpoint under its name serves.
    proxied = offered(openai, {"openai": {"base_url": "http://x/v1"}})["openai"]
    assert (proxied.models, proxied.catalog) == ((), None)


def test_a_price_is_configured() -> None:
    table = {
        "models": [
            {"name": "gpt-5", "price": {"input": 1.25, "output": 10}},
            {
                "name": "new",
                "price": {"input": 0, "output": 0.5, "cache_read": 0.1},
            },
        ]
    }
    models = {
        one.name: one for one in offered(openai, {"openai": table})["openai"].models
    }
    assert models["openai/new"].price == Price(0.0, 0.5, 0.1)
    assert models["openai/gpt-5"].price == Price(1.25, 10.0)


def test_a_long_request_may_cost_more() -> None:
    above = {"over": 200_000, "input": 2, "output": 20, "cache_read": 0.2}
    price = {"input": 1, "output": 10, "cache_read": 0.1, "above": [above]}
    table = {"base_url": "http://x", "models": [{"name": "m", "price": price}]}
    (model,) = offered(openai, {"test": table})["test"].models
    assert model.price is not None
    short = Usage(input=200_000, output=1_000, cache_read=100_000)
    long = Usage(input=200_001, output=1_000, cache_read=100_000)
    assert model.price.of(short) == 0.12
    assert model.price.of(long) == 0.240002


def test_what_a_request_costs_is_counted_in_decimals() -> None:
    assert Price(0.1, 0.2).of(Usage(input=3, output=0)) == 3e-07


@pytest.mark.parametrize(
    "price",
    [
        {"input": 1},
        {"input": 1, "output": 1, "above": [{"input": 1, "output": 1}]},
        {"input": 1, "output": 1, "above": ["much"]},
        {"output": 1},
        {"input": -1, "output": 1},
        {"input": True, "output": 1},
        {"input": float("nan"), "output": 1},
        {"input": float("inf"), "output": 1},
        {"input": "1", "output": 1},
        {"input": 1, "output": 1, "cached": 1},
        5,
    ],
)
def test_a_price_that_is_none_is_refused(price: Any) -> None:
    table = {"base_url": "http://x", "models": [{"name": "m", "price": price}]}
    with pytest.raises(ConfigurationError, match=r"models\[0\]"):
        offered(openai, {"own": table})


BAD = {
    "no url": {},
    "not http": {"base_url": "ftp://x"},
    "no host": {"base_url": "http:///v1"},
    "no url at all": {"base_url": "localhost:8000"},
    "bad port": {"base_url": "http://x:port/v1"},
    "credentials": {"base_url": f"https://user:{SECRET}@x/v1"},
    "spaces": {"base_url": "http://x/a b"},
    "line end": {"base_url": "http://x/\r\nhost: y"},
    "fragment": {"base_url": "http://x/#a"},
    "unknown field": {"base_url": "http://x", "apikey": SECRET},
    "key with a line end": {"base_url": "http://x", "api_key": f"{SECRET}\n{SECRET}"},
    "key beyond ASCII": {"base_url": "http://x", "api_key": f"{SECRET}\u20ac"},
    "header name": {"base_url": "http://x", "headers": {"a b": SECRET}},
    "header value": {"base_url": "http://x", "headers": {"a": f"{SECRET}\r\nb: c"}},
    "header number": {"base_url": "http://x", "headers": {"a": 1}},
    "models": {"base_url": "http://x", "models": "m"},
    "model": {"base_url": "http://x", "models": [1]},
    "nameless model": {"base_url": "http://x", "models": [{"context": 1}]},
    "context": {"base_url": "http://x", "models": [{"name": "m", "context": -1}]},
    "options": {"base_url": "http://x", "options": []},
    "open": {"base_url": "http://x", "open": "yes"},
    "timeout": {"base_url": "http://x", "read_timeout": 0},
    "limits": {"base_url": "http://x", "limits": 5},
    "no limit": {"base_url": "http://x", "limits": {"calls": 0}},
    "half a limit": {"base_url": "http://x", "limits": {"text": 1.5}},
    "a limit that is none": {"base_url": "http://x", "limits": {"stream": 10**12}},
    "unknown limit": {"base_url": "http://x", "limits": {"words": 5}},
}


@pytest.mark.law("execution.9")
def test_what_one_answer_may_hold_is_set_for_each_provider() -> None:
    tables = {
        "narrow": {"base_url": "http://x/v1", "limits": {"calls": 3, "text": 100}},
        "plain": {"base_url": "http://x/v1"},
    }
    found = offered(openai, tables)
    assert found["narrow"].limits == AnswerLimits(calls=3, text=100)
    assert found["plain"].limits == AnswerLimits()


@pytest.mark.parametrize("table", BAD.values(), ids=BAD)
def test_a_bad_table_is_named_and_leaves_the_others_alone(table: Any) -> None:
    tables = {"bad": table, "good": {"base_url": "http://x/v1"}}
    got: list[str] = []

    def register(one: Provider) -> None:
        got.append(one.name)

    place = place_of(resource=Transport(), tables=tables)
    with pytest.raises(ConfigurationError, match="bad") as caught:
        openai.dovetail_register_providers(register=register, place=place)
    assert "good" in got
    assert "bad" not in got
    assert SECRET not in str(caught.value)


def test_all_bad_tables_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        offered(
            openai,
            {"one": {}, "two": {"base_url": "x"}, "a/b": {"base_url": "http://x"}},
        )
    for name in ("one", "two", "a/b"):
        assert name in str(caught.value)


@pytest.mark.law("access.6")
def test_no_secret_is_in_the_repr_of_an_endpoint() -> None:
    table = {
        "base_url": f"http://x/v1?key={SECRET}",
        "api_key": SECRET,
        "headers": {"x-token": SECRET},
        "options": {"secret": SECRET},
    }
    endpoint = read_endpoint("own", table, {}, DEFAULTS)
    assert endpoint.key == SECRET
    assert SECRET not in repr(endpoint) + repr(endpoint.redactor())
    assert endpoint.redactor()(f"a {SECRET} b") == "a [redacted] b"
