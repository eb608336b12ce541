"""What Converse is sent and read as holds against Amazon's own model of the service."""

import base64
import json
from typing import Any, get_args

import botocore.session
import pytest
from botocore.model import OperationModel
from botocore.validate import validate_parameters
from dovetail.kernel import (
    FileContent,
    Generation,
    Output,
    PromptFile,
    ReasoningEffort,
    ReasoningPart,
    TextContent,
    TextPart,
    ToolPart,
)
from dovetail.plugins.providers import converse, messages
from dovetail.plugins.providers.endpoints import Endpoint
from support.requests import WEATHER, assistant, notice, request, user

PNG = base64.b64encode(b"\x89PNG").decode()
CLAUDE = "us.anthropic.claude-sonnet-4-6"
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
MODELS = (CLAUDE, "us.anthropic.claude-3-7-sonnet", "amazon.nova-pro", "gpt-oss", "m")


def body(*said: Any, model: str = "m", **more: Any) -> Any:
    protocol = converse.ConverseProtocol(Endpoint("test", "http://x"), model)
    return json.loads(protocol.encode(request(*said, **more)))


@pytest.fixture(scope="module")
def service() -> OperationModel:
    model = botocore.session.get_session().get_service_model("bedrock-runtime")
    return model.operation_model("ConverseStream")


def accept(service: OperationModel, sent: dict[str, Any]) -> None:
    shape = service.input_shape
    validate_parameters({"modelId": "m", **sent}, shape)
    # It looks at kinds and names, and not at which words may stand somewhere.
    tiers = shape.members["serviceTier"].members["type"].enum
    assert sent.get("serviceTier", {"type": "flex"})["type"] in tiers
    assert {*sent} <= {*shape.members}
    assert {*sent.get("toolConfig", ())} <= {*shape.members["toolConfig"].members}


def test_the_tiers_are_those_that_the_service_names(service: OperationModel) -> None:
    tiers = service.input_shape.members["serviceTier"].members["type"].enum
    assert sorted(converse.TIERS) == sorted(tiers)
    for tier in (*converse.TIERS, "auto", "standard_only"):
        sent = body(user("a"), generation=Generation(service_tier=tier))
        assert ("serviceTier" in sent) == (tier in tiers)
        accept(service, sent)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("effort", [None, *get_args(ReasoningEffort)])
def test_a_request_is_of_the_shape_that_the_service_names(
    service: OperationModel, model: str, effort: ReasoningEffort | None
) -> None:
    image = FileContent("image/png", PNG)
    called = ToolPart(
        "c1", "weather", '{"city": "Berne"}', content=(TextContent("dry"), image),
        state="succeeded",
    )  # fmt: skip
    thought = ReasoningPart("hm", {"signature": "s"})
    hidden = ReasoningPart("", {"redacted": "YQ=="})
    said = assistant(thought, hidden, TextPart("I look"), called, model=f"test/{model}")
    everything = Generation(
        temperature=0.5,
        top_p=0.5,
        top_k=5,
        stop=("x",),
        service_tier="flex",
        reasoning=effort,
    )
    files = (
        PromptFile("a.png", "image/png", PNG),
        PromptFile("b", "application/pdf", PNG),
    )
    for more in (
        {"tools": (WEATHER,)},
        {"tools": (WEATHER,), "tool_choice": "required"},
        {"tools": (WEATHER,), "tool_choice": "tool:weather"},
        {"output": Output(CITY)},
    ):
        sent = body(
            user("a", files=files), said, notice("n"), user("b"),
            model=model, system=("S",), max_output=4096, generation=everything, **more,
        )  # fmt: skip
        accept(service, sent)


def test_what_the_service_may_answer_with_is_known(service: OperationModel) -> None:
    events = service.output_shape.members["stream"].members
    names = {one for one in events if not one.endswith("Exception")}
    assert names == {*converse._EVENTS}
    assert {*events} - names <= {*converse._STATUS}
    stop = events["messageStop"].members["stopReason"]
    assert {*stop.enum} <= {*messages._FINISHES, *converse._REASONS}
    told = {*events["metadata"].members["usage"].members}
    assert {*converse._USAGE} <= told
