"""Asking: how a request to a person becomes an answer.

Owns the patterns of ``--allow`` and the conversation with the person at the terminal.
What is shown of a request is ``card``.
"""

import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Literal

import anyio
import click
from attrs import frozen
from dovetail.kernel import (
    ApprovalScope,
    Json,
    PermissionReply,
    PermissionRequest,
    QuestionAnswer,
    QuestionRequest,
    Rule,
    Saving,
    ToolPart,
    WorkingFolder,
    decide,
    to_be_allowed,
)

from ..console.answer import read_answer
from ..console.card import card_lines, one_question_lines
from ..console.folding import rows
from ..console.terminal import Terminal, typeable

_ACTION = re.compile(r"[A-Za-z0-9_.*?-]{1,64}\Z")
MAX_ANSWER = 8_000
PASTE_PAUSE = 0.05
"""Seconds without a further piece after which a paste is over."""
LONGEST_PASTE = 2.0


def read_patterns(
    context: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> tuple[Rule, ...]:
    """Return ``ACTION`` and ``ACTION:RESOURCE`` as rules that allow.

    Raises:
        BadParameter: one of them is neither.
    """
    return tuple(_read_pattern(value) for value in values)


def _read_pattern(value: str) -> Rule:
    action, colon, resource = value.partition(":")
    if not _ACTION.match(action):
        raise click.BadParameter(
            f"{value!r} does not begin with an action such as edit or bash"
        )
    if colon and not resource:
        raise click.BadParameter(
            f"{value!r} names no resource after the colon; write {action!r} alone "
            "for all of them"
        )
    return Rule(action, resource or "*", "allow", source=f"--allow {value}")


def allowed(request: PermissionRequest, patterns: Sequence[Rule]) -> bool:
    """Return whether the patterns cover everything that is asked for."""
    where = WorkingFolder(None, request.folder or ".")
    effect = decide(request.action, request.resources, patterns, where=where)
    return effect == "allow"


def allow_options(request: PermissionRequest) -> list[str]:
    """Return the options of ``run`` that would answer this request, if any would."""
    where = WorkingFolder(None, request.folder or ".")
    # What cannot be typed is any one character of a pattern.
    options = [
        f"{action}:{typeable(resource)}"
        for action, resource in to_be_allowed(request.action, request.resources, where)
    ]
    rules = [_read_pattern(option) for option in options]
    if not allowed(request, rules):
        return []
    return [part for option in options for part in ("--allow", option)]


@frozen
class Answer:
    """What a person answered, or an option in advance."""

    reply: PermissionReply
    advice: str | None = None
    by: Literal["person", "policy"] = "person"
    saving: Saving | None = None
    """What ``always`` is to remember; None: what is offered, here."""


@frozen
class Answers:
    """What a person said to questions; ``answers`` is None: they dismissed them."""

    answers: tuple[QuestionAnswer, ...] | None
    message: str | None = None


_ALWAYS: Mapping[str, ApprovalScope] = {
    "a": "location",
    "always": "location",
    "as": "session",
    "ae": "everywhere",
}


_WORD = re.compile(r"(\w+)(\+?)(?:\s+(\d{1,4})\s*([mhd]))?\Z")
_UNITS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


def read_always(answer: str, now: int) -> Saving | None:
    """Return what a typed ``always`` is to remember; None where it is none.

    ``now`` is in milliseconds since 1970.
    """
    found = _WORD.match(answer)
    scope = _ALWAYS.get(found[1]) if found else None
    if found is None or scope is None:
        return None
    length = int(found[3] or 0) * _UNITS[found[4] or "m"]
    until = now + length if length else None
    return Saving(scope, any_agent=bool(found[2]), expires=until)


def _arguments(call: ToolPart | None) -> Mapping[str, Json] | None:
    if call is None:
        return None
    try:
        found = json.loads(call.arguments)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


class Person:
    """The person at the terminal.

    Reading waits for the terminal, not in it: whoever stops waiting leaves nothing
    behind that would take the next line.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._typed = b""

    @property
    def there(self) -> bool:
        """Whether anybody can answer."""
        return sys.stdin is not None and sys.stdin.isatty()

    async def ask(
        self, request: PermissionRequest, call: ToolPart | None = None
    ) -> Answer | None:
        """Ask until there is an answer; None when the person leaves.

        ``call`` is the call that asks, whose arguments say what would be done.
        """
        tell = self._terminal.tell
        tool = call.tool if call is not None else None
        first, *more = card_lines(request, tool, _arguments(call))
        self._tell_card(f"? allow {first}", *more)
        always = bool(request.save)
        choices = f"once (o), {'always (a) ' if always else ''}or reject (r)"
        if always:
            tell(
                "  a: here; as: in this session only; ae: everywhere; with + for "
                "every agent; with a time (a 30m, as 8h, ae+ 7d) for so long"
            )
        while True:
            line = await self._answer_to(f"  {choices}? ")
            if line is None:
                return None
            answer = line.strip().lower()
            if answer in ("o", "once", "y", "yes"):
                return Answer("once")
            now = int(time.time() * 1000)
            if always and (saving := read_always(answer, now)) is not None:
                return Answer("always", saving=saving)
            if answer in ("r", "reject", "n", "no"):
                question = "  what to do instead (Enter alone stops the run)? "
                advice = (await self._answer_to(question) or "").strip()
                return Answer("reject", advice[:MAX_ANSWER] or None)

    async def answer(self, request: QuestionRequest) -> Answers | None:
        """Ask each question until it has an answer; None when the person leaves."""
        answers: list[QuestionAnswer] = []
        for question in request.questions:
            first, *more = one_question_lines(question)
            self._tell_card(f"? {first}", *more)
            how = []
            if question.options:
                how.append("numbers" if question.multiple else "a number")
            if question.free:
                how.append("your own words")
            choices = f"{' or '.join(how)}, Enter to leave it open, d to dismiss"
            while True:
                line = await self._answer_to(f"  {choices}? ")
                if line is None:
                    return None
                if line.strip().lower() in ("d", "dismiss"):
                    instead = "  what to say instead (Enter alone stops the run)? "
                    said = (await self._answer_to(instead) or "").strip()
                    return Answers(None, said[:MAX_ANSWER] or None)
                answer = read_answer(question, line)
                if answer is not None:
                    answers.append(answer)
                    break
        return Answers(tuple(answers))

    async def confirm(self, question: str) -> bool:
        """Ask whether to do something; only a clear yes is one."""
        style = self._terminal.error_style
        answer = await self._answer_to(f"{style.strong('?')} {question} (y/N)? ")
        return (answer or "").strip().lower() in ("y", "yes")

    def _tell_card(self, *lines: str) -> None:
        """Tell clean lines that a person agrees to, the first of which begins with
        ``?``, on rows which the terminal breaks no further."""
        style, width = self._terminal.error_style, self._terminal.error_width
        told = [row for line in lines for row in rows(line, width)]
        self._terminal.tell(f"{style.strong(told[0][:1])}{told[0][1:]}")
        for row in told[1:]:
            self._terminal.tell(row)

    async def _answer_to(self, question: str) -> str | None:
        """Return the line that was typed after a question was shown, or None.

        What came before, such as the further lines of one that was pasted, was not
        meant for it.
        """
        await self._forget_typed()
        self._terminal.tell(question, end="")
        return await self._line()

    async def _line(self) -> str | None:
        """Return the next line, or None at the end of input."""
        fd = sys.stdin.fileno()
        while b"\n" not in self._typed:
            await anyio.wait_readable(fd)
            data = os.read(fd, 4096)
            if not data:
                self._terminal.tell("")
                return None
            self._typed += data
        line, _, self._typed = self._typed.partition(b"\n")
        return line.decode(sys.stdin.encoding or "utf-8", "replace")

    async def _forget_typed(self) -> None:
        """Drop what was typed before the question is there to be read.

        A paste comes in pieces: whatever follows the one before at once belongs to it.
        """
        self._typed = b""
        try:
            import termios
        except ImportError:
            return
        fd = sys.stdin.fileno()
        with anyio.move_on_after(LONGEST_PASTE):
            while True:
                termios.tcflush(fd, termios.TCIFLUSH)
                with anyio.move_on_after(PASTE_PAUSE) as pause:
                    await anyio.wait_readable(fd)
                if pause.cancelled_caught:
                    return
