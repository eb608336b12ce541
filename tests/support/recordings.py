"""Recorded traffic of real providers, read in place, with what it must come to."""

import base64
import gzip
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from attrs import field, frozen

CORPORA = Path(__file__).resolve().parents[3] / "shared" / "corpora"
SETS = (
    "opencode-llm-recordings",
    "anthropic-sdk-fixtures",
    "vercel-ai-fixtures",
    "pydantic-ai-cassettes",
    "openllmetry-cassettes",
)

PROTOCOLS = ("chat", "anthropic", "responses", "gemini", "bedrock-converse")


@frozen
class Recording:
    """One recorded response, and the request before it where that is kept."""

    name: str
    protocol: str
    """One of ``PROTOCOLS``."""
    status: int
    body: bytes = field(repr=False)
    expected: dict[str, Any] = field(repr=False)
    content_type: str = "text/event-stream"
    request: Any = field(default=None, repr=False)


def recordings() -> list[Recording]:
    """Return every response of our protocols; none where the sets are absent."""
    return list(_all())


@cache
def _all() -> tuple[Recording, ...]:
    return tuple(one for name in SETS for one in _of(CORPORA / name))


def _of(folder: Path) -> Iterator[Recording]:
    listing = folder / "EXPECTED.jsonl"
    if not listing.is_file():
        return
    for line in listing.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["protocol"] not in PROTOCOLS or "oracle" in row["expected"]:
            continue
        file, index = folder / row["file"], row.get("interaction", 0)
        status, kind, body, request = _read(file, index, row["protocol"])
        yield Recording(
            name=f"{folder.name}/{row['file']}#{index}",
            protocol=row["protocol"],
            status=status,
            body=body,
            expected=row["expected"],
            content_type=kind,
            request=request,
        )


def _read(file: Path, index: int, protocol: str) -> tuple[int, str, bytes, Any]:
    if file.suffix == ".json":
        one = _parsed(file)["interactions"][index]
        answer = one["response"]
        kind = _content_type(answer["headers"])
        request = json.loads(one["request"]["body"])
        body = answer["body"].encode()
        if kind == "application/vnd.amazon.eventstream":
            body = base64.b64decode(body)
        return answer["status"], kind, body, request
    if file.suffix == ".yaml":
        one = _parsed(file)["interactions"][index]
        answer = one["response"]
        kind = _content_type(answer["headers"])
        request = one["request"].get("parsed_body") or one["request"].get("body")
        return answer["status"]["code"], kind, _body(answer), _plain(request)
    stream = "text/event-stream"
    if file.name.endswith(".chunks.txt"):
        return 200, stream, _framed(file, protocol), None
    return 200, stream, file.read_bytes(), None


@cache
def _parsed(file: Path) -> Any:
    text = file.read_bytes()
    if file.suffix == ".json":
        return json.loads(text)
    return yaml.load(text, Loader=yaml.CSafeLoader)


def _content_type(headers: Any) -> str:
    for name, value in headers.items():
        if name.lower() == "content-type":
            return str(value[0] if isinstance(value, list) else value)
    return "text/event-stream"


def _plain(request: Any) -> Any:
    return json.loads(request) if isinstance(request, str | bytes) else request


def _body(answer: Any) -> bytes:
    if "parsed_body" in answer:
        return json.dumps(answer["parsed_body"]).encode()
    body = answer["body"]["string"]
    raw = body.encode() if isinstance(body, str) else bytes(body)
    return gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw


def _framed(file: Path, protocol: str) -> bytes:
    """Frame the payloads of a chunks file, one a line."""
    framed = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.strip():
            kind = ""
            if protocol in ("anthropic", "responses"):
                kind = f"event: {json.loads(line)['type']}\n"
            if "response.created" in kind:
                # Several answers in one file: what is known is what the last came to.
                framed.clear()
            framed.append(f"{kind}data: {line}\n\n")
    if protocol == "chat":
        framed.append("data: [DONE]\n\n")
    return "".join(framed).encode()
