"""A route sends one request and yields what comes, over a real connection."""

import gc
import gzip
import json
import ssl
import subprocess
import sys
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from attrs import evolve
from dovetail.kernel import (
    Finish,
    ProviderError,
    ProviderRoute,
    TextDelta,
    ToolCall,
)
from dovetail.kernel.testing.conformance.driving import interrupted
from dovetail.plugins.providers.anthropic import plugin as anthropic
from dovetail.plugins.providers.google import plugin as google
from dovetail.plugins.providers.openai import plugin as openai
from support.answers import Answered, decode
from support.bounds import HANG
from support.recordings import recordings
from support.replay import JSON, Answer, Replay, serve, sse
from support.requests import WEATHER, ask, opened, request

KEY = "sk-live-0123456789abcdef"
SAID = [{"id": "r1", "choices": [{"index": 0, "delta": {"content": "Hi"}}]}]
STOPPED = [{"id": "r1", "choices": [{"delta": {}, "finish_reason": "stop"}]}]
HELLO = sse(*SAID, *STOPPED, "[DONE]")
MESSAGE = sse(
    {"type": "message_start", "message": {"id": "m1", "usage": {"input_tokens": 3}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}},
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "Hi"},
    },
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 1},
    },
    {"type": "message_stop"},
)


def local(server: Replay, **more: Any) -> dict[str, Any]:
    table = {"base_url": f"{server.url}/v1", "api_key": KEY, **more}
    return {"providers": {"test": table}}


async def failure(server: Replay, **more: Any) -> tuple[Answered, ProviderError]:
    """Return what came and the error that ended it."""
    got = Answered()
    async with opened(openai, **local(server, **more)) as providers:
        with pytest.raises(ProviderError) as caught:
            await collect(providers["test"].route("m"), got)
    return got, caught.value


async def collect(route: ProviderRoute, got: Answered) -> None:
    async with route.stream(request()) as events:
        async for event in events:
            got.events.append(event)


async def test_a_chat_route_sends_one_request_and_yields_the_answer() -> None:
    async with (
        serve(Answer(HELLO)) as server,
        opened(openai, **local(server)) as providers,
    ):
        events = await ask(
            providers["test"].route("m/x"),
            request(system=("Be kind.", "Be brief."), tools=(WEATHER,)),
        )
    assert [type(one).__name__ for one in events] == ["TextDelta", "TextEnd", "Finish"]
    (sent,) = server.requests
    assert (sent.method, sent.target) == ("POST", "/v1/chat/completions")
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.headers["accept"] == "text/event-stream"
    assert sent.json() == {
        "model": "m/x",
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "get_weather",
                    "description": "Tell the weather of a city.",
                    "parameters": WEATHER.schema,
                },
            }
        ],
        "messages": [
            {"role": "system", "content": "Be kind.\n\nBe brief."},
            {"role": "user", "content": "Hello"},
        ],
    }


async def test_a_messages_route_sends_one_request_and_yields_the_answer() -> None:
    async with serve(Answer(MESSAGE)) as server:
        environment = {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": KEY}
        async with opened(anthropic, environment=environment) as providers:
            events = await ask(
                providers["anthropic"].route("claude-new"),
                request(system=("Be kind.",), tools=(WEATHER,)),
            )
    assert isinstance(events[0], TextDelta)
    assert isinstance(events[-1], Finish)
    assert (events[-1].usage.input, events[-1].usage.output) == (3, 1)
    (sent,) = server.requests
    assert sent.target == "/v1/messages"
    assert sent.headers["x-api-key"] == KEY
    assert sent.headers["anthropic-version"] == "2023-06-01"
    cached = {"type": "ephemeral"}
    assert sent.json() == {
        "model": "claude-new",
        "max_tokens": 8192,
        "stream": True,
        "tools": [
            {
                "name": "get_weather",
                "description": "Tell the weather of a city.",
                "input_schema": WEATHER.schema,
                "cache_control": cached,
            }
        ],
        "system": [{"type": "text", "text": "Be kind.", "cache_control": cached}],
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "Hello", "cache_control": cached}],
            }
        ],
    }


