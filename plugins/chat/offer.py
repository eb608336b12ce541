"""The offer: how a line may begin or go on.

Owns the names that ``/`` may be followed by (commands of ours, skills, commands of
plugins) and the files that ``@`` may be followed by, and when plugins are asked anew
what they have. Knows nothing of what any of it does.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from dovetail.kernel import LocationHandle, PromptCommand, Skill

from ..console.terminal import short, visible
from .chat_command import ChatCommand, nearest, told_of
from .files import FRESH_SECONDS, Files, quoted, typed_path


class Offer:
    """What may be typed at one Location."""

    def __init__(
        self,
        commands: Sequence[ChatCommand],
        folder: Path,
        list_again: Callable[[], None],
    ) -> None:
        self.skills: Sequence[Skill] = ()
        self.prompts: Sequence[PromptCommand] = ()
        """The commands of plugins."""
        self._commands = commands
        self._files = Files(folder)
        self._list_again = list_again
        """Is called when plugins may have other commands by now."""
        self._listed_at = math.inf
        """When they were listed; never, while they are."""

    def move(self, folder: Path) -> None:
        """Offer the files of another folder."""
        self._files = Files(folder)

    async def list_prompts(self, here: LocationHandle) -> bool:
        """Ask plugins for their commands, and return whether they have others now."""
        before = [one.name for one in self.prompts]
        try:
            self.prompts = await here.commands()
        finally:
            self._listed_at = time.monotonic()
        return [one.name for one in self.prompts] != before

    def command(self, name: str) -> ChatCommand | None:
        """Return the command of ours of a name."""
        return next((one for one in self._commands if one.name == name), None)

    def has_skill(self, name: str) -> bool:
        """Return whether a skill has a name."""
        return any(skill.name == name for skill in self.skills)

    def nearest(self, name: str) -> str | None:
        """Return the name that was probably meant."""
        return nearest(name, self._names())

    def has(self, line: str) -> bool:
        """Return whether a line begins with the name of a command."""
        word = line.partition(" ")[0].strip()
        return word.startswith("/") and word[1:] in self._names()

    def _names(self) -> list[str]:
        known = [one.name for one in self._commands]
        known += [one.name for one in self.skills]
        return known + [one.name for one in self.prompts]

    def completions(self, text: str) -> Iterable[tuple[str, str, str, int]]:
        """Return how a text may go on."""
        path = typed_path(text)
        if path is not None:
            for found in self._files.like(path):
                start = text.rindex("@")
                yield quoted(found), visible(found), "", len(text) - start
        elif text.startswith("/") and " " not in text and "\n" not in text:
            offered = [(one.name, one.help) for one in self._commands]
            offered += [(one.name, short(one.description, 60)) for one in self.skills]
            offered += [(one.name, told_of(one, 60)) for one in self.prompts]
            if time.monotonic() - self._listed_at > FRESH_SECONDS:
                self._listed_at = math.inf
                self._list_again()
            for name, told in offered:
                if name.startswith(text[1:]):
                    yield f"/{name}", f"/{visible(name)}", told, len(text)
