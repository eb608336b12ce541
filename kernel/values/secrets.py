"""Secrets: taking keys out of texts, however they are written there.

Owns what a key may look like after what programs do to text: escaped for JSON, a URL,
HTML or a shell, quoted in pieces, wrapped over lines, several of these in turn, in
base64 at any place of what was encoded, or in hex. Knows nothing of where keys or texts
come from. Time is proportional to the text.
"""

import base64
import html
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile

REDACTED = "[redacted]"
MIN_SECRET = 8
"""Characters of the shortest key that is looked for everywhere."""
MIN_WORD = 4
"""Characters of the shortest key that is looked for at all."""
WINDOW = 128 * 1024
"""Characters of a text that are looked at together, so that what is held of it beside
the text does not grow with it."""
OVERLAP = 16 * 1024
"""More than any key takes, escaped twice."""
MAX_LAYERS = 4
"""How often a text is unescaped to look for keys in it."""


def is_telling(secret: str) -> bool:
    """Whether a key can be told from a word, such as the ``ollama`` that servers which
    need no key are given: it is long, or has letters and digits."""
    if len(secret) < MIN_SECRET:
        return False
    mixed = re.search(r"\d", secret) and re.search(r"[^\W\d_]", secret)
    return len(secret) >= 2 * MIN_SECRET or bool(mixed)