def chosen() -> list[Any]:
    """One recording of each kind of content, for each protocol."""
    wanted = (
        "openai-chat/streams-text",
        "openrouter-gpt-5-5-drives-a-tool-loop.json#0",
        "cloudflare-workers-ai-gpt-oss",
        "claude-opus-4-7-drives-a-tool-loop.json#0",
        "stream-a-refusal",
        "compaction_response",
        "tool_use_failed_error_streaming_with_text.yaml#0",
    )
    return [one for one in recordings() if any(name in one.name for name in wanted)]


def pieces() -> list[Any]:
    """Each recording, in pieces of two sizes; the short ones, byte by byte as well.

    That pieces of any size are read the same is shown at a desk, of every recording.
    """
    rows = chosen()
    by_length = sorted(rows, key=lambda row: len(row.body))
    short = {row.protocol: row for row in reversed(by_length)}
    return [
        pytest.param(row, size, id=f"{row.name}-{size}")
        for row in rows
        for size in ((1, 2, 7, 1000) if row is short[row.protocol] else (7, 1000))
    ]


@pytest.mark.parametrize(("row", "size"), pieces())
async def test_a_recording_comes_over_the_wire_as_it_is_read_at_a_desk(
    row: Any, size: int
) -> None:
    at_a_desk = decode(row.protocol, row.body)
    plugin = {"chat": openai, "anthropic": anthropic}[row.protocol]
    speaks = {"chat": "openai-chat", "anthropic": "anthropic-messages"}
    got = Answered()
    async with serve(Answer(row.body, piece=size)) as server:
        table = {"base_url": server.url, "protocol": speaks[row.protocol]}
        async with opened(plugin, providers={"test": table}) as providers:
            try:
                with anyio.fail_after(HANG):
                    async with providers["test"].route("m").stream(request()) as events:
                        async for event in events:
                            got.events.append(event)
            except ProviderError as error:
                got.error = error
    assert got.events == at_a_desk.events
    assert str(got.error) == str(at_a_desk.error)


