"""The shipped protocols keep what the suite for providers asks of a stranger's."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

import pytest
from dovetail.kernel.testing.conformance import ProviderConformance, ProviderExample
from dovetail.plugins.providers.anthropic import plugin as anthropic
from dovetail.plugins.providers.cohere import plugin as cohere
from dovetail.plugins.providers.google import plugin as google
from dovetail.plugins.providers.openai import plugin as openai
from dovetail.plugins.rehearsal import RehearsalServer, rehearsal_server
from support.replay import sse

pytestmark = pytest.mark.law("plugins.7")

JSON = {"content-type": "application/json"}


def chunk(delta: dict[str, object], finish: str | None = None) -> dict[str, object]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "r1", "choices": [choice]}


def function(name: str, arguments: str) -> dict[str, object]:
    call = {"index": 0, "id": "c1", "function": {"name": name, "arguments": arguments}}
    return {"tool_calls": [call]}


def block(kind: str, **more: object) -> dict[str, object]:
    return {"type": f"content_block_{kind}", "index": 0, **more}


BEGIN = {"type": "message_start", "message": {"id": "m1", "usage": {"input_tokens": 3}}}
STOP = {"type": "message_stop"}


def because(reason: str) -> dict[str, object]:
    usage = {"output_tokens": 1}
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


class TestChat(ProviderConformance):
    """Chat Completions."""

    version = 1
    plugin = openai
    provider = "openai"
    environment: ClassVar = {
        "OPENAI_BASE_URL": "{url}/v1",
        "OPENAI_API_KEY": ProviderConformance.key,
    }
    examples = (
        ProviderExample(
            sse(
                chunk({"content": "Grüße, "}),
                chunk({"content": "Welt 🌍"}),
                chunk({}, "stop"),
                "[DONE]",
            ),
            text="Grüße, Welt 🌍",
            calls=(),
            finish="stop",
        ),
        ProviderExample(
            sse(
                chunk(function("weather", '{"city": ')),
                chunk(
                    {"tool_calls": [{"index": 0, "function": {"arguments": '"Ä"}'}}]}
                ),
                chunk({}, "tool_calls"),
                "[DONE]",
            ),
            text="",
            calls=[("weather", {"city": "Ä"})],
            finish="tool_calls",
        ),
        ProviderExample(
            json.dumps({"error": {"message": "no such model"}}).encode(),
            status=404,
            headers=JSON,
            error="provider.unknown_model",
        ),
    )


class TestMessages(ProviderConformance):
    """Anthropic's Messages."""

    version = 1
    plugin = anthropic
    provider = "anthropic"
    environment: ClassVar = {
        "ANTHROPIC_BASE_URL": "{url}",
        "ANTHROPIC_API_KEY": ProviderConformance.key,
    }
    examples = (
        ProviderExample(
            sse(
                BEGIN,
                block("start", content_block={"type": "text"}),
                block("delta", delta={"type": "text_delta", "text": "Grüße 🌍"}),
                block("stop"),
                because("end_turn"),
                STOP,
            ),
            text="Grüße 🌍",
            calls=(),
            finish="stop",
        ),
        ProviderExample(
            sse(
                BEGIN,
                block(
                    "start",
                    content_block={"type": "tool_use", "id": "c1", "name": "weather"},
                ),
                block(
                    "delta",
                    delta={"type": "input_json_delta", "partial_json": '{"city": "Ä"}'},
                ),
                block("stop"),
                because("tool_use"),
                STOP,
            ),
            text="",
            calls=[("weather", {"city": "Ä"})],
            finish="tool_calls",
        ),
    )


class TestCohere(ProviderConformance):
    """Cohere's chat."""

    version = 1
    plugin = cohere
    provider = "cohere"
    environment: ClassVar = {
        "CO_API_URL": "{url}",
        "CO_API_KEY": ProviderConformance.key,
    }
    examples = (
        ProviderExample(
            sse(
                {"type": "message-start", "id": "r1"},
                {
                    "type": "content-delta",
                    "index": 0,
                    "delta": {"message": {"content": {"text": "Grüße 🌍"}}},
                },
                {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}},
            ),
            text="Grüße 🌍",
            calls=(),
            finish="stop",
        ),
    )


class TestResponses(ProviderConformance):
    """OpenAI's Responses."""

    version = 1
    plugin = openai
    provider = "openai-responses"
    environment: ClassVar = {
        "OPENAI_BASE_URL": "{url}/v1",
        "OPENAI_API_KEY": ProviderConformance.key,
    }
    examples = (
        ProviderExample(
            sse(
                {
                    "type": "response.output_text.delta",
                    "output_index": 0,
                    "delta": "Grüße 🌍",
                },
                {"type": "response.completed", "response": {"status": "completed"}},
            ),
            text="Grüße 🌍",
            calls=(),
            finish="stop",
        ),
        ProviderExample(
            sse(
                {
                    "type": "response.output_item.done",
                    "output_index": 0,
                    "item": {
                        "type": "function_call",
                        "call_id": "c1",
                        "name": "weather",
                        "arguments": '{"city": "Ä"}',
                    },
                },
                {"type": "response.completed", "response": {"status": "completed"}},
            ),
            text="",
            calls=[("weather", {"city": "Ä"})],
            finish="tool_calls",
        ),
    )


class TestGemini(ProviderConformance):
    """Gemini's generateContent."""

    version = 1
    plugin = google
    provider = "google"
    environment: ClassVar = {
        "GOOGLE_GEMINI_BASE_URL": "{url}/v1beta",
        "GEMINI_API_KEY": ProviderConformance.key,
    }
    examples = (
        ProviderExample(
            sse(
                {"candidates": [{"content": {"parts": [{"text": "Grüße "}]}}]},
                {
                    "candidates": [
                        {"content": {"parts": [{"text": "🌍"}]}, "finishReason": "STOP"}
                    ]
                },
            ),
            text="Grüße 🌍",
            calls=(),
            finish="stop",
        ),
        ProviderExample(
            sse(
                {
                    "candidates": [
                        {
                            "content": {
                                "parts": [
                                    {
                                        "functionCall": {
                                            "name": "weather",
                                            "args": {"city": "Ä"},
                                        }
                                    }
                                ]
                            },
                            "finishReason": "STOP",
                        }
                    ]
                }
            ),
            text="",
            calls=[("weather", {"city": "Ä"})],
            finish="tool_calls",
        ),
    )


CONTROLLED = (
    "provider.pieces",
    "provider.complete",
    "provider.words",
    "provider.faults",
    "provider.once",
    "provider.secret",
    "provider.bounded",
    "provider.leaving",
)


class TestRehearsal(ProviderConformance):
    """The rehearsal serves by itself; what it says is read like any answer."""

    version = 1
    plugin = openai
    provider = "rehearsal"
    model = "rehearsal"
    configuration = '[providers.rehearsal]\nbase_url = "{url}"\n'
    examples = (ProviderExample(prompt="Hello", finish="stop"),)
    exempt: ClassVar = dict.fromkeys(CONTROLLED, "the rehearsal decides what it says")

    @asynccontextmanager
    async def surroundings(self) -> AsyncIterator[RehearsalServer]:
        async with rehearsal_server() as server:
            server.url = server.base_url  # type: ignore[attr-defined]
            yield server
