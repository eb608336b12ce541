"""What a person may say by name: commands that become prompts, and what is attached."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from ..values.frozen import frozen
from ..values.prompt import PromptFile


@frozen
class PromptArgument:
    """One argument of a command."""

    name: str
    """Printable, without spaces and ``=``."""
    description: str = ""
    """What it is for."""
    required: bool = False
    """Whether nothing is said without it."""


@frozen(eq=False)
class PromptCommand:
    """A prompt with a name: a person types ``/name`` and arguments, and it is said."""

    name: str
    """Printable, without spaces and ``/``, such as ``tracker:triage``."""
    write: Callable[[Mapping[str, str]], Awaitable[str]]
    """Returns what is said, by the arguments that were given. It has a minute. What it
    raises keeps the prompt from being said, and is shown to the person."""
    description: str = ""
    """What it is for, on one line."""
    arguments: Sequence[PromptArgument] = ()
    """What it takes, in the order in which it may be typed."""


async def _none() -> Sequence[PromptCommand]:
    return ()


@frozen(eq=False)
class PromptSource:
    """A place where commands and attachments come from. Of equal names of commands the
    later source's wins."""

    key: str
    """``namespace/name``, lower case."""
    commands: Callable[[], Awaitable[Sequence[PromptCommand]]] = _none
    """Returns what there is now. It is asked each time somebody lists commands, and
    has twenty seconds."""
    find: Callable[[str], Awaitable[PromptCommand | None]] | None = None
    """Returns the command of a name that was typed, in a minute at the most; None, at
    once, for a name that is none of yours. What it raises is shown to the person.
    Without it the command is looked for among those of ``commands``."""
    attach: Callable[[str], Awaitable[Sequence[PromptFile] | None]] | None = None
    """Returns what ``@name`` in a prompt attaches; None, at once: nothing is called so
    here. It has a minute; what it raises is shown to the person."""
