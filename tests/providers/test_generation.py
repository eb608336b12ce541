"""Generation options, tools that must be called and schemas, in every protocol."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from dovetail.kernel import (
    Generation,
    ModelRequest,
    NamedTool,
    Output,
    ProviderError,
)
from dovetail.plugins.providers.anthropic import MessagesProtocol
from dovetail.plugins.providers.cohere_chat import CohereProtocol
from dovetail.plugins.providers.contents import GeminiProtocol
from dovetail.plugins.providers.converse import ConverseProtocol
from dovetail.plugins.providers.endpoints import Endpoint
from dovetail.plugins.providers.ollama_chat import OllamaProtocol
from dovetail.plugins.providers.openai import ChatProtocol
from dovetail.plugins.providers.responses import ResponsesProtocol
from support.requests import WEATHER, request, user

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"total": {"type": "integer"}},
    "required": ["total"],
    "additionalProperties": False,
}
OUTPUT = Output(SCHEMA, "Bill", "What it costs.")
ALL = Generation(
    stop=("END",),
    temperature=0.5,
    top_p=0.9,
    top_k=7,
    seed=3,
    presence_penalty=0.1,
    frequency_penalty=0.2,
    service_tier="flex",
    parallel_calls=False,
)
LOW = {"thinkingLevel": "low"}
OPENAI = Endpoint("openai", "https://api.openai.com/v1")
CLAUDE = Endpoint("anthropic", "https://api.anthropic.com")
ELSEWHERE = Endpoint("here", "http://localhost:8000/v1")

Make = Callable[[], Any]
CHAT: Make = lambda: ChatProtocol(OPENAI, "gpt-4.1")  # noqa: E731 # one of a table
LOCAL: Make = lambda: ChatProtocol(ELSEWHERE, "m")  # noqa: E731
RESPONSES: Make = lambda: ResponsesProtocol(OPENAI, "gpt-4.1")  # noqa: E731
MESSAGES: Make = lambda: MessagesProtocol(CLAUDE, "claude-sonnet-4-5")  # noqa: E731
GEMINI: Make = lambda: GeminiProtocol(ELSEWHERE, "gemini-3-pro")  # noqa: E731
OLD_GEMINI: Make = lambda: GeminiProtocol(ELSEWHERE, "gemini-2.0-flash")  # noqa: E731
CONVERSE: Make = lambda: ConverseProtocol(  # noqa: E731
    ELSEWHERE, "anthropic.claude-sonnet-4-5-20250929-v1:0"
)
COHERE: Make = lambda: CohereProtocol(ELSEWHERE, "command-a-03-2025")  # noqa: E731
OLLAMA: Make = lambda: OllamaProtocol(ELSEWHERE, "qwen3")  # noqa: E731


def asked(**more: Any) -> ModelRequest:
    more.setdefault("tools", (WEATHER,))
    return request(user("Hi"), **more)


def written(make: Make, **more: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what is in the body beside model, messages and tools, and what is not."""
    body = make().write(asked(**more))
    fields = json.loads(body.data)
    plain = json.loads(make().write(asked(tools=more.get("tools", (WEATHER,)))).data)
    return {k: v for k, v in fields.items() if plain.get(k) != v}, body.ignored


