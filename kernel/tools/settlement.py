"""Settlement: from the call that a model made to its one outcome.

Owns the order of things: find what was advertised, decode, check that it is not stale,
execute, prove the output, render, bound. It decides and runs; it records nothing. The
caller records the call before ``Runnable.run`` and the outcome after it (law tools.1).
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from anyio import to_thread
from attrs import evolve, field

from ..contracts import ToolContext
from ..lifecycle.guests import Guest, contained
from ..lifecycle.registrations import Registration
from ..values.codec import (
    clean_text,
    converter,
    dumps,
    loads_exact,
    problems,
    sanitised,
)
from ..values.errors import (
    DovetailError,
    InvalidValueError,
    ToolError,
    ToolInputError,
    ToolOutputError,
    ToolStaleError,
    ToolUnknownError,
    UndecodableError,
    raised,
)
from ..values.errors.base import ContainedError
from ..values.frozen import frozen
from ..values.request import ToolCall
from ..values.secrets import Redactor
from ..values.tool import Content, Failure, FileContent, Json, TextContent
from .meaning import MAX_NOTES, meant_arguments, unwrapped
from .output import Bounded, OutputLimits, bound, keep
from .registry import AdvertisedTools, RegisteredTool

logger = logging.getLogger(__name__)

_JSON_SPACE = " \t\n\r"
_SHOWN_PROBLEMS = 20
_PROBLEM_LENGTH = 300
_NAME_LENGTH = 64


@frozen
class Succeeded:
    """The call succeeded. ``content`` is the bounded Model Output."""

    content: tuple[Content, ...]
    data: Json = None
    """The structured output, when the output type is not a text. None when it is over
    ``OutputLimits.data``; ``full`` then has it as JSON, unless the content was cut."""
    full: str | None = None
    """What should be kept as Managed Output: the complete text behind the content, of
    which the middle is missing when it is over ``OutputLimits.kept``."""
    _bounded: Bounded | None = field(default=None, repr=False, eq=False)

    def kept_as(self, key: str) -> "Succeeded":
        """Return the same, telling the model under which key ``full`` is kept.

        Without this, the model is told that what was cut is lost.
        """
        if self._bounded is None:
            return self
        bounded = self._bounded.kept_as(key)
        return evolve(self, content=bounded.content, bounded=bounded)


@frozen
class Failed:
    """The call failed; the failure's message is what the model is told.

    ``defect`` is the exception behind it when a tool broke its promises. It is for the
    operator only: its message may hold anything (law tools.5).
    """

    failure: Failure
    defect: Exception | None = None
    full: str | None = None
    """The complete message, when it was cut."""
    _bounded: Bounded | None = field(default=None, repr=False, eq=False)

    def kept_as(self, key: str) -> "Failed":
        """Return the same, telling the model under which key ``full`` is kept."""
        if self._bounded is None:
            return self
        bounded = self._bounded.kept_as(key)
        failure = Failure(self.failure.code, _only_text(bounded))
        return evolve(self, failure=failure, bounded=bounded)


Settled = Succeeded | Failed


@frozen(eq=False)
class Runnable:
    """A call whose input is proven. ``run`` executes it, once."""

    call: ToolCall
    input: Any
    _entry: Registration[RegisteredTool]
    _limits: OutputLimits
    arguments: str
    """The arguments as they were read: what ``input`` was made of."""
    reading: tuple[str, ...] = ()
    """What was read differently from what the model wrote, a line each."""
    _redact: Redactor = field(factory=Redactor, repr=False)

    @property
    def waits(self) -> bool:
        """Whether the call waits for something, as its tool says; a tool that cannot
        say it does not."""
        waits = self._entry.item.tool.waits
        if waits is None:
            return False
        try:
            with contained(_guest(self._entry)):
                return waits(self.input) is True
        except Exception as error:  # the boundary of tool execution
            logger.warning(
                "whether tool %r waits is not known: %s", self.call.tool, error
            )
            return False

    async def run(self, context: ToolContext) -> Settled:
        """Execute the call and return its outcome.

        Every exception of the tool becomes a ``Failed``, also one that wants to exit.
        Cancellation is no outcome: it passes through untouched.
        """
        if not self._entry.active:
            return failed(ToolStaleError(self.call.tool), limits=self._limits)
        registered = self._entry.item
        try:
            with contained(_guest(self._entry)):
                with self._entry.busy():
                    execute = registered.awaited(registered.tool.execute)
                    output = await execute(self.input, context)
                return await _shown(registered, output, self._limits, self._redact)
        except Exception as error:  # the boundary of tool execution
            return _failure_of(self.call.tool, error, self._limits, self._redact)

    def cancelled_itself(self, error: BaseException) -> Failed:
        """Return the outcome where nobody but the tool cancelled the call's task."""
        defect = ContainedError("it cancelled the task that it was called in")
        defect.__cause__ = error
        return _defect_of(self.call.tool, defect, self._limits)

    async def check(self, context: ToolContext) -> Settled | None:
        """Ask the tool whether an earlier execution had its effect.

        Returns its outcome, or None when there was no effect, so that it may run.

        Raises:
            ToolError: it cannot be told.
        """
        registered = self._entry.item
        ask = registered.tool.check
        if ask is None or not self._entry.active:
            raise ToolStaleError(self.call.tool)
        try:
            with contained(_guest(self._entry)):
                with self._entry.busy():
                    output = await registered.awaited(ask)(self.input, context)
                if output is None:
                    return None
                return await _shown(registered, output, self._limits, self._redact)
        except Exception as error:  # the boundary of tool execution
            raise ToolError(f"{self.call.tool} cannot tell") from error

    async def clear(self, context: ToolContext) -> str | None:
        """End what an earlier execution left running; return what was found.

        Raises:
            ToolError: it cannot be told.
        """
        registered = self._entry.item
        clear = registered.tool.clear
        if clear is None or not self._entry.active:
            return None
        try:
            with contained(_guest(self._entry)), self._entry.busy():
                found = await registered.awaited(clear)(self.input, context)
            return None if found is None else self._redact(clean_text(found))
        except Exception as error:  # the boundary of tool execution
            raise ToolError(f"{self.call.tool} cannot tell what it left") from error


