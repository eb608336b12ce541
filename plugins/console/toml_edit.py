"""Setting one value of a TOML file and leaving every other byte of it as it is.

Owns one line: where it is, or where it goes. Comments, order and spelling of the rest
stay. What comes out is read again and compared with what was wanted, so that whatever
this does not understand is refused and never guessed.
"""

import copy
import re
import tomllib
from collections.abc import Sequence
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
_HEADER = re.compile(r"[ \t]*\[(?!\[)[ \t]*(.+?)[ \t]*\][ \t]*(?:#.*)?\Z")
_ANY_HEADER = re.compile(r"[ \t]*\[")


class NotEditableError(ValueError):
    """The value cannot be set without a person who looks at the file."""


def written(value: object) -> str:
    """Return a value as TOML on one line.

    Raises:
        NotEditableError: it is of no kind that is written here.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    raise NotEditableError(f"a {type(value).__name__} is not set from here")


def _quoted(text: str) -> str:
    def escaped(sign: str) -> str:
        if sign in '"\\':
            return f"\\{sign}"
        if ord(sign) < 32 or ord(sign) == 127:
            return f"\\u{ord(sign):04x}"
        return sign

    return f'"{"".join(map(escaped, text))}"'


def set_value(text: str, path: Sequence[str], value: object) -> str:
    """Return the text of a file with one value set; None takes it out.

    Raises:
        NotEditableError: the file is no TOML, or where the value is cannot be edited by
            itself, such as a value of several lines.
    """
    wanted = _with(_parsed(text), path, value)
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines()
    *table, name = path
    first, last = _span(lines, table)
    if first is None:
        if value is None:
            return text
        begun = [""] if lines and lines[-1].strip() else []
        header = f"[{'.'.join(map(_key, table))}]"
        lines += [*begun, header, f"{_key(name)} = {written(value)}"]
    else:
        _set_line(lines, first, last, name, value)
    made = newline.join(lines) + newline if lines else ""
    try:
        found = _parsed(made)
    except NotEditableError:
        found = None
    if found != wanted:
        raise NotEditableError(
            f"{'.'.join(path)} stands in a way that is not edited from here; edit the "
            "file by hand"
        )
    return made


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotEditableError(f"it is not TOML: {error}") from error


def _with(document: dict[str, Any], path: Sequence[str], value: object) -> Any:
    made = copy.deepcopy(document)
    at: Any = made
    for name in path[:-1]:
        if value is None and isinstance(at, dict) and name not in at:
            return made
        at = at.setdefault(name, {})
        if not isinstance(at, dict):
            raise NotEditableError(f"{name!r} is no table in it")
    if value is None:
        at.pop(path[-1], None)
    else:
        at[path[-1]] = value
    return made


def _span(lines: Sequence[str], table: Sequence[str]) -> tuple[int | None, int]:
    """Return where the lines of a table begin and end; None where it is not there."""
    headers = [at for at, line in enumerate(lines) if _ANY_HEADER.match(line)]
    if not table:
        return 0, next(iter(headers), len(lines))
    for place, at in enumerate(headers):
        found = _HEADER.match(lines[at])
        if found and _names(found[1]) == list(table):
            rest = headers[place + 1 :]
            return at + 1, rest[0] if rest else len(lines)
    return None, 0


def _names(header: str) -> list[str] | None:
    try:
        at: Any = tomllib.loads(f"[{header}]")
    except ValueError:
        return None
    names = []
    while at:
        [(name, at)] = at.items()
        names.append(name)
    return names


def _set_line(
    lines: list[str], first: int, last: int, name: str, value: object
) -> None:
    for at in range(first, last):
        key, equals, rest = lines[at].partition("=")
        if not equals or key.strip() not in (name, f'"{name}"', f"'{name}'"):
            continue
        if value is None:
            del lines[at]
        else:
            lines[at] = f"{key}= {written(value)}{_comment(rest)}"
        return
    if value is None:
        return
    # Behind the last line of the table that says something.
    while last > first and not lines[last - 1].strip():
        last -= 1
    lines.insert(last, f"{_key(name)} = {written(value)}")


def _comment(rest: str) -> str:
    """Return the comment behind a value, with the space before it."""
    for match in re.finditer(r"[ \t]*#", rest):
        try:
            tomllib.loads(f"x = {rest[: match.start()]}")
        except ValueError:
            continue
        return rest[match.start() :]
    return ""


def _key(name: str) -> str:
    return name if _BARE.match(name) else _quoted(name)
