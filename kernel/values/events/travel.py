"""Going back in a session, and what becomes of its files."""

from collections.abc import Mapping

from attrs import field

from ..frozen import frozen
from ..ids import MessageId
from ..tool import FileChange
from .declaring import Event, event


@event("session.reverted")
@frozen(kw_only=True)
class SessionReverted(Event):
    """What follows a message is hidden from the model, and files are about to be
    restored (law travel.4)."""

    message_id: MessageId | None
    """The last message that it still sees; None: nothing that was said in this session,
    but of a fork what it shares."""
    first: int
    """The first event that is hidden; all up to this one are."""
    files: tuple[FileChange, ...] = ()
    """What is about to be done to files."""
    tools: Mapping[str, str] = field(factory=dict)
    """The tool that does it, by path."""
    todos: int | None = None
    """The event that holds the to-do list as it is from here on; -1: no event of this
    log does; None: the list stays."""


@event("session.unreverted")
@frozen(kw_only=True)
class SessionUnreverted(Event):
    """What was hidden since the model last went on is seen again, and its files are
    about to be brought back."""

    files: tuple[FileChange, ...] = ()
    """What is about to be done to files."""
    tools: Mapping[str, str] = field(factory=dict)
    """The tool that does it, by path."""
    todos: int | None = None
    """The event that holds the to-do list as it is from here on; -1: no event of this
    log does; None: the list stays."""


@event("files.restored")
@frozen(kw_only=True)
class FilesRestored(Event):
    """What became of the files of a revert, or of its undoing: its receipt."""

    of: int
    """The event that said what was about to be done."""
    done: tuple[str, ...] = ()
    """The files that are as they were to be, by path."""
    left: Mapping[str, str] = field(factory=dict)
    """Why the others were left as they are, by path."""
