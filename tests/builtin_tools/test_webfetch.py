"""The tool webfetch: against websites on this machine, which the test opens by name."""

import base64
import gzip
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.abc import ByteStream
from dovetail.builtin_tools import BuiltinTools, _http, _pages, webfetch
from dovetail.builtin_tools._addresses import Hosts
from dovetail.builtin_tools._http import Web, trusted
from dovetail.builtin_tools._keys import Keys
from dovetail.kernel import (
    FileContent,
    PermissionDeniedError,
    Place,
    Tool,
    ToolFailure,
)
from support.bounds import HANG
from support.processes import longer
from support.tool_context import FakeToolContext
from support.websites import answer, redirect, website

LOCAL = {"private_hosts": ["localhost"]}
PACKED = {"Content-Encoding": "gzip"}
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJ"
    "RU5ErkJggg=="
)


class Fetching:
    """The tool with its context."""

    def __init__(self, context: FakeToolContext, tool: Tool[Any, Any]) -> None:
        self.context = context
        self.tool = tool

    async def output(self, url: str, **given: Any) -> Any:
        execute: Any = self.tool.execute
        return await execute(self.tool.input(url=url, **given), self.context)

    async def shown(self, url: str, **given: Any) -> str:
        """Return the text that the model is shown."""
        render: Any = self.tool.render
        return str(render(await self.output(url, **given))[0].text)

    async def told(self, url: str, **given: Any) -> str:
        """Return why it failed."""
        with pytest.raises(ToolFailure) as told:
            await self.output(url, **given)
        return str(told.value)

    @property
    def asked(self) -> list[str]:
        assert all(action == "webfetch" for action, _ in self.context.asked)
        return [one for _, resources in self.context.asked for one in resources]


def fetching(
    place: Path,
    settings: Mapping[str, Any] = LOCAL,
    environment: Mapping[str, str] = os.environ,
    providers: Mapping[str, Any] | None = None,
) -> Fetching:
    """Return the tool as a Location has it."""
    context = FakeToolContext(place)
    tools: dict[str, Tool[Any, Any]] = {}
    BuiltinTools().dovetail_register_tools(
        lambda tool: tools.__setitem__(tool.name, tool),
        Place(
            context.location,
            settings=settings,
            environment=environment,
            providers=providers or {},
        ),
    )
    return Fetching(context, tools["webfetch"])


Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


def resolving(
    place: Path, resolve: Resolve, hosts: Sequence[str] = (), trust: Any = None
) -> Fetching:
    """Return the tool where names are what ``resolve`` says."""
    web = Web(trust or (lambda: trusted({})), Hosts.of(hosts), resolve)
    return Fetching(FakeToolContext(place), webfetch.webfetch_tool(web, Keys()))


@pytest.fixture
def local(place: Path) -> Fetching:
    return fetching(place)


# --- what is shown ----------------------------------------------------------------


async def test_a_page_comes_as_markdown_as_text_or_as_it_is(local: Fetching) -> None:
    pytest.importorskip("turbohtml", reason="the extra `web` is not installed")
    html = "<title>Tea</title><h1>Head</h1><p>some <b>bold</b> text"
    async with website({"/tea": answer(html, "text/html; charset=utf-8")}) as site:
        url = f"{site.url}/tea"
        head = f"({url}: text/html, {len(html)} bytes; titled 'Tea')"
        assert await local.shown(url) == f"{head}\n\n# Head\n\nsome **bold** text"
        assert await local.shown(url, format="text") == (
            f"{head}\n\nHead\n\nsome bold text"
        )
        assert (await local.shown(url, format="html")).endswith(f"\n\n{html}")
    assert local.asked == [url] * 3
    assert local.context.saves == [(url,)] * 3


async def test_other_text_is_shown_as_it_is(local: Fetching) -> None:
    text = '{"a": "<b>&amp;"}\n'
    pages = {
        f"/{number}": answer(text, kind)
        for number, kind in enumerate(
            ["application/json", "text/plain", "application/vnd.api+json", None]
        )
    }
    async with website(pages) as site:
        for path in pages:
            assert (await local.shown(site.url + path)).endswith(f"\n\n{text}")