def test_importing_the_plugins_imports_no_http_client() -> None:
    code = (
        "import sys, dovetail.plugins.providers.openai, "
        "dovetail.plugins.providers.anthropic; "
        "print([m for m in ('httpx', 'httpcore', 'h11', 'ssl') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# --- connections ------------------------------------------------------------------


async def test_certificates_are_read_only_where_something_may_be_encrypted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A proxy may have to be spoken to by TLS, whatever the endpoint is."""
    read: list[str] = []
    load = ssl.SSLContext.load_verify_locations

    def reading(self: ssl.SSLContext, *given: Any, **named: Any) -> None:
        read.append("certificates")
        load(self, *given, **named)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", reading)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    async with serve(Answer(HELLO), Answer(HELLO)) as server:
        async with opened(openai, **local(server)) as providers:
            await ask(providers["test"].route("m"), request())
        assert read == []
        monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
        async with opened(openai, **local(server)) as providers:
            await ask(providers["test"].route("m"), request())
        assert read != []


async def test_requests_of_a_location_share_a_connection() -> None:
    async with (
        serve(Answer(HELLO), Answer(HELLO), Answer(HELLO)) as server,
        opened(openai, **local(server)) as providers,
    ):
        for _ in range(3):
            await ask(providers["test"].route("m"), request())
    assert server.connections == 1


async def test_leaving_early_closes_the_connection() -> None:
    never = anyio.Event()
    answer = Answer(sse(*SAID), end="silent", released=never)
    async with serve(answer) as server, opened(openai, **local(server)) as providers:
        async with providers["test"].route("m").stream(request()) as events:
            first = await anext(events)
        assert first == TextDelta("text-0", "Hi")
        with anyio.fail_after(HANG):
            await server.gone.wait()


async def test_cancelled_while_it_is_sent_a_request_leaves_nothing_behind() -> None:
    """Trio warns of a generator that is left unfinished, and warnings are errors."""
    async with (
        serve(lambda _: Answer(HELLO)) as server,
        opened(openai, **local(server)) as providers,
    ):

        async def asking() -> None:
            await ask(providers["test"].route("m"), request())

        suspensions = (await interrupted(asking, 0)).suspensions
        for at in range(1, suspensions + 1):
            await interrupted(asking, at)
    assert suspensions > 3
    gc.collect()


async def test_cancelling_in_mid_stream_closes_the_connection() -> None:
    never = anyio.Event()
    answer = Answer(sse(*SAID), end="silent", released=never)
    async with serve(answer) as server, opened(openai, **local(server)) as providers:

        async def listen(scope: anyio.CancelScope) -> None:
            with scope:
                async with providers["test"].route("m").stream(request()) as events:
                    async for _ in events:
                        heard.set()

        heard, scope = anyio.Event(), anyio.CancelScope()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen, scope)
            with anyio.fail_after(HANG):
                await heard.wait()
                scope.cancel()
                await server.gone.wait()


async def test_a_finish_is_handed_out_before_the_server_hangs_up() -> None:
    later = anyio.Event()
    answer = Answer(HELLO, end="silent", released=later)
    async with serve(answer) as server, opened(openai, **local(server)) as providers:
        with anyio.fail_after(HANG):
            events = await ask(providers["test"].route("m"), request())
    assert isinstance(events[-1], Finish)


@pytest.mark.law("execution.6")
async def test_many_streams_run_at_once() -> None:
    """More than a client's usual limit of connections: nobody waits."""
    count, gate, waiting = 120, anyio.Event(), [0]

    def answer(_: Any) -> Answer:
        waiting[0] += 1
        if waiting[0] == count:
            gate.set()
        return Answer(HELLO, before=gate)

    async with serve(answer) as server, opened(openai, **local(server)) as providers:
        route = providers["test"].route("m")
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as tasks:
                for _ in range(count):
                    tasks.start_soon(ask, route, request())
    assert len(server.requests) == count


async def test_a_route_of_a_closed_location_refuses_to_send() -> None:
    async with serve() as server:
        async with opened(openai, **local(server)) as providers:
            route = providers["test"].route("m")
        assert server.connections == 0
        with pytest.raises(ProviderError) as caught:
            await ask(route, request())
    assert caught.value.code == "provider.unreachable"


# --- failures ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "code", "retryable"),
    [
        (400, {"error": {"message": "bad"}}, "invalid_request", False),
        (401, {"error": {"message": "no"}}, "authentication", False),
        (403, {"message": "no"}, "authentication", False),
        (402, {"error": {"message": "pay"}}, "quota", False),
        (404, {"detail": "nothing here"}, "invalid_request", False),
        (413, {"error": {"type": "request_too_large"}}, "context_overflow", False),
        (422, {"detail": [{"msg": "odd"}]}, "invalid_request", False),
        (429, {"error": {"message": "slow down"}}, "rate_limited", True),
        (429, {"error": {"code": "insufficient_quota"}}, "quota", False),
        (500, {"error": {"message": "safety first"}}, "unavailable", True),
        (503, {}, "unavailable", True),
        (529, {"error": {"type": "overloaded_error"}}, "unavailable", True),
    ],
)
async def test_a_refusing_status_is_a_typed_error(
    status: int, body: Any, code: str, retryable: bool
) -> None:
    answer = Answer(json.dumps(body).encode(), status, JSON)
    async with serve(answer) as server:
        got, error = await failure(server)
    assert got.events == []
    assert (error.code, error.status) == (f"provider.{code}", status)
    assert error.retryable is retryable
    assert len(server.requests) == 1


async def test_a_refused_connection_is_unreachable() -> None:
    async with serve() as gone:
        pass
    _, error = await failure(gone)
    assert (error.code, error.retryable) == ("provider.unreachable", True)


