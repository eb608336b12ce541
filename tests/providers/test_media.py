"""Files in requests: what each protocol carries, and what is said of the rest."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from dovetail.kernel import (
    FileContent,
    FilePart,
    ModelFile,
    PromptFile,
    TextContent,
    ToolPart,
)
from dovetail.plugins.providers.anthropic import MessagesProtocol
from dovetail.plugins.providers.candidates import GeminiDecoder
from dovetail.plugins.providers.chat import ChatDecoder
from dovetail.plugins.providers.contents import GeminiProtocol
from dovetail.plugins.providers.converse import ConverseProtocol
from dovetail.plugins.providers.endpoints import Endpoint
from dovetail.plugins.providers.items import ResponsesDecoder
from dovetail.plugins.providers.ollama_chat import OllamaProtocol
from dovetail.plugins.providers.openai import ChatProtocol
from dovetail.plugins.providers.responses import ResponsesProtocol
from dovetail.plugins.providers.sse import SseEvent
from support.requests import assistant, request, user

DATA = base64.b64encode(b"%PDF-1.7").decode()
PDF = PromptFile("The bill (1).pdf", "application/pdf", DATA)
SOUND = PromptFile("say.mp3", "audio/mpeg", DATA)
HERE = Endpoint("here", "http://localhost/v1")
Make = Callable[[Endpoint, str], Any]
ALL: tuple[Make, ...] = (
    *(ChatProtocol, ResponsesProtocol, MessagesProtocol),
    *(GeminiProtocol, ConverseProtocol, OllamaProtocol),
)
DATA_URL = f"data:image/png;base64,{DATA}"
LEFT_OUT = "is left out: it cannot be shown to this model]"


def sent(make: Make, *messages: Any, **more: Any) -> str:
    return str(make(HERE, "m").write(request(*messages, **more)).data, "utf-8")


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (
            ChatProtocol,
            {
                "type": "file",
                "file": {
                    "filename": PDF.name,
                    "file_data": f"data:application/pdf;base64,{DATA}",
                },
            },
        ),
        (
            ResponsesProtocol,
            {
                "type": "input_file",
                "filename": PDF.name,
                "file_data": f"data:application/pdf;base64,{DATA}",
            },
        ),
        (
            MessagesProtocol,
            {
                "type": "document",
                "source": {
                    "type": "base64",
                    "media_type": "application/pdf",
                    "data": DATA,
                },
                "title": PDF.name,
            },
        ),
        (
            GeminiProtocol,
            {"inlineData": {"mimeType": "application/pdf", "data": DATA}},
        ),
        (
            ConverseProtocol,
            {
                "document": {
                    "format": "pdf",
                    "name": "The bill (1) pdf 1",
                    "source": {"bytes": DATA},
                }
            },
        ),
        (OllamaProtocol, LEFT_OUT),
    ],
)
def test_a_pdf_goes_in_as_each_protocol_has_it(make: Make, part: Any) -> None:
    made = sent(make, user("Read it", files=(PDF,)))
    wanted = part if isinstance(part, str) else json.dumps(part, separators=(",", ":"))
    # Where it is the last thing said, a mark for the provider's cache may follow in it.
    assert wanted.removesuffix("}") in made


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (
            ChatProtocol,
            {"type": "input_audio", "input_audio": {"data": DATA, "format": "mp3"}},
        ),
        (GeminiProtocol, {"inlineData": {"mimeType": "audio/mpeg", "data": DATA}}),
        *(
            (make, LEFT_OUT)
            for make in ALL
            if make not in (ChatProtocol, GeminiProtocol)
        ),
    ],
)
def test_sound_goes_in_where_there_is_a_place_for_it(make: Make, part: Any) -> None:
    made = sent(make, user("Hear it", files=(SOUND,)))
    wanted = part if isinstance(part, str) else json.dumps(part, separators=(",", ":"))
    assert wanted in made


@pytest.mark.law("output.7")
@pytest.mark.parametrize("make", ALL)
def test_what_a_model_is_known_not_to_read_is_left_out_and_said(make: Make) -> None:
    image = FileContent("image/png", DATA, "shot.png")
    call = ToolPart("c1", "look", "{}", "succeeded", (TextContent("here"), image))
    messages = (user("Read it", files=(PDF,)), assistant(call), user("And?", seq=9))
    blind = sent(make, *messages, reads=())
    assert DATA not in blind
    assert blind.count(LEFT_OUT) == 2
    assert "shot.png (image/png)" in blind
    assert DATA in sent(make, *messages, reads=("image",))


def test_one_document_alone_has_words_beside_it_where_they_are_wanted() -> None:
    made = sent(ConverseProtocol, user("", files=(PDF,)))
    assert '"text":"(see the document)"' in made


# --- what models make -------------------------------------------------------------


@pytest.mark.law("output.8")
@pytest.mark.parametrize(
    ("decoder", "events", "metadata"),
    [
        (
            ChatDecoder("p"),
            [
                {
                    "choices": [
                        {
                            "delta": {
                                "content": "Here.",
                                "images": [
                                    {"image_url": {"url": DATA_URL}},
                                    {"image_url": {"url": "https://example.org/a.png"}},
                                ],
                            },
                            "finish_reason": "stop",
                        }
                    ]
                }
            ],
            {},
        ),
        (
            GeminiDecoder("p"),
            [
                {
                    "candidates": [
                        {
                            "content": {
                                "parts": [
                                    {"text": "Here."},
                                    {
                                        "inlineData": {
                                            "mimeType": "image/png",
                                            "data": DATA,
                                        },
                                        "thoughtSignature": "s",
                                    },
                                ]
                            },
                            "finishReason": "STOP",
                        }
                    ]
                }
            ],
            {"attached": {"thoughtSignature": "s"}},
        ),
        (
            ResponsesDecoder("p"),
            [
                {
                    "type": "response.output_item.done",
                    "output_index": 0,
                    "item": {
                        "type": "image_generation_call",
                        "id": "ig_1",
                        "status": "completed",
                        "output_format": "png",
                        "result": DATA,
                    },
                },
                {
                    "type": "response.completed",
                    "response": {"status": "completed", "output": []},
                },
            ],
            {
                "item": {
                    "type": "image_generation_call",
                    "id": "ig_1",
                    "status": "completed",
                    "output_format": "png",
                }
            },
        ),
    ],
)
def test_an_image_that_a_model_makes_is_a_file(
    decoder: Any, events: list[Any], metadata: Any
) -> None:
    made: list[Any] = []
    for event in events:
        made += decoder.feed(SseEvent(json.dumps(event).encode()))
    made += decoder.finish()
    files = [one for one in made if isinstance(one, ModelFile)]
    assert [(one.mime, one.data, one.metadata) for one in files] == [
        ("image/png", DATA, metadata)
    ]


@pytest.mark.parametrize("make", ALL)
def test_a_made_file_goes_back_as_a_word_of_it(make: Make) -> None:
    made = FilePart("image/png", "a" * 64, 12)
    sent_now = sent(make, user("Draw"), assistant(made), user("And?", seq=9))
    assert f"[image/png, 12 bytes managed:{'a' * 64}]" in sent_now