async def test_a_page_without_a_type_is_known_by_its_beginning(
    local: Fetching,
) -> None:
    async with website({"/": answer("\n<!DOCTYPE html><p>a&amp;b", None)}) as site:
        assert (await local.shown(site.url)).endswith("text/html, 26 bytes)\n\na&b")


async def test_an_image_is_attached(local: Fetching) -> None:
    async with website({"/a/dot.png?x": answer(PNG, "image/png")}) as site:
        output = await local.output(f"{site.url}/a/dot.png?x")
        render: Any = local.tool.render
        shown = render(output)
    assert shown[1] == FileContent(
        "image/png", base64.b64encode(PNG).decode(), "dot.png"
    )
    assert f"image/png, {len(PNG)} bytes" in shown[0].text


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (
            answer(b"%PDF-1.7", "application/pdf"),
            "it is called application/pdf, and only",
        ),
        (answer(b"x", "application/octet-stream"), "application/octet-stream"),
        (answer(b"x", "video/mp4"), "video/mp4"),
        (answer(b"x", "evil\x1b[2J/x"), "its type is unknown"),
        (answer(b"x", "image/png"), "called an image and is none"),
        (answer(b"x", "image/tiff"), "image/tiff"),
        (
            answer(PNG[:30], "image/png"),
            "it is an image (image/png), and it is damaged",
        ),
        (answer(b"%PDF-1.7", "text/plain"), "is a PDF document"),
        (answer(b"%PDF-1.7", None), "it has no type and is a PDF document"),
        (answer(PNG, "text/html"), "is image/png"),
        (answer(b"a\0b", "text/html"), "is binary data"),
        (answer(b"x", headers={"Content-Encoding": "br"}), "not asked for"),
        (answer(b"x" * 99, headers={"Content-Encoding": "gzip"}), "damaged"),
        (answer(gzip.compress(b"x")[:-1], headers=PACKED), "breaks off"),
    ],
    ids=range(14),
)
async def test_other_media_are_refused_by_what_they_are(
    local: Fetching, page: bytes, why: str
) -> None:
    async with website({"/": page}) as site:
        assert why in await local.told(site.url)


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (answer("secret body", status=404), "the server answered 404 Not Found"),
        (answer(status=500), "500 Internal Server Error"),
        (answer(status=429, headers={"Retry-After": "30"}), "to wait 30 seconds"),
        (answer(status=799), "799"),
        (answer(status=304), "304"),
        (answer(status=302), "302"),
    ],
    ids=range(6),
)
async def test_a_failure_is_told_by_its_number(
    local: Fetching, page: bytes, why: str
) -> None:
    async with website({"/": page}) as site:
        told = await local.told(site.url)
    assert why in told
    assert "secret body" not in told
    assert "Whatever" not in told


async def test_the_charset_is_the_one_that_counts_most(local: Fetching) -> None:
    meta = "<meta charset=koi8-r><p>привет"
    pages = {
        "/header": answer("grüße".encode("latin-1"), "text/plain; charset=ISO-8859-1"),
        "/quoted": answer("привет".encode("cp1251"), 'text/plain; Charset="cp1251"'),
        "/meta": answer(meta.encode("koi8-r")),
        "/mark": answer("\ufeffgrüße".encode("utf-16-le"), "text/html; charset=utf-8"),
        "/wrong": answer(b"a\xffb", "text/plain; charset=utf-8"),
    }
    async with website(pages) as site:
        assert (await local.shown(f"{site.url}/header")).endswith("grüße")
        assert (await local.shown(f"{site.url}/quoted")).endswith("привет")
        assert (await local.shown(f"{site.url}/meta")).endswith("привет")
        assert (await local.shown(f"{site.url}/mark")).endswith("grüße")
        shown = await local.shown(f"{site.url}/wrong")
    assert shown.endswith("a\ufffdb")
    assert "wrong in utf-8" in shown


