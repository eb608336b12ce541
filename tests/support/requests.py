"""Requests at hand: histories and places for provider tests."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from attrs import define, field
from dovetail.kernel import (
    AssistantMessage,
    Location,
    Message,
    MessageId,
    ModelEvent,
    ModelRequest,
    NoticeMessage,
    Part,
    Place,
    Provider,
    ProviderRoute,
    SessionId,
    Tap,
    ToolDefinition,
    UserMessage,
)
from dovetail.kernel.models.protocols import assigned
from dovetail.plugins.providers import (
    anthropic,
    bedrock,
    cohere,
    google,
    ollama,
    openai,
)

SESSION = SessionId("ses_test")
WEATHER = ToolDefinition(
    "get_weather",
    "Tell the weather of a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}},
)


@define
class Given:
    """A RequestHistory that keeps what was encoded, as the kernel's does."""

    messages: Sequence[Message] = ()
    made: dict[str, dict[str, bytes]] = field(factory=dict)

    def encoded(
        self,
        dialect: str,
        encode: Callable[[Message], bytes],
        join: Callable[[bytes, bytes], bytes | None] | None = None,
    ) -> list[bytes]:
        kept = self.made.setdefault(dialect, {})
        for one in self.messages:
            if one.id not in kept:
                kept[one.id] = encode(one)
        pieces = [kept[one.id] for one in self.messages]
        return pieces if join is None else joined(pieces, join)


def joined(
    pieces: Sequence[bytes], join: Callable[[bytes, bytes], bytes | None]
) -> list[bytes]:
    """Return the pieces that say something, joined as a RequestHistory does."""
    found: list[bytes] = []
    for piece in filter(None, pieces):
        both = join(found[-1], piece) if found else None
        found[-1:] = [*found[-1:], piece] if both is None else [both]
    return found


def user(text: str, seq: int = 0, **more: Any) -> UserMessage:
    return UserMessage(MessageId(f"msg_u{seq}"), SESSION, seq, 0, text, **more)


def assistant(
    *parts: Part, seq: int = 1, model: str = "test/m", **more: Any
) -> AssistantMessage:
    name = MessageId(f"msg_a{seq}")
    return AssistantMessage(
        name, SESSION, seq, 0, "build", model, parts, finish="stop", ended=1, **more
    )


def notice(text: str, seq: int = 2) -> NoticeMessage:
    return NoticeMessage(MessageId(f"msg_n{seq}"), SESSION, seq, 0, text)


def request(*messages: Message, **more: Any) -> ModelRequest:
    chosen = messages or (user("Hello"),)
    return ModelRequest(
        model="m", system=more.pop("system", ()), history=Given(list(chosen)), **more
    )


def place_of(*, tables: Mapping[str, Any], **more: Any) -> Place:
    """Return a place in which our protocols are spoken, as the kernel makes it."""
    ours = (
        openai.DEFAULTS,
        openai.RESPONSES,
        anthropic.DEFAULTS,
        google.DEFAULTS,
        ollama.DEFAULTS,
        bedrock.DEFAULTS,
    )
    offered = [one.offered for one in ours]
    cohere.plugin.dovetail_register_protocols(register=offered.append)
    protocols, _ = assigned(offered, tables)
    return Place(Location("/"), providers=tables, protocols=protocols, **more)


def providers_of(plugin: Any, place: Place) -> dict[str, Provider]:
    found: dict[str, Provider] = {}

    def register(one: Provider) -> None:
        found[one.name] = one

    plugin.dovetail_register_providers(register=register, place=place)
    return found


@asynccontextmanager
async def opened(
    plugin: Any,
    *,
    environment: Mapping[str, str] | None = None,
    providers: Mapping[str, Any] | None = None,
    tape: Tap | None = None,
    **more: Any,
) -> AsyncGenerator[dict[str, Provider], None]:
    """Open a plugin in a Location, as the kernel does, and give its providers."""
    place = Place(Location("/"), environment=environment or {}, tape=tape)
    async with plugin.dovetail_open_location(place=place) as resource:
        place = place_of(
            environment=environment or {},
            resource=resource,
            tables=providers or {},
            **more,
        )
        yield providers_of(plugin, place)


async def ask(route: ProviderRoute, wanted: ModelRequest) -> list[ModelEvent]:
    """Return all events of one request."""
    async with route.stream(wanted) as events:
        return [event async for event in events]
