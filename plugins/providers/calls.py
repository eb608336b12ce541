"""Calls: put together from the pieces that servers send them in.

Owns the arguments of a call while they come (``Arguments``, for every protocol), and
for Chat Completions the question which call a piece belongs to (``Calls``), for all
the habits that servers have with indexes, ids, names and arguments. The rules: two
calls are never made one, a piece that is sent again changes nothing, and what cannot
be told apart stays as it was sent, so that it fails as no JSON and is never run as a
guess. Free of I/O; time is linear in what it is fed.
"""

from collections.abc import Collection, Mapping
from typing import Any

import orjson
from attrs import define, field
from dovetail.kernel import (
    AnswerLimits,
    Json,
    ProviderError,
    ToolCall,
    ToolInputDelta,
)

from .reading import Joined, Progress, merged, table, word, written
from .wording import made_call_id

_OURS = frozenset(("index", "id", "type", "function", "name", "arguments"))


class Arguments:
    """The arguments of one call while they come."""

    def __init__(self) -> None:
        self._joined = Joined()
        self._progress = Progress()

    @property
    def size(self) -> int:
        """Characters so far."""
        return self._progress.size

    @property
    def text(self) -> str:
        """All of it so far."""
        return self._progress.text

    @property
    def whole(self) -> bool:
        """Whether it is complete JSON by now."""
        return self._progress.whole

    @property
    def empty_object(self) -> bool:
        """Whether it is ``{}`` so far."""
        return self.size < 8 and self.text.strip() == "{}"

    def add(self, text: str) -> str:
        """Take in a piece; return what is new in it.

        What came already is not added again: some send the whole once more at the end,
        or with every piece all that was before it, or ``{}`` ahead of the real ones.
        """
        if not text.strip():
            pass
        elif self.whole:
            if self.repeats(text):
                return ""
            if self.empty_object:
                self._progress = Progress()
        elif (
            0 < self.size <= len(text)
            and text.startswith("{")
            and text.startswith(self.text)
        ):
            # Added on, it could not be JSON: the first quote of what comes would end
            # a text that is still open, or no quote opens what it names.
            text = text[self.size :]
        text = self._joined.add(text)
        self._progress.add(text)
        return text

    def end(self) -> None:
        """Add what is left of a character that was never completed."""
        if rest := self._joined.rest():
            self._progress.add(rest)

    def repeats(self, text: str) -> bool:
        """Whether a text says again what the complete arguments say already."""
        if not text.lstrip().startswith(("{", "[")):
            return False
        if text.strip() == self.text.strip():
            return True
        # The same in other words; most are told apart by their length.
        if not self.size / 2 <= len(text) <= self.size * 2 + 64:
            return False
        try:
            return bool(orjson.loads(text) == orjson.loads(self.text))
        except orjson.JSONDecodeError:
            return False


@define(eq=False)
class _Call:
    """A call while its pieces come."""

    index: int | None
    """What it was streamed under, or None where the server gives none."""
    made_id: str
    """What it is called while, or because, the server gives it no id."""
    call_id: str = ""
    name: str = ""
    arguments: Arguments = field(factory=Arguments)
    named_again: bool = False
    """Whether its name came once more when its arguments were whole already."""
    attached: dict[str, Json] = field(factory=dict)

    @property
    def shown_id(self) -> str:
        """What watchers know it by."""
        return self.call_id or self.made_id


