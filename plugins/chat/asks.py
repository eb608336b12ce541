"""Asks: what a person is asked, and what a key or a line says to it.

Owns the shapes of the things that wait for a person on the screen: a card that takes
one key, a form of options, words, and the pages of something long. Knows no screen and
no session; whoever asks waits for the answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import anyio
from attrs import define, field
from dovetail.kernel import Question, QuestionAnswer

from ..console.answer import read_answer
from ..console.terminal import visible

_SAID = {"yes": "y", "once": "y", "no": "n", "always": "a", "session": "s", "quit": "q"}
"""Words for keys, where lines are typed."""
WITHDRAWN = object()
"""The answer where nobody wants to know any more."""


@define(eq=False)
class Ask:
    """Something that waits for a person."""

    text: str = ""
    """What is printed before, rendered; it stays in the scrollback."""
    hint: str = ""
    """What may be done, on the rows at the bottom."""
    keys: Mapping[str, Any] = field(factory=dict)
    """What each key says, by its character; ``enter`` and ``space`` by name."""
    waits: str = ""
    """What a notification says; empty where the person is here anyway."""
    answer: Any = None
    _done: anyio.Event = field(factory=anyio.Event)

    takes_text = False

    def choose(self, answer: Any) -> None:
        """Give the answer; the first one counts."""
        if not self._done.is_set():
            self.answer = answer
            self._done.set()

    def press(self, key: str) -> bool:
        """Say whether a key is one of ours, and take it."""
        if key not in self.keys:
            return False
        self.choose(self.keys[key])
        return True

    def enter(self, line: str) -> str | None:
        """Take a line that was typed; return what is wrong with it, if anything is."""
        word = line.strip().lower()
        # Whole words only: whoever was typing something else does not answer by it.
        key = _SAID.get(word, word or "enter")
        return None if self.press(key) else self.hint

    def rows(self) -> Sequence[tuple[bool, str]]:
        """Return what is drawn above the hint: rows, and whether each is at hand."""
        return ()

    async def answered(self) -> Any:
        """Wait for the answer."""
        await self._done.wait()
        return self.answer


@define(eq=False)
class Words(Ask):
    """Asks for words; an empty line is an answer, too."""

    takes_text = True

    def enter(self, line: str) -> str | None:
        self.choose(line.strip())
        return None


@define(eq=False)
class Form(Ask):
    """One question, with its options: chosen by keys, by numbers, or answered in one's
    own words."""

    question: Question = field(kw_only=True)
    at: int = 0
    """The option at hand."""
    chosen: set[int] = field(factory=set)
    plain: bool = False
    """Whether no option is marked as the one at hand, so that Enter alone says none."""

    takes_text = True

    def move(self, by: int) -> None:
        """Go to another option."""
        many = len(self.question.options)
        if many:
            self.at = (self.at + by) % many

    def toggle(self) -> None:
        """Choose the option at hand, or do not."""
        if self.question.multiple:
            self.chosen ^= {self.at}

    def rows(self) -> Sequence[tuple[bool, str]]:
        rows = []
        for place, option in enumerate(self.question.options):
            mark = ""
            if self.question.multiple:
                mark = "[x] " if place in self.chosen else "[ ] "
            label = f"{mark}{place + 1}. {visible(option.label)}"
            rows.append((place == self.at, label))
        return rows

    def enter(self, line: str) -> str | None:
        if not line.strip():
            if self.plain:
                return self.hint
            self.choose(self._at_hand())
            return None
        answer = read_answer(self.question, line)
        if answer is None:
            return "that is none of the options"
        self.choose(answer)
        return None

    def _at_hand(self) -> QuestionAnswer:
        options = self.question.options
        if not options:
            return QuestionAnswer()
        if not self.question.multiple:
            return QuestionAnswer((options[self.at].label,))
        return QuestionAnswer(tuple(options[one].label for one in sorted(self.chosen)))