async def test_a_name_that_nobody_has_is_unreachable() -> None:
    _, error = await failure(Replay("http://nowhere.invalid"))
    assert error.code == "provider.unreachable"


async def test_a_server_without_tls_is_unreachable_over_https() -> None:
    async with serve(strict=False) as server:
        _, error = await failure(Replay(server.url.replace("http:", "https:")))
    assert error.code == "provider.unreachable"


@pytest.mark.parametrize("end", ["cut", "reset"])
@pytest.mark.parametrize("piece", [None, 7])
async def test_a_broken_stream_keeps_what_came_and_then_fails(
    end: str, piece: int | None
) -> None:
    async with serve(Answer(sse(*SAID), piece=piece, end=end)) as server:
        got, error = await failure(server)
    assert (error.code, error.retryable) == ("provider.stream_broken", True)
    # A reset may overtake what was sent before it; a cut may not.
    if end == "cut":
        assert got.text == "Hi"


async def test_a_connection_that_breaks_after_the_finish_reason_loses_nothing() -> None:
    async with (
        serve(Answer(sse(*SAID, *STOPPED), end="cut")) as server,
        opened(openai, **local(server)) as providers,
    ):
        events = await ask(providers["test"].route("m"), request())
    assert isinstance(events[-1], Finish)


async def test_a_connection_that_breaks_before_an_answer_is_a_typed_error() -> None:
    async def slam(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, slam)
        _, error = await failure(Replay(f"http://127.0.0.1:{port}"))
        tasks.cancel_scope.cancel()
    assert (error.code, error.retryable) == ("provider.stream_broken", True)


async def test_an_empty_stream_is_a_typed_error() -> None:
    async with serve(Answer(b"")) as server:
        _, error = await failure(server)
    assert error.code == "provider.stream_broken"
    assert "empty" in str(error)


async def test_invalid_json_in_a_stream_keeps_what_came_and_then_fails() -> None:
    async with serve(Answer(sse(*SAID, "{nope", *STOPPED))) as server:
        got, error = await failure(server)
    assert got.text == "Hi"
    assert (error.code, error.retryable) == ("provider.invalid_output", False)


async def test_an_error_in_a_stream_keeps_what_came_and_then_fails() -> None:
    failed = {"error": {"code": 502, "message": "upstream died"}, "choices": []}
    async with serve(Answer(sse(*SAID, failed))) as server:
        got, error = await failure(server)
    assert got.text == "Hi"
    assert (error.code, error.status) == ("provider.unavailable", 502)
    assert "upstream died" in str(error)


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("application/json", b'{"object": "chat.completion"}', "application/json"),
        ("text/html; charset=utf-8", b"<h1>Welcome</h1>", "Welcome"),
        ("application/x-ndjson", b'{"done": true}\n', "x-ndjson"),
    ],
)
async def test_an_answer_that_is_no_stream_says_what_it_is(
    kind: str, body: bytes, said: str
) -> None:
    async with serve(Answer(body, headers={"content-type": kind})) as server:
        _, error = await failure(server)
    assert error.code == "provider.invalid_output"
    assert said in str(error)
    assert "base_url" in str(error)


@pytest.mark.parametrize("end", ["cut", "whole"])
@pytest.mark.parametrize(
    "body", [b'{"choices": [{"message": {"content": "who', b'{"choices": [tr', b"{"]
)
async def test_an_answer_in_one_piece_that_breaks_off_may_be_asked_for_again(
    body: bytes, end: str
) -> None:
    async with serve(Answer(body, headers=JSON, end=end)) as server:
        _, error = await failure(server)
    assert (error.code, error.retryable) == ("provider.stream_broken", True)


@pytest.mark.parametrize("piece", [1, None])
@pytest.mark.parametrize("kind", ["application/json", "text/html"])
async def test_a_stream_is_read_whatever_its_label_says(
    kind: str, piece: int | None
) -> None:
    answer = Answer(sse(*SAID, *STOPPED), headers={"content-type": kind}, piece=piece)
    async with serve(answer) as server:
        got = Answered()
        async with opened(openai, **local(server)) as providers:
            await collect(providers["test"].route("m"), got)
    assert got.text == "Hi"


