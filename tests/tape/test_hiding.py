"""What lets somebody in never reaches a tape, however it is written."""

import base64
import gzip
import html
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
from dovetail.kernel import Redactor
from dovetail.kernel.tape.hiding import Hiding
from dovetail.kernel.testing import Tape, open_tape
from dovetail.plugins.providers.amazon import EventStreamDecoder
from hypothesis import given, strategies as st
from support.speaking import frame

KEY = "sk-proj/Zr8+vQ2mW5xT1=é"
PLAIN = "sk-live-0123456789abcdef"
ADDRESS = "https://service.test/v1/answers"


class Answering(httpx.AsyncBaseTransport):
    def __init__(self, *pieces: bytes, **headers: str) -> None:
        self._pieces = pieces
        self._headers = {name.replace("_", "-"): told for name, told in headers.items()}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async def body() -> Any:
            for piece in self._pieces:
                yield piece

        return httpx.Response(200, headers=self._headers, content=body())


async def taped(
    path: Path, inner: Answering, *, url: str = ADDRESS, secrets: Any = (), **asked: Any
) -> bytes:
    """Return what a tape says of one request."""
    tape = Tape(path, "tap", secrets=secrets)
    async with httpx.AsyncClient(transport=tape.over(inner)) as client:
        method = asked.pop("method", "POST")
        await client.request(method, url, **asked)
    return content(path)


def content(path: Path) -> bytes:
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tape.jsonl"


@pytest.mark.law("tapes.3")
@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {PLAIN}"},
        {"x-api-key": PLAIN},
        {"api-key": PLAIN},
        {"x-goog-api-key": PLAIN},
        {"cookie": f"a=1; session={PLAIN}"},
        {"x-amz-security-token": PLAIN},
        {"authorization": "Basic " + base64.b64encode(f"me:{PLAIN}".encode()).decode()},
        {
            "authorization": f"AWS4-HMAC-SHA256 Credential={PLAIN}/20260101/us-east-1/"
            "bedrock/aws4_request, SignedHeaders=host, Signature=0123456789abcdef01"
        },
    ],
    ids=lambda headers: "-".join(headers),
)
async def test_what_a_header_lets_in_with_is_nowhere(
    path: Path, headers: dict[str, str]
) -> None:
    tape = Tape(path, "tap", headers=[*headers, "accept"])
    said = f'{{"error":"the key {PLAIN} is not known"}}'.encode()
    async with httpx.AsyncClient(transport=tape.over(Answering(said))) as client:
        body = orjson.dumps({"echo": PLAIN, "region": "us-east-1"})
        await client.post(ADDRESS, headers=headers, content=body)
    told = content(path)
    assert PLAIN.encode() not in told
    assert base64.b64encode(f"me:{PLAIN}".encode()) not in told
    assert b"is not known" in told
    # Words that are in such a header and no secrets stay.
    assert b"us-east-1" in told


@pytest.mark.law("tapes.3")
async def test_what_an_address_lets_in_with_is_nowhere(path: Path) -> None:
    url = f"https://me:{PLAIN}x@service.test/v1?alt=sse&key={PLAIN}&sig=short"
    told = await taped(path, Answering(PLAIN.encode()), url=url)
    assert PLAIN.encode() not in told
    assert b"short" not in told
    assert b"service.test/v1?alt=sse&key=[redacted]&sig=[redacted]" in told


ENCODED = {
    "plain": KEY,
    "json": orjson.dumps(KEY).decode()[1:-1],
    "json ascii": "".join(
        one if one.isascii() and one.isalnum() else f"\\u{ord(one):04x}" for one in KEY
    ),
    "url": quote(KEY, safe=""),
    "url twice": quote(quote(KEY, safe=""), safe=""),
    "html": html.escape(KEY),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "within base64": base64.b64encode(f"user:{KEY}:more".encode()).decode(),
    "urlsafe base64": base64.urlsafe_b64encode(KEY.encode()).decode(),
    "hex": KEY.encode().hex(),
}


@pytest.mark.law("tapes.3")
@pytest.mark.parametrize("how", ENCODED)
async def test_a_known_key_is_nowhere_however_it_is_encoded(
    path: Path, how: str
) -> None:
    written = ENCODED[how]
    body = f'{{"text":"before {written} after"}}'.encode()
    told = await taped(path, Answering(body), secrets=[KEY], content=body)
    assert written.encode() not in told
    assert KEY.encode() not in told
    assert told.count(b"before ") == told.count(b"[redacted]") == 2


@pytest.mark.law("tapes.3")
@pytest.mark.parametrize("size", [1, 2, 7])
async def test_a_key_in_pieces_of_a_body_is_nowhere(path: Path, size: int) -> None:
    body = f"data: {PLAIN}\n\ndata: more\n\n".encode()
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    await taped(path, Answering(*pieces), secrets=[PLAIN])
    lines = [orjson.loads(line) for line in content(path).splitlines()]
    said = "".join(line.get("text", "") for line in lines)
    assert said == "data: [redacted]\n\ndata: more\n\n"


