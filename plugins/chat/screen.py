"""The live screen: finished text above, and a few rows at the bottom that change.

Owns the terminal while a conversation is open: the prompt line with its history, keys
and completion, the rows of what goes on, and the status line. Text that is finished is
written above them, gathered for a moment, so that a slow link is not flooded. Knows
nothing of sessions: a ``Talk`` says what is drawn and hears what is typed, and may come
later than the first key.
"""

import asyncio
import errno
import os
import select
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Any, Protocol

from prompt_toolkit.application import Application
from prompt_toolkit.application.current import set_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition, has_completions
from prompt_toolkit.formatted_text import ANSI, StyleAndTextTuples, to_formatted_text
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.layout import (
    BufferControl,
    CompletionsMenu,
    ConditionalContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    VerticalAlign,
    Window,
)
from prompt_toolkit.layout.dimension import Dimension
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.styles import Style

from .history import PromptHistory, history_path
from .key_names import KEYS
from .pastes import Pastes, typeable
from .reflow import ReflowRenderer

GATHERED_SECONDS = 0.03
"""How long finished text is gathered before it is written."""
REDRAWN_SECONDS = 0.02
"""How long the rows stand at the least, however much happens."""
TICK_SECONDS = 0.12
"""How often the rows are drawn anew while something goes on."""
MOST_AT_ONCE = 200_000
"""Characters that are written between two looks at the keys."""
STILL_SECONDS = 0.6
"""How long nobody types before a card takes a key: whoever types a word does not
answer with it."""
PASTED_KEYS = 16
"""Keys that come at once after Enter where a text was pasted."""
PASTED_SECONDS = 0.1
"""How long a paste may rest before it is over."""
KEPT_SECONDS = 0.35
"""After which time Esc is a key of its own, and not the beginning of another."""
MOST_TOLD = 200
"""Characters of a line that are told when it was not sent."""
MOST_ROWS = 8
"""Rows of the prompt line."""
GONE = (errno.EIO, errno.EBADF, errno.EPIPE)
"""What a terminal that was closed answers."""


class Question(Protocol):
    """What waits for a person: see ``asks``."""

    @property
    def takes_text(self) -> bool: ...
    @property
    def hint(self) -> str: ...
    def press(self, key: str) -> bool: ...
    def enter(self, line: str) -> str | None: ...
    def rows(self) -> Sequence[tuple[bool, str]]: ...


class Talk(Protocol):
    """What a screen shows, and who hears what is typed."""

    @property
    def busy(self) -> bool:
        """Whether something goes on, so that the rows change by themselves."""

    @property
    def asked(self) -> Any:
        """What waits for a person, or None."""

    def submit(self, line: str, *, queue: bool) -> None:
        """Take a line that was typed."""

    def interrupt(self) -> bool:
        """Stop the work; False where there is none, or it is being stopped already."""

    def take_back(self) -> bool:
        """Take back what waits, if anything does."""

    def expand(self) -> None:
        """Show the last call whole."""

    def show_thoughts(self) -> None:
        """Show what the model thought."""

    def rows(self, width: int, height: int) -> Sequence[str]:
        """Return the rows of what goes on, rendered."""

    def status(self, width: int) -> str:
        """Return the status line."""

    def is_command(self, line: str) -> bool:
        """Return whether a line begins with the name of a command."""

    def completions(self, text: str) -> Iterable[tuple[str, str, str, int]]:
        """Return how a text may go on: what to put, what to show, what it is, and how
        many characters before the end it replaces."""


