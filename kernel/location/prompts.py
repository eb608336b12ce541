"""Prompts: what a person says by name in one Location.

Owns which commands there are, how their arguments are read, and what ``/name`` and
``@name`` in a prompt become. What is written out is said as it is: a name in it that
somebody else wrote attaches nothing.
"""

import logging
import re
import shlex
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from ..contracts import PromptArgument, PromptCommand, PromptSource
from ..lifecycle.beside import run_beside
from ..lifecycle.guests import Guest, contained
from ..lifecycle.registrations import Rank, Registration, Registrations
from ..values.codec import clean_text
from ..values.errors import (
    DovetailError,
    InvalidValueError,
    PromptInvalidError,
    error_text,
)
from ..values.ids import check_source_key
from ..values.prompt import Prompt, PromptFile
from .named_files import names_in

logger = logging.getLogger(__name__)

LIST_SECONDS = 20.0
WRITE_SECONDS = 60.0
PATIENCE = 0.5
"""Seconds that a source has to end once it is cancelled."""
MAX_NAME = 256
MAX_DESCRIPTION = 1_024
MOST_ATTACHED = 20
"""Names in one prompt of which sources are asked."""
_NAME = re.compile(r"[^\s/=]+")
_GIVEN = re.compile(r"([^\s=]+)=(.*)", re.DOTALL)


class Prompts:
    """The sources of commands and attachments of one Location."""

    def __init__(self) -> None:
        self.registrations = Registrations[PromptSource]()

    def register(
        self, source: PromptSource, owner: str, rank: Rank = 0
    ) -> Registration[PromptSource]:
        """Offer a source until the registration is closed. It hides an earlier one
        under the same key.

        Raises:
            InvalidValueError: it is not a PromptSource, or one of its parts is wrong.
        """
        if not isinstance(source, PromptSource):
            raise InvalidValueError("prompt source", source, "give a PromptSource")
        key = check_source_key("prompt source key", source.key)
        if not callable(source.commands):
            raise InvalidValueError("prompt source", key, "commands must be a function")
        for name, part in (("find", source.find), ("attach", source.attach)):
            if part is not None and not callable(part):
                raise InvalidValueError("prompt source", key, f"{name} is no function")
        return self.registrations.add(owner, key, source, rank)

    async def commands(self) -> Sequence[PromptCommand]:
        """Return the commands, in name order. Those of a source that fails, or takes
        longer than it may, are not there."""
        return [*(await self._listed(self._sources())).values()]

    async def made(self, said: Prompt) -> Prompt:
        """Return what is said, its command written out or else what it names attached.

        Raises:
            PromptInvalidError: an argument is missing, or a source cannot give what is
                named.
        """
        word, *rest = said.text.strip().split(maxsplit=1)[:2] or [""]
        if word.startswith("/") and _NAME.fullmatch(word[1:]):
            found = await self._found(word[1:])
            if found is not None:
                text = await _written(found, "".join(rest))
                return Prompt.of(Prompt(text, said.files))
        files = await self._attached(said.text)
        return Prompt.of(Prompt(said.text, (*said.files, *files))) if files else said

    def _sources(self) -> Sequence[Registration[PromptSource]]:
        offered = self.registrations.offer()
        return [one for one in self.registrations.all() if offered[one.key] is one]

    async def _found(self, name: str) -> PromptCommand | None:
        for one in reversed(self._sources()):
            if one.item.find is None:
                found = (await self._listed([one])).get(name)
            else:
                find = partial(one.item.find, name)
                found = await _answer("command", f"/{name}", one.key, find)
            if found is not None:
                return _checked(found)
        return None

    async def _listed(
        self, sources: Sequence[Registration[PromptSource]]
    ) -> dict[str, PromptCommand]:
        found: dict[Registration[PromptSource], Sequence[PromptCommand]] = {}

        async def ask(one: Registration[PromptSource]) -> None:
            try:
                with contained(Guest(one.owner, f"prompt source {one.key!r}")):
                    found[one] = [_checked(each) for each in await one.item.commands()]
            except Exception as error:  # a plugin's source: the boundary of a hook call
                logger.warning("prompt source %r failed: %s", one.key, error)

        works = [partial(ask, one) for one in sources]
        await run_beside("prompt sources", works, LIST_SECONDS, PATIENCE)
        listed = {each.name: each for one in sources for each in found.get(one, ())}
        return dict(sorted(listed.items()))

    async def _attached(self, text: str) -> Sequence[PromptFile]:
        files: list[PromptFile] = []
        seen: set[str] = set()
        for _, name in names_in(text):
            if not name or name in seen or len(seen) >= MOST_ATTACHED:
                continue
            for one in self._sources():
                if one.item.attach is None:
                    continue
                seen.add(name)
                wanted = partial(one.item.attach, name)
                given = await _answer("attached file", name, one.key, wanted)
                if given is not None:
                    if not all(isinstance(each, PromptFile) for each in given):
                        raise PromptInvalidError(
                            "attached file", name, f"{one.key!r} gives no PromptFile"
                        )
                    files += given
                    break
        return files