async def test_an_error_object_with_status_200_is_that_error() -> None:
    told = {"error": {"code": 429, "message": "slow down"}}
    for body in (told, [told]):
        async with serve(Answer(json.dumps(body).encode(), headers=JSON)) as server:
            _, error = await failure(server)
        assert error.code == "provider.rate_limited"


async def test_a_redirect_is_not_followed() -> None:
    async with serve() as other:
        headers = {"location": f"{other.url}/v1/chat/completions"}
        async with serve(Answer(b"", 307, headers)) as server:
            _, error = await failure(server)
    assert error.status == 307
    assert other.requests == []


@pytest.mark.parametrize("status", [200, 500])
async def test_a_body_packed_against_our_word_is_refused_unread(status: int) -> None:
    """It was asked for plain; a small packed body could unpack to any size."""
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    async with serve(Answer(gzip.compress(HELLO), status, headers)) as server:
        got, error = await failure(server)
    assert server.requests[0].headers["accept-encoding"] == "identity"
    assert got.events == []
    codes = {200: "provider.invalid_output", 500: "provider.unavailable"}
    assert error.code == codes[status]


async def test_an_endless_error_body_is_read_only_so_far() -> None:
    never = anyio.Event()
    body = json.dumps({"error": {"message": "x" * 200_000}}).encode()
    answer = Answer(body, 500, JSON, end="silent", released=never, piece=8192)
    async with serve(answer) as server:
        with anyio.fail_after(HANG):
            _, error = await failure(server)
    assert error.code == "provider.unavailable"
    assert len(str(error)) < 3000


async def test_silence_is_borne_for_as_long_as_is_configured() -> None:
    never = anyio.Event()
    answer = Answer(sse(*SAID), end="silent", released=never)
    async with serve(answer) as server:
        settings = local(server, read_timeout=0.5)
        async with opened(openai, **settings) as providers:
            with anyio.fail_after(HANG), pytest.raises(ProviderError) as caught:
                await ask(providers["test"].route("m"), request())
    assert caught.value.code == "provider.stream_broken"
    assert "silent" in str(caught.value)


# --- secrets ----------------------------------------------------------------------


@pytest.mark.law("access.6")
@pytest.mark.parametrize("plugin", [openai, anthropic], ids=["openai", "anthropic"])
@pytest.mark.parametrize(
    "answer",
    [
        Answer(json.dumps({"error": {"message": f"bad {KEY}"}}).encode(), 401, JSON),
        Answer(f"<p>key {KEY} is unknown</p>".encode(), 403, {}),
        Answer(b"x" * 480 + KEY.encode(), 500, {}),
        Answer(sse({"type": "error", "error": {"message": f"no {KEY}"}})),
        Answer(sse("{" + KEY)),
        Answer(KEY.encode(), headers=JSON),
    ],
    ids=["json", "html", "at the cut", "in the stream", "invalid json", "no stream"],
)
async def test_a_key_that_a_server_echoes_is_in_no_message(
    plugin: Any, answer: Answer
) -> None:
    speaks = {openai: "openai-chat", anthropic: "anthropic-messages"}[plugin]
    async with serve(answer) as server:
        settings = local(server, protocol=speaks, headers={"X-Api-Token": "tok-98765"})
        async with opened(plugin, **settings) as providers:
            route = providers["test"].route("m")
            with pytest.raises(ProviderError) as caught:
                await ask(route, request())
    sent = server.requests[0].headers
    assert KEY in sent.get("x-api-key", "") + sent.get("authorization", "")
    chain: list[str] = []
    error: BaseException | None = caught.value
    while error is not None:
        chain += [str(error), repr(error), str(vars(error))]
        error = error.__cause__
    shown = " ".join([*chain, repr(route), repr(providers["test"])])
    assert KEY[:12] not in shown
    assert "tok-98765" not in shown


