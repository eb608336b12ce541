"""The keys: what each of them does.

Owns the bindings of the table in ``key_names``, and which of the prompt line, what is
asked and the talk a key is for. Keeps nothing; knows nothing of how anything is drawn
but that it is drawn anew after each key.
"""

from collections.abc import Callable

from prompt_toolkit.filters import has_completions
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from .answering import Answering
from .key_names import INTERRUPTING, KEYS, LEAVING
from .pastes import typeable
from .prompt_line import PromptLine
from .rows import Rows
from .shown import Talk
from .unmarked import UnmarkedPaste


class Keys:
    """What is pressed at the prompt line, and by whom it is heard."""

    def __init__(
        self,
        talk: Callable[[], Talk],
        line: PromptLine,
        answering: Answering,
        rows: Rows,
        *,
        leave: Callable[[], None],
        suspend: Callable[[], None],
    ) -> None:
        self._talk = talk
        self._line = line
        self._answering = answering
        self._rows = rows
        self._leave = leave
        self._suspend = suspend
        self._unmarked = UnmarkedPaste(self._insert_pasted)

    def bindings(self) -> KeyBindings:
        """Return what the toolkit calls for each key."""
        bindings = KeyBindings()
        does: dict[str, Callable[[KeyPressEvent], None]] = {
            "send": self._enter,
            "queue": self._queue,
            "newline": self._newline,
            "interrupt": self._interrupt,
            "leave": self._ctrl_d,
            "back": self._up,
            "complete": self._tab,
            "expand": self._expand,
            "thoughts": self._show_thoughts,
            "suspend": lambda event: self._suspend(),
            "redraw": lambda event: event.app.renderer.clear(),
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

    # --- typing -------------------------------------------------------------------

    def _typing(self, change: Callable[[], None]) -> None:
        """Change the line, unless the keys answer a card."""
        self._rows.hint = ""
        if self._answering.by_key is None:
            self._answering.typing()
            change()

    def _gathers(self, event: KeyPressEvent) -> bool:
        """Return whether a key is part of what was pasted."""
        taken = self._unmarked.takes(event)
        if taken:
            self._answering.typing()
        return taken

    def _any(self, event: KeyPressEvent) -> None:
        if self._gathers(event):
            return
        key = event.data
        question, form = self._answering.by_key, self._answering.form
        if question is not None and question.press(
            "space" if key == " " else key.lower()
        ):
            self._answering.look()
        elif (
            key == " "
            and form is not None
            and not self._answering.waits
            and not self._line.text
        ):
            form.toggle()
        elif typeable(key) and key not in "\n\t":
            self._answering.give_way()
            self._typing(lambda: self._line.insert(key * event.arg))

    def _newline(self, event: KeyPressEvent) -> None:
        if not self._gathers(event):
            self._typing(lambda: self._line.insert("\n"))

    def _paste(self, event: KeyPressEvent) -> None:
        self._insert_pasted(event.data)

    def _insert_pasted(self, text: str) -> None:
        self._answering.give_way()
        self._typing(lambda: self._line.paste(text))

    def _backspace(self, event: KeyPressEvent) -> None:
        self._typing(self._line.delete_before)

    # --- sending ------------------------------------------------------------------

    def _enter(self, event: KeyPressEvent) -> None:
        if self._gathers(event):
            return
        question = self._answering.by_key
        if question is not None:
            question.press("enter")
            self._answering.look()
        elif not self._line.accept() and not self._line.go_on_below():
            self._send(queue=False)

    def _queue(self, event: KeyPressEvent) -> None:
        if self._answering.by_key is None:
            self._send(queue=True)

    def _send(self, *, queue: bool) -> None:
        self._rows.hint = ""
        question = self._answering.question
        if question is not None:
            problem = question.enter(self._line.whole)
            self._rows.hint = problem or ""
            if problem is None:
                self._line.replace("")
            self._answering.look()
        elif self._line.text.strip():
            self._talk().submit(self._line.take(), queue=queue)

    # --- stopping -----------------------------------------------------------------

    def _interrupt(self, event: KeyPressEvent) -> None:
        line, talk = self._line, self._talk()
        escape = event.key_sequence[0].key == "escape"
        if line.choosing and escape:
            line.choose_nothing()
            return
        question = self._answering.question
        if question is not None and question.press("escape"):
            line.replace("")
        elif talk.interrupt():
            self._rows.hint = INTERRUPTING
        elif talk.stopping:
            self._leave()
        elif line.text:
            self._rows.hint = ""
            if not escape:
                line.replace("")
        elif self._rows.hint == LEAVING:
            self._leave()
        elif not escape:
            self._rows.hint = LEAVING
        self._answering.look()

    def _ctrl_d(self, event: KeyPressEvent) -> None:
        if self._line.text:
            self._line.delete()
        else:
            self._leave()

    # --- going through what is offered --------------------------------------------

    def _up(self, event: KeyPressEvent) -> None:
        form = self._answering.form
        if form is not None and not self._line.text:
            form.move(-1)
        elif self._line.choosing:
            self._line.choose_previous()
        elif not self._line.text and self._talk().take_back():
            return
        elif self._answering.by_key is None:
            self._line.up(event.arg)

    def _down(self, event: KeyPressEvent) -> None:
        form = self._answering.form
        if form is not None and not self._line.text:
            form.move(1)
        elif self._line.choosing:
            self._line.choose_next()
        elif self._answering.by_key is None:
            self._line.down(event.arg)

    def _tab(self, event: KeyPressEvent) -> None:
        if not self._gathers(event) and self._answering.by_key is None:
            self._line.complete()

    def _back_tab(self, event: KeyPressEvent) -> None:
        if has_completions():
            self._line.choose_previous()

    # --- looking closer -----------------------------------------------------------

    def _expand(self, event: KeyPressEvent) -> None:
        self._rows.hint = ""
        self._talk().expand()

    def _show_thoughts(self, event: KeyPressEvent) -> None:
        self._rows.hint = ""
        self._talk().show_thoughts()
