"""The command ``models``: what can be asked, and what keeps others away."""

import json

import pytest
from support.commands import Home
from support.replay import JSON, Answer, serve


async def test_known_models_come_with_what_fits_and_what_they_cost(home: Home) -> None:
    official = {"OPENAI_BASE_URL": None}
    done = await home.do("models", environment=official)
    assert done.code == 0
    row = next(line for line in done.out.splitlines() if "openai/gpt-5.2 " in line)
    assert row.split()[:5] == ["openai/gpt-5.2", "400,000", "128,000", "1.75", "14"]
    assert row.endswith("image, reasoning, schema, tools")


async def test_a_provider_without_its_key_names_the_variable(home: Home) -> None:
    done = await home.do("models", "--all", environment={"GROQ_API_KEY": None})
    assert done.code == 0
    assert "GROQ_API_KEY" in done.out
    assert "groq/..." not in done.out


async def test_providers_without_a_key_are_one_line(home: Home) -> None:
    done = await home.do("models", environment={"GROQ_API_KEY": None})
    last = done.out.splitlines()[-1]
    assert done.out.count("groq") == 1
    assert last.startswith("no key: ")
    assert "groq" in last
    assert "`dovetail keys set NAME`" in last


async def test_a_provider_that_is_named_is_asked_what_it_serves(home: Home) -> None:
    listed = {
        "object": "list",
        "data": [
            {"id": "zeta", "max_model_len": 4096},
            {"id": "\x1b[31mred"},
            {"id": "alpha"},
            "nonsense",
        ],
    }
    async with serve(Answer(json.dumps(listed).encode(), 200, JSON)) as server:
        environment = {"VLLM_BASE_URL": f"{server.url}/v1"}
        done = await home.do("models", "vllm", environment=environment)
    assert done.code == 0
    assert [line.split() for line in done.out.splitlines()[1:]] == [
        ["vllm/alpha", "-", "-", "-", "-", "-"],
        ["vllm/zeta", "4,096", "-", "-", "-", "-"],
    ]
    (asked,) = server.requests
    assert (asked.method, asked.target) == ("GET", "/v1/models")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b'{"data": 1}', 200, JSON),
        Answer(b"<html>", 200, {"content-type": "text/html"}),
        Answer(b'{"error": {"message": "no"}}', 403, JSON),
    ],
)
async def test_a_provider_that_answers_nonsense_is_told(
    home: Home, answer: Answer
) -> None:
    async with serve(answer) as server:
        environment = {"LMSTUDIO_BASE_URL": f"{server.url}/v1"}
        done = await home.do("models", "lmstudio", "--json", environment=environment)
    assert done.code == 1
    (one,) = map(json.loads, done.out.splitlines())
    assert (one["provider"], one["asked"], one["usable"]) == ("lmstudio", True, False)
    assert one["problem"]
    assert one["models"] == []


async def test_ollama_says_what_it_has_pulled(home: Home) -> None:
    tags = {"models": [{"name": "llama3:latest", "size": 1}]}
    async with serve(Answer(json.dumps(tags).encode(), 200, JSON)) as server:
        environment = {"OLLAMA_HOST": server.url}
        done = await home.do("models", "ollama", environment=environment)
    assert "ollama/llama3:latest" in done.out
    assert server.requests[0].target == "/api/tags"


async def test_a_provider_that_is_not_there_is_named(home: Home) -> None:
    done = await home.do("models", "nobody")
    assert done.code == 1
    assert "nobody" in done.err


async def test_models_are_narrowed_by_what_they_are_called_and_can_do(
    home: Home,
) -> None:
    official = {"OPENAI_BASE_URL": None}
    words = ("--filter", "GPT-5", "--filter", "image")
    done = await home.do("models", *words, environment=official)
    names = [line.split()[0] for line in done.out.splitlines()[1:]]
    assert "openai/gpt-5.2" in names
    assert all("gpt-5" in name for name in names if "/" in name)
    none = await home.do("models", "--filter", "no such", environment=official)
    assert (none.out, "no model is like" in none.err) == ("", True)
    close = await home.do("models", "opnai", environment=official)
    assert (close.code, "did you mean openai" in close.err) == (1, True)