def _checked(command: object) -> PromptCommand:
    if not isinstance(command, PromptCommand):
        raise InvalidValueError("command", command, "give a PromptCommand")
    name = command.name
    if not (_NAME.fullmatch(name) and name.isprintable() and len(name) <= MAX_NAME):
        raise InvalidValueError(
            "command", name, f"1 to {MAX_NAME} printable characters, no space, / and ="
        )
    if not callable(command.write):
        raise InvalidValueError("command", name, "write must be a function")
    for one in command.arguments:
        if not isinstance(one, PromptArgument) or not _NAME.fullmatch(one.name):
            raise InvalidValueError(
                "argument of a command", one, "give PromptArguments"
            )
    return PromptCommand(
        name,
        command.write,
        clean_text(command.description).strip()[:MAX_DESCRIPTION],
        tuple(command.arguments),
    )


async def _answer(
    what: str, name: str, key: str, ask: Callable[[], Awaitable[Any]]
) -> Any:
    """Return what a plugin's function returns, or what kept it as a typed error."""
    found: list[Any] = []

    async def work() -> None:
        try:
            with contained(Guest(None, f"{what} {name!r} of {key!r}")):
                found.append(await ask())
        except Exception as error:
            found.append(error)

    await run_beside(key, [work], WRITE_SECONDS, PATIENCE)
    if not found:
        raise PromptInvalidError(what, name, f"not there in {WRITE_SECONDS:g} s")
    if isinstance(found[0], DovetailError):
        raise found[0]
    if isinstance(found[0], Exception):
        raise PromptInvalidError(what, name, clean_text(error_text(found[0])))
    return found[0]


async def _written(command: PromptCommand, rest: str) -> str:
    given = arguments_of(command, rest)
    for one in command.arguments:
        if one.required and one.name not in given:
            raise PromptInvalidError(
                "command", f"/{command.name}", f"it needs {one.name}=..."
            )
    text = await _answer(
        "command", f"/{command.name}", command.name, partial(command.write, given)
    )
    if not isinstance(text, str) or not text.strip():
        raise PromptInvalidError("command", f"/{command.name}", "it says nothing")
    return clean_text(text)


def arguments_of(command: PromptCommand, rest: str) -> dict[str, str]:
    """Return the arguments of a command as they were typed: ``name=value`` by name,
    others in the order in which the command has them, the last one with all the rest.
    Quotes hold words together.

    Raises:
        PromptInvalidError: there are more than the command takes.
    """
    try:
        words = shlex.split(rest)
    except ValueError:
        words = rest.split()  # such as an apostrophe in a sentence
    names = [one.name for one in command.arguments]
    given: dict[str, str] = {}
    loose: list[str] = []
    for word in words:
        match = _GIVEN.fullmatch(word)
        if match is not None and match[1] in names and match[1] not in given:
            given[match[1]] = match[2]
        else:
            loose.append(word)
    free = [name for name in names if name not in given]
    if loose and not free:
        raise PromptInvalidError(
            "command",
            f"/{command.name}",
            f"it takes {', '.join(names) or 'no arguments'}, and not {loose[0]!r}",
        )
    for at, name in enumerate(free):
        if loose:
            last = at == len(free) - 1
            given[name] = " ".join(loose) if last else loose[0]
            loose = [] if last else loose[1:]
    return given
