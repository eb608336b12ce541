"""URLs of the web: one form for each address, or the reason why it is not fetched.

Pure. A rule is held against the text of a URL, and a connection is made to its host:
both must mean the same. So there is one form that both see, made as browsers make it
(the URL Standard of the WHATWG, RFC 3986, IDNA by UTS 46), and whatever two programs
could read differently is refused. Knows nothing of networks.

What becomes of what a URL can hold:

- ``http`` and ``https`` are fetched as they are; no other scheme is.
- A name or password before the host is refused: it would be stored and asked about.
- A fragment is left out: it is never sent.
- The host becomes lower case and ASCII, without the dot at its end; a number in any
  of its old forms becomes the IPv4 address that it means.
- Ports on which something else than the web listens are refused.
- ``.`` and ``..`` are resolved, written with ``%2e`` too, and letters that need no
  ``%`` lose it, so that a rule about ``/public/*`` is about nothing else.
- A backslash before the query, a control character and a space in the host are refused.
"""

import re
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urljoin

from attrs import frozen

MAX_URL = 4_096
"""Characters, as it is given and as it is sent."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_BAD_PORTS = frozenset(
    (
        *(1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566),
        *(6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
    )
)
"""Those above 1023 of the Fetch Standard's list of bad ports."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_STRAY = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_UNRESERVED = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)
_PATH = _UNRESERVED | frozenset(b"!$&'()*+,;=:@/%")
_QUERY = _PATH | frozenset(b"?[]|^`{}\\")


class RefusedError(Exception):
    """Something is not fetched; the text says why, for a model, and names no secret."""


@frozen
class Url:
    """An address of the web in its one form."""

    scheme: str
    host: str
    """A name in ASCII, or an IP address without brackets."""
    port: int
    target: str
    """The path and the query, as they are sent."""

    @property
    def authority(self) -> str:
        """The host, and the port unless it is the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == _DEFAULT_PORTS[self.scheme]
        return host if usual else f"{host}:{self.port}"

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The host if it is an IP address."""
        if ":" in self.host:
            return IPv6Address(self.host)
        last = self.host.rpartition(".")[2]
        return IPv4Address(self.host) if _NUMBER.fullmatch(last) else None

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def parse(given: str) -> Url:
    """Return a URL in its one form.

    Raises:
        RefusedError: it is none, or is not fetched.
    """
    text = given.strip(" \t\r\n")
    if len(text) > MAX_URL:
        raise RefusedError(f"the URL has over {MAX_URL:,} characters")
    if _CONTROL.search(text):
        raise RefusedError("the URL holds a control character")
    found = _SCHEME.match(text)
    scheme = found[1].lower() if found else ""
    if scheme not in _DEFAULT_PORTS:
        raise RefusedError("only URLs that begin with https:// or http:// are fetched")
    rest = text[len(scheme) + 1 :]
    if not rest.startswith("//"):
        raise RefusedError(f"two slashes must follow {scheme}:")
    rest = rest[2:].partition("#")[0]
    end = min((at for at in map(rest.find, "/?") if at >= 0), default=len(rest))
    authority, target = rest[:end], rest[end:]
    path, mark, query = target.partition("?")
    if "\\" in authority or "\\" in path:
        raise RefusedError("the URL holds a backslash, which programs read differently")
    if "@" in authority:
        raise RefusedError("the URL holds a user name or a password; leave it out")
    host, port = _authority(authority, scheme)
    target = _resolved(_encoded(path or "/", _PATH))
    if mark:
        target += f"?{_encoded(query, _QUERY)}"
    url = Url(scheme, host, port, target)
    if len(str(url)) > MAX_URL:
        raise RefusedError(f"the URL has over {MAX_URL:,} characters")
    return url


def parse_from(base: Url, given: str) -> Url:
    """Return what a server at ``base`` means by a URL, which may be relative.

    Raises:
        RefusedError: it is none, or is not fetched.
    """
    text = given.strip(" \t\r\n")
    # What joins URLs reads these in a way of its own.
    if _CONTROL.search(text) or "\\" in text.partition("?")[0]:
        raise RefusedError("the URL holds a control character or a backslash")
    try:
        return parse(urljoin(str(base), text))
    except ValueError as error:
        raise RefusedError("it is no URL") from error


# --- the host ---------------------------------------------------------------------


def _authority(text: str, scheme: str) -> tuple[str, int]:
    if text.startswith("["):
        inside, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise RefusedError("the URL has no valid host")
        host, port = _v6(inside), rest[1:]
    else:
        name, _, port = text.partition(":")
        host = _host(name)
    if not port:
        return host, _DEFAULT_PORTS[scheme]
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65_536:
        raise RefusedError("the URL has no valid port")
    number = int(port)
    if number in _BAD_PORTS or (number < 1024 and number not in (80, 443)):
        raise RefusedError(f"port {number} is not one of the web")
    return host, number


def _v6(text: str) -> str:
    if "%" in text:
        raise RefusedError("the URL names a network interface")
    try:
        return str(IPv6Address(text))
    except ValueError as error:
        raise RefusedError("the URL has no valid IPv6 address") from error


def _host(text: str) -> str:
    if not text:
        raise RefusedError("the URL has no host")
    if "%" in text:
        raise RefusedError("the host is written with %")
    host = text.lower()
    if not host.isascii() or re.search(r"(?:^|\.)xn--", host):
        host = _international(text)
    host = host.removesuffix(".")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _v4(labels)
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise RefusedError("the host is no valid name")
    return host


def _international(text: str) -> str:
    import idna

    try:
        # Full-width letters, other dots and the like become what they look like.
        return idna.encode(text, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError) as error:
        raise RefusedError("the host is no valid international name") from error


def _v4(labels: list[str]) -> str:
    """Return the IPv4 address that one to four numbers mean, each decimal, octal or
    hexadecimal, the last of them for all bytes that are left."""
    try:
        numbers = [_number(label) for label in labels]
        if len(numbers) > 4 or any(one > 255 for one in numbers[:-1]):
            raise ValueError
        if numbers[-1] >= 256 ** (5 - len(numbers)):
            raise ValueError
    except ValueError as error:
        why = "the host ends in a number and is no IPv4 address"
        raise RefusedError(why) from error
    value = numbers[-1]
    for at, one in enumerate(numbers[:-1]):
        value += one << 8 * (3 - at)
    return str(IPv4Address(value))


def _number(text: str) -> int:
    if len(text) > 64 or not _NUMBER.fullmatch(text):
        raise ValueError
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    return int(text, 8 if len(text) > 1 and text.startswith("0") else 10)


# --- the rest ---------------------------------------------------------------------


def _encoded(text: str, kept: frozenset[int]) -> str:
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise RefusedError("the URL is not valid Unicode") from error
    written = "".join(chr(one) if one in kept else f"%{one:02X}" for one in data)
    return _ESCAPE.sub(_escape, _STRAY.sub("%25", written))


def _escape(found: re.Match[str]) -> str:
    value = int(found[1], 16)
    return chr(value) if value in _UNRESERVED else f"%{value:02X}"


def _resolved(path: str) -> str:
    """Return a path without ``.`` and ``..``."""
    kept: list[str] = []
    parts = path.split("/")[1:]
    for part in parts:
        if part == "..":
            del kept[-1:]
        elif part != ".":
            kept.append(part)
    if parts[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