async def test_nothing_of_a_page_moves_a_cursor_or_turns_the_direction(
    local: Fetching,
) -> None:
    text = "a\x1b[31m red\x1b]0;x\x07\u202e b\u2069\rc"
    marked = "<title>&#27;[1mT&#x202e;</title><p>&#27;[31mred &#x202e;b"
    pages = {"/text": answer(text.encode(), "text/plain"), "/": answer(marked.encode())}
    async with website(pages) as site:
        # What a terminal would write over is a line of a file here.
        assert (await local.shown(f"{site.url}/text")).endswith("a red b\rc")
        shown = await local.shown(f"{site.url}/")
    assert "titled 'T'" in shown
    assert shown.endswith("red b")


async def test_what_is_recorded_is_where_it_was_and_no_content(
    local: Fetching,
) -> None:
    from dovetail.kernel.tools.registry import ToolRegistry
    from dovetail.kernel.tools.settlement import Succeeded, settle
    from dovetail.kernel.values.request import ToolCall

    registry = ToolRegistry()
    registry.register(local.tool, "tools")
    async with website({"/": answer("word " * 10_000)}) as site:
        call = ToolCall("call_1", "webfetch", json.dumps({"url": site.url}))
        outcome = await settle(call, registry.advertise(), local.context)
    assert isinstance(outcome, Succeeded)
    assert outcome.data == {
        "url": f"{site.url}/",
        "media_type": "text/html",
        "size": 50_000,
        "cut": False,
    }


# --- what is sent -----------------------------------------------------------------


