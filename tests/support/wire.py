"""A scripted model behind a real protocol: what is sent is written as for a server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from attrs import evolve
from dovetail.kernel import (
    ModelEvent,
    ModelRequest,
    ProviderProtocol,
    Register,
    hookimpl,
)
from dovetail.kernel.testing.scripted import Answer, ScriptedProvider
from dovetail.plugins.providers import (
    anthropic,
    bedrock,
    contents,
    converse,
    google,
    ollama,
    ollama_chat,
    openai,
    responses,
)
from dovetail.plugins.providers.endpoints import Endpoint

WRITERS: dict[str, Any] = {
    "openai-chat": (openai.ChatProtocol, openai.written_again),
    "anthropic-messages": (anthropic.MessagesProtocol, anthropic.written_again),
    "openai-responses": (responses.ResponsesProtocol, responses.written_again),
    "google-generate": (contents.GeminiProtocol, google.written_again),
    "ollama-chat": (ollama_chat.OllamaProtocol, ollama.written_again),
    "bedrock-converse": (converse.ConverseProtocol, bedrock.written_again),
}
DEFAULTS = {
    "openai-chat": openai.DEFAULTS,
    "anthropic-messages": anthropic.DEFAULTS,
    "openai-responses": openai.RESPONSES,
    "google-generate": google.DEFAULTS,
    "ollama-chat": ollama.DEFAULTS,
    "bedrock-converse": bedrock.DEFAULTS,
}


class Wire(ScriptedProvider):
    """Answers by a script, and keeps the bytes that a server would have been sent."""

    tells_body = True

    def __init__(self, protocol: str, *answers: Answer, **endpoint: Any) -> None:
        super().__init__(*answers)
        self.bodies: list[bytes] = []
        made, self._again = WRITERS[protocol]
        self._offered = DEFAULTS[protocol].offered
        where = Endpoint("scripted", "https://example.invalid", **endpoint)
        self.writer = made(where, "model")

    @hookimpl
    def dovetail_register_protocols(self, register: Register[ProviderProtocol]) -> None:
        register(evolve(self._offered, write=self._again))

    @asynccontextmanager
    async def stream(
        self, request: ModelRequest
    ) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        body = self.writer.write(request)
        request.sends(body)
        self.bodies.append(body.data)
        async with super().stream(request) as events:
            yield events