@pytest.mark.law("tapes.3")
async def test_a_key_that_a_model_repeats_event_by_event_is_nowhere(path: Path) -> None:
    cut = [PLAIN[at : at + 4] for at in range(0, len(PLAIN), 4)]
    words = ["the key is ", *cut, "!"]
    events = [
        b"data: %b\n\n" % orjson.dumps({"choices": [{"delta": {"content": word}}]})
        for word in words
    ]
    told = await taped(path, Answering(*events), secrets=[PLAIN])
    assert not [one for one in cut if one.encode() in told]
    # What is left is still a stream of the same events.
    lines = [orjson.loads(line) for line in told.splitlines()]
    said = [orjson.loads(line["text"][6:]) for line in lines if "text" in line]
    assert len(said) == len(words)
    joined = "".join(one["choices"][0]["delta"]["content"] for one in said)
    assert joined == "the key is [redacted]!"


def delta(text: str) -> dict[str, Any]:
    return {"contentBlockIndex": 0, "delta": {"text": text}}


@pytest.mark.law("tapes.3")
@pytest.mark.parametrize("size", [1, 7, 5000])
async def test_sealed_frames_that_a_key_is_taken_out_of_are_sealed_again(
    path: Path, size: int
) -> None:
    said = ["at once ", f"{PLAIN} and ", *PLAIN, " in letters", "!"]
    sent = b"".join(frame("contentBlockDelta", delta(one)) for one in said)
    cut_off = frame("messageStop", {"stopReason": "end_turn"})[:40]
    body = sent + cut_off
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    await taped(path, Answering(*pieces), secrets=[PLAIN])
    async with (
        open_tape(path) as tape,
        httpx.AsyncClient(transport=tape.over()) as client,
    ):
        again = (await client.post(ADDRESS)).content
    assert PLAIN.encode() not in again
    assert again.endswith(cut_off)
    read = [orjson.loads(one.data) for one in EventStreamDecoder("test").feed(again)]
    told = [one["delta"]["text"] for one in read]
    assert len(told) == len(said)
    assert "".join(told) == "at once [redacted] and [redacted] in letters!"


@pytest.mark.law("tapes.3")
async def test_a_key_in_a_packed_answer_is_nowhere(path: Path) -> None:
    packed = gzip.compress(f"the key {PLAIN} is not known".encode())
    inner = Answering(packed[:9], packed[9:], content_encoding="gzip")
    told = await taped(path, inner, secrets=[PLAIN])
    assert b"the key [redacted] is not known" in told
    assert base64.b64encode(packed)[:12] not in told


@pytest.mark.law("tapes.3")
async def test_a_key_between_bytes_that_are_no_text_is_nowhere(path: Path) -> None:
    body = b"\x00\xff\xfe" + PLAIN.encode() + b"\x80"
    told = await taped(path, Answering(body), secrets=[PLAIN], content=body)
    cleaned = base64.b64encode(b"\x00\xff\xfe[redacted]\x80")
    assert told.count(cleaned) == 2


@pytest.mark.law("tapes.3")
async def test_what_is_granted_by_an_answer_is_nowhere(path: Path) -> None:
    granted = b'{"access_token": "ya29.granted-now", "refresh_token":"1//again"}'
    told = await taped(
        path,
        Answering(granted),
        content=b"grant_type=refresh_token&client_secret=shh-quiet&refresh_token=1//old",
    )
    for secret in (b"ya29", b"1//", b"shh"):
        assert secret not in told
    assert b"grant_type=refresh_token" in told


@pytest.mark.law("tapes.3")
async def test_keys_of_the_environment_and_of_a_client_are_nowhere(path: Path) -> None:
    tape = Tape(path, "tap")
    tape.hide({"ACME_API_KEY": PLAIN, "GIT_AUTHOR_NAME": "a person of that name"})
    other = "another-secret-of-the-client"
    said = f"{PLAIN} {other} a person of that name".encode()
    async with httpx.AsyncClient(transport=tape.over(Answering(said))) as client:
        await client.post(ADDRESS, extensions={"redact": Redactor([other])})
    assert b"[redacted] [redacted] a person of that name" in content(path)


async def test_headers_that_nobody_chose_are_not_recorded(path: Path) -> None:
    inner = Answering(b"", set_cookie="id=abcdef", x_request_id="r1", retry_after="2")
    told = await taped(path, inner, headers={"user-agent": "me", "x-tenant": "acme"})
    for one in (b"set-cookie", b"abcdef", b"r1", b"acme", b"user-agent"):
        assert one not in told
    assert b'"retry-after":"2"' in told


@given(
    before=st.binary(max_size=40),
    after=st.binary(max_size=40),
    cuts=st.lists(st.integers(0, 110), max_size=12),
)
def test_whatever_is_around_it_and_wherever_it_is_cut(
    before: bytes, after: bytes, cuts: list[int]
) -> None:
    body = before + PLAIN.encode() + after
    ends = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    pieces = [body[a:b] for a, b in pairwise(ends)]
    hiding = Hiding(ADDRESS, [], [Redactor([PLAIN])])
    made = hiding.pieces(pieces)
    assert PLAIN.encode() not in b"".join(made)
    # Cutting changes nothing of what is left.
    assert b"".join(made) == hiding.body(body)
