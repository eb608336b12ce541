"""Answering: whether what is typed answers what is asked.

Owns when a question takes the keys, which it does once nobody types, the draft that is
put away meanwhile, and what is drawn of a question. Knows the shapes of questions from
``shown``, and nothing of what they are about.
"""

import asyncio
from collections.abc import Callable

from .fitting import cut, folded
from .prompt_line import PromptLine
from .shown import Form, Question, Talk

STILL_SECONDS = 0.6
"""How long nobody types before a card takes a key: whoever types a word does not
answer with it."""


class Answering:
    """The question at the prompt line, if there is one."""

    def __init__(self, talk: Callable[[], Talk], line: PromptLine) -> None:
        self._talk = talk
        self._line = line
        self._typed_at = float("-inf")
        self._takes = False
        """Whether a question takes what is typed."""
        self._draft: str | None = None
        """What was being typed when a question came."""

    @property
    def waits(self) -> bool:
        """Whether something is asked that does not take what is typed yet."""
        return self._talk().asked is not None and not self._takes

    @property
    def question(self) -> Question | None:
        """What is answered by what is typed now, or None."""
        return self._talk().asked if self._takes else None

    @property
    def by_key(self) -> Question | None:
        """What is answered by a key, so that none of them is typed; or None."""
        question = self.question
        return None if question is None or question.takes_text else question

    @property
    def form(self) -> Form | None:
        """The form that is drawn, if one is.

        Arrows on an empty line are its as soon as it is seen: they are no part of a
        word, and answer nothing. All other keys are only when a question takes them.
        """
        asked = self._talk().asked
        return asked if isinstance(asked, Form) else None

    def typing(self) -> None:
        """Say that somebody types."""
        self._typed_at = asyncio.get_running_loop().time()

    def give_way(self) -> None:
        """Let what is typed be typed, in the draft that was put away, where a question
        takes single keys: one that answers nothing begins a word, whose other keys are
        no answers either."""
        if self.by_key is not None:
            self._takes = False
            self._take_up_draft()

    def _take_up_draft(self) -> None:
        if self._draft is not None:
            draft, self._draft = self._draft, None
            self._line.replace(draft)

    def look(self) -> None:
        """Let a question take what is typed, once nobody types, and give the draft back
        when nothing is asked any more."""
        if self._talk().asked is None:
            self._takes = False
            self._take_up_draft()
            return
        now = asyncio.get_running_loop().time()
        if not self._takes and now - self._typed_at >= STILL_SECONDS:
            self._takes = True
            self._draft = self._line.text or None
            self._line.replace("")

    def rows(self, width: int, height: int) -> list[str]:
        """Return what is drawn of what is asked, rendered: the options around the one
        at hand, and what may be done."""
        question = self._talk().asked
        if question is None:
            return []
        lines: list[str] = []
        rows = list(question.rows())
        room = max(height - 5, 1)
        at = next((n for n, (hand, _) in enumerate(rows) if hand), 0)
        first = max(min(at - room // 2, len(rows) - room), 0)
        for hand, text in rows[first : first + room]:
            mark = "›" if hand else " "
            line = cut(f"{mark} {text}", width - 1)
            lines.append(f"\x1b[1m{line}\x1b[0m" if hand else line)
        hint = question.hint if self._takes else "a question waits; stop typing"
        return lines + folded(hint, width - 1)
