"""Hiding: taking secrets out of what goes onto a tape.

Owns where secrets are in the traffic of an HTTP client: in headers, in an address, in
a body that grants access, and wherever a known key is repeated, also in pieces: over
several chunks of a body, or over several events of a stream. Knows no provider. What it
does to a text is the same each time, so that a request is found again by what is left
of it.
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from urllib.parse import parse_qsl, urlsplit

from ..values.secrets import REDACTED, Redactor, is_telling
from .frames import framed_again, is_framed

SECRET_NAME = re.compile(
    r"key|token|secret|auth|cookie|passw|signature|credential|session|^sig$|^code$",
    re.I,
)
"""What the name of a header, or of a parameter of an address, sounds like whose value
is a secret."""
_VARIABLE = re.compile(
    r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSW(?:OR)?D|PASSWD|CREDENTIALS?|COOKIE)(?:_|$)",
    re.I,
)
_SIGNED = re.compile(r"(?:Credential=([^/,\s]+))|(?:Signature=([0-9a-fA-F]+))")
_GRANTED = (
    r"access_?token|refresh_?token|id_?token|session_?token|security_?token|auth_?token"
    r"|client_?secret|secret_?access_?key|access_?key_?id|api_?key|private_?key|password"
    r"|assertion|code_verifier"
)
# Who is let in is told in JSON and in forms, in fields that are called alike.
_FIELD = re.compile(
    rf'"(?:{_GRANTED})"\s*:\s*"((?:[^"\\]|\\.)+)"'.encode(), re.IGNORECASE
)
_FORM = re.compile(rb"(?:^|&)(?:%b)=([^&\s]+)" % _GRANTED.encode(), re.IGNORECASE)
_TEXT = re.compile(r'"(\w{1,64})"\s*:\s*"((?:[^"\\]|\\.)*)"')


def secrets_in(environment: Mapping[str, str]) -> list[str]:
    """Return the values of variables that are called as those of keys are."""
    return [
        value.strip()
        for name, value in environment.items()
        if _VARIABLE.search(name) and is_telling(value.strip())
    ]


class Hiding:
    """What is hidden of one request and of its answer."""

    def __init__(
        self,
        url: str,
        headers: Iterable[tuple[str, str]],
        known: Sequence[Redactor],
    ) -> None:
        found = [one for one in _keys_of(url, headers) if is_telling(one)]
        self._redactors = [one for one in (*known, Redactor(found)) if one]

    def text(self, text: str) -> str:
        """Return a text without what is hidden."""
        for one in self._redactors:
            text = one.masked(text)
        return text

    def url(self, url: str) -> str:
        """Return an address without passwords, and without what its parameters hold
        that are called like secrets."""
        head, mark, query = url.partition("?")
        query, sharp, fragment = query.partition("#")
        parts = urlsplit(head)
        if "@" in parts.netloc:
            host = parts.netloc.rpartition("@")[2]
            head = parts._replace(netloc=f"{REDACTED}@{host}").geturl()
        kept = []
        for one in query.split("&") if query else ():
            name, equals, value = one.partition("=")
            if value and SECRET_NAME.search(name):
                value = REDACTED
            kept.append(f"{name}{equals}{value}")
        return self.text(f"{head}{mark}{'&'.join(kept)}{sharp}{fragment}")

    def headers(self, chosen: Mapping[str, str]) -> dict[str, str]:
        """Return headers without what is hidden. Those that are called like secrets
        are there by name alone."""
        return {
            name: REDACTED if SECRET_NAME.search(name) else self.text(value)
            for name, value in chosen.items()
        }

    def body(self, body: bytes) -> bytes:
        """Return a body without what is hidden."""
        return b"".join(self.pieces((body,)))

    def pieces(self, pieces: Sequence[bytes]) -> tuple[bytes, ...]:
        """Return the pieces of a body without what is hidden, also where that is in
        several of them. What is left empty is left out. A body of sealed frames comes
        in these frames, where something of it is hidden."""
        whole = b"".join(pieces)
        spans = self._spans(whole)
        if not spans:
            return tuple(one for one in pieces if one)
        if is_framed(whole):
            cut = partial(_cut, whole, spans=spans)
            return tuple(one for one in framed_again(whole, cut) if one)
        made, at = [], 0
        for piece in pieces:
            made.append(_cut(whole, at, at + len(piece), spans))
            at += len(piece)
        return tuple(one for one in made if one)

    def _spans(self, body: bytes) -> list["_Span"]:
        found = [m.span(1) for m in _FIELD.finditer(body)]
        found += [m.span(1) for m in _FORM.finditer(body)]
        if self._redactors:
            # Each byte is a character, so that places in both are the same.
            text = body.decode("latin-1")
            for one in self._redactors:
                found += one.spans(text)
        spans = [(start, end, True) for start, end in found]
        if self._redactors:
            spans += self._in_events(text)
        return _merged(spans)

    def _in_events(self, text: str) -> list["_Span"]:
        """Return where a key is that came in several events: what fields of one name
        hold is looked at as one text."""
        fields: dict[str, list[tuple[int, int]]] = {}
        for match in _TEXT.finditer(text):
            if match[2]:
                fields.setdefault(match[1], []).append(match.span(2))
        found: list[_Span] = []
        for places in fields.values():
            if len(places) < 2:
                continue
            joined = "".join(text[start:end] for start, end in places)
            for redactor in self._redactors:
                for span in redactor.spans(joined):
                    found += _placed(span, places)
        return found


def _keys_of(url: str, headers: Iterable[tuple[str, str]]) -> Iterable[str]:
    parts = urlsplit(url)
    for name, value in parse_qsl(parts.query):
        if SECRET_NAME.search(name):
            yield value
    if parts.password:
        yield parts.password
    for name, value in headers:
        if not SECRET_NAME.search(name):
            continue
        signed = _SIGNED.findall(value)
        if signed:
            # The rest of such a header names hosts and headers.
            yield from (one for pair in signed for one in pair if one)
            continue
        scheme, _, rest = value.strip().rpartition(" ")
        yield rest
        if scheme.lower() == "basic":
            yield from _of_basic(rest)
        if name.lower() == "cookie":
            yield from (one.partition("=")[2].strip() for one in value.split(";"))


def _of_basic(encoded: str) -> Iterable[str]:
    try:
        yield base64.b64decode(encoded).decode().partition(":")[2]
    except ValueError:
        # It was no such pair; the whole of it is hidden in any case.
        return


_Span = tuple[int, int, bool]
"""Where something is taken out, and whether that is told there: of what came in several
events, only in the first one."""


def _merged(spans: Iterable[_Span]) -> list[_Span]:
    made: list[_Span] = []
    for start, end, told in sorted(spans):
        if made and start < made[-1][1]:
            first, last, before = made[-1]
            made[-1] = (first, max(end, last), told or before)
        elif end > start:
            made.append((start, end, told))
    return made


def _cut(whole: bytes, begin: int, end: int, spans: list[_Span]) -> bytes:
    """Return a piece; a span is told of in the piece that it begins in."""
    made, at = bytearray(), begin
    for start, stop, told in spans:
        if stop <= begin or start >= end:
            continue
        if start >= begin:
            made += whole[at:start] + (REDACTED.encode() if told else b"")
        at = min(stop, end)
    made += whole[at:end]
    return bytes(made)


def _placed(span: tuple[int, int], places: Sequence[tuple[int, int]]) -> list[_Span]:
    """Return where a span of joined texts is in what they were taken from."""
    found: list[_Span] = []
    at = 0
    for start, end in places:
        first, last = max(span[0], at), min(span[1], at + end - start)
        if first < last:
            found.append((start + first - at, start + last - at, not found))
        at += end - start
    return found