@pytest.mark.law("output.5")
@pytest.mark.parametrize(
    ("make", "fields", "ignored"),
    [
        (
            CHAT,
            {
                "stop": ["END"],
                "temperature": 0.5,
                "top_p": 0.9,
                "seed": 3,
                "presence_penalty": 0.1,
                "frequency_penalty": 0.2,
                "service_tier": "flex",
                "parallel_tool_calls": False,
            },
            ("top_k",),
        ),
        (
            LOCAL,
            {
                "stop": ["END"],
                "temperature": 0.5,
                "top_p": 0.9,
                "top_k": 7,
                "seed": 3,
                "presence_penalty": 0.1,
                "frequency_penalty": 0.2,
                "service_tier": "flex",
                "parallel_tool_calls": False,
            },
            (),
        ),
        (
            RESPONSES,
            {
                "temperature": 0.5,
                "top_p": 0.9,
                "service_tier": "flex",
                "parallel_tool_calls": False,
            },
            ("frequency_penalty", "presence_penalty", "seed", "stop", "top_k"),
        ),
        (
            MESSAGES,
            {
                "stop_sequences": ["END"],
                "temperature": 0.5,
                "top_k": 7,
                "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
            },
            ("frequency_penalty", "presence_penalty", "seed", "service_tier", "top_p"),
        ),
        (
            GEMINI,
            {
                "generationConfig": {
                    "stopSequences": ["END"],
                    "temperature": 0.5,
                    "topP": 0.9,
                    "topK": 7,
                    "seed": 3,
                    "presencePenalty": 0.1,
                    "frequencyPenalty": 0.2,
                }
            },
            ("parallel_calls", "service_tier"),
        ),
        (
            CONVERSE,
            {
                "inferenceConfig": {"stopSequences": ["END"], "temperature": 0.5},
                "additionalModelRequestFields": {"top_k": 7},
                "serviceTier": {"type": "flex"},
            },
            (
                *("frequency_penalty", "parallel_calls", "presence_penalty", "seed"),
                "top_p",
            ),
        ),
        (
            OLLAMA,
            {
                "options": {
                    "stop": ["END"],
                    "temperature": 0.5,
                    "top_p": 0.9,
                    "top_k": 7,
                    "seed": 3,
                    "presence_penalty": 0.1,
                    "frequency_penalty": 0.2,
                }
            },
            ("parallel_calls", "service_tier"),
        ),
    ],
)
def test_each_option_is_in_the_request_or_named_as_ignored(
    make: Make, fields: dict[str, Any], ignored: tuple[str, ...]
) -> None:
    assert written(make, generation=ALL) == (fields, ignored)


@pytest.mark.parametrize(
    ("make", "effort", "fields"),
    [
        (CHAT, "high", {"reasoning_effort": "high"}),
        (RESPONSES, "low", {"reasoning": {"effort": "low"}}),
        (
            MESSAGES,
            "low",
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        ),
        (
            lambda: MessagesProtocol(CLAUDE, "claude-opus-4-6"),
            "xhigh",
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
        ),
        (MESSAGES, "none", {"thinking": {"type": "disabled"}}),
        (GEMINI, "low", {"generationConfig": {"thinkingConfig": LOW}}),
        (
            lambda: GeminiProtocol(ELSEWHERE, "gemini-2.5-pro"),
            "none",
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}},
        ),
        (
            CONVERSE,
            "low",
            {
                "additionalModelRequestFields": {
                    "thinking": {"type": "enabled", "budget_tokens": 2048}
                }
            },
        ),
        (OLLAMA, "high", {"think": True}),
    ],
)
def test_how_much_a_model_thinks_is_said_in_its_words(
    make: Make, effort: Any, fields: dict[str, Any]
) -> None:
    assert written(make, generation=Generation(reasoning=effort)) == (fields, ())


def test_what_excludes_each_other_is_not_sent_together() -> None:
    thinking = Generation(reasoning="high", temperature=0, top_p=0.5, top_k=3)
    fields, ignored = written(MESSAGES, generation=thinking)
    assert ignored == ("temperature", "top_k", "top_p")
    assert set(fields) == {"thinking"}
    fields, ignored = written(
        lambda: ChatProtocol(OPENAI, "gpt-5.2"), generation=Generation(temperature=0)
    )
    assert (fields, ignored) == ({}, ("temperature",))
    fields, ignored = written(MESSAGES, generation=thinking, tool_choice="required")
    assert "tool_choice" in ignored
    assert "tool_choice" not in fields