class Redactor:
    """Takes secrets out of text.

    A key that is a word (``is_telling`` says no) is taken out where it stands alone and
    as it is, and only if it has ``MIN_WORD`` characters; any other one wherever and
    however it is written.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {one for one in secrets if len(one) >= MIN_WORD}
        self._known = sorted(known)
        telling = [one for one in self._known if is_telling(one)]
        words = [one for one in self._known if not is_telling(one)]
        needles = {form for one in telling for form in _forms(one)}
        self._needles = sorted(needles, key=len, reverse=True)
        # What no program escapes: without it a text holds no key, or every letter of
        # it is escaped.
        self._cores = tuple({_bytes(_core(one)) for one in self._needles})
        self._words = (
            re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, words))})(?![\w-])")
            if words
            else None
        )

    def __repr__(self) -> str:
        return f"Redactor({len(self._known)} secrets)"

    def __bool__(self) -> bool:
        """Whether there is anything to take out."""
        return bool(self._known)

    def with_telling(self, other: "Redactor") -> "Redactor":
        """Return one that takes out the other's keys as well, unless they are words:
        in texts of any kind those mean something else."""
        more = {one for one in other._known if is_telling(one)}
        return Redactor({*self._known, *more}) if more - set(self._known) else self

    def __call__(self, text: str) -> str:
        """Return the text without any secret in it."""
        if self._needles:
            text = _without(text, self._in_windows(text))
        if self._words is not None:
            text = self._words.sub(REDACTED, text)
        return text

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where a call would take something out of the text, in any order; one
        may be in another."""
        found = list(self._in_windows(text)) if self._needles else []
        if self._words is not None:
            found += [match.span() for match in self._words.finditer(text)]
        return found

    def masked(self, text: str) -> str:
        """Return the text also without what a provider left of a key when it masked it,
        as in ``sk-ab***yz``, or cut it, as in ``sk-abcdefgh...``."""
        text = self(text)
        for one in self._known:
            if is_telling(one) and one[:MIN_SECRET] in text:
                text = _without(text, _cut(text, one))
        return re.sub(_MASKED, self._unmasked, text) if "**" in text else text

    def _unmasked(self, match: re.Match[str]) -> str:
        head, tail = match["head"], match["tail"]
        for one in self._known:
            if (head and one.startswith(head)) or (tail and one.endswith(tail)):
                return REDACTED
        return match[0]

    def _in_windows(self, text: str) -> Iterator[tuple[int, int]]:
        for start in range(0, max(len(text) - OVERLAP, 1), WINDOW):
            part = text[start : start + WINDOW + OVERLAP]
            if self._may_hold(part):
                for begin, end in self._spans(part):
                    yield start + begin, start + end

    def _may_hold(self, text: str) -> bool:
        if _LETTER_ESCAPED.search(text):
            return True
        plain = _bytes(text).translate(None, _DROPPED)
        return any(core in plain for core in self._cores)

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where keys begin and end, in any order."""
        layers: list[_Layer] = []
        for undone in (*[_ESCAPE] * MAX_LAYERS, _SIGN):
            yield from self._found(text, layers)
            layer = _Layer(text, undone)
            if layer.text != text:
                layers.append(layer)
                text = layer.text
        yield from self._found(text, layers)

    def _found(self, text: str, layers: list["_Layer"]) -> Iterator[tuple[int, int]]:
        for needle in self._needles:
            at = text.find(needle)
            while at >= 0:
                yield _origin(at, at + len(needle), layers)
                at = text.find(needle, at + len(needle))


class _Layer:
    """A text with its escapes undone, and where each part of it came from."""

    def __init__(self, text: str, undone: str) -> None:
        found: list[str] = []
        self._starts = [0]
        self._sources = [0]
        self._escaped: set[int] = set()
        """Which parts are what an escape stands for."""
        at = length = 0
        for match in re.finditer(undone, text):
            plain = _plain(match)
            start, end = match.span()
            found.append(text[at:start])
            length += start - at
            if plain:
                self._escaped.add(len(self._starts))
                self._starts.append(length)
                self._sources.append(start)
                found.append(plain)
                length += len(plain)
            self._starts.append(length)
            self._sources.append(end)
            at = end
        found.append(text[at:])
        self.text = "".join(found) if at else text

    def source(self, at: int) -> int:
        """Return where a character of the plain text begins in the other one."""
        which = bisect_right(self._starts, at) - 1
        return self._sources[which] + at - self._starts[which]

    def source_end(self, at: int) -> int:
        """Return where the character before a place ends in the other text."""
        which = bisect_right(self._starts, at - 1) - 1
        if which in self._escaped:
            return self._sources[which + 1]
        return self._sources[which] + at - self._starts[which]


def _cut(text: str, secret: str) -> Iterator[tuple[int, int]]:
    """Yield where a key stands that was cut: ``MIN_SECRET`` or more of its characters,
    dots, and perhaps its end."""
    at = text.find(secret[:MIN_SECRET])
    while at >= 0:
        pairs = zip(text[at : at + len(secret)], secret, strict=False)
        end = at + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        dots = re.compile(_DOTS).match(text, end)
        if dots is not None:
            ended = dots["tail"] and secret.endswith(dots["tail"])
            yield at, dots.end() if ended else dots.start("tail")
        at = text.find(secret[:MIN_SECRET], end)


def _origin(start: int, end: int, layers: list[_Layer]) -> tuple[int, int]:
    for layer in reversed(layers):
        start, end = layer.source(start), layer.source_end(end)
    return start, end


def _without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    found: list[str] = []
    at = 0
    for start, end in sorted(spans):
        if start < at:
            at = max(at, end)
            continue
        found += (text[at:start], REDACTED)
        at = end
    return "".join((*found, text[at:])) if found else text


# --- how a key is written ---------------------------------------------------------

_UNESCAPED = re.compile(r"[A-Za-z0-9]+")
# What is between the pieces of a key that is quoted in pieces, or wrapped.
_DROPPED = b"'\"\\$\r\n\t "
_LETTER_ESCAPED = re.compile(
    r"%(?:25)?(?:u00)?[3-7][0-9a-fA-F]|\\(?:u00|x|u\{|U0)[0-7]|\\[01]?[0-7][0-7]|&#"
)
# Compiled by the first text that may hold a key, which most processes never have.
_ESCAPE = (
    r"%(?:u00)?(?P<percent>[0-9a-fA-F]{2})"
    r"|\\(?:u\{?|x|U0000)?(?P<hex>(?<=u)00[0-9a-fA-F]{2}|(?<=U0000)00[0-9a-fA-F]{2}"
    r"|(?<=x)[0-9a-fA-F]{2}|(?<=\{)[0-9a-fA-F]{2})\}?"
    r"|\\(?P<octal>[01]?[0-7]{2})"
    r"|&#(?P<number>\d{1,4});|&#[xX](?P<code>[0-9a-fA-F]{1,4});"
    r"|&(?P<name>amp|lt|gt|quot|apos|sol|plus|equals|lowbar|hyphen|period);"
    r"|\\?\r?\n[ \t]*"
    r"|\\\\|\\(?=[^\w\s\\])|\$?['\"]"
)
# The last thing to try: a shell takes a backslash off anything.
_SIGN = r"\\?\r?\n[ \t]*|[\\'\"]"
_DOTS = r"(?:\.{2,}|\u2026|\\u2026)(?P<tail>[\w-]*)"
_MASKED = r"(?<![\w.-])(?P<head>[\w.-]*)\*{2,}[\w*.-]*?(?P<tail>[\w-]*)(?![\w*-])"


def _plain(match: re.Match[str]) -> str:
    """Return what an escape stands for; nothing for quotes and line ends."""
    kind = match.lastgroup
    if kind is None:
        return "\\" if match[0] == "\\\\" else ""
    told = match[kind]
    if kind == "name":
        return html.unescape(f"&{told};")
    base = {"octal": 8, "number": 10}.get(kind, 16)
    return chr(int(told, base))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _core(needle: str) -> str:
    """Return the longest piece of a key that no program would escape."""
    return max(_UNESCAPED.findall(needle), key=len, default=needle)


def _forms(secret: str) -> Iterator[str]:
    """Yield a key as it is, and as it is encoded. Quotes and backslashes of its own are
    gone where a text was unescaped, so it is looked for without them as well."""
    raw = secret.encode("utf-8", "surrogatepass")
    yield secret
    for signs in ("'\"", "'\"\\"):
        bare = secret.translate(dict.fromkeys(map(ord, signs)))
        if is_telling(bare):
            yield bare
    yield secret.replace(" ", "+")
    yield raw.hex()
    yield raw.hex().upper()
    yield raw.decode("latin-1")
    encoders: tuple[Callable[[bytes], bytes], ...] = (
        base64.b64encode,
        base64.urlsafe_b64encode,
    )
    for encode in encoders:
        for before in range(3):
            # Only whole characters of it: the first and last depend on what is around.
            start = -(-before * 8 // 6)
            end = (before + len(raw)) * 8 // 6
            yield encode(b"\0" * before + raw).decode()[start:end]