async def test_nothing_of_this_machine_is_sent(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No proxy, no netrc, no cookie: whatever the environment says."""
    (place / ".netrc").write_text("machine localhost login me password hunter2\n")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("NETRC", str(place / ".netrc"))
    local = fetching(place, environment=dict(os.environ))
    cookie = {"Set-Cookie": "id=1; Path=/"}
    pages = {
        "/": answer(status=302, headers={"Location": "/b", **cookie}),
        "/b": answer("x", headers=cookie),
    }
    async with website(pages) as site:
        await local.output(site.url)
        await local.output(f"{site.url}/b#fragment")
        assert site.paths == ["/", "/b", "/b"]
        for head in site.requests:
            names = [line.partition(":")[0].lower() for line in head.split("\r\n")[1:]]
            assert sorted(filter(None, names)) == [
                *("accept", "accept-encoding", "connection", "host", "user-agent")
            ]


@pytest.mark.law("access.6")
async def test_no_key_of_the_runtime_goes_out_in_an_address(place: Path) -> None:
    local = fetching(
        place,
        environment={"OPENAI_API_KEY": "sk-abc+/12345", "OTHER": "no-key-here"},
        providers={
            "mine": {
                "api_key": "configured-key",
                "api_key_env": "THE_VARIABLE",
                "headers": {"x-access": "Bearer header-key-1"},
            }
        },
    )
    async with website(
        {"/": answer("x"), "/r": redirect("/?k=configured-key")}
    ) as site:
        for target in (
            "/?k=sk-abc+/12345",
            "/?k=sk-abc%2B%2F12345",
            "/%73k-abc+/12345",
            "/configured-key/x",
            "/header-key-1",
        ):
            told = await local.told(site.url + target)
            assert told == "cannot fetch " + told.split(" ")[2] + (
                " the URL holds a key of this runtime"
            )
        assert local.asked == []
        assert "holds a key" in await local.told(f"{site.url}/r")
        assert site.paths == ["/r"]
        # Names of variables are no keys; nor is what other variables hold.
        await local.told(f"{site.url}/OPENAI_API_KEY/THE_VARIABLE/no-key-here")
        assert len(site.paths) == 2


# --- permission -------------------------------------------------------------------


@pytest.mark.law("access.1")
async def test_nothing_is_touched_before_it_is_allowed(place: Path) -> None:
    touched: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        touched.append(host)
        return ["127.0.0.1"]

    denied = resolving(place, resolve, ["site.test"])
    denied.context.deny = ("webfetch",)
    with pytest.raises(PermissionDeniedError):
        await denied.output("http://site.test/")
    assert touched == []


@pytest.mark.law("access.13")
async def test_each_redirect_is_asked_about(local: Fetching) -> None:
    async with website(
        {"/a": redirect("/b", 301), "/b": redirect("c", 307), "/c": answer("x")}
    ) as site:
        shown = await local.shown(f"{site.url}/a")
        assert f"({site.url}/c: text/html, 1 byte; after a redirect)" in shown
        assert local.asked == [f"{site.url}/{name}" for name in "abc"]
        assert local.context.metadata[1]["redirected_from"] == f"{site.url}/a"

        def decide(action: str, resources: Sequence[str]) -> None:
            if resources[0].endswith("/b"):
                raise PermissionDeniedError(action, resources)

        local.context.decide = decide
        with pytest.raises(PermissionDeniedError):
            await local.output(f"{site.url}/a")
        assert site.paths == ["/a", "/b", "/c", "/a"]


@pytest.mark.law("access.13")
@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://169.254.169.254/latest/meta-data/", "metadata address"),
        ("http://[::ffff:169.254.169.254]/", "metadata address"),
        ("http://0x7f000001:8080/", "loopback address"),
        ("http://10.0.0.1/", "private address"),
        ("http://me:word@localhost/", "user name or a password"),
        ("file:///etc/passwd", "only URLs that begin"),
        ("//localhost:22/", "port 22"),
        ("/\\evil.example/", "backslash"),
    ],
    ids=range(8),
)
async def test_a_redirect_is_looked_at_like_the_first_url(
    local: Fetching, location: str, why: str
) -> None:
    async with website({"/": redirect(location)}) as site:
        told = await local.told(site.url)
    assert why in told
    assert "redirects to" in told
    assert "word" not in told.replace("password", "")
    assert local.asked == [f"{site.url}/"]


@pytest.mark.law("tools.11")
async def test_redirects_end(local: Fetching) -> None:
    pages = {f"/{number}": redirect(f"/{number + 1}") for number in range(9)}
    pages |= {"/a": redirect("/b"), "/b": redirect("/a"), "/5end": answer("x")}
    pages |= {"/self": redirect("")}
    async with website(pages) as site:
        assert "more than 5 redirects" in await local.told(f"{site.url}/0")
        assert len(site.paths) == 6
        assert "in a circle" in await local.told(f"{site.url}/a")
        assert "in a circle" in await local.told(f"{site.url}/self")
        site.pages["/5"] = redirect("/5end")
        site.pages["/4"] = redirect("/5end")
        assert (await local.shown(f"{site.url}/0")).endswith("\n\nx")


# --- addresses --------------------------------------------------------------------


@pytest.mark.law("access.13")
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "a.localhost",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0.0.0.0",
        "169.254.169.254",
        "100.100.100.200",
        "[fe80::1]",
        "192.168.0.1",
        "１２７.0.0.1",
    ],
    ids=range(16),
)
async def test_this_machine_and_its_network_are_refused_unasked(
    place: Path, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blanket permission opens none of them."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: pytest.fail("looked up"))
    local = fetching(place, {})
    told = await local.told(f"http://{host}:8080/")
    assert "not of the public internet" in told
    assert local.asked == []


@pytest.mark.law("access.13")
@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["93.184.215.14", "127.0.0.1"],
        ["2606:4700::1", "::1"],
        ["::ffff:10.0.0.1"],
        ["64:ff9b::a9fe:a9fe"],
        ["fe80::1%eth0"],
        ["2001:0:4136:e378:8000:63bf:3fff:fdd2"],
        ["100.64.0.1"],
        [],
    ],
    ids=range(9),
)
async def test_a_name_is_refused_when_one_of_its_addresses_is(
    place: Path, addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anyio, "connect_tcp", lambda *_, **__: pytest.fail("reached"))

    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    told = await resolving(place, resolve).told("http://site.example/")
    assert "its host " in told
    # Which one it is says something about the network; the model is not told.
    assert not any(address in told for address in addresses)


@pytest.mark.law("access.13")
async def test_the_address_that_was_looked_at_is_connected_to(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that means something else a moment later leads nowhere else."""
    asked: list[tuple[str, int]] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    looked_up: list[object] = []
    getaddrinfo = socket.getaddrinfo

    def looking(host: Any, *rest: Any, **named: Any) -> Any:
        looked_up.append(host)
        return getaddrinfo(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", looking)
    async with website({"/": answer("x"), "/r": redirect("/")}) as site:
        rebinding = resolving(place, resolve, ["site.test"])
        assert (await rebinding.shown(f"http://SITE.test.:{site.port}/")).endswith("x")
        assert asked == [("site.test", site.port)]
        assert f"Host: site.test:{site.port}\r\n" in site.requests[0]
        assert not {"site.test", b"site.test"} & set(looked_up)
        # Each redirect is looked at again; what no name opens is never opened.
        asked.clear()
        told = await rebinding.told(f"http://site.test:{site.port}/r")
        assert "metadata address" in told
        assert site.paths == ["/", "/r"]


async def test_the_next_address_is_tried_where_one_does_not_answer(
    place: Path,
) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async with website({"/": answer("x")}) as site:
        shown = await resolving(place, resolve, ["site.test"]).shown(
            f"http://site.test:{site.port}/"
        )
    assert shown.endswith("x")


@pytest.mark.law("access.13")
async def test_a_host_is_opened_by_its_name_and_port(place: Path) -> None:
    async with website({"/": answer("x")}) as site:
        port = site.port
        for entry in (f"localhost:{port}", "localhost", "LOCALHOST"):
            await fetching(place, {"private_hosts": [entry]}).output(site.url)
        for entry in (f"localhost:{port + 1}", "127.0.0.1", "other.test"):
            told = await fetching(place, {"private_hosts": [entry]}).told(site.url)
            assert f"'localhost:{port}' among private_hosts" in told


@pytest.mark.parametrize("wrong", ["localhost", [1], ["*"], ["http://x"], [""]])
def test_hosts_that_are_none_are_refused(
    place: Path, wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(KeyError, match="webfetch"):
        fetching(place, {"private_hosts": wrong})
    assert "webfetch: not offered, because" in caplog.text
    assert "plugins.tools.private_hosts" in caplog.text


@pytest.mark.law("access.8")
async def test_no_file_of_a_clone_opens_a_host(place: Path) -> None:
    from dovetail.kernel import ToolPart, open_runtime
    from dovetail.kernel.testing import ScriptedProvider, call, calls, text

    (place / "dovetail.toml").write_text(
        '[plugins.tools]\nprivate_hosts = ["localhost"]\n'
        '[permissions]\nrules = [{action="webfetch", resource="*", effect="allow"}]\n'
    )
    async with website({"/": answer("x")}) as site:
        model = ScriptedProvider(
            calls(call("webfetch", {"url": site.url})), text("Done.")
        )
        async with open_runtime(
            "sqlite://",
            plugins=[model],
            environment={"DOVETAIL_CONFIG": ""},
            on_permission="allow",
        ) as runtime:
            session = await runtime.sessions.create(location=place, model=model.model)
            await session.prompt("Look")
            await session.wait()
            parts = [
                part
                for message in (await session.messages(order="asc")).items
                for part in getattr(message, "parts", ())
                if isinstance(part, ToolPart)
            ]
        assert [part.state for part in parts] == ["failed"]
        assert parts[0].failure is not None
        assert "loopback address" in parts[0].failure.message
        assert site.paths == []


async def test_a_name_that_is_not_known_is_told(place: Path) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    told = await resolving(place, resolve).told("https://nowhere.example/")
    assert told == (
        "cannot fetch https://nowhere.example/: "
        "its host has no address, or is not known"
    )


async def test_what_does_not_listen_is_told(local: Fetching) -> None:
    async with website({}) as site:
        port = site.port
    told = await local.told(f"http://localhost:{port}/")
    assert "no connection can be made" in told


# --- certificates -----------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for site.test, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    made = folder / "site.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-nodes", "-days", "3650", "-newkey", "ec"),
            *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=site.test"),
            *("-addext", "subjectAltName=DNS:site.test", "-keyout", made),
            *("-out", folder / "certificate.pem"),
        ],
        check=True,
        capture_output=True,
    )
    made.write_bytes(made.read_bytes() + (folder / "certificate.pem").read_bytes())
    return made


@pytest.mark.law("access.13")
async def test_the_certificate_is_checked_for_the_name(
    place: Path, certificate: Path
) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    hosts = ["site.test", "other.test"]

    def trust() -> ssl.SSLContext:
        return trusted({"SSL_CERT_FILE": str(certificate)})

    pages = {"/": answer("x"), "/down": redirect("http://site.test/")}
    async with website(pages, context) as site:
        trusting = resolving(place, resolve, hosts, trust)
        shown = await trusting.shown(f"https://site.test.:{site.port}/")
        assert shown.endswith("x")
        told = await trusting.told(f"https://other.test:{site.port}/")
        assert "its certificate is not valid for other.test" in told
        told = await trusting.told(f"https://site.test:{site.port}/down")
        assert "without encryption" in told
        # Known to nobody here:
        told = await resolving(place, resolve, hosts).told(
            f"https://site.test:{site.port}/"
        )
        assert "its certificate is not valid for site.test" in told
    assert len(site.paths) == 2


# --- bounds -----------------------------------------------------------------------


def endless(head: str, piece: bytes, begin: bytes = b"") -> Any:
    async def endless(stream: ByteStream) -> None:
        await stream.send(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + begin)
        while True:
            await stream.send(piece)

    return endless


@pytest.mark.law("tools.11")
async def test_a_body_without_an_end_is_cut(
    local: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webfetch, "MAX_BODY", 1024 * 1024)
    monkeypatch.setattr(_http, "MAX_PIECES", 5_000)
    text, image = "Content-Type: text/plain", "Content-Type: image/png"
    pages = {
        "/text": endless(text, b"word " * 1000),
        "/chunked": endless(
            f"{text}\r\nTransfer-Encoding: chunked", b"3e8\r\n%b\r\n" % (b"w" * 1000)
        ),
        "/crumbs": endless(
            f"{text}\r\nTransfer-Encoding: chunked", b"1\r\nw\r\n" * 1000
        ),
        "/image": endless(image, PNG * 1000),
        "/long": answer(b"x" * 2_000_000, "text/plain"),
        "/picture": answer(b"x" * 1_048_577, "image/png"),
        "/exact": answer(b"x" * 1024 * 1024, "text/plain"),
    }
    async with website(pages) as site:
        for path in ("/text", "/chunked", "/long"):
            output = await local.output(site.url + path)
            assert output.size == 1024 * 1024
            assert output.cut
            assert "only its first 1 MiB" in output.notes
        assert not (await local.output(f"{site.url}/exact")).cut
        assert "too many pieces" in await local.told(f"{site.url}/crumbs")
        for path in ("/image", "/picture"):
            assert "of over 1,048,576 bytes" in await local.told(site.url + path)


@pytest.mark.law("tools.11")
async def test_what_is_packed_is_bounded_as_it_is_unpacked(
    local: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webfetch, "MAX_BODY", 1024 * 1024)
    empty = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    nothing = empty.compress(b"w") + empty.flush(zlib.Z_SYNC_FLUSH)
    most: list[int] = []
    feed = _http._Unpacking.feed

    def feeding(self: Any, data: bytes, wanted: int) -> bytes:
        made = feed(self, data, wanted)
        most.append(len(made))
        return made

    monkeypatch.setattr(_http._Unpacking, "feed", feeding)
    bomb = gzip.compress(b"w" * 50_000_000, 1)
    raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = {
        "/gzip": ("gzip", gzip.compress(b"word")),
        "/x-gzip": ("X-GZip", gzip.compress(b"word")),
        "/two": ("gzip", gzip.compress(b"wo") + gzip.compress(b"rd")),
        "/deflate": ("deflate", zlib.compress(b"word")),
        "/raw": ("deflate", raw.compress(b"word") + raw.flush()),
        "/bomb": ("gzip", bomb),
        "/many": ("gzip", gzip.compress(b"w" * 90) * 20_000),
    }
    pages = {
        path: answer(data, "text/plain", headers={"Content-Encoding": coding})
        for path, (coding, data) in packed.items()
    }
    async with website(pages) as site:
        for path in ("/gzip", "/x-gzip", "/two", "/deflate", "/raw"):
            assert (await local.shown(site.url + path)).endswith("\n\nword")
        site.pages["/nothing"] = endless(
            "Content-Type: text/plain\r\nContent-Encoding: deflate",
            # Blocks of no content, one after the other.
            b"\0\0\0\xff\xff" * 10_000,
            begin=nothing,
        )
        assert "larger packed" in await local.told(f"{site.url}/nothing")
        for path in ("/bomb", "/many"):
            assert (await local.output(site.url + path)).cut
    assert max(most) <= 1024 * 1024 + 1


@pytest.mark.law("tools.11")
@pytest.mark.parametrize("sent", ["", "HTTP/1.1 200 OK\r\n", "all"])
async def test_a_server_that_is_slow_is_given_up(local: Fetching, sent: str) -> None:
    """Before its answer, within its head, and within its body."""
    met, gone = anyio.Event(), anyio.Event()
    head = answer(b"x" * 1000, "text/plain")[:-990].decode() if sent == "all" else sent

    async def slow(stream: ByteStream) -> None:
        met.set()
        if head:
            await stream.send(head.encode())
        try:
            await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            gone.set()

    with anyio.fail_after(HANG):
        async with website({"/": slow}) as site:
            limits = longer(200)
            while not met.is_set():
                told = await local.told(site.url, timeout_ms=next(limits))
                assert "the time was over" in told
            await gone.wait()


@pytest.mark.law("tools.11")
async def test_the_time_is_that_of_all_redirects_and_of_no_question(
    local: Fetching,
) -> None:
    seconds: list[float] = []
    get = Web.get

    async def getting(self: Web, *given: Any, **named: Any) -> Any:
        seconds.append(named["seconds"])
        return await get(self, *given, **named)

    clock = [0.0]

    async def decide(action: str, resources: Sequence[str]) -> None:
        clock[0] += 1_000  # a person who takes their time

    local.context.decide = decide

    async def page(stream: ByteStream) -> None:
        clock[0] += 0.25
        await stream.send(redirect("/b"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(webfetch, "_now", lambda: clock[0])
        patch.setattr(Web, "get", getting)
        async with website({"/": page, "/b": answer("x")}) as site:
            await local.output(site.url, timeout_ms=60_000)
    assert seconds == [60.0, 59.75]


@pytest.mark.law("tools.11")
@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\0" * 1000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Type: text/plain\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        b"HTTP/9.9 hello\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nx",
        b"SSH-2.0-OpenSSH_9.9\r\n",
    ],
    ids=range(10),
)
async def test_whatever_a_server_sends_ends_in_a_failure_that_says_why(
    local: Fetching, sent: bytes
) -> None:
    async def broken(stream: ByteStream) -> None:
        if sent:
            await stream.send(sent)

    async with website({"/": broken}) as site:
        told = await local.told(site.url)
    assert told.startswith(f"cannot fetch {site.url}/: ")


async def test_a_call_that_is_cancelled_leaves_no_connection(local: Fetching) -> None:
    begun, gone = anyio.Event(), anyio.Event()

    async def waiting(stream: ByteStream) -> None:
        await stream.send(answer(b"x" * 99, "text/plain")[:-50])
        begun.set()
        try:
            await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            gone.set()

    with anyio.fail_after(HANG):
        async with website({"/": waiting}) as site, anyio.create_task_group() as tasks:
            tasks.start_soon(local.output, site.url)
            await begun.wait()
            tasks.cancel_scope.cancel()
        await gone.wait()


async def test_a_call_that_is_cancelled_does_not_wait_for_a_page_to_be_read(
    local: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, free = threading.Event(), threading.Event()

    def page_of(*given: Any, **named: Any) -> Any:
        begun.set()
        assert free.wait(HANG)

    monkeypatch.setattr(_pages, "page_of", page_of)
    try:
        with anyio.fail_after(HANG):
            async with (
                website({"/": answer("<p>x")}) as site,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(local.output, site.url)
                assert await anyio.to_thread.run_sync(begun.wait, HANG)
                tasks.cancel_scope.cancel()
        assert not free.is_set()
    finally:
        free.set()