def _guest(entry: Registration[RegisteredTool]) -> Guest:
    return Guest(entry.owner, f"tool {entry.item.tool.name!r}")


def prepare(
    call: ToolCall,
    advertised: AdvertisedTools,
    limits: OutputLimits | None = None,
    redact: Redactor | None = None,
) -> Runnable | Failed:
    """Return the call ready to run, or why it cannot; nothing of the tool runs here.

    A call of a tool that was not advertised, a call that was cut off or that the
    provider refused, and arguments that are not JSON or do not fit the input type fail
    (law tools.4). Arguments of nothing but whitespace mean no arguments, and those of
    another JSON type what they can only mean (``meaning``). ``redact`` takes the keys
    out of what the tool says (law access.14).
    """
    limits = limits or advertised.limits(call.tool)
    if call.refused is not None:
        why = f"the provider refused the call: {call.refused[:_PROBLEM_LENGTH]}"
        return failed(ToolInputError(call.tool[:_NAME_LENGTH], [why]), limits=limits)
    entry = advertised.get(call.tool)
    if entry is None:
        name = call.tool[:_NAME_LENGTH]
        return failed(ToolUnknownError(name, advertised.names), limits=limits)
    try:
        value, data, notes = _decoded(call, entry.item)
    except UndecodableError as error:
        shown = [problem[:_PROBLEM_LENGTH] for problem in error.problems]
        if len(shown) > _SHOWN_PROBLEMS:
            more = len(shown) - _SHOWN_PROBLEMS
            shown[_SHOWN_PROBLEMS:] = [f"and {more} more"]
        return failed(ToolInputError(call.tool, shown), limits=limits)
    arguments = dumps(sanitised(data)).decode() if notes else call.arguments
    if len(notes) > MAX_NOTES:
        notes[MAX_NOTES:] = [f"and {len(notes) - MAX_NOTES} more"]
    reading = tuple(clean_text(note) for note in notes)
    keys = Redactor() if redact is None else redact
    return Runnable(call, value, entry, limits, arguments, reading, keys)


async def settle(
    call: ToolCall,
    advertised: AdvertisedTools,
    context: ToolContext,
    limits: OutputLimits | None = None,
) -> Settled:
    """Prepare and run a call in one go."""
    plan = prepare(call, advertised, limits)
    return plan if isinstance(plan, Failed) else await plan.run(context)


def failed(
    error: DovetailError,
    *,
    defect: Exception | None = None,
    limits: OutputLimits | None = None,
    redact: Redactor | None = None,
) -> Failed:
    """Return an error as an outcome; its message is cleaned and bounded."""
    text = str(error) or "the tool failed"
    text = redact(text) if redact else text
    return _bounded_failure(error.code, text, defect, limits or OutputLimits())


def _bounded_failure(
    code: str, text: str, defect: Exception | None, limits: OutputLimits
) -> Failed:
    bounded = bound([TextContent(text)], "end", limits)
    if bounded.cut is None:
        return Failed(Failure(code, _only_text(bounded)), defect)
    failure = Failure(code, _only_text(bounded))
    return Failed(failure, defect, bounded.full_text, bounded)


def _only_text(bounded: Bounded) -> str:
    return "".join(one.text for one in bounded.content if isinstance(one, TextContent))


def _decoded(call: ToolCall, registered: RegisteredTool) -> tuple[Any, Json, list[str]]:
    """Return the input, the data that it was made of, and what was read differently."""
    if call.cut:
        raise UndecodableError(
            "arguments", ["the arguments were cut off before they were complete"]
        )
    nothing = not call.arguments.strip(_JSON_SPACE)
    data, notes = unwrapped({} if nothing else loads_exact(call.arguments))
    try:
        return registered.decode(data), data, notes
    except UndecodableError:
        meant, more = meant_arguments(registered.tool.input, data)
        if not more:
            raise
    return registered.decode(meant), meant, [*notes, *more]


