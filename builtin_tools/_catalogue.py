"""Catalogues: what a remote catalogue of skills offers, as far as it may be taken.

Owns the form of ``index.json``, which names skills and their files, and what a name or
a path may be: whatever could mean another file, to any program, in any encoding, is
none. One bad file is no reason to guess: its whole skill is left out. Fetches nothing.

The form is ``{"skills": [{"name": "x", "files": ["SKILL.md", "refs/a.md"]}]}``, with
the files at ``BASE/x/SKILL.md`` and so on.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote

from attrs import field, frozen

from ._urls import RefusedError, Url, parse

MAX_INDEX = 1_048_576
"""Bytes of an index."""
MAX_SKILLS = 200
MAX_FILES = 100
"""Files of one skill."""
MAX_DEPTH = 8
MAX_SEGMENT = 120
"""Characters of one name in a path."""
SKILL_FILE = "SKILL.md"

_NAME = re.compile(r"(?=.{1,64}\Z)[a-z0-9]+(-[a-z0-9]+)*")
_FOREIGN = frozenset('%\\:?#*"<>|`$&;~')
"""Characters that some program or file system reads as more than a letter."""
_DEVICES = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.I
)


@frozen
class Entry:
    """One skill of a catalogue."""

    name: str
    files: tuple[str, ...]
    """Relative to its folder, sorted; one of them is ``SKILL.md``."""


@frozen
class Index:
    """What an index offers."""

    entries: tuple[Entry, ...] = ()
    problems: tuple[tuple[str, str], ...] = field(default=())
    """What is left out, and why."""


def read_index(data: bytes) -> Index:
    """Return what an index offers.

    Raises:
        RefusedError: it is no index.
    """
    try:
        said = json.loads(data)
        listed = said["skills"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RefusedError("it is no index of skills") from error
    if not isinstance(listed, list):
        raise RefusedError("it is no index of skills")
    entries: dict[str, Entry] = {}
    problems: list[tuple[str, str]] = []
    if len(listed) > MAX_SKILLS:
        problems.append(("the index", f"only its first {MAX_SKILLS} skills are taken"))
    for one in listed[:MAX_SKILLS]:
        said = one if isinstance(one, dict) else {}
        name, files = said.get("name"), said.get("files", [])
        shown = name if isinstance(name, str) and is_name(name) else repr(name)[:80]
        why = next(_wrong(name, files), None)
        if why is None and shown in entries:
            why = "the catalogue has two of this name"
        if why is not None:
            problems.append((shown, why))
        else:
            entries[shown] = Entry(shown, tuple(sorted(files)))
    return Index(tuple(entries.values()), tuple(problems))


def is_name(name: str) -> bool:
    """Return whether a catalogue's skill may be called so."""
    return _NAME.fullmatch(name) is not None and not _DEVICES.fullmatch(name)


def _wrong(name: object, files: object) -> Iterator[str]:
    if not isinstance(name, str) or not is_name(name):
        yield "its name is not made of lower case letters, digits and hyphens"
    if not isinstance(files, list) or not all(isinstance(one, str) for one in files):
        yield "its files are no list of paths"
        return
    if len(files) > MAX_FILES:
        yield f"it has more than {MAX_FILES} files"
    for file in files:
        if not is_safe(file):
            yield f"{repr(file)[:80]} is no path of a file below its folder"
    if SKILL_FILE not in files:
        yield f"it has no {SKILL_FILE}"
    # Some file systems do not tell these apart, and a file is no folder.
    folded = [file.casefold() for file in files]
    folders = {
        "/".join(parts[:end])
        for parts in (one.split("/") for one in folded)
        for end in range(1, len(parts))
    }
    if len(set(folded)) < len(folded) or not folders.isdisjoint(folded):
        yield "two of its files are one"


def is_safe(path: str) -> bool:
    """Return whether a path means one file below a folder, whoever reads it."""
    parts = path.split("/")
    return len(parts) <= MAX_DEPTH and all(
        0 < len(one) <= MAX_SEGMENT
        and one.isprintable()
        and one == unicodedata.normalize("NFKC", one)
        and _FOREIGN.isdisjoint(one)
        and one[0] not in ". "
        and one[-1] not in ". "
        and not _DEVICES.fullmatch(one)
        for one in parts
    )


def base_of(given: str) -> Url:
    """Return where a catalogue is.

    Raises:
        RefusedError: it is no URL that can be fetched from.
    """
    url = parse(given)
    if "?" in url.target:
        raise RefusedError("the URL of a catalogue has no query")
    return parse(str(url).removesuffix("/index.json").rstrip("/") + "/")


def below(base: Url, *parts: str) -> Url:
    """Return where a file of a catalogue is.

    Raises:
        RefusedError: that is not below the catalogue.
    """
    url = parse(str(base) + "/".join(quote(part) for part in parts))
    check_below(base, url)
    return url


def check_below(base: Url, url: Url) -> None:
    """Refuse what is not of the same origin, or not below a catalogue.

    Raises:
        RefusedError: it is not.
    """
    if (url.scheme, url.host, url.port) != (base.scheme, base.host, base.port):
        raise RefusedError("it leads to another origin than the catalogue's")
    if not url.target.startswith(base.target) or ".." in url.target:
        raise RefusedError("it leads out of the catalogue")