class LiveScreen:
    """The screen of a terminal that can move its cursor."""

    def __init__(self, *, colour: bool) -> None:
        self.colour = colour
        self._talk: Talk | None = None
        self._early: list[tuple[str, bool]] = []
        """What was typed before anybody could hear it."""
        self._waiting: list[str] = []
        """Finished text that is not written yet."""
        self._written = asyncio.Event()
        self._drawn = asyncio.Event()
        self._typed_at = float("-inf")
        self._gathered = ""
        """What was pasted without being marked as that, so far."""
        self._gathering: asyncio.TimerHandle | None = None
        self._armed = False
        """Whether a card takes keys."""
        self._draft: str | None = None
        """What was being typed when a card came."""
        self._returned = ""
        """What was put back on the prompt line last."""
        self._leaving = False
        self._suspended = False
        """Whether this process stopped itself, and draws anew by itself."""
        self._hint = ""
        self._pastes = Pastes()
        self._buffer = Buffer(
            completer=_Completer(self),
            complete_while_typing=Condition(lambda: self._question is None),
            history=PromptHistory(history_path),
            multiline=True,
            enable_history_search=False,
        )
        self._app: Application[None] = Application(
            layout=Layout(self._rows(), focused_element=self._buffer),
            key_bindings=self._bindings(),
            style=Style.from_dict(_STYLE if colour else _PLAIN),
            color_depth=None if colour else ColorDepth.DEPTH_1_BIT,
            include_default_pygments_style=False,
            full_screen=False,
            mouse_support=False,
            erase_when_done=True,
            refresh_interval=None,
            min_redraw_interval=REDRAWN_SECONDS,
            output=_output(),
        )
        self._app.renderer = ReflowRenderer(
            self._app.renderer.style, self._app.output, full_screen=False
        )
        self._app.after_render += lambda app: self._drawn.set()
        self._app.ttimeoutlen = 0.05
        self._app.timeoutlen = KEPT_SECONDS

    # --- for whoever talks --------------------------------------------------------

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return max(self._app.output.get_size().columns, 10)

    @property
    def height(self) -> int:
        """Rows of the terminal."""
        return max(self._app.output.get_size().rows, 4)

    def attach(self, talk: Talk) -> None:
        """Begin to show a talk, which hears what was typed so far."""
        self._talk = talk
        early, self._early = self._early, []
        for line, queue in early:
            talk.submit(line, queue=queue)
        self.changed()

    def show(self, text: str) -> None:
        """Write finished text, rendered, above the rows; soon, and in order."""
        if text:
            self._waiting.append(text)
            self._written.set()

    def changed(self) -> None:
        """Draw the rows anew, soon."""
        self._take_question()
        self._app.invalidate()

    def hint(self, text: str) -> None:
        """Show a few words on the rows until the next key."""
        self._hint = text
        self._app.invalidate()

    def complete_again(self) -> None:
        """Offer anew how a command that is being typed may go on: there are others."""
        state = self._buffer.complete_state
        chosen = state is not None and state.complete_index is not None
        typed = self._buffer.text.startswith("/")
        if self._app.is_running and typed and not chosen:
            with set_app(self._app):
                self._buffer.start_completion()

    def put_back(self, text: str, *, instead: bool = False) -> None:
        """Put a text on the prompt line, before what is there, or ``instead`` of what
        was put back there and nobody changed."""
        more = self._buffer.text
        if instead:
            more = self._behind_returned(more)
        folded = typeable(self._pastes.fold(text))
        parts = [part for part in (folded, more) if part.strip()]
        self._set_text("\n".join(parts))
        self._returned = folded
        self._app.invalidate()

    def _behind_returned(self, text: str) -> str:
        """Return what was typed behind a prompt that was put back, or all of it where
        that was changed."""
        if self._returned and text.startswith(self._returned):
            return text[len(self._returned) :].lstrip()
        return text

    def ring(self, why: str) -> None:
        """Call a person who looks elsewhere."""
        # What a terminal that knows it shows outside of its window: only our words.
        said = "".join(sign for sign in why if sign.isprintable())[:80]
        self._app.output.write_raw(f"\x07\x1b]9;{said}\x07")
        self._app.output.flush()

    def leave(self) -> None:
        """End ``run``."""
        left, self._leaving = self._leaving, True
        if self._app.is_running and not left:
            self._app.exit()

    async def drawn(self) -> None:
        """Return when the rows were drawn for the first time."""
        await self._drawn.wait()

    def _take_typed_ahead(self) -> None:
        """Take what was typed before the terminal was ours: a line is a prompt, several
        are put on the prompt line, because they may have been pasted."""
        lines = _typed_ahead(sys.stdin.fileno())
        if len(lines) == 1 and lines[0].strip():
            self._early.append((lines[0], False))
            self._buffer.history.append_string(typeable(lines[0]))
        elif lines:
            self.put_back("\n".join(lines))

    async def run(self) -> None:
        """Hold the terminal until the person leaves."""
        self._take_typed_ahead()
        writing = asyncio.ensure_future(self._write())
        ticking = asyncio.ensure_future(self._tick())
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCONT, self._continued)
        loop.set_exception_handler(self._unforeseen)
        try:
            # What somebody prints all the same goes above the rows, and is cleaned.
            with patch_stdout():
                await self._app.run_async(
                    pre_run=self._begun, set_exception_handler=False
                )
        except (EOFError, OSError) as error:
            if not _is_gone(error):
                raise
        finally:
            loop.set_exception_handler(None)
            loop.remove_signal_handler(signal.SIGCONT)
            writing.cancel()
            ticking.cancel()
            await asyncio.gather(writing, ticking, return_exceptions=True)

    def _unforeseen(
        self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]
    ) -> None:
        """Tell what nobody waited for, unless it is that the terminal is gone.

        The toolkit's own handler shows it and waits for Enter: on a terminal that is
        gone that fails, which is shown again, without end.
        """
        if _is_gone(context.get("exception")):
            self.leave()
        else:
            loop.default_exception_handler(context)

    def _begun(self) -> None:
        if self._leaving:
            self._app.exit()

    # --- writing ------------------------------------------------------------------

    async def _write(self) -> None:
        while True:
            await self._drawn.wait()
            await self._written.wait()
            await asyncio.sleep(GATHERED_SECONDS)
            self._written.clear()
            while self._waiting:
                self._write_some()
                # Keys, and the rows, between one part and the next.
                await asyncio.sleep(0)

    def _write_some(self) -> None:
        """Write what was gathered, but no more than a person's keys can wait for."""
        size = count = 0
        while count < len(self._waiting) and size < MOST_AT_ONCE:
            size += len(self._waiting[count])
            count += 1
        text = "".join(self._waiting[:count])
        del self._waiting[:count]
        # The terminal stays ours meanwhile: were it to edit lines by itself, as the
        # toolkit lets it where others print, it would take the keys of that moment.
        self._app.renderer.erase(leave_alternate_screen=False)
        self._app.output.write_raw(text.replace("\n", "\r\n"))
        self._app.output.flush()
        self._app.invalidate()

    def finish(self) -> None:
        """Write what is left, when the rows are gone."""
        text, self._waiting = "".join(self._waiting), []
        # Whoever leaves before it is open finds it among what was typed before.
        text += "".join(unsent(line) for line, _ in self._early)
        with suppress(OSError):
            sys.stdout.write(text)
            sys.stdout.flush()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if self._question is not None and not self._armed:
                self._take_question()
                self._app.invalidate()
            elif self._talk is not None and self._talk.busy:
                self._app.invalidate()

    # --- questions ----------------------------------------------------------------

    @property
    def _question(self) -> Any:
        return self._talk.asked if self._talk is not None else None

    def _take_question(self) -> None:
        """Let a card take the keys, once nobody is typing."""
        if self._question is None:
            self._armed = False
            if self._draft is not None:
                draft, self._draft = self._draft, None
                self._set_text(draft)
            return
        now = asyncio.get_running_loop().time()
        if not self._armed and now - self._typed_at >= STILL_SECONDS:
            self._armed = True
            self._draft = self._buffer.text or None
            self._set_text("")

    @property
    def _keys_answer(self) -> bool:
        question = self._question
        return question is not None and self._armed and not question.takes_text

    # --- the rows -----------------------------------------------------------------

    def _rows(self) -> HSplit:
        prompt = Window(
            BufferControl(self._buffer),
            get_line_prefix=self._prefix,
            wrap_lines=True,
            height=self._prompt_height,
            dont_extend_height=True,
        )
        above = Window(
            FormattedTextControl(self._above),
            height=lambda: Dimension.exact(len(self._lines())),
            dont_extend_height=True,
            wrap_lines=False,
        )
        status = Window(
            FormattedTextControl(self._status),
            height=1,
            dont_extend_height=True,
            style="class:status",
        )
        return HSplit(
            [
                ConditionalContainer(above, Condition(lambda: bool(self._lines()))),
                prompt,
                CompletionsMenu(max_height=6, scroll_offset=1),
                status,
            ],
            align=VerticalAlign.TOP,
        )

    def _prompt_height(self) -> Dimension:
        return Dimension(min=1, max=MOST_ROWS)

    def _prefix(self, line: int, wraps: int) -> StyleAndTextTuples:
        if self._keys_answer:
            return [("class:prompt", "? ")]
        first = line == 0 and wraps == 0
        return [("class:prompt", "> " if first else "  ")]

    def _lines(self) -> list[str]:
        """Return the rows above the prompt line, rendered."""
        width, height = self.width, self.height
        lines: list[str] = []
        if self._talk is not None:
            lines += self._talk.rows(width, max(height - 6, 1))
        else:
            lines += [
                f"> {line.splitlines()[0][: width - 3]}" for line, _ in self._early
            ]
        question = self._question
        if question is not None:
            rows = list(question.rows())
            room = max(height - 5, 1)
            at = next((n for n, (hand, _) in enumerate(rows) if hand), 0)
            first = max(min(at - room // 2, len(rows) - room), 0)
            for hand, text in rows[first : first + room]:
                mark = "›" if hand else " "
                line = _cut(f"{mark} {text}", width - 1)
                lines.append(f"\x1b[1m{line}\x1b[0m" if hand else line)
            hint = question.hint if self._armed else "a question waits; stop typing"
            lines += _folded(hint, width - 1)
        if self._hint:
            lines += _folded(self._hint, width - 1)
        return lines

    def _above(self) -> StyleAndTextTuples:
        return to_formatted_text(ANSI("\n".join(self._lines())))

    def _status(self) -> str:
        if self._talk is None:
            return "opening"
        return self._talk.status(self.width - 1)

    # --- keys ---------------------------------------------------------------------

    def _bindings(self) -> KeyBindings:
        bindings = KeyBindings()
        does: dict[str, Callable[[KeyPressEvent], None]] = {
            "send": self._enter,
            "queue": self._queue,
            "newline": self._newline,
            "interrupt": self._interrupt,
            "leave": self._ctrl_d,
            "back": self._up,
            "complete": self._tab,
            "expand": lambda event: self._told(lambda talk: talk.expand()),
            "thoughts": lambda event: self._told(lambda talk: talk.show_thoughts()),
            "suspend": self._suspend,
            "redraw": lambda event: self._app.renderer.clear(),
        }
        for key in KEYS:
            for press in key.presses:
                bindings.add(*press)(does[key.does])
        bindings.add("down")(self._down)
        bindings.add("s-tab")(self._back_tab)
        bindings.add("backspace")(self._backspace)
        bindings.add("<bracketed-paste>")(self._paste)
        bindings.add("<sigint>")(self._interrupt)
        bindings.add("<any>")(self._any)
        return bindings

    def _suspend(self, event: KeyPressEvent) -> None:
        self._suspended = True
        self._app.suspend_to_background()

    def _continued(self) -> None:
        """Draw anew where the cursor is: others wrote while this process stood."""
        if not self._suspended:
            self._app.renderer.reset()
            self._app.invalidate()
        self._suspended = False

    def _typing(self, change: Callable[[], None]) -> None:
        """Change the line, unless the keys answer a card."""
        self._hint = ""
        if self._keys_answer:
            return
        self._typed_at = asyncio.get_running_loop().time()
        change()

    def _told(self, tell: Callable[[Talk], None]) -> None:
        self._hint = ""
        if self._talk is not None:
            tell(self._talk)

    def _newline(self, event: KeyPressEvent) -> None:
        if not self._gathers(event):
            self._typing(lambda: self._buffer.insert_text("\n"))

    def _any(self, event: KeyPressEvent) -> None:
        if self._gathers(event):
            return
        key = event.data
        question = self._question
        if self._keys_answer:
            question.press("space" if key == " " else key.lower())
            self.changed()
            return
        form = self._form()
        if key == " " and form is not None and self._armed and not self._buffer.text:
            form.toggle()
            return
        if typeable(key) and key not in "\n\t":
            self._typing(lambda: self._buffer.insert_text(key * event.arg))

    def _form(self) -> Any:
        """Return the form that is drawn, if one is.

        Arrows on an empty line are its as soon as it is seen: they are no part of a
        word, and answer nothing. All other keys are only when a card takes keys.
        """
        question = self._question
        return question if hasattr(question, "move") else None

    def _enter(self, event: KeyPressEvent) -> None:
        if self._gathers(event):
            return
        buffer = self._buffer
        if self._keys_answer:
            self._question.press("enter")
            self.changed()
            return
        state = buffer.complete_state
        if state is not None and state.current_completion is not None:
            buffer.complete_state = None
            return
        if buffer.document.text_before_cursor.endswith("\\"):
            # The line goes on.
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
            return
        self._send(queue=False)

    def _gathers(self, event: KeyPressEvent) -> bool:
        """Gather what was pasted into a terminal which does not say so, and say whether
        this key is a part of it: nobody types so much at once."""
        keys = event.app.key_processor.input_queue
        if len(event.key_sequence) > 1:
            # Alt and Enter, which nobody pastes.
            return False
        if not self._gathered:
            ahead = "".join(key.data for key in takewhile(_is_text, keys))
            if len((event.data + ahead).partition("\r")[2]) < PASTED_KEYS:
                return False
        parts = [event.data]
        while keys and _is_text(keys[0]):
            parts.append(keys.popleft().data)
        self._gathered += "".join(parts)
        self._typed_at = asyncio.get_running_loop().time()
        if self._gathering is not None:
            self._gathering.cancel()
        loop = asyncio.get_running_loop()
        self._gathering = loop.call_later(PASTED_SECONDS, self._take_gathered)
        return True

    def _take_gathered(self) -> None:
        """Put what was gathered on the prompt line, once no more of it comes."""
        text, self._gathered, self._gathering = self._gathered, "", None
        with set_app(self._app):
            self._insert_pasted(text)
        self._app.invalidate()

    def _insert_pasted(self, text: str) -> None:
        self._typing(
            lambda: self._buffer.insert_text(typeable(self._pastes.fold(text)))
        )

    def _queue(self, event: KeyPressEvent) -> None:
        if not self._keys_answer:
            self._send(queue=True)

    def _send(self, *, queue: bool) -> None:
        typed = self._buffer.text
        question = self._question
        self._hint = ""
        if question is not None and self._armed:
            problem = question.enter(self._pastes.unfold(typed))
            self._hint = problem or ""
            if problem is None:
                self._set_text("")
            self.changed()
            return
        if not typed.strip():
            return
        behind = self._behind_returned(typed)
        if behind != typed and self._talk is not None and self._talk.is_command(behind):
            # The prompt before it stays: it was not typed to be sent with a command.
            typed, kept = behind, self._returned
        else:
            kept = self._returned = ""
        self._set_text(typed)
        self._buffer.append_to_history()
        self._set_text(kept)
        line = self._pastes.unfold(typed)
        if self._talk is None:
            self._early.append((line, queue))
        else:
            self._talk.submit(line, queue=queue)

    def _interrupt(self, event: KeyPressEvent) -> None:
        buffer = self._buffer
        escape = event.key_sequence[0].key == "escape"
        if buffer.complete_state is not None and escape:
            buffer.cancel_completion()
            return
        question = self._question
        if question is not None and self._armed and question.press("escape"):
            self._set_text("")
            self.changed()
            return
        if self._talk is not None and self._talk.interrupt():
            self._hint = "interrupting; once more leaves"
        elif self._talk is not None and self._talk.busy:
            self.leave()
        elif buffer.text:
            self._hint = ""
            if not escape:
                self._set_text("")
        elif self._hint == LEAVING:
            self.leave()
        elif not escape:
            self._hint = LEAVING
        self.changed()

    def _ctrl_d(self, event: KeyPressEvent) -> None:
        if self._buffer.text:
            self._buffer.delete()
        else:
            self.leave()

    def _up(self, event: KeyPressEvent) -> None:
        form = self._form()
        if form is not None and not self._buffer.text:
            form.move(-1)
        elif self._buffer.complete_state is not None:
            self._buffer.complete_previous()
        elif not self._buffer.text and self._talk and self._talk.take_back():
            return
        elif not self._keys_answer:
            self._buffer.auto_up(count=event.arg)

    def _down(self, event: KeyPressEvent) -> None:
        form = self._form()
        if form is not None and not self._buffer.text:
            form.move(1)
        elif self._buffer.complete_state is not None:
            self._buffer.complete_next()
        elif not self._keys_answer:
            self._buffer.auto_down(count=event.arg)

    def _tab(self, event: KeyPressEvent) -> None:
        if self._gathers(event) or self._keys_answer:
            return
        if self._buffer.complete_state is not None:
            self._buffer.complete_next()
        else:
            self._buffer.start_completion(select_first=True)

    def _back_tab(self, event: KeyPressEvent) -> None:
        if has_completions():
            self._buffer.complete_previous()

    def _backspace(self, event: KeyPressEvent) -> None:
        def delete() -> None:
            before = self._buffer.document.text_before_cursor
            mark = self._pastes.mark_at_end(before)
            self._buffer.delete_before_cursor(count=len(mark or "x"))

        self._typing(delete)

    def _paste(self, event: KeyPressEvent) -> None:
        self._insert_pasted(event.data)

    def _set_text(self, text: str) -> None:
        self._buffer.cancel_completion()
        self._buffer.set_document(Document(text, len(text)), bypass_readonly=True)
        self._buffer.history_search_text = None
        # A line of its own: going up begins at the newest of what was typed before.
        self._buffer.reset(self._buffer.document)


def unsent(line: str) -> str:
    """Return what is told of a line that nobody heard."""
    said = "".join(sign if sign.isprintable() else " " for sign in line[:MOST_TOLD])
    return f"not sent: {said}{'…' if len(line) > MOST_TOLD else ''}\n"


def _is_text(key: KeyPress) -> bool:
    """Return whether a key stands for itself."""
    data = key.data
    return len(data) == 1 and (data.isprintable() or data in "\r\n\t")


def _is_gone(error: object) -> bool:
    """Whether an error says that nobody sits at the terminal any more."""
    return isinstance(error, EOFError) or (
        isinstance(error, OSError) and error.errno in GONE
    )


def _output() -> Vt100_Output:
    output = Vt100_Output.from_pty(sys.stdout)
    # Nobody asks the terminal where its cursor is: over a slow link the answer would
    # come late, and be typed.
    output.enable_cpr = False
    return output


def _typed_ahead(fd: int) -> list[str]:
    """Return the lines that a terminal holds which still edits lines by itself."""
    data = b""
    while len(data) < MOST_AT_ONCE and select.select([fd], [], [], 0)[0]:
        more = os.read(fd, 4096)
        if not more:
            break
        data += more
    return data.decode(errors="replace").splitlines()


LEAVING = "Ctrl-C once more leaves; Ctrl-D does, too"

_STYLE = {
    "status": "noreverse",
    "prompt": "bold",
    "completion-menu": "noreverse bg:default",
    "completion-menu.completion": "bg:default fg:default",
    "completion-menu.completion.current": "bg:default fg:default bold reverse",
    "completion-menu.meta.completion": "bg:default fg:default",
    "completion-menu.meta.completion.current": "bg:default fg:default bold",
    "scrollbar.background": "bg:default",
    "scrollbar.button": "reverse",
}
_PLAIN = {
    **_STYLE,
    "prompt": "",
}


class _Completer(Completer):
    """Asks the talk how a text may go on."""

    def __init__(self, screen: LiveScreen) -> None:
        self._screen = screen

    def get_completions(
        self, document: Document, complete_event: Any
    ) -> Iterable[Completion]:
        talk = self._screen._talk
        if talk is None:
            return
        typed = self._screen._behind_returned(document.text_before_cursor)
        for text, shown, meta, back in talk.completions(typed):
            yield Completion(
                text, start_position=-back, display=shown, display_meta=meta
            )


def _cut(text: str, width: int) -> str:
    from prompt_toolkit.utils import get_cwidth

    if get_cwidth(text) <= width:
        return text
    kept, used = [], 0
    for sign in text:
        used += get_cwidth(sign)
        if used >= width:
            break
        kept.append(sign)
    return "".join(kept) + "…"


def _folded(text: str, width: int) -> list[str]:
    """Return words on lines of so many cells."""
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if len(longer) > width and line:
            lines.append(_cut(line, width))
            longer = word
        line = longer
    return [*lines, _cut(line, width)] if line else lines
