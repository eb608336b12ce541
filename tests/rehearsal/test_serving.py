"""The rehearsal's server: the protocol it speaks, and what it refuses."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from dovetail.plugins.rehearsal import RehearsalServer, copy_sample, rehearsal_server
from dovetail.plugins.rehearsal.server import MAX_BODY
from support.bounds import HANG

BASH = {
    "type": "function",
    "function": {
        "name": "bash",
        "parameters": {"type": "object", "properties": {"command": {}}},
    },
}
EDIT = {"type": "function", "function": {"name": "edit"}}
ASK = {
    "model": "rehearsal",
    "messages": [{"role": "user", "content": "Fix the test, run `python -m unittest`"}],
    "tools": [BASH, EDIT],
    "stream": True,
    "stream_options": {"include_usage": True},
}


@asynccontextmanager
async def served() -> AsyncIterator[tuple[RehearsalServer, httpx.AsyncClient]]:
    with anyio.fail_after(HANG):
        async with (
            rehearsal_server() as server,
            httpx.AsyncClient(base_url=server.base_url, trust_env=False) as client,
        ):
            yield server, client


def events(body: str) -> list[Any]:
    lines = body.split("\n\n")
    assert lines[-1] == ""
    assert lines[-2] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


async def test_a_stream_has_the_shape_of_the_protocol() -> None:
    async with served() as (_, client):
        response = await client.post("/chat/completions", json=ASK)
    assert response.headers["content-type"].startswith("text/event-stream")
    chunks = events(response.text)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    *told, last = chunks
    assert last["choices"] == []
    usage = last["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert all(chunk["usage"] is None for chunk in told)
    deltas = [chunk["choices"][0]["delta"] for chunk in told]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert len([delta for delta in deltas if delta.get("content")]) > 2
    pieces = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert pieces[0] == {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "bash", "arguments": ""},
    }
    assert all("id" not in piece for piece in pieces[1:])
    assert len(pieces) > 2
    written = "".join(piece["function"]["arguments"] for piece in pieces)
    assert json.loads(written) == {"command": "python -m unittest"}
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in told]
    assert reasons == [None] * (len(told) - 1) + ["tool_calls"]


async def test_a_whole_answer_says_what_a_stream_says() -> None:
    async with served() as (_, client):
        whole = await client.post("/chat/completions", json={**ASK, "stream": False})
        streamed = await client.post("/chat/completions", json=ASK)
    message = whole.json()["choices"][0]["message"]
    deltas = [
        choice["delta"] for one in events(streamed.text) for choice in one["choices"]
    ]
    assert message["content"] == "".join(one.get("content") or "" for one in deltas)
    assert message["tool_calls"][0]["function"]["name"] == "bash"
    assert whole.json()["choices"][0]["finish_reason"] == "tool_calls"


async def test_usage_is_told_only_when_asked_for() -> None:
    async with served() as (_, client):
        ask = {**ASK, "stream_options": None}
        response = await client.post("/chat/completions", json=ask)
    assert all("usage" not in chunk for chunk in events(response.text))


async def test_the_same_conversation_gives_the_same_answer() -> None:
    async with served() as (_, client):
        asked = [await client.post("/chat/completions", json=ASK) for _ in range(2)]
    first, second = ([chunk["choices"] for chunk in events(one.text)] for one in asked)
    assert first == second


async def test_the_words_of_a_tool_are_taken_from_its_schema() -> None:
    shell = {
        "type": "function",
        "function": {
            "name": "bash",
            "parameters": {"type": "object", "properties": {"script": {}}},
        },
    }
    async with served() as (_, client):
        ask = {**ASK, "tools": [shell, EDIT], "stream": False}
        response = await client.post("/chat/completions", json=ask)
    call = response.json()["choices"][0]["message"]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"]) == {"script": "python -m unittest"}


async def test_models_are_listed() -> None:
    async with served() as (server, client):
        listed = await client.get("/models")
        one = await client.get(f"/models/{server.model}")
    assert [model["id"] for model in listed.json()["data"]] == [server.model]
    assert one.json() == listed.json()["data"][0]


async def test_a_bearer_token_is_accepted() -> None:
    async with served() as (_, client):
        headers = {"authorization": "Bearer whatever"}
        response = await client.get("/models", headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/embeddings", 404),
        ("POST", "/responses", 404),
        ("GET", "/chat/completions", 405),
        ("DELETE", "/models", 405),
    ],
)
async def test_other_paths_and_methods_are_refused(
    method: str, path: str, status: int
) -> None:
    async with served() as (_, client):
        response = await client.request(method, path)
        # The connection is still good.
        assert (await client.get("/models")).status_code == 200
    assert response.status_code == status
    assert response.json()["error"]["type"] == "invalid_request_error"


CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "x", "arguments": "{}"}}
    ],
}
SAID = {"role": "user", "content": "hello"}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "fine"}
BROKEN: dict[str, Any] = {
    "no object": [],
    "no model": {"messages": [SAID]},
    "a model that is no text": {"model": 1, "messages": [SAID]},
    "no messages": {"model": "m"},
    "an empty list of messages": {"model": "m", "messages": []},
    "a message that is no object": {"model": "m", "messages": ["hello"]},
    "an unknown role": {"model": "m", "messages": [{"role": "king", "content": ""}]},
    "content that is a number": {
        "model": "m",
        "messages": [{"role": "user", "content": 1}],
    },
    "a call without its result": {"model": "m", "messages": [SAID, CALLED, SAID]},
    "a call without its result at the end": {"model": "m", "messages": [SAID, CALLED]},
    "a result without its call": {"model": "m", "messages": [SAID, RESULT]},
    "a result that is told twice": {
        "model": "m",
        "messages": [SAID, CALLED, RESULT, RESULT],
    },
    "two calls of one id": {
        "model": "m",
        "messages": [
            {**CALLED, "tool_calls": CALLED["tool_calls"] * 2},  # type: ignore[operator]
            RESULT,
        ],
    },
    "a call that is no object": {
        "model": "m",
        "messages": [{**CALLED, "tool_calls": ["x"]}],
    },
    "tools that are no list": {"model": "m", "messages": [SAID], "tools": {"a": 1}},
    "a tool without a name": {"model": "m", "messages": [SAID], "tools": [{}]},
    "options that are no object": {
        "model": "m",
        "messages": [SAID],
        "stream_options": [1],
    },
}


@pytest.mark.parametrize("what", BROKEN)
async def test_a_request_that_breaks_the_protocol_is_refused(what: str) -> None:
    async with served() as (_, client):
        response = await client.post("/chat/completions", json=BROKEN[what])
    assert response.status_code == 400
    assert response.json()["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"NaN"])
async def test_a_body_that_is_not_json_is_refused(body: bytes) -> None:
    async with served() as (_, client):
        response = await client.post("/chat/completions", content=body)
    assert response.status_code == 400


async def test_arguments_that_the_model_broke_are_no_reason_to_refuse() -> None:
    broken = json.loads(json.dumps(CALLED))
    broken["tool_calls"][0]["function"]["arguments"] = "{not json"
    ask = {"model": "m", "messages": [SAID, broken, RESULT]}
    async with served() as (_, client):
        response = await client.post("/chat/completions", json=ask)
    assert response.status_code == 200


async def test_a_body_that_is_too_large_is_refused() -> None:
    async with served() as (_, client):
        response = await client.post("/chat/completions", content=b" " * (MAX_BODY + 1))
        assert (await client.get("/models")).status_code == 200
    assert response.status_code == 413


async def raw(server: RehearsalServer, *pieces: bytes) -> bytes:
    stream = await anyio.connect_tcp("127.0.0.1", server.port)
    async with stream:
        for piece in pieces:
            await stream.send(piece)
        answer = b""
        async for data in stream:
            answer += data
        return answer


async def test_a_request_may_come_in_single_bytes() -> None:
    request = b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    async with served() as (server, _):
        answer = await raw(server, *(bytes([byte]) for byte in request))
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    body = json.dumps({**ASK, "stream": False}).encode()
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
        b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(body)
    )
    async with served() as (server, _):
        stream = await anyio.connect_tcp("127.0.0.1", server.port)
        async with stream:
            await stream.send(head)
            assert (await stream.receive()).startswith(b"HTTP/1.1 100 ")
            await stream.send(body)
            assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "noise",
    [b"\x16\x03\x01\x00\xff\r\n\r\n", b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"],
)
async def test_noise_is_answered_with_400_and_disturbs_nobody(noise: bytes) -> None:
    async with served() as (server, client):
        assert (await raw(server, noise)).startswith(b"HTTP/1.1 400 ")
        assert (await client.get("/models")).status_code == 200


async def test_a_head_without_end_is_refused() -> None:
    async with served() as (server, client):
        stream = await anyio.connect_tcp("127.0.0.1", server.port)
        async with stream:
            await stream.send(b"GET /v1/models HTTP/1.1\r\n" + b"x: y\r\n" * 12_000)
            assert (await stream.receive()).startswith(b"HTTP/1.1 431 ")
        assert (await client.get("/models")).status_code == 200


async def test_a_client_that_leaves_disturbs_nobody() -> None:
    async with served() as (server, client):
        for _ in range(3):
            async with client.stream("POST", "/chat/completions", json=ASK) as answer:
                assert answer.status_code == 200
            stream = await anyio.connect_tcp("127.0.0.1", server.port)
            await stream.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n")
            await stream.aclose()
        assert (await client.get("/models")).status_code == 200
    assert server.requests == 3


async def test_many_are_served_at_once() -> None:
    finished = []

    async def ask(client: httpx.AsyncClient) -> None:
        response = await client.post("/chat/completions", json=ASK)
        finished.append(events(response.text)[-1]["usage"] is not None)

    async with served() as (_, client), anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(ask, client)
        # The group ends before the client does.
        with anyio.fail_after(HANG):
            while len(finished) < 20:
                await anyio.lowlevel.checkpoint()
    assert finished == [True] * 20


async def test_what_is_raised_in_the_block_comes_out_as_it_is() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with rehearsal_server():
            raise KeyError("mine")


async def test_leaving_ends_an_open_stream() -> None:
    async with rehearsal_server(pace=60) as server:
        stream = await anyio.connect_tcp("127.0.0.1", server.port)
        body = json.dumps(ASK).encode()
        await stream.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
            b"content-length: %d\r\n\r\n" % len(body) + body
        )
        await stream.receive()
    gone = (anyio.EndOfStream, anyio.BrokenResourceError)
    async with stream:
        with anyio.fail_after(HANG), suppress(*gone):
            while True:
                await stream.receive()


def test_the_sample_is_not_written_over_something(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError):
        copy_sample(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_as_a_program_it_serves_until_its_input_ends(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "dovetail.plugins.rehearsal"]
    with subprocess.Popen(
        [*program, "--sample", str(tmp_path / "sample")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        offer = json.loads(process.stdout.readline())
        models = httpx.get(f"{offer['base_url']}/models", trust_env=False).json()
        assert models["data"][0]["id"] == offer["model"]
        assert "unittest" in offer["prompt"]
        assert (tmp_path / "sample" / "ledger" / "averages.py").is_file()
        process.stdin.close()
        assert process.wait(HANG) == 0


def test_as_a_program_it_says_why_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    program = [sys.executable, "-m", "dovetail.plugins.rehearsal"]
    done = subprocess.run(
        [*program, "--sample", str(tmp_path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert done.returncode == 1
    assert "is not empty" in done.stderr
    assert "Traceback" not in done.stderr
