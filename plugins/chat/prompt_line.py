"""The prompt line: what is being typed, and has not been sent.

Owns its text, with what was pasted as short marks and with what was put back, what was
typed before, and how it may go on. Knows nothing of keys, of what is drawn around it,
or of where its text goes.
"""

from collections.abc import Callable, Iterable

from prompt_toolkit.application import Application
from prompt_toolkit.application.current import set_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition

from .history import PromptHistory, history_path
from .pastes import Pastes, typeable
from .shown import Talk


class PromptLine:
    """One text, which may have several lines."""

    def __init__(self, talk: Callable[[], Talk]) -> None:
        self._talk = talk
        self._pastes = Pastes()
        self._returned = ""
        """What was put back last."""
        self.buffer = Buffer(
            completer=_Completer(self._completions),
            complete_while_typing=Condition(lambda: talk().asked is None),
            history=PromptHistory(history_path),
            multiline=True,
            enable_history_search=False,
        )
        """What the toolkit shows, and edits by keys of its own."""

    # --- the text -----------------------------------------------------------------

    @property
    def text(self) -> str:
        """What is there, with marks for what was pasted."""
        return self.buffer.text

    @property
    def whole(self) -> str:
        """What is there, with what was pasted."""
        return self._pastes.unfold(self.text)

    def replace(self, text: str) -> None:
        """Put a text in the place of all that is there."""
        buffer = self.buffer
        buffer.cancel_completion()
        buffer.set_document(Document(text, len(text)), bypass_readonly=True)
        buffer.history_search_text = None
        # A line of its own: going up begins at the newest of what was typed before.
        buffer.reset(buffer.document)

    def put_back(self, text: str, *, instead: bool = False) -> None:
        """Put a text before what is there, or ``instead`` of what was put back there
        and nobody changed."""
        more = self.text
        if instead:
            more = self._behind_returned(more)
        folded = typeable(self._pastes.fold(text))
        parts = [part for part in (folded, more) if part.strip()]
        self.replace("\n".join(parts))
        self._returned = folded

    def take(self) -> str:
        """Return what was typed, whole, and begin another line.

        A command behind a prompt that was put back goes alone, and the prompt stays: it
        was not typed to be sent with a command.
        """
        typed, kept = self.text, ""
        behind = self._behind_returned(typed)
        if behind != typed and self._talk().is_command(behind):
            typed, kept = behind, self._returned
        self._returned = kept
        self.replace(typed)
        self.buffer.append_to_history()
        self.replace(kept)
        return self._pastes.unfold(typed)

    def remember(self, line: str) -> None:
        """Keep a line among what was typed before."""
        self.buffer.history.append_string(typeable(line))

    def _behind_returned(self, text: str) -> str:
        """Return what was typed behind a prompt that was put back, or all of it where
        that was changed."""
        if self._returned and text.startswith(self._returned):
            return text[len(self._returned) :].lstrip()
        return text

    # --- editing ------------------------------------------------------------------

    def insert(self, text: str) -> None:
        """Put a text where the cursor is."""
        self.buffer.insert_text(text)

    def paste(self, text: str) -> None:
        """Put a text that was pasted where the cursor is; a mark, if it is long."""
        self.buffer.insert_text(typeable(self._pastes.fold(text)))

    def go_on_below(self) -> bool:
        """Return whether the line says by its end that it goes on, and begin the next
        one then."""
        if not self.buffer.document.text_before_cursor.endswith("\\"):
            return False
        self.buffer.delete_before_cursor()
        self.buffer.insert_text("\n")
        return True

    def delete(self) -> None:
        """Take away what is under the cursor."""
        self.buffer.delete()

    def delete_before(self) -> None:
        """Take away the sign before the cursor; a mark goes as one."""
        before = self.buffer.document.text_before_cursor
        mark = self._pastes.mark_at_end(before)
        self.buffer.delete_before_cursor(count=len(mark or "x"))

    def up(self, count: int) -> None:
        """Go a row up, or to what was typed before."""
        self.buffer.auto_up(count=count)

    def down(self, count: int) -> None:
        """Go a row down, or to what was typed after."""
        self.buffer.auto_down(count=count)

    # --- completion ---------------------------------------------------------------

    @property
    def choosing(self) -> bool:
        """Whether it is offered how the text may go on."""
        return self.buffer.complete_state is not None

    def complete(self) -> None:
        """Offer how the text may go on, and choose the first, or the next."""
        if self.choosing:
            self.buffer.complete_next()
        else:
            self.buffer.start_completion(select_first=True)

    def choose_next(self) -> None:
        """Choose the next of what is offered."""
        self.buffer.complete_next()

    def choose_previous(self) -> None:
        """Choose the one before of what is offered."""
        self.buffer.complete_previous()

    def accept(self) -> bool:
        """Return whether one of what is offered was chosen, which stays then."""
        state = self.buffer.complete_state
        if state is None or state.current_completion is None:
            return False
        self.buffer.complete_state = None
        return True

    def choose_nothing(self) -> None:
        """Offer nothing any more, and take back what was chosen."""
        self.buffer.cancel_completion()

    def complete_again(self, app: Application[None]) -> None:
        """Offer anew how a command that is being typed may go on: there are others."""
        state = self.buffer.complete_state
        chosen = state is not None and state.complete_index is not None
        if self.text.startswith("/") and not chosen:
            with set_app(app):
                self.buffer.start_completion()

    def _completions(self, text: str) -> Iterable[tuple[str, str, str, int]]:
        return self._talk().completions(self._behind_returned(text))


class _Completer(Completer):
    """Hands over what is offered in the toolkit's own words."""

    def __init__(
        self, offered: Callable[[str], Iterable[tuple[str, str, str, int]]]
    ) -> None:
        self._offered = offered

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        for text, shown, meta, back in self._offered(document.text_before_cursor):
            yield Completion(
                text, start_position=-back, display=shown, display_meta=meta
            )
