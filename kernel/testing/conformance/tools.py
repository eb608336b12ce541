"""The suite for tools: what a model may call, and what a person must be able to trust.

::

    class TestRoll(ToolConformance):
        version = 1
        plugin = dovetail_dice.plugin
        tool = "roll"
        examples = (ToolExample({"sides": 20, "seed": 1}),)

Calls are settled as in a session, in a Location of their own, with a context that
records what is asked. Whatever can be seen from outside is compared: the Location's
directory, the suite's ``world``, and which files are opened.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from attrs import frozen

from ...contracts import Skill, Tool
from ...tools.output import OutputLimits
from ...tools.settlement import Failed, Settled, Succeeded
from ...values.codec import converter, dumps
from ...values.tool import FileContent, Json, TextContent
from .calling import (
    MESSAGE,
    SESSION,
    TOKEN,
    Asked,
    RecordingContext,
    ToolExample,
    each_example,
    runnable,
    settle,
    shown,
    tool_of,
)
from .effects import kills, repeats
from .looking import Tree, watching
from .suite import (
    Bench,
    Case,
    Checks,
    Host,
    Suite,
    pictures,
)
from .words import addresses, strangers

MAX_OUTPUT = 8 * 1024 * 1024
"""Bytes of one result, before anything is cut."""
MAX_LINE = 4096
"""Characters of one line of progress."""


class ToolConformance(Suite):
    """Inherit it, name the class ``Test...``, and say which tool it is about."""

    tool: str = ""
    """The name of the tool; the plugin must offer it."""
    examples: Sequence[ToolExample] = ()
    """Calls that show what the tool does: at least one that succeeds."""
    skills: Sequence[Skill] = ()
    """What ``context.skill`` knows, for tools that load skills."""

    checks: ClassVar[Checks] = Checks("tool")


check = ToolConformance.checks.add


# --- what it is -------------------------------------------------------------------


@check("definition", since=1)
def _definition(bench: Bench[ToolConformance]) -> Iterator[str]:
    """The plugin offers the tool, and the suite has examples that it takes, of which
    one succeeds."""

    async def look(case: Case[ToolConformance], host: Host) -> None:
        tool_of(host, case.suite.tool)
        for example in case.suite.examples:
            runnable(case, host, example)

    bench.hosted(look)
    if not any(not example.fails for example in bench.suite.examples):
        yield "the suite has no example that succeeds, so nothing can be shown"


@check("schema", since=1)
def _schema(bench: Bench[ToolConformance]) -> Iterator[str]:
    """What an example gives is decoded, and encodes back to what was given."""

    async def look(
        case: Case[ToolConformance], host: Host
    ) -> tuple[Tool[Any, Any], list[tuple[dict[str, Json], Any]]]:
        tool = tool_of(host, case.suite.tool)
        inputs = []
        for example in case.suite.examples:
            arguments = example.given(str(case.folder))
            inputs.append((arguments, runnable(case, host, example).input))
        return tool, inputs

    tool, inputs = bench.hosted(look)
    for number, (arguments, decoded) in enumerate(inputs, 1):
        try:
            encoded = converter.unstructure(decoded, tool.input)
            again = converter.unstructure(
                converter.structure(encoded, tool.input), tool.input
            )
        except Exception as error:  # a stranger's validators and converters
            yield f"example {number}: decoded input does not encode: {error}"
            continue
        if again != encoded:
            yield f"example {number}: it encodes to {encoded!r}, and that to {again!r}"
        for name in arguments.keys() - encoded.keys():
            yield f"example {number}: {name!r} is lost by decoding"
        for name in arguments.keys() & encoded.keys():
            problem = _differs(arguments[name], encoded[name])
            if problem:
                yield f"example {number}: {name!r} was given as {problem}"


def _differs(given: Json, kept: Json) -> str | None:
    if type(given) is type(kept) and isinstance(given, dict):
        # Left-out fields of nested objects come back with their defaults.
        for name in given:
            if name not in kept:
                return f"an object with {name!r}, which is lost"
            inner = _differs(given[name], kept[name])
            if inner:
                return f"{inner} in {name!r}"
        return None
    if (
        type(given) is type(kept)
        and isinstance(given, list)
        and len(given) == len(kept)
    ):
        return next(filter(None, map(_differs, given, kept)), None)
    if isinstance(given, bool) != isinstance(kept, bool) or given != kept:
        return f"{given!r} and kept as {kept!r}"
    return None


@check("output", since=1)
def _output(bench: Bench[ToolConformance]) -> Iterator[str]:
    """Each example ends as the suite says, and its output survives its encoding."""
    for name, example in each_example(bench):

        async def call(
            case: Case[ToolConformance],
            host: Host,
            example: ToolExample = example,
        ) -> tuple[Tool[Any, Any], Settled]:
            settled = await settle(case, host, example)
            return tool_of(host, case.suite.tool), settled

        tool, settled = bench.hosted(call)
        yield from (f"{name}: {one}" for one in _ended(tool, example, settled))


def _ended(
    tool: Tool[Any, Any], example: ToolExample, settled: Settled
) -> Iterator[str]:
    if isinstance(settled, Failed):
        code = settled.failure.code
        if settled.defect is not None:
            yield f"it broke: {settled.defect!r} [{code}]"
        elif not example.fails:
            yield f"it failed: {settled.failure.message} [{code}]"
        return
    if example.fails:
        yield "it succeeded, and was expected to fail"
        return
    if tool.output is not str and settled.data is not None:
        back = converter.unstructure(
            converter.structure(settled.data, tool.output), tool.output
        )
        if dumps(back) != dumps(settled.data):
            yield "its output is another one after decoding and encoding"


# --- what reaches the model -------------------------------------------------------


@check("bounded", since=1)
def _bounded(bench: Bench[ToolConformance]) -> Iterator[str]:
    """A result and the progress on the way to it are bounded by the tool itself."""
    limits = OutputLimits()
    for name, example in each_example(bench):

        async def call(
            case: Case[ToolConformance],
            host: Host,
            example: ToolExample = example,
        ) -> tuple[Settled, list[str]]:
            context = RecordingContext(case)
            return await settle(case, host, example, context), context.lines

        settled, lines = bench.hosted(call)
        size = len(shown(settled).encode("utf-8", "replace"))
        if size > MAX_OUTPUT:
            yield f"{name}: a result of {size} bytes; at most {MAX_OUTPUT}"
        if isinstance(settled, Succeeded):
            files = [one for one in settled.content if isinstance(one, FileContent)]
            texts = [one for one in settled.content if isinstance(one, TextContent)]
            if any("left out and not kept" in one.text for one in texts):
                yield f"{name}: a file over {limits.file} base64 characters is lost"
            if len(files) > limits.file_count:
                yield f"{name}: {len(files)} files; at most {limits.file_count}"
        longest = max(map(len, lines), default=0)
        if longest > MAX_LINE:
            yield f"{name}: a line of progress of {longest} characters"


@check("words", since=1)
def _words(bench: Bench[ToolConformance]) -> Iterator[str]:
    """What models are told of the tool is the same everywhere: no clock, no id, no
    name of a machine; and no result shows an id of the call or of an object."""

    async def define_it(case: Case[ToolConformance], host: Host) -> tuple[bytes, str]:
        tool_of(host, case.suite.tool)
        found = host.services.tools.advertise().get(case.suite.tool)
        assert found is not None
        told = found.item.definition
        schema: Any = dict(told.schema)
        return dumps([told.name, told.description, schema]), str(case.folder)

    first, folder = bench.hosted(define_it)
    second, _ = bench.hosted(define_it)
    if first != second:
        yield "two Locations are told different definitions of it"
    text = first.decode("utf-8", "replace")
    if folder in text:
        yield "its definition names the Location's directory"
    for stranger in strangers(text, bench.clock):
        yield f"its definition has {stranger}"
    for name, example in each_example(bench):

        async def call(
            case: Case[ToolConformance],
            host: Host,
            example: ToolExample = example,
        ) -> Settled:
            return await settle(case, host, example)

        text = shown(bench.hosted(call))
        for one in addresses(text):
            yield f"{name}: its result shows the address of an object ({one})"
        for secret, what in (
            (TOKEN, "the effect token"),
            (SESSION, "the session's id"),
            (MESSAGE, "the message's id"),
        ):
            if secret in text:
                yield f"{name}: its result shows {what}"


# --- permission -------------------------------------------------------------------


@check("permission", since=1)
def _permission(bench: Bench[ToolConformance]) -> Iterator[str]:
    """Nothing is read, changed or reached before permission was given, nor after it
    was denied, and a denial is told as one."""
    for name, example in each_example(bench):
        for deny in (True, False):

            async def call(
                case: Case[ToolConformance],
                host: Host,
                example: ToolExample = example,
                deny: bool = deny,
            ) -> "_Permitted":
                plan = runnable(case, host, example)
                before = pictures(case)
                with watching(case.folder) as watch:
                    context = RecordingContext(case, watch, deny=deny)
                    settled = await plan.run(context)
                    opened, reached = tuple(watch.opened), tuple(watch.reached)
                asks = tool_of(host, case.suite.tool).asks
                return _Permitted(
                    settled,
                    context.asked,
                    before,
                    pictures(case),
                    opened,
                    reached,
                    None if asks is None else tuple(one.name for one in asks),
                )

            found = bench.hosted(call)
            seen = list(found.denied() if deny else found.allowed())
            if seen:
                yield from (f"{name}: {one}" for one in seen)
                break


@frozen
class _Permitted:
    """One call under watch."""

    settled: Settled
    asked: Sequence[Asked]
    before: tuple[Tree, object]
    after: tuple[Tree, object]
    opened: tuple[str, ...]
    reached: tuple[str, ...]
    declared: tuple[str, ...] | None
    """The actions that the tool says it asks for."""

    def denied(self) -> Iterator[str]:
        """Yield what is wrong with a call whose every question was denied."""
        how = "after it was denied" if self.asked else "without asking"
        changed = self.before[0].changes(self.after[0])
        if changed:
            yield f"it changed {', '.join(changed[:3])} {how}"
        if self.before[1] != self.after[1]:
            yield f"it changed the world {how}"
        if self.opened:
            yield f"it opened {self.opened[0]} {how}"
        if self.reached:
            yield f"it reached {self.reached[0]} {how}"
        if self.asked:
            code = self.settled.failure.code if isinstance(self.settled, Failed) else ""
            if code != "permission.denied":
                told = code or "a success"
                yield f"it made {told} of a denial; let PermissionDeniedError pass"

    def allowed(self) -> Iterator[str]:
        """Yield what is wrong with a call whose every question was answered."""
        for one in self.asked[:1]:
            changed = self.before[0].changes(one.tree)
            if changed:
                yield f"it changed {', '.join(changed[:3])} before it asked"
            if self.before[1] != one.world:
                yield "it changed the world before it asked"
            if one.opened:
                yield f"it opened {one.opened[0]} before it asked"
            if one.reached:
                yield f"it reached {one.reached[0]} before it asked"
        for one in self.asked:
            if not isinstance(one.action, str) or not one.action.strip():
                yield f"it asked for the action {one.action!r}"
            elif self.declared is not None and one.action not in self.declared:
                yield f"it asked for {one.action!r}, which its `asks` does not name"
            if not one.resources or not all(
                isinstance(each, str) and each for each in one.resources
            ):
                yield f"it asked about the resources {list(one.resources)!r}"


# --- effects ----------------------------------------------------------------------


@check("repeat", since=1)
def _repeat(bench: Bench[ToolConformance]) -> Iterator[str]:
    """A repeat does what the effect class says: nothing, the same, or what `check`
    foretells."""
    yield from repeats(bench)


@check("kill", since=1)
def _kill(bench: Bench[ToolConformance]) -> Iterator[str]:
    """Killed at any of its suspensions, or before any change of a file, and done again
    as its effect class allows, a call has the effect of one."""
    yield from kills(bench)


# --- cancellation and closing -----------------------------------------------------


@check("cancellation", since=1)
def _cancellation(bench: Bench[ToolConformance]) -> Iterator[str]:
    """Cancelled at any of its suspensions, it ends soon and lets the cancellation
    pass; and it never holds the event loop."""
    for name, example in each_example(bench):

        async def call(
            case: Case[ToolConformance],
            host: Host,
            example: ToolExample = example,
        ) -> Settled:
            return await settle(case, host, example)

        yield from (f"{name}: {one}" for one in bench.cancelled(call))


@check("leak", since=1)
def _leak(bench: Bench[ToolConformance]) -> Iterator[str]:
    """Nothing is left behind when its Location closes: no task, no thread, no file, no
    process."""
    for name, example in each_example(bench):

        async def call(
            case: Case[ToolConformance], example: ToolExample = example
        ) -> None:
            async with case.host() as host:
                await settle(case, host, example)

        yield from (f"{name}: {one}" for one in bench.leaks(call))