@pytest.mark.parametrize(
    ("make", "required", "named"),
    [
        (
            CHAT,
            {"tool_choice": "required"},
            {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
        ),
        (
            RESPONSES,
            {"tool_choice": "required"},
            {"tool_choice": {"type": "function", "name": "weather"}},
        ),
        (
            MESSAGES,
            {"tool_choice": {"type": "any"}},
            {"tool_choice": {"type": "tool", "name": "weather"}},
        ),
        (
            GEMINI,
            {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
            {
                "toolConfig": {
                    "functionCallingConfig": {
                        "mode": "ANY",
                        "allowedFunctionNames": ["weather"],
                    }
                }
            },
        ),
    ],
)
def test_a_call_can_be_demanded(
    make: Make, required: dict[str, Any], named: dict[str, Any]
) -> None:
    name = WEATHER.name
    told = json.loads(json.dumps(named).replace("weather", name))
    assert written(make, tool_choice="required")[0] == required
    assert written(make, tool_choice=NamedTool(name))[0] == told


def test_converse_and_ollama_demand_a_call_as_far_as_they_can() -> None:
    fields, ignored = written(CONVERSE, tool_choice="required")
    assert fields["toolConfig"]["toolChoice"] == {"any": {}}
    assert ignored == ()
    fields, _ = written(CONVERSE, tool_choice=NamedTool(WEATHER.name))
    assert fields["toolConfig"]["toolChoice"] == {"tool": {"name": WEATHER.name}}
    llama = lambda: ConverseProtocol(ELSEWHERE, "meta.llama3")  # noqa: E731
    assert written(llama, tool_choice="required") == ({}, ("tool_choice",))
    assert written(OLLAMA, tool_choice="required") == ({}, ("tool_choice",))


def test_cohere_demands_some_call_and_says_that_it_cannot_demand_one_by_name() -> None:
    some = {"tool_choice": "REQUIRED"}
    assert written(COHERE, tool_choice="required") == (some, ())
    named = written(COHERE, tool_choice=NamedTool(WEATHER.name))
    assert named == (some, ("tool_choice",))


# --- schemas ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "fields"),
    [
        (
            CHAT,
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {
                        "name": "Bill",
                        "description": "What it costs.",
                        "strict": True,
                        "schema": SCHEMA,
                    },
                }
            },
        ),
        (
            RESPONSES,
            {
                "text": {
                    "format": {
                        "type": "json_schema",
                        "name": "Bill",
                        "description": "What it costs.",
                        "strict": True,
                        "schema": SCHEMA,
                    }
                }
            },
        ),
        (
            MESSAGES,
            {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        ),
        (
            GEMINI,
            {
                "generationConfig": {
                    "responseMimeType": "application/json",
                    "responseJsonSchema": SCHEMA,
                }
            },
        ),
        (
            OLD_GEMINI,
            {
                "generationConfig": {
                    "responseMimeType": "application/json",
                    "responseSchema": {
                        name: one
                        for name, one in SCHEMA.items()
                        if name != "additionalProperties"
                    },
                }
            },
        ),
        (
            CONVERSE,
            {
                "outputConfig": {
                    "textFormat": {
                        "type": "json_schema",
                        "structure": {
                            "jsonSchema": {
                                "schema": json.dumps(SCHEMA, separators=(",", ":")),
                                "name": "Bill",
                                "description": "What it costs.",
                            }
                        },
                    }
                }
            },
        ),
        (OLLAMA, {"format": SCHEMA}),
    ],
)
def test_each_protocol_has_its_own_way_for_a_schema(
    make: Make, fields: dict[str, Any]
) -> None:
    assert make().output_mode(asked(output=OUTPUT, tools=())) == "native"
    assert written(make, output=OUTPUT, tools=())[0] == fields


