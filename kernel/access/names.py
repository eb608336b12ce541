"""Names: which files the pattern of a rule means in one Location.

A tool names a file relative to the Location with ``/``, and absolutely outside of it,
free of links. A person names it as they like: absolutely, from their home, with ``./``
or ``../``, through a link, "in any folder". Owns that each of these rules is about the
file that it names, by adding what it means as further rules; and that one which can
name nothing is found out before it protects nothing. Only what a rule says of paths is
read in this way: a command or a name stands for itself.

Looks at the disk for links and the home: once per rule, when a Location opens.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from attrs import evolve, field

from ..contracts import Action, Rule
from ..values.errors import InvalidValueError
from ..values.frozen import frozen
from ..values.patterns import MAX_PATTERN, MAX_RULES, matcher, matches, rests, wild

_VARIABLES = ("$HOME/", "${", "%USERPROFILE%", "%HOME%")


@frozen
class Ground:
    """From where paths are named in a Location."""

    directory: str
    """Absolute and free of links."""
    home: str | None = None
    _root: str = field(init=False, repr=False, eq=False)

    @_root.default
    def _directory_in_patterns(self) -> str:
        return self.directory.replace(os.sep, "/").rstrip("/")

    # --- what a rule means --------------------------------------------------------

    def meant(self, rule: Rule, actions: Mapping[str, Action]) -> tuple[Rule, ...]:
        """Return the rule, and what else it means, to stand in its place.

        ``actions`` are those that are known, by name. Of one that is unknown it is not
        known whether its resources are paths: what forbids or asks is read as if they
        were, and what allows is taken to the letter.
        """
        fits = matcher(rule.action)
        known = [one for one in actions.values() if fits(one.name)]
        strict = rule.effect != "allow"
        # Each asks the disk: only what is wanted is found out.
        read: dict[str, list[str]] = {}
        more: dict[tuple[str, str], None] = {}
        for one in known:
            if one.resource == "text":
                continue
            if one.resource not in read:
                reading = self._paths if one.resource == "path" else self._folders
                read[one.resource] = list(reading(rule.resource, strict=strict))
            more.update(dict.fromkeys((one.name, path) for path in read[one.resource]))
        if not known and strict:
            paths = self._paths(rule.resource, strict=strict)
            more.update(dict.fromkeys((rule.action, path) for path in paths))
        return (
            rule,
            *(
                evolve(rule, action=action, resource=path)
                for action, path in more
                if path != rule.resource and len(path) <= 2 * MAX_PATTERN
            ),
        )

    def _paths(self, pattern: str, *, strict: bool) -> Iterator[str]:
        """Yield the names that a tool may give to what a pattern of files means."""
        everywhere = _in_any_folder(pattern)
        if everywhere is not None:
            yield from everywhere
            return
        for plain in self._plain(pattern, strict=strict):
            for form in _optional_folders(plain):
                yield from self._resources(form)

    def _folders(self, pattern: str, *, strict: bool) -> Iterator[str]:
        """Yield what a pattern means of the folders outside, each named ``F/*``."""
        for plain in self._plain(pattern.rstrip("/") or "/", strict=strict):
            if plain.startswith("/"):
                yield plain
                if not plain.endswith("*"):
                    # What forbids a folder forbids those in it, what allows it does
                    # not: a `?` is the star at the end of its name and nothing else.
                    yield f"{plain.rstrip('/')}/{'*' if strict else '?'}"

    def _plain(self, pattern: str, *, strict: bool) -> Iterator[str]:
        """Yield a pattern without ``~``, ``.`` and ``..``, and where links lead."""
        if pattern.startswith("~"):
            home, rest = self._home_of(pattern)
            if home is None:
                return
            homes = dict.fromkeys((home, _real(home)))
            found = [f"{one.rstrip('/')}{rest}" for one in homes]
        else:
            found = [pattern]
        for one in found:
            plain = self._normal(one)
            if plain is None:
                continue
            yield plain
            if strict and (linked := self._linked(plain)) is not None:
                yield linked

    def _home_of(self, pattern: str) -> tuple[str | None, str]:
        name, slash, rest = pattern.partition("/")
        if name == "~":
            home = self.home
        else:
            home = os.path.expanduser(name)
            home = None if home == name else home
        return home and home.replace(os.sep, "/"), slash + rest

    def _normal(self, pattern: str) -> str | None:
        """Return it without ``.``, ``..`` and doubled slashes; None where ``..`` cannot
        be followed, because what is before it is not one folder."""
        parts = pattern.split("/")
        if not {"", ".", ".."} & set(parts[1:-1]) and parts[0] not in (".", ".."):
            return pattern
        absolute = pattern.startswith("/")
        found: list[str] = []
        for part in parts:
            if part in ("", "."):
                continue
            if part != "..":
                found.append(part)
                continue
            if not found and not absolute:
                found, absolute = self._root.split("/")[1:], True
            if found and wild(found[-1]):
                return None
            found = found[:-1]
        end = "/" if parts[-1] == "" and found else ""
        return ("/" if absolute else "") + "/".join(found) + end or "."

    def _linked(self, pattern: str) -> str | None:
        """Return the pattern behind the links on its way, or None: there are none."""
        whole = pattern if pattern.startswith("/") else f"{self._root}/{pattern}"
        head, rest = _head(whole)
        real = head if self._is_plain(head) else _real(head)
        return None if real == head else real.rstrip("/") + rest

    def _is_plain(self, path: str) -> bool:
        """Whether a path is the Location, which is free of links, or below it by what
        are no links either. Most rules are about such, and are many."""
        at, slash, below = path.partition(f"{self._root}/")
        if at or not slash:
            return path == self._root
        parts = below.split("/")
        if not {"", ".", ".."}.isdisjoint(parts):
            return False
        reached = self._root
        for part in parts:
            reached = f"{reached}/{part}"
            try:
                if stat.S_ISLNK(os.lstat(reached).st_mode):
                    return False
            except (OSError, ValueError):
                # Nothing is there, so that nothing below it is.
                return True
        return True

    def _resources(self, pattern: str) -> Iterator[str]:
        yield pattern
        if pattern.startswith("/"):
            # What is left of it below the Location is how a tool names that.
            for rest in rests(pattern, f"{self._root}/"):
                if rest:
                    yield rest
            if matches(pattern, self._root or "/"):
                yield "."

    # --- what can mean nothing ----------------------------------------------------

    def nothing(self, rule: Rule, actions: Mapping[str, Action]) -> str | None:
        """Return why a rule can never match anything; None when it can."""
        known = [one for one in actions.values() if matches(rule.action, one.name)]
        if not known or any(one.resource == "text" for one in known):
            return None
        reasons = {self._no_name(rule.resource, one.resource) for one in known}
        return None if None in reasons else next(iter(sorted(filter(None, reasons))))

    def _no_name(self, pattern: str, kind: str) -> str | None:
        if pattern.startswith(_VARIABLES):
            return "variables are not replaced; write ~ for your home"
        if pattern.startswith("~") and self._home_of(pattern)[0] is None:
            return "there is no such home"
        plain = list(self._plain(pattern, strict=False))
        if not plain:
            return "'..' after a '*' names no folder; write the folder itself"
        if kind == "path":
            if pattern.endswith("/") and pattern != "/":
                return f"no file's name ends in '/'; write {pattern + '*'!r}"
            return None
        if all(not one.startswith(("/", "*", "?")) for one in plain):
            return "it is about folders outside of the Location; write an absolute one"
        return None


def check_rule(rule: object) -> None:
    """Refuse what is no rule, or could cost too much to look at.

    Raises:
        InvalidValueError: it is wrong, and why.
    """
    if not isinstance(rule, Rule) or rule.effect not in ("allow", "ask", "deny"):
        raise InvalidValueError(
            "rule", rule, "give a Rule with the effect allow, ask or deny"
        )
    for what in ("action", "resource"):
        text = getattr(rule, what)
        if not isinstance(text, str):
            raise InvalidValueError("rule", rule, "action and resource must be texts")
        if not text or len(text) > MAX_PATTERN:
            raise InvalidValueError(
                f"{what} of a rule", text[:64], f"1 to {MAX_PATTERN} characters"
            )


@lru_cache(maxsize=MAX_RULES)
def _in_any_folder(pattern: str) -> Sequence[str] | None:
    """Return the names of what a pattern means, where they are the same for every
    Location, whatever is on the disk; else None.

    Of a pattern that begins with a star no folder is known in which a link could be.
    Most rules that ship are of this kind.
    """
    first, *others = pattern.split("/")
    if first.startswith("~") or not wild(first) or {"", ".", ".."} & set(others[:-1]):
        return None
    return tuple(_optional_folders(pattern))


def _optional_folders(pattern: str) -> Iterable[str]:
    """Return the forms of a pattern in which ``**/`` stands for no folder, and a ``*/``
    at its beginning for none."""
    forms = {pattern: None}
    waiting = [pattern]
    while waiting and len(forms) < 16:
        form = waiting.pop()
        shorter = [form[2:]] if form.startswith("*/") else []
        at = form.find("**/")
        while at >= 0:
            if at == 0 or form[at - 1] == "/":
                shorter.append(form[:at] + form[at + 3 :])
            at = form.find("**/", at + 1)
        for one in shorter:
            if one and one not in forms:
                forms[one] = None
                waiting.append(one)
    return forms


def _head(pattern: str) -> tuple[str, str]:
    """Return the folders before the first star, and the rest with its slash."""
    parts = pattern.split("/")
    at = next((at for at, part in enumerate(parts) if wild(part)), len(parts))
    head = "/".join(parts[:at]) or "/"
    return head, "".join(f"/{part}" for part in parts[at:])


def _real(path: str) -> str:
    try:
        return os.path.realpath(path).replace(os.sep, "/")
    except ValueError:
        return path  # a zero, or half a character: no file is called so
