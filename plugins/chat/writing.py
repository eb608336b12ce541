"""Writing: what the model says and thinks, from its first piece to its last.

Owns the parts that are not complete, which of them is shown while it is written, and
what was thought. What was shown in the end is what is durable: pieces that were lost on
the way are said again.
"""

from collections import OrderedDict
from collections.abc import Sequence

from attrs import define, field
from dovetail.kernel import LiveDelta, clean_text

from .blocks import Blocks
from .sheet import Sheet

MOST_WRITTEN = 3000
"""Characters of a block that is not complete which are rendered."""


@define(eq=False)
class _Part:
    what: str
    text: str = ""
    whole: bool = True
    blocks: Blocks = field(factory=Blocks)


class Writing:
    """The texts of one session, on its sheet."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self.thoughts: list[str] = []
        """What the model thought, part by part."""
        self._parts: OrderedDict[tuple[str, str], _Part] = OrderedDict()
        self._front: _Part | None = None
        """The one that is shown."""
        self._drafted: tuple[str, int, list[str]] = ("", 0, [])
        """What was rendered last of what is not complete, how wide, and its rows."""

    def rows(self, width: int) -> Sequence[str]:
        """Return the end of the block of the answer that is not complete, rendered as
        far as it can be, row by row."""
        front = self._front
        if front is None or front.what != "text":
            return []
        written = front.blocks.end_of_rest(MOST_WRITTEN)
        if self._drafted[:2] != (written, width):
            rows = self._sheet.draft(written, width)
            self._drafted = (written, width, rows if written.strip() else [])
        return self._drafted[2]

    @property
    def thinking(self) -> str:
        """What the model thinks now."""
        front = self._front
        return front.text if front is not None and front.what == "reasoning" else ""

    def feed(self, delta: LiveDelta) -> str:
        """Return what is complete by a piece; often nothing."""
        key = (delta.what, delta.part)
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = _Part(delta.what)
            self._front = part
        part.text += delta.text
        if part is not self._front:
            # Shown when it is whole: two texts at once can be read by nobody.
            part.whole = False
            return ""
        if part.what == "reasoning":
            return ""
        return self._sheet.blocks(part.blocks.feed(delta.text))

    def end_text(self, text: str) -> str:
        """Return what was not shown of a text that is complete."""
        part = self._ended("text")
        fed = clean_text(part.text)
        if part.whole and text.startswith(fed):
            blocks = [*part.blocks.feed(text[len(fed) :]), *part.blocks.end()]
            return self._sheet.blocks(blocks)
        # Something of it was lost on the way, so it is said again, whole.
        again = Blocks()
        return self._sheet.blocks([*again.feed(text), *again.end()])

    def end_thought(self, text: str) -> str:
        """Return what is told of a thought that is complete."""
        self._ended("reasoning")
        if not text.strip():
            return ""
        self.thoughts.append(text)
        words = len(text.split())
        many = f"{words:,} word{'' if words == 1 else 's'}"
        return self._sheet.aside(f"thought, {many} (Ctrl-R shows)")

    def _ended(self, what: str) -> _Part:
        """Return the oldest part of a kind, which is open no more."""
        key = next((key for key, one in self._parts.items() if key[0] == what), None)
        part = self._parts.pop(key) if key is not None else _Part(what)
        if part is self._front:
            self._front = None
        return part

    def stop(self) -> None:
        """Forget what is not complete: nobody goes on with it."""
        self._parts.clear()
        self._front = None