def test_where_tools_and_a_schema_exclude_each_other_the_value_is_a_call() -> None:
    both = asked(output=OUTPUT)
    for make in (CHAT, RESPONSES, MESSAGES, GEMINI, CONVERSE):
        assert make().output_mode(both) == "native"
    for make in (LOCAL, OLD_GEMINI, OLLAMA):
        assert make().output_mode(both) == "tool"
    old = MessagesProtocol(CLAUDE, "claude-3-5-haiku-latest")
    assert old.output_mode(asked(output=OUTPUT, tools=())) == "tool"
    open_one = Output({"type": "object", "additionalProperties": {"type": "string"}})
    assert MESSAGES().output_mode(asked(output=open_one)) == "tool"
    assert GEMINI().output_mode(asked(output=open_one)) == "native"


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (LOCAL, "response_format of type json_schema is not supported"),
        (RESPONSES, "Invalid parameter: text.format json_schema is not supported"),
        (MESSAGES, "output_config.format: this model does not support it"),
        (GEMINI, "Invalid JSON payload: Unknown name responseJsonSchema"),
        (CONVERSE, "outputConfig is not supported for this model"),
    ],
)
def test_a_refused_schema_is_not_sent_again(make: Make, problem: str) -> None:
    protocol = make()
    refused = ProviderError("provider.invalid_request", "p", problem, status=400)
    assert protocol.output_mode(asked(output=OUTPUT, tools=())) == "native"
    assert protocol.learned_from(refused)
    assert protocol.output_mode(asked(output=OUTPUT, tools=())) == "tool"
    assert not protocol.learned_from(refused)


@pytest.mark.parametrize("make", [LOCAL, RESPONSES, MESSAGES])
def test_a_refused_option_is_left_out_and_named(make: Make) -> None:
    protocol = make()
    refused = ProviderError(
        "provider.invalid_request",
        "p",
        "Unsupported parameter: 'temperature' is not supported with this model",
        status=400,
    )
    assert protocol.learned_from(refused)
    body = protocol.write(asked(generation=Generation(temperature=0.5)))
    assert "temperature" not in json.loads(body.data)
    assert body.ignored == ("temperature",)
    assert not protocol.learned_from(refused)


# --- provider options -------------------------------------------------------------


@pytest.mark.law("output.5")
def test_options_of_a_provider_are_merged_last_and_into_objects() -> None:
    said = Generation(
        temperature=0.5,
        provider={
            "here": {"generationConfig": {"candidateCount": 1}, "labels": {"a": "b"}},
            "other": {"labels": {"c": "d"}},
        },
    )
    fields, _ = written(
        GEMINI,
        generation=said,
        output=OUTPUT,
        options={"generationConfig": {"temperature": 0.7}},
        tools=(),
    )
    assert fields["labels"] == {"a": "b"}
    assert fields["generationConfig"]["candidateCount"] == 1
    assert fields["generationConfig"]["temperature"] == 0.7
    assert fields["generationConfig"]["responseMimeType"] == "application/json"


@pytest.mark.parametrize("make", [CHAT, RESPONSES, MESSAGES, GEMINI, CONVERSE, OLLAMA])
def test_no_option_of_a_provider_takes_the_place_of_what_the_runtime_decides(
    make: Make,
) -> None:
    for name in ("messages", "model", "stream", "tools"):
        for provider in ("openai", "anthropic", "here"):
            said = Generation(provider={provider: {name: "x"}})
            protocol = make()
            if f"{provider}/" not in f"{protocol._name}/":
                continue
            with pytest.raises(ProviderError, match=f"option '{name}'"):
                protocol.write(asked(generation=said))


@pytest.mark.parametrize(
    ("options", "make", "limit"),
    [
        ({"max_tokens": 9}, LOCAL, "max_tokens"),
        ({"max_tokens": 9}, MESSAGES, "max_tokens"),
    ],
)
def test_what_a_request_says_counts_before_what_is_configured(
    options: dict[str, Any], make: Make, limit: str
) -> None:
    protocol = make()
    endpoint = Endpoint("here", "http://localhost/v1", options=options)
    configured = type(protocol)(endpoint, "m")
    assert json.loads(configured.encode(asked()))[limit] == 9
    assert json.loads(configured.encode(asked(max_output=5)))[limit] == 5


def test_a_tier_that_anthropic_knows_is_sent() -> None:
    wanted = Generation(service_tier="standard_only")
    fields, ignored = written(MESSAGES, generation=wanted)
    assert (fields, ignored) == ({"service_tier": "standard_only"}, ())