def _failure_of(
    name: str, error: Exception, limits: OutputLimits, redact: Redactor
) -> Failed:
    """Return an exception of a tool as what the model is told about it."""
    found = raised(error)
    error = found if isinstance(found, Exception) else error
    if isinstance(error, ToolOutputError):
        return failed(error, defect=error, limits=limits, redact=redact)
    if isinstance(error, DovetailError):
        return failed(error, limits=limits, redact=redact)
    return _defect_of(name, error, limits)


def _defect_of(name: str, error: Exception, limits: OutputLimits) -> Failed:
    # Not the exception's own text: nobody wrote it for the model, and it may hold
    # secrets.
    text = f"tool {name!r} broke ({type(raised(error)).__name__})"
    return _bounded_failure("internal", clean_text(text), error, limits)


async def _shown(
    registered: RegisteredTool, output: object, limits: OutputLimits, redact: Redactor
) -> Settled:
    """Return what a tool returned as an outcome: proven, rendered, without keys,
    bounded. In this order: a cut through a key would hide it from whoever looks for
    it."""
    tool = registered.tool
    try:
        data, text = _encoded(registered, output)
    except ToolOutputError as error:
        return failed(error, defect=error, limits=limits, redact=redact)
    try:
        rendered = text if tool.render is None else tool.render(output)
    except Exception as error:  # render is a part of the tool
        return _failure_of(tool.name, error, limits, redact)
    try:
        contents = _contents(tool.name, rendered)
        if redact:
            if data is not None and await _without_keys(text, redact) != text:
                data = _data_without_keys(data, redact)
                text = dumps(data).decode()
            contents = [
                evolve(one, text=await _without_keys(one.text, redact))
                if isinstance(one, TextContent)
                else one
                for one in contents
            ]
        bounded = bound(contents, tool.bound, limits)
    except InvalidValueError as error:
        problem = ToolOutputError(tool.name, str(error))
        problem.__cause__ = error
        return failed(problem, defect=problem, limits=limits)
    except ToolOutputError as error:
        return failed(error, defect=error, limits=limits)
    full = bounded.full_text
    if data is not None and len(text.encode()) > limits.data:
        data = None
        full = keep(text, limits) if full is None else full
    if bounded.cut is None:
        return Succeeded(bounded.content, data, full)
    return Succeeded(bounded.content, data, full, bounded)


_AT_ONCE = 64 * 1024
"""Characters that are looked through between the turns of others."""


async def _without_keys(text: str, redact: Redactor) -> str:
    if len(text) <= _AT_ONCE:
        return redact(text)
    # Where every letter is an escape this takes a second for a megabyte.
    return await to_thread.run_sync(redact, text)


def _data_without_keys(data: Json, redact: Redactor) -> Json:
    if isinstance(data, str):
        return redact(data)
    if isinstance(data, Mapping):
        return {
            redact(name): _data_without_keys(one, redact) for name, one in data.items()
        }
    if isinstance(data, list | tuple):
        return [_data_without_keys(one, redact) for one in data]
    return data


def _encoded(registered: RegisteredTool, output: object) -> tuple[Json, str]:
    """Return an output as data (None for a text) and as text.

    Raises:
        ToolOutputError: it is not of the output type, through and through.
    """
    tool = registered.tool
    wanted = tool.output
    if wanted is str:
        if not isinstance(output, str):
            raise ToolOutputError(tool.name, f"expected a text, got {_kind(output)}")
        return None, output  # cleaned where it is bounded, when it is shorter
    if not isinstance(output, getattr(wanted, "__origin__", wanted)):
        name = getattr(wanted, "__name__", wanted)
        raise ToolOutputError(tool.name, f"expected {name}, got {_kind(output)}")
    try:
        data = converter.unstructure(output, wanted)
        # attrs checks no types: without this, a text in place of a number would pass.
        registered.check(data)
        data = sanitised(data)
        return data, dumps(data).decode()
    except UndecodableError as error:
        raise ToolOutputError(tool.name, "; ".join(error.problems)) from error
    except Exception as error:  # what a foreign value raises while it is read
        raise ToolOutputError(tool.name, "; ".join(problems(error))) from error


def _contents(name: str, rendered: object) -> Sequence[Content]:
    """Return what was rendered as content, proven.

    Raises:
        ToolOutputError: it is neither a text nor a sequence of content.
    """
    if isinstance(rendered, str):
        return [TextContent(rendered)]
    if not isinstance(rendered, Sequence) or isinstance(rendered, bytes | Mapping):
        raise ToolOutputError(
            name, f"render gave {_kind(rendered)}, not a text or contents"
        )
    for one in rendered:
        if isinstance(one, TextContent):
            sound = isinstance(one.text, str)
        elif isinstance(one, FileContent):
            sound = (
                isinstance(one.mime, str)
                and isinstance(one.data, str)
                and isinstance(one.name, str | None)
            )
        else:
            sound = False
        if not sound:
            raise ToolOutputError(name, f"render gave {_kind(one)} as a content")
    return rendered


def _kind(value: object) -> str:
    return type(value).__name__
