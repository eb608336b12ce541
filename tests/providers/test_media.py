"""Files in requests: what each protocol carries, and what is said of the rest."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from dovetail.kernel import FileContent, PromptFile, TextContent, ToolPart
from dovetail.plugins.providers.anthropic import MessagesProtocol
from dovetail.plugins.providers.contents import GeminiProtocol
from dovetail.plugins.providers.converse import ConverseProtocol
from dovetail.plugins.providers.endpoints import Endpoint
from dovetail.plugins.providers.ollama_chat import OllamaProtocol
from dovetail.plugins.providers.openai import ChatProtocol
from dovetail.plugins.providers.responses import ResponsesProtocol
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
LEFT_OUT = "is left out: it cannot be shown to this model]"


def sent(make: Make, *messages: Any, **more: Any) -> str:
    return str(make(HERE, "m").encode(request(*messages, **more)), "utf-8")


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
    assert wanted in made


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
