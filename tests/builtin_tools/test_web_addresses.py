"""Where the web tools go: the one form of a URL, and which addresses are public."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

import httpx
import pytest
from dovetail.builtin_tools._addresses import Hosts, address_of, kind_of
from dovetail.builtin_tools._urls import RefusedError, Url, parse, parse_from
from hypothesis import given, strategies as st

pytestmark = pytest.mark.law("access.13")


@pytest.mark.parametrize(
    ("given_", "meant"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://EXAMPLE.com:443/", "https://example.com/"),
        ("http://example.com:80/a", "http://example.com/a"),
        ("http://example.com:8080/a", "http://example.com:8080/a"),
        ("http://example.com:/a", "http://example.com/a"),
        (" https://example.com/\n", "https://example.com/"),
        ("https://example.com/a#part", "https://example.com/a"),
        ("https://example.com?q=1#x?y", "https://example.com/?q=1"),
        ("https://example.com./a", "https://example.com/a"),
        ("https://example.com/a/../b/./c", "https://example.com/b/c"),
        ("https://example.com/../../b", "https://example.com/b"),
        ("https://example.com/a/%2e%2E/b", "https://example.com/b"),
        ("https://example.com/a/.%2e", "https://example.com/"),
        ("https://example.com/a/%252e%252e/b", "https://example.com/a/%252e%252e/b"),
        ("https://example.com/%7ea%2fb%3F", "https://example.com/~a%2Fb%3F"),
        ("https://example.com/a b/ü", "https://example.com/a%20b/%C3%BC"),
        ("https://example.com/?q=a b\\d", "https://example.com/?q=a%20b\\d"),
        ("https://example.com/100%", "https://example.com/100%25"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://BÜCHER.example/", "https://xn--bcher-kva.example/"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://ex_ample.com/", "https://ex_ample.com/"),
        ("http://[2001:DB8::1]:8080/", "http://[2001:db8::1]:8080/"),
    ],
)
def test_a_url_has_one_form(given_: str, meant: str) -> None:
    assert str(parse(given_)) == meant


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0X7F.1",
        "0177.0.0.1",
        "0177.0x0.0.01",
        "127.0.0.1.",
        "１２７.0.0.1",
        "127。0。0。1",
    ],
    ids=range(11),
)
def test_every_form_of_an_ipv4_address_is_that_address(host: str) -> None:
    url = parse(f"http://{host}/")
    assert str(url) == "http://127.0.0.1/"
    assert url.address == IPv4Address("127.0.0.1")


@pytest.mark.parametrize(
    "refused",
    [
        "",
        "example.com",
        "//example.com/",
        "https:example.com",
        "https:/example.com",
        "https://",
        "https:///path",
        "https://?q",
        "file:///etc/passwd",
        "ftp://example.com/",
        "javascript:alert(1)",
        "data:text/html,x",
        "gopher://example.com/",
        "https://me@example.com/",
        "https://me:word@example.com/",
        "https://@example.com/",
        "https://example.com@evil.example/",
        "https://example.com\\@evil.example/",
        "https://example.com\\.evil.example/",
        "https://example.com/\\evil.example",
        "https://exa\nmple.com/",
        "https://example.com/\r\nHost: evil",
        "https://example.com/\0",
        "https://exa mple.com/",
        "https://example%2ecom/",
        "https://ex[ample.com/",
        "https://a..b/",
        "https://.example.com/",
        "https://example.com../",
        "https://-a.example/",
        "https://" + "a" * 64 + ".example/",
        "https://" + "a." * 127 + "example/",
        "https://xn--/",
        "https://example.com:99999/",
        "https://example.com:0/",
        "https://example.com:8 0/",
        "https://example.com:٨٠/",
        "https://example.com:22/",
        "https://example.com:25/",
        "https://example.com:6667/",
        "http://256.1.1.1/",
        "http://1.2.3.4.5/",
        "http://4294967296/",
        "http://09.0.0.1/",
        "http://a.1/",
        "http://[::1/",
        "http://[::1]x/",
        "http://[fe80::1%25eth0]/",
        "http://[1.2.3.4]/",
        "https://example.com/\ud800",
        "https://example.com/" + "a" * 5_000,
        "https://example.com/" + "ü" * 2_000,
    ],
)
def test_what_is_no_url_of_the_web_is_refused(refused: str) -> None:
    with pytest.raises(RefusedError):
        parse(refused)


def test_a_refusal_repeats_no_password() -> None:
    with pytest.raises(RefusedError) as told:
        parse("https://me:hunter2@example.com/")
    assert "hunter2" not in str(told.value)


HERE = Url("https", "example.com", 443, "/a/b?c")


@pytest.mark.parametrize(
    ("location", "meant"),
    [
        ("/x", "https://example.com/x"),
        ("x", "https://example.com/a/x"),
        ("../../x", "https://example.com/x"),
        ("?d", "https://example.com/a/b?d"),
        ("//other.example/x", "https://other.example/x"),
        ("http://other.example", "http://other.example/"),
        ("", "https://example.com/a/b?c"),
    ],
)
def test_what_a_server_says_is_relative_to_where_it_says_it(
    location: str, meant: str
) -> None:
    assert str(parse_from(HERE, location)) == meant


@pytest.mark.parametrize(
    "location", ["file:///x", "/\\evil.example", "\\\\evil.example", "//[", "/a\tb"]
)
def test_what_a_server_says_is_refused_like_any_other(location: str) -> None:
    with pytest.raises(RefusedError):
        parse_from(HERE, location)


@given(
    st.text(max_size=40)
    | st.text("./%2eE\\@:#?&a0x[]ü %", max_size=40)
    | st.from_regex(r"[0-9a-fx.]{1,20}(:[0-9]{1,5})?(/.{0,10})?", fullmatch=True)
)
def test_the_form_of_a_url_is_its_own_form(text: str) -> None:
    try:
        url = parse(f"http://{text}")
    except RefusedError:
        return
    assert parse(str(url)) == url
    # Whoever else reads it sees the same host.
    assert urlsplit(str(url)).hostname == url.host
    assert (urlsplit(str(url)).port or 80) == url.port
    assert httpx.URL(str(url)).raw_host.strip(b"[]").decode() == url.host
    assert str(url).isascii()
    assert "/../" not in f"{url.target.partition('?')[0]}/"


# --- addresses --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("8.8.8.8", "public"),
        ("2606:4700:4700::1111", "public"),
        ("127.0.0.1", "private"),
        ("127.255.255.254", "private"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("172.32.0.1", "public"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("100.127.255.255", "private"),
        ("100.128.0.1", "public"),
        ("::1", "private"),
        ("fc00::1", "private"),
        ("fd12:3456::1", "private"),
        ("0.0.0.0", "never"),
        ("0.1.2.3", "never"),
        ("169.254.169.254", "never"),
        ("169.254.0.1", "never"),
        ("100.100.100.200", "never"),
        ("168.63.129.16", "never"),
        ("fd00:ec2::254", "never"),
        ("192.0.0.192", "never"),
        ("192.0.2.1", "never"),
        ("198.18.0.1", "never"),
        ("198.51.100.1", "never"),
        ("203.0.113.1", "never"),
        ("192.88.99.1", "never"),
        ("224.0.0.1", "never"),
        ("239.255.255.250", "never"),
        ("240.0.0.1", "never"),
        ("255.255.255.255", "never"),
        ("::", "never"),
        ("fe80::1", "never"),
        ("fe80::1%eth0", "never"),
        ("fec0::1", "never"),
        ("ff02::1", "never"),
        ("100::1", "never"),
        ("2001:db8::1", "never"),
        ("3fff::1", "never"),
        ("4000::1", "never"),
        ("::ffff:127.0.0.1", "private"),
        ("::ffff:169.254.169.254", "never"),
        ("::ffff:8.8.8.8", "public"),
        ("::ffff:0:127.0.0.1", "private"),
        ("::127.0.0.1", "private"),
        ("64:ff9b::127.0.0.1", "private"),
        ("64:ff9b::169.254.169.254", "never"),
        ("64:ff9b::8.8.8.8", "public"),
        ("64:ff9b:1::8.8.8.8", "never"),
        ("2002:7f00:1::", "never"),
        ("2002:808:808::", "never"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "never"),
        ("2a00::5efe:10.0.0.1", "private"),
        ("2a00::200:5efe:169.254.169.254", "never"),
    ],
)
def test_every_address_is_of_one_kind(address: str, kind: str) -> None:
    assert kind_of(address_of(address))[0] == kind


@given(st.ip_addresses())
def test_nothing_that_python_knows_to_be_special_is_public(
    address: IPv4Address | IPv6Address,
) -> None:
    if kind_of(address)[0] != "public":
        return
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
        if address in ip_network("64:ff9b::/96"):
            return  # judged by the address in it
    assert address.is_global


@given(st.ip_addresses(v=4))
def test_an_address_in_another_one_is_judged_as_it_would_be_alone(
    address: IPv4Address,
) -> None:
    for form in (f"::ffff:{address}", f"64:ff9b::{address}", f"::ffff:0:{address}"):
        assert kind_of(ip_address(form)) == kind_of(address)


def test_hosts_are_named_with_one_port_or_with_all() -> None:
    hosts = Hosts.of(["Wiki.lan", "localhost:3000", "[::1]", "[0:0::2]:8080"])
    assert hosts.holds("wiki.lan", 80)
    assert hosts.holds("localhost", 3000)
    assert hosts.holds("::1", 80)
    assert hosts.holds("::2", 8080)
    assert not hosts.holds("localhost", 3001)
    assert not hosts.holds("a.wiki.lan", 80)
    assert not hosts.holds("::2", 80)
    for wrong in ("*", "http://wiki.lan", "wiki.lan/x", "a b", ""):
        with pytest.raises(ValueError, match=r"."):
            Hosts.of([wrong or "?"])
