"""What is particular to a deployment is in its requests, and nothing else is."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from dovetail.kernel import Generation, Output, TextContent, ToolPart
from dovetail.plugins.providers.deployments import CHAT
from dovetail.plugins.providers.endpoints import Endpoint, read_endpoint
from dovetail.plugins.providers.openai import DEFAULTS, ChatProtocol
from support.requests import WEATHER, assistant, request, user

MODEL = "some-model"
RENAMED = {"max_tokens": None, "max_completion_tokens": 512}
NINE = {"call id": True}
UNTOLD = {"stream_options": None}
QUIRKS: Mapping[str, Mapping[str, Any]] = {
    "azure": {**RENAMED, "top_k": None, "value": "native"},
    "deepseek": {"plain value": "tool"},
    "fireworks": {"value": "native"},
    "mistral": {**UNTOLD, **NINE, "value": "native"},
    "moonshot": {"plain value": "tool"},
    "openai": {**RENAMED, "top_k": None, "value": "native"},
    "openrouter": {"value": "native"},
    "xai": {"top_k": None, "value": "native"},
    "zai": {"plain value": "tool"},
}
"""By deployment, what differs from how an unknown endpoint is asked."""


def written(endpoint: Endpoint) -> dict[str, Any]:
    """Return the request that an endpoint is sent, and how it is asked for values."""
    protocol = ChatProtocol(endpoint, MODEL)
    called = ToolPart(
        "call_0123456789",
        "weather",
        '{"city": "Berne"}',
        content=(TextContent("dry"),),
        state="succeeded",
    )
    asked = request(
        user("a"),
        assistant(called, model=f"{endpoint.provider}/{MODEL}"),
        user("b", seq=2),
        system=("S",),
        tools=(WEATHER,),
        max_output=512,
        generation=Generation(
            temperature=0.5,
            top_p=0.5,
            top_k=5,
            stop=("x",),
            seed=7,
            presence_penalty=0.1,
            frequency_penalty=0.1,
            service_tier="flex",
            reasoning="low",
            parallel_calls=False,
        ),
    )
    body: dict[str, Any] = orjson.loads(protocol.write(asked).data)
    output = Output({"type": "object", "properties": {}})
    body["value"] = protocol.output_mode(request(tools=(WEATHER,), output=output))
    body["plain value"] = protocol.output_mode(request(output=output))
    said = next(one for one in body["messages"] if one.get("tool_calls"))
    body["call id"] = len(said["tool_calls"][0]["id"]) == 9
    # It is the same but for that id.
    for message in body["messages"]:
        message.pop("tool_call_id", None)
        for call in message.get("tool_calls", ()):
            call.pop("id")
    return body


@pytest.mark.parametrize("name", [*CHAT, "openai"])
def test_a_deployment_is_asked_with_exactly_its_quirks(name: str) -> None:
    environment = {"AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com/"}
    deployment = DEFAULTS.deployment(name)
    assert deployment is not None
    if deployment.key_variable:
        environment[deployment.key_variable] = "k-0123456789"
    plain = written(Endpoint("plain", "http://localhost:9/v1"))
    found = written(read_endpoint(name, {}, environment, DEFAULTS))
    differs = {
        key: found.get(key)
        for key in {*plain, *found}
        if found.get(key) != plain.get(key)
    }
    assert differs == QUIRKS.get(name, {})


def test_quirks_are_of_deployments_that_there_are() -> None:
    assert {*QUIRKS} <= {*CHAT, "openai"}
