"""Proxies and certificates, as the usual variables name them."""

import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener
from dovetail.kernel import ProviderError, Redactor, TextDelta
from dovetail.plugins.providers import transport
from dovetail.plugins.providers.openai import plugin as openai
from support.bounds import HANG
from support.replay import Answer, serve, sse
from support.requests import ask, opened, request

HELLO = sse(
    {"id": "r", "choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}
)
PASSWORD = "do-not-show-me-1234"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
END = b"\r\n\r\n"


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "ssl_cert_file", "ssl_cert_dir"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def said(base_url: str) -> str:
    table = {"base_url": base_url}
    with anyio.fail_after(HANG):
        async with opened(openai, providers={"test": table}) as providers:
            events = await ask(providers["test"].route("m"), request())
    return "".join(one.text for one in events if isinstance(one, TextDelta))


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_a_request_goes_through_the_proxy_that_a_variable_names(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async with serve(Answer(HELLO)) as proxy:
        monkeypatch.setenv(name, proxy.url)
        assert await said("http://models.invalid/v1") == "Hi"
    (asked,) = proxy.requests
    assert asked.target == "http://models.invalid/v1/chat/completions"


async def test_no_proxy_is_asked_for_what_a_variable_excludes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serve() as proxy, serve(Answer(HELLO)) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert await said(f"{server.url}/v1") == "Hi"
    assert proxy.connections == 0


@pytest.mark.parametrize(
    "address", [f"nonsense://x:{PASSWORD}@h", f"socks5://x:{PASSWORD}@127.0.0.1:9"]
)
async def test_a_proxy_that_cannot_be_used_is_told_without_its_password(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", address)
    with pytest.raises(ProviderError, match="no connection") as caught:
        await said("http://models.invalid/v1")
    assert caught.value.code == "provider.unreachable"
    assert PASSWORD not in str(caught.value)


# --- certificates -----------------------------------------------------------------


async def _answer(stream: ByteStream) -> None:
    """Answer one request over any stream, and hang up; whoever does not trust it
    leaves before."""
    heard = b""
    try:
        while END not in heard:
            heard += await stream.receive()
        length = re.search(rb"(?i)content-length: (\d+)", heard)
        rest = len(heard.partition(END)[2])
        while rest < (int(length[1]) if length else 0):
            rest += len(await stream.receive())
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        await stream.send(head + b"connection: close" + END + HELLO)
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return
    finally:
        await anyio.aclose_forcefully(stream)


@asynccontextmanager
async def encrypted(certificate: Path) -> AsyncIterator[int]:
    """Serve answers by TLS; give the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    tcp = await anyio.create_tcp_listener(local_host="127.0.0.1")
    listener = TLSListener(tcp, context, standard_compatible=False)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, _answer)
        yield tcp.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


async def test_a_bundle_of_certificates_is_the_one_that_a_variable_names(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with encrypted(certificate) as port:
        with pytest.raises(ProviderError, match="certificate") as caught:
            await said(f"https://127.0.0.1:{port}/v1")
        assert caught.value.code == "provider.unreachable"
        monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
        assert await said(f"https://127.0.0.1:{port}/v1") == "Hi"


async def test_what_is_encrypted_goes_through_a_proxy_as_it_is(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[bytes] = []

    async def pass_on(
        one: ByteStream, other: ByteStream, scope: anyio.CancelScope
    ) -> None:
        try:
            async for data in one:
                await other.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # whoever hung up first ends the tunnel
        finally:
            scope.cancel()

    async def tunnel(client: ByteStream) -> None:
        head = b""
        while END not in head:
            head += await client.receive()
        wanted.append(head.splitlines()[0])
        port = int(wanted[0].split()[1].rpartition(b":")[2])
        async with client, await anyio.connect_tcp("127.0.0.1", port) as server:
            await client.send(b"HTTP/1.1 200 Connected" + END)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(pass_on, client, server, tasks.cancel_scope)
                tasks.start_soon(pass_on, server, client, tasks.cancel_scope)

    async with encrypted(certificate) as port:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, tunnel)
            proxy = listener.extra(SocketAttribute.local_port)
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy}")
            monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
            assert await said(f"https://127.0.0.1:{port}/v1") == "Hi"
            tasks.cancel_scope.cancel()
    assert wanted == [b"CONNECT 127.0.0.1:%d HTTP/1.1" % port]


async def test_a_bundle_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing.pem"))
    with pytest.raises(ProviderError, match="SSL_CERT_FILE") as caught:
        await said("https://models.invalid/v1")
    assert caught.value.code == "provider.unreachable"


async def test_what_comes_slowly_is_not_waited_for_without_an_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The bound on silence begins anew with each byte of it."""
    monkeypatch.setattr(transport, "GET_SECONDS", 0.05)

    async def serve(stream: ByteStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[")
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    target = transport.Target(
        "slow", f"http://127.0.0.1:{port}/models", (), Redactor(()), HANG, None
    )
    with anyio.fail_after(HANG):
        async with (
            listener,
            transport.open_transport() as asks,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(listener.serve, serve)
            with pytest.raises(ProviderError, match=r"it took over 0\.05 seconds"):
                await asks.get(target)
            tasks.cancel_scope.cancel()
