"""The Lantern protocol: a request as bytes, a line of an answer as model events.

Pure functions, and nothing about connections. What comes from a server may be
anything: it is checked here, and what is wrong becomes a ProviderError.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dovetail.kernel import (
    AssistantMessage,
    Finish,
    FinishReason,
    Json,
    Message,
    ModelEvent,
    ModelRequest,
    NoticeMessage,
    ProviderError,
    ProviderFault,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    UndecodableError,
    Usage,
    UserMessage,
    loads_exact,
    sanitised,
)

DIALECT = "lantern/1"
MAX_TOLD = 500
"""Characters of a server's own words that are repeated in an error."""
MAX_WAIT = 3600.0
"""Seconds; whoever advises to wait longer is not believed."""

REASONS: Mapping[Json, FinishReason] = {
    "stop": "stop",
    "calls": "tool_calls",
    "full": "length",
    "refused": "content_filter",
}
FAULTS: Mapping[Json, tuple[ProviderFault, bool]] = {
    "busy": ("provider.rate_limited", True),
    "key": ("provider.authentication", False),
    "quota": ("provider.quota", False),
    "full": ("provider.context_overflow", False),
    "refused": ("provider.content_refused", False),
    "wrong": ("provider.invalid_request", False),
    "down": ("provider.unavailable", True),
}
"""What is meant, and whether the same request may succeed later."""


# --- the request ------------------------------------------------------------------


def encode_request(request: ModelRequest) -> bytes:
    """Return the body. It begins with the bytes of the request before it: whatever
    differs from Step to Step comes behind the messages."""
    head = {
        "model": request.model,
        "system": request.system,
        "tools": [
            {"name": tool.name, "about": tool.description, "input": tool.schema}
            for tool in request.tools
        ],
    }
    tail: dict[str, Json] = {**request.options, "calls": request.tool_choice}
    if request.max_output is not None:
        tail["room"] = request.max_output
    messages = b",".join(request.history.encoded(DIALECT, encode_message))
    return b'%s,"messages":[%s],%s' % (_json(head)[:-1], messages, _json(tail)[1:])


def encode_message(message: Message) -> bytes:
    """Return one message. The protocol takes no files: they are told by name."""
    if isinstance(message, UserMessage):
        files = [f"[{file.name} ({file.mime}) is not shown]" for file in message.files]
        return _json({"by": "user", "text": "\n".join([message.text, *files])})
    if isinstance(message, NoticeMessage):
        return _json({"by": "runtime", "text": message.text})
    assert isinstance(message, AssistantMessage)
    made = [
        {
            "id": part.call_id,
            "tool": part.tool,
            "input": part.arguments,
            "done": part.state == "succeeded",
            "result": part.text,
        }
        for part in message.calls
    ]
    return _json({"by": "model", "text": message.text, "calls": made})


def _json(value: Json) -> bytes:
    # Without lone surrogates, which no server could read.
    return json.dumps(sanitised(value), ensure_ascii=False).encode()


# --- the answer -------------------------------------------------------------------


class Reader:
    """Reads the lines of one answer. ``redact`` takes the key out of any text."""

    def __init__(self, provider: str, key: str) -> None:
        self._provider = provider
        self._key = key

    def events(self, line: bytes) -> Iterator[ModelEvent]:
        """Return what a line says; a Finish is the last.

        Raises:
            ProviderError: it says that the answer failed, or it is not of the protocol.
        """
        word, _, rest = line.partition(b" ")
        value = self._parsed(rest)
        match word, value:
            case b"say", str():
                yield TextDelta("text", value)
            case b"think", str():
                yield ReasoningDelta("thought", value)
            case b"call", {"id": str(call), "tool": str(tool), "input": str(text)}:
                yield ToolCall(call, tool, text)
            case b"end", {"why": why}:
                reason = REASONS.get(why) if isinstance(why, str) else None
                yield Finish(reason or "unknown", _usage(value))
            case b"fail", {"what": str()}:
                raise self.failure(value)
            case _:
                raise self.broken(f"a line says {self._told(line.decode('latin-1'))}")

    def answered(self, status: int, body: bytes) -> ProviderError:
        """Return what an answer with a bad status means."""
        try:
            value = self._parsed(body)
        except ProviderError:
            value = None
        if not isinstance(value, dict):
            value = {"text": body.decode("utf-8", "replace")}
        if value.get("what") not in list(FAULTS):
            value["what"] = _meaning(status)
        return self.failure(value, status)

    def failure(
        self, said: Mapping[str, Any], status: int | None = None
    ) -> ProviderError:
        """Return what a ``fail`` means."""
        what, text, after = said.get("what"), said.get("text"), said.get("after")
        fault, retryable = FAULTS.get(what, ("provider.failed", False))
        return ProviderError(
            fault,
            self._provider,
            self._told(text) if isinstance(text, str) and text else "it gave no reason",
            status=status,
            retryable=retryable,
            retry_after=_seconds(after) if retryable else None,
        )

    def broken(self, problem: str) -> ProviderError:
        """Return the error of an answer that is not of the protocol."""
        return ProviderError("provider.invalid_output", self._provider, problem)

    def _parsed(self, text: bytes) -> Json:
        try:
            return sanitised(loads_exact(text.decode()))
        except (UnicodeDecodeError, UndecodableError):
            raise self.broken(
                f"this is no JSON: {self._told(text.decode('latin-1'))}"
            ) from None

    def _told(self, text: str) -> str:
        """Return a server's words: without the key, bounded, on one line."""
        plain = text.replace(self._key, "[key]")[:MAX_TOLD]
        return "".join(c if c.isprintable() else " " for c in plain)


def _meaning(status: int) -> str:
    known = {401: "key", 403: "key", 429: "busy"}
    if status in known:
        return known[status]
    return "down" if status >= 500 else "wrong" if status >= 400 else "odd"


def _seconds(advice: Json) -> float | None:
    if isinstance(advice, bool) or not isinstance(advice, int | float):
        return None
    return float(advice) if 0 <= advice <= MAX_WAIT else None


def _usage(end: Mapping[str, Any]) -> Usage:
    def tokens(name: str) -> int | None:
        count = end.get(name)
        return count if type(count) is int and 0 <= count < 2**53 else None

    return Usage(tokens("in"), tokens("out"), tokens("thought"))
