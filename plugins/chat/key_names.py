"""The keys of the conversation: what each does, in one table.

The bindings of ``keys``, ``/help`` and the documentation are made from it.
"""

from typing import NamedTuple


class Key(NamedTuple):
    """One thing that keys do."""

    does: str
    """How the binding is called."""
    shown: str
    """How people write the keys."""
    presses: tuple[tuple[str, ...], ...]
    """What the toolkit calls them, each a sequence."""
    help: str
    plain: str = ""
    """How people write them where there are lines only; empty: none does it there."""


DISMISS = "/dismiss"
"""What is typed for Esc at a question, where there are lines only."""
INTERRUPTING = "interrupting; once more leaves"
"""What is said when Ctrl-C stops the work."""
LEAVING = "Ctrl-C once more leaves; Ctrl-D does, too"
"""What is said when Ctrl-C finds nothing to stop."""

KEYS = (
    Key(
        "send",
        "Enter",
        (("enter",),),
        "send; while the model works, steer it",
        "Enter",
    ),
    Key(
        "queue",
        "Alt-Q",
        (("escape", "q"),),
        "queue: send when the work is done",
    ),
    Key(
        "newline",
        "Alt-Enter, Ctrl-J, \\ Enter",
        (("escape", "enter"), ("c-j",)),
        "begin a new line",
    ),
    Key(
        "interrupt",
        "Esc, Ctrl-C",
        (("escape",), ("c-c",)),
        "interrupt the work; once more leaves",
        "Ctrl-C",
    ),
    Key("leave", "Ctrl-D", (("c-d",),), "leave, on an empty line", "Ctrl-D"),
    Key(
        "back",
        "Up",
        (("up",),),
        "on an empty line: take back what waits, or what was typed before",
    ),
    Key("complete", "Tab", (("tab",),), "complete @files and /commands"),
    Key("expand", "Ctrl-O", (("c-o",),), "show the last tool call whole, in pages"),
    Key("thoughts", "Ctrl-R", (("c-r",),), "show what the model thought"),
    Key("suspend", "Ctrl-Z", (("c-z",),), "stop for now; fg in the shell goes on"),
    Key("redraw", "Ctrl-L", (("c-l",),), "draw the rows at the bottom anew"),
)
