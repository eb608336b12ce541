"""Front matter: the header of a Markdown file between two ``---`` lines.

Owns the split and a lenient reading of the header. Knows nothing of what the keys mean.

Every scalar is read as text: ``version: 1.10`` stays ``1.10`` and ``name: no`` stays
``no``. YAML comes first. Where it gives up, mostly over an unquoted colon in a
description, the header is read key by key, so that one bad line costs one key. A line
that is no key goes on with the text of the key before it.
"""

import re
from collections.abc import Collection, Iterator

from ..values.errors import FrontMatterError
from ..values.frozen import frozen

MAX_HEADER = 131_072
"""Characters. A longer header is nobody's header, and slow to read."""

_KEY = re.compile(
    r"(?P<key>[A-Za-z0-9_][A-Za-z0-9_.-]*)[ \t]*:(?:[ \t]+(?P<value>.*))?\Z"
)
_WORD = re.compile(r"[A-Za-z0-9_.-]+\s*\Z")
_BLOCK = re.compile(r"[|>][-+0-9]*\s*\Z")
_CLOSERS = {'"': '"', "'": "'", "[": "]", "{": "}"}


@frozen
class UnreadableKey:
    """Stands for the value of a key whose line is broken beyond guessing."""

    problem: str
    """What is wrong with it, in the words of the reader of YAML."""


class NotYamlError(Exception):
    """The text is not YAML. The text says why."""


def read_front_matter(
    text: str, texts: Collection[str] = ()
) -> tuple[dict[str, object], str]:
    """Return the header's values by key, and the body.

    Values are texts, lists and dicts of these, or UnreadableKey. Of the keys ``texts``
    plain words are expected: what stands below such a key and only looks like keys and
    values of its own, because it holds a colon, is read as the words. A byte order
    mark and Windows line endings are accepted; the body has ``\\n`` only.

    Raises:
        FrontMatterError: there is no header, it does not end, or it is not a list of
            keys and values.
    """
    header, body = _split(text)
    if len(header) > MAX_HEADER:
        raise FrontMatterError(f"its front matter is over {MAX_HEADER} characters")
    try:
        values = _yaml(header)
    except NotYamlError as error:
        values = _key_by_key(header, error)
    if values is None or values == "":
        values = {}
    if not isinstance(values, dict):
        raise FrontMatterError("its front matter is not a list of keys and values")
    for key in texts:
        if isinstance(values.get(key), dict):
            values[key] = _words_below(header, key) or values[key]
    return {str(key): value for key, value in values.items()}, body


def _split(text: str) -> tuple[str, str]:
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").lstrip("\n")
    first, _, rest = text.partition("\n")
    if first.rstrip() != "---":
        raise FrontMatterError("it has no front matter: its first line must be ---")
    lines = rest.split("\n")
    for number, line in enumerate(lines):
        if line.rstrip() == "---":
            body = "\n".join(lines[number + 1 :]).strip("\n")
            return "".join(f"{one}\n" for one in lines[:number]), body
    raise FrontMatterError("its front matter has no end: a second --- line is missing")


def _yaml(header: str) -> object:
    # Here, because most Locations have no file of this kind to read.
    import yaml

    # The base loader makes texts, lists and dicts and nothing else, whatever tags say.
    # The one in Python: the one in C overflows the stack on deep nesting.
    try:
        return yaml.load(header, yaml.BaseLoader)
    except yaml.YAMLError as error:
        why = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise NotYamlError(why) from error
    except RecursionError as error:
        raise NotYamlError("it nests too deeply") from error
    except ValueError as error:  # such as a number that is no character
        raise NotYamlError(str(error).partition("\n")[0]) from error


def _words_below(header: str, key: str) -> str | None:
    """Return the indented lines below a key as words; None for braces and the like."""
    found = re.search(
        rf"^{re.escape(key)}[ \t]*:[ \t]*(?:#.*)?\n((?:[ \t]*(?:\n|[ \t].*\n))+)",
        header,
        re.MULTILINE,
    )
    return _as_text("", found[1].split("\n")) if found else None


def _key_by_key(header: str, error: NotYamlError) -> dict[str, object]:
    values: dict[str, object] = {}
    for lines in _blocks(header, error):
        match = _KEY.match(lines[0].rstrip())
        try:
            value = _yaml("".join(f"{line}\n" for line in lines))
        except NotYamlError as broken:
            if match is not None:
                text = _as_text(match["value"] or "", lines[1:])
                values[match["key"]] = text or UnreadableKey(str(broken))
            continue
        if isinstance(value, dict):
            values.update(value)
    return values


def _blocks(header: str, error: NotYamlError) -> Iterator[list[str]]:
    """Yield the lines of each key of the outermost level.

    Raises:
        FrontMatterError: the first line belongs to no key. It is text then rather than
            a header, and guessing would go too far.
    """
    block: list[str] = []
    for line in header.split("\n"):
        if not line.strip() or line[0] in " \t#-":
            block.append(line)
        elif _KEY.match(line.rstrip()) or _WORD.match(line):
            if block:
                yield block
            block = [line]
        elif block and _KEY.match(block[0].rstrip()):
            block.append(line)
        else:
            raise FrontMatterError(
                f"its front matter is not YAML: {error}; {line[:40]!r} is not "
                "part of a key"
            ) from error
    if block:
        yield block


def _as_text(value: str, more: list[str]) -> str | None:
    """Return a value that YAML refuses as the plain text that it was meant to be."""
    if _BLOCK.match(value):
        value = ""  # the text below was to be indented
    lines = (line.strip() for line in more if line[:1] not in ("#", "-"))
    text = " ".join(filter(None, (value.strip(), *lines)))
    if not text or text[0] in "|>&*!":
        return None
    closer = _CLOSERS.get(text[0])
    if closer is not None and text.find(closer, 1) in (-1, len(text) - 1):
        # Quotes or brackets around the whole, or never closed: not plain text.
        return None
    return text