async def test_a_call_comes_whole_over_the_wire() -> None:
    begun = {"index": 0, "id": "c1", "function": {"name": "get_weather"}}
    rest = {"index": 0, "function": {"arguments": '{"city":"Paris"}'}}
    body = sse(
        {"id": "r", "choices": [{"delta": {"tool_calls": [begun]}}]},
        {"id": "r", "choices": [{"delta": {"tool_calls": [rest]}}]},
        {"id": "r", "choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
        "[DONE]",
    )
    async with (
        serve(Answer(body, piece=3)) as server,
        opened(openai, **local(server)) as providers,
    ):
        events = await ask(providers["test"].route("m"), request())
    assert ToolCall("c1", "get_weather", '{"city":"Paris"}') in events


# --- what a refusal teaches, and what ends a stream -------------------------------


async def test_a_call_that_the_server_refused_is_an_answer_with_a_refused_call() -> (
    None
):
    told = {
        "message": "Failed to call a function.",
        "type": "invalid_request_error",
        "code": "tool_use_failed",
        "failed_generation": '{"name": "read", "arguments": {"path": 1}}',
    }
    answer = Answer(json.dumps({"error": told}).encode(), 400, JSON)
    async with serve(answer) as server, opened(openai, **local(server)) as providers:
        call, finish = await ask(providers["test"].route("m"), request())
    assert isinstance(call, ToolCall)
    assert (call.tool, call.arguments) == ("read", '{"path":1}')
    assert call.refused == "Failed to call a function."
    assert finish == Finish("tool_calls")


async def test_what_a_refusal_teaches_is_kept_and_the_request_may_be_sent_again() -> (
    None
):
    problem = "Unknown parameter: stream_options"
    refusal = json.dumps({"error": {"message": problem}}).encode()
    async with (
        serve(Answer(refusal, 400, JSON), Answer(HELLO)) as server,
        opened(openai, **local(server)) as providers,
    ):
        route = providers["test"].route("m")
        with pytest.raises(ProviderError) as caught:
            await ask(route, request())
        assert caught.value.retryable
        await ask(route, request())
    first, second = (one.json() for one in server.requests)
    assert "stream_options" in first
    assert "stream_options" not in second


async def test_a_refused_image_is_told_from_a_refused_request() -> None:
    for message, code in (
        ("could not process image", "provider.part_refused"),
        ("messages.1.content.0: unknown variant `image_url`", "provider.part_refused"),
        ("Invalid `signature` in `thinking` block", "provider.part_refused"),
        ("temperature must be below 2", "provider.invalid_request"),
    ):
        body = json.dumps({"error": {"message": message}}).encode()
        async with serve(Answer(body, 400, JSON)) as server:
            _, error = await failure(server)
        assert error.code == code, message


@pytest.mark.law("execution.9")
async def test_an_answer_at_its_end_does_not_wait_for_a_server_that_says_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dovetail.plugins.providers import routes

    monkeypatch.setattr(routes, "GOODBYE", 0.01)
    never = anyio.Event()
    answer = Answer(sse(*SAID, *STOPPED), end="silent", released=never)
    async with serve(answer) as server, opened(openai, **local(server)) as providers:
        with anyio.fail_after(HANG):
            events = await ask(providers["test"].route("m"), request())
    assert isinstance(events[-1], Finish)


@pytest.mark.law("execution.9")
@pytest.mark.parametrize(
    ("limits", "endless", "named"),
    [
        ({"stream": 5000}, b": alive\n\n", "5000 bytes"),
        ({"quiet": 50}, sse({"id": "r", "choices": [{"delta": {}}]}), "50 events"),
        ({"quiet": 50}, sse("ping"), "50 events"),
    ],
    ids=["comments", "empty deltas", "words"],
)
async def test_a_stream_that_never_says_anything_ends(
    limits: Any, endless: bytes, named: str
) -> None:
    body = sse(*SAID) + endless * 1000
    async with serve(Answer(body, end="cut", piece=1000)) as server:
        got, error = await failure(server, limits=limits)
    assert got.text == "Hi"
    assert error.code == "provider.answer_limit"
    assert named in error.problem


@pytest.mark.law("access.6")
async def test_httpx_logs_no_address_of_ours_and_every_other_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    import httpx

    caplog.set_level("DEBUG", "httpx")
    async with serve(Answer(HELLO), Answer(b"{}", 200, JSON)) as server:
        table = {"base_url": f"{server.url}/v1?sig=planted-secret"}
        async with opened(openai, providers={"test": table}) as providers:
            await ask(providers["test"].route("m"), request())
        assert "planted-secret" not in caplog.text
        async with httpx.AsyncClient() as client:
            await client.get(f"{server.url}/theirs")
    assert "/theirs" in caplog.text


@pytest.mark.law("access.6")
async def test_a_key_that_a_server_repeats_in_its_head_is_in_no_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    echo = {"location": "/login?key=planted-secret", "set-cookie": "a=planted-secret"}
    async with serve(Answer(b"", 302, echo), Answer(b"", 302, echo)) as server:
        table = {"base_url": server.url, "api_key": "planted-secret"}
        async with opened(openai, providers={"test": table}) as providers:
            with pytest.raises(ProviderError):
                await ask(providers["test"].route("m"), request())
            with pytest.raises(ProviderError):
                await providers["test"].served()
    assert "planted-secret" not in caplog.text


@pytest.mark.parametrize(
    ("plugin", "protocol", "body"),
    [
        (
            openai,
            "openai-chat",
            {
                "id": "r1",
                "choices": [
                    {
                        "index": 0,
                        "message": {
                            "role": "assistant",
                            "content": "Hi",
                            "tool_calls": [
                                {
                                    "id": "c1",
                                    "type": "function",
                                    "function": {"name": "t", "arguments": "{}"},
                                }
                            ],
                        },
                        "finish_reason": "tool_calls",
                    }
                ],
                "usage": {"prompt_tokens": 3, "completion_tokens": 1},
            },
        ),
        (
            anthropic,
            "anthropic-messages",
            {
                "id": "m1",
                "type": "message",
                "content": [
                    {"type": "text", "text": "Hi"},
                    {"type": "tool_use", "id": "c1", "name": "t", "input": {}},
                ],
                "stop_reason": "tool_use",
                "usage": {"input_tokens": 3, "output_tokens": 1},
            },
        ),
        (
            openai,
            "openai-responses",
            {
                "id": "r1",
                "object": "response",
                "status": "completed",
                "output": [
                    {
                        "type": "message",
                        "content": [{"type": "output_text", "text": "Hi"}],
                    },
                    {
                        "type": "function_call",
                        "call_id": "c1",
                        "name": "t",
                        "arguments": "{}",
                    },
                ],
                "usage": {"input_tokens": 3, "output_tokens": 1},
            },
        ),
        (
            google,
            "google-generate",
            {
                "candidates": [
                    {
                        "content": {
                            "parts": [
                                {"text": "Hi"},
                                {"functionCall": {"id": "c1", "name": "t"}},
                            ]
                        },
                        "finishReason": "STOP",
                    }
                ],
                "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1},
            },
        ),
    ],
    ids=["chat", "messages", "responses", "gemini"],
)
async def test_an_answer_that_was_not_streamed_is_an_answer(
    plugin: Any, protocol: str, body: Any
) -> None:
    got = Answered()
    answer = Answer(json.dumps(body, indent=1).encode(), 200, JSON)
    async with serve(answer) as server:
        table = {"base_url": f"{server.url}/v1", "protocol": protocol}
        async with opened(plugin, providers={"test": table}) as providers:
            await collect(providers["test"].route("m"), got)
    assert got.text == "Hi"
    assert [evolve(one, metadata={}) for one in got.calls] == [
        ToolCall("c1", "t", "{}")
    ]
    assert got.finish is not None
    assert got.finish.reason == "tool_calls"
    assert (got.finish.usage.input, got.finish.usage.output) == (3, 1)