class Calls:
    """The calls of one answer, in the order in which they began."""

    def __init__(
        self, provider: str, limits: AnswerLimits, tools: Collection[str] = ()
    ) -> None:
        self.response_id = ""
        self._provider = provider
        self._limits = limits
        self._tools = tools
        self._calls: list[_Call] = []
        self._attached = 0

    def __len__(self) -> int:
        return len(self._calls)

    # --- taking in ----------------------------------------------------------------

    def add(self, piece: Mapping[str, Any]) -> ToolInputDelta | None:
        """Take in a piece; return what watchers may see of it.

        Raises:
            ProviderError: ``provider.answer_limit``.
        """
        function = piece.get("function")
        # Some put the name and the arguments beside the id, without a function.
        function = function if isinstance(function, dict) else piece
        name, text = word(function.get("name")), _text_of(function.get("arguments"))
        call_id, index = _id_of(piece.get("id")), index_of(piece.get("index"))
        attached = _attached_to(piece, function)
        if not (call_id or name or text or attached):
            # Padding, such as the empty ``function_call`` that old servers send along.
            return None
        call = self._meant(index, call_id, name, text)
        if call is None:
            before = self._calls[-1] if self._calls else None
            if before is not None and before.named_again and not name:
                # Its name came ahead, and was taken for that of the call before.
                name, before.named_again = before.name, False
            call = self._begun(index)
        call.call_id = call.call_id or call_id
        if attached:
            self._attach(call, attached)
        if name:
            self._name(call, name)
        return self._argue(call, text) if text else None

    def _begun(self, index: int | None) -> _Call:
        count = len(self._calls)
        if count >= self._limits.calls:
            raise beyond(self._provider, f"{self._limits.calls} calls")
        call = _Call(index, made_call_id(self.response_id, str(count)))
        self._calls.append(call)
        return call

    def _meant(
        self, index: int | None, call_id: str, name: str, text: str
    ) -> _Call | None:
        """Return the call that a piece belongs to, or None when it begins one.

        1. Its index is known: that call, unless the piece shows to begin another one.
        2. Its index is new: another call, unless it has no name and the id of a call
           that is known, or neither id nor name while the last call waits for its
           arguments: servers that count wrong.
        3. It has no index, but an id that is known: that call, as in 1.
        4. It has neither: the last call, as in 1. An id that changes from piece to
           piece begins no call while the one before is not complete.
        """
        last = self._calls[-1] if self._calls else None
        by_id = self._last(lambda one: one.call_id == call_id) if call_id else None
        if index is not None:
            found = self._last(lambda one: one.index == index)
            if found is None and not name:
                if by_id is not None:
                    return by_id
                waits = last is not None and not last.arguments.size
                return last if waits and not call_id else None
            if found is None and last is not None and last.index is None:
                found = by_id
        elif by_id is not None or not call_id:
            found = by_id or last
        else:
            open_now = last is not None and not last.arguments.whole
            goes_on = open_now and (not name or self._goes_on(last, name, text))
            return last if goes_on else None
        if found is None or self._begins(found, call_id, name, text):
            return None
        return found

    def _begins(self, call: _Call, call_id: str, name: str, text: str) -> bool:
        """Whether a piece begins another call although it is under this one's index,
        or comes after it without any.

        1. Arguments after a name that came again: the second of two calls.
        2. No name: only an id of its own, before its name comes.
        3. Nothing written yet: an id of its own, or a second name that is a tool's.
        4. Complete: an id of its own; or arguments of its own, which ``{}`` before the
           real ones and the same ones once more are not.
        5. Not complete: only another name.
        """
        other_id = bool(call_id and call.call_id and call_id != call.call_id)
        same_id = bool(call_id and call_id == call.call_id)
        if call.named_again and text and not name and not call.arguments.empty_object:
            return not call.arguments.repeats(text)
        if not name:
            return other_id and not text and call.arguments.whole
        if not call.name:
            return other_id and call.arguments.whole
        if not call.arguments.size:
            both = call.name in self._tools and name in self._tools
            return other_id or (both and call.name != name and not same_id)
        if not call.arguments.whole:
            return name != call.name
        if other_id:
            return True
        if same_id and call.arguments.empty_object:
            return False
        if not text:
            return name != call.name
        return not (same_id and call.arguments.repeats(text))

    def _goes_on(self, call: _Call | None, name: str, text: str) -> bool:
        """Whether a named piece with a new id goes on with a call that is open."""
        assert call is not None
        same = call.name == name and bool(call.arguments.size)
        return same and not text.lstrip().startswith("{")

    def _last(self, fits: Any) -> _Call | None:
        return next((one for one in reversed(self._calls) if fits(one)), None)

    def _name(self, call: _Call, name: str) -> None:
        if call.arguments.whole and not call.arguments.empty_object:
            # It may be the head of another call, whose arguments are still to come.
            call.named_again = bool(call.name)
            call.name = call.name or name
        elif call.arguments.size or name == call.name:
            call.name = call.name or name
        elif call.name and not name.startswith(call.name):
            call.name = (call.name + name)[:_NAME_LENGTH]
        else:
            # In pieces that hold all that came before.
            call.name = name[:_NAME_LENGTH]

    def _argue(self, call: _Call, text: str) -> ToolInputDelta | None:
        new = call.arguments.add(text)
        if call.arguments.size > self._limits.arguments:
            raise beyond(
                self._provider,
                f"{self._limits.arguments} characters of arguments of one call",
            )
        return ToolInputDelta(call.shown_id, call.name, new) if new else None

    def _attach(self, call: _Call, attached: Mapping[str, Any]) -> None:
        self._attached += len(written(attached))
        if self._attached > self._limits.arguments:
            raise beyond(
                self._provider, f"{self._limits.arguments} bytes attached to calls"
            )
        merged(call.attached, attached)

    # --- handing out --------------------------------------------------------------

    def handed_out(
        self, *, stopped: bool, refused: str | None = None
    ) -> list[ToolCall]:
        """Return all calls. When the answer was ``stopped``, the last one is cut if it
        is not complete."""
        made: list[ToolCall] = []
        taken: set[str] = set()
        for call in self._calls:
            call.arguments.end()
            if not call.name and not call.arguments.size:
                continue
            call_id = call.shown_id
            if call_id in taken:
                call_id = made_call_id(call.made_id, call_id)
            taken.add(call_id)
            cut = stopped and call is self._calls[-1] and not call.arguments.whole
            arguments = call.arguments.text
            if not cut and not arguments.strip():
                arguments = "{}"
            made.append(
                ToolCall(
                    call_id,
                    call.name,
                    arguments,
                    {"attached": call.attached} if call.attached else {},
                    cut=cut,
                    refused=refused,
                )
            )
        return made


_NAME_LENGTH = 1024


def beyond(provider: str, what: str) -> ProviderError:
    """Return the error for an answer that goes beyond a limit of AnswerLimits."""
    return ProviderError(
        "provider.answer_limit",
        provider,
        f"the answer went on after {what}, which is the most that one may hold",
    )


def _id_of(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return word(value)


def index_of(value: Any) -> int | None:
    """Return an index; some write it as text, or as a float."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _attached_to(
    piece: Mapping[str, Any], function: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a server attached to a call, such as a thought signature."""
    attached = {
        name: value
        for name, value in piece.items()
        if name not in _OURS and value is not None
    }
    if function is not piece:
        inner = {
            name: value
            for name, value in function.items()
            if name not in _OURS and value is not None
        }
        if inner:
            attached["function"] = {**table(attached.get("function")), **inner}
    return attached


def _text_of(arguments: Any) -> str:
    """Some servers send the arguments as an object, and nothing as null."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else written(arguments)
