"""The editor: a write that goes through a person's buffers, as the tools do it.

Owns how a worker thread has an editor write, and what is said of it. What a file is
afterwards is for ``_files``, which looks; what an editor can be given is, too.
"""

from anyio import from_thread
from dovetail.kernel import ToolContext, ToolFailure

from ._files import Through, Written

RESHAPED = (
    "the editor saved another text than it was given, such as a formatted one: read it "
    "before the next change"
)
UNSURE = "an editor was to write it, and did not say that it did"


def through_editor(context: ToolContext) -> Through:
    """Return what has the editor of a call's session write. For worker threads."""

    def write(path: str, text: str) -> bool:
        try:
            return from_thread.run(context.write_in_editor, path, text)
        except ToolFailure:
            # It may write it yet: nobody is to believe that they know what it held.
            from_thread.run_sync(unsure, path)
            raise

    def unsure(path: str) -> None:
        context.changed(path, None, None, unknown=UNSURE)

    return write


def held_after(done: Written, given: bytes) -> bytes:
    """Return what a file holds after it was given a content."""
    return given if done.instead is None else done.instead
