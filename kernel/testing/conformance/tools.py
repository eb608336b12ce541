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

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from attrs import define, field, frozen

from ...contracts import Skill, Tool, ToolContext
from ...tools.output import OutputLimits
from ...tools.settlement import Failed, Runnable, Settled, Succeeded, prepare
from ...values.codec import converter, dumps
from ...values.errors import (
    OutputNotFoundError,
    PermissionDeniedError,
    SkillNotFoundError,
    ToolError,
)
from ...values.ids import MessageId, SessionId
from ...values.location import Location
from ...values.request import ToolCall
from ...values.tool import FileContent, Json, ManagedPage, TextContent, effect_token
from .driving import Interrupted, interrupted, spread
from .looking import Tree, Watch, watching
from .suite import (
    POINTS,
    Bench,
    Case,
    Checks,
    Host,
    NotOfferedError,
    Suite,
    pictures,
)
from .words import addresses, strangers

MAX_OUTPUT = 8 * 1024 * 1024
"""Bytes of one result, before anything is cut."""
MAX_LINE = 4096
"""Characters of one line of progress."""

SESSION = SessionId("ses_conformance")
MESSAGE = MessageId("msg_conformance")
CALL = "call_conformance"
TOKEN = effect_token(SESSION, MESSAGE, CALL)


@frozen
class ToolExample:
    """One call that the tool must take."""

    arguments: Mapping[str, Json] | Callable[[str], Mapping[str, Json]] = field(
        factory=dict
    )
    """The arguments; or a function that makes them from the Location's directory."""
    fails: bool = False
    """Whether it is expected to fail, with a ToolFailure."""

    def given(self, directory: str) -> dict[str, Json]:
        """Return the arguments of a call in a Location."""
        if callable(self.arguments):
            return dict(self.arguments(directory))
        return dict(self.arguments)


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


# --- the context of a call --------------------------------------------------------


@define(eq=False)
class Asked:
    """One question for permission, and how things were when it came."""

    action: object
    resources: tuple[object, ...]
    tree: Tree
    world: object
    opened: tuple[str, ...]
    reached: tuple[str, ...]


class RecordingContext(ToolContext):
    """Answers as it is told to, and remembers."""

    session_id = SESSION
    agent = "build"
    message_id = MESSAGE
    call_id = CALL
    effect_token = TOKEN

    def __init__(
        self, case: Case[Any], watch: Watch | None = None, *, deny: bool = False
    ) -> None:
        self._case = case
        self._watch = watch
        self._deny = deny
        self.asked: list[Asked] = []
        self.lines: list[str] = []

    @property
    def location(self) -> Location:
        return Location.at(self._case.folder)

    async def ask(
        self,
        action: str,
        resources: Sequence[str],
        *,
        save: Sequence[str] = (),
        metadata: Mapping[str, Json] | None = None,
    ) -> None:
        watch = self._watch
        opened = tuple(watch.opened) if watch else ()
        reached = tuple(watch.reached) if watch else ()
        tree, world = pictures(self._case)
        given = (resources,) if isinstance(resources, str) else tuple(resources)
        self.asked.append(Asked(action, given, tree, world, opened, reached))
        if self._deny:
            raise PermissionDeniedError(action, list(resources))

    async def skill(self, name: str) -> Skill:
        for one in self._case.suite.skills:
            if one.name == name:
                known: Skill = one
                return known
        raise SkillNotFoundError(name, "the suite knows no such skill")

    async def managed(
        self, key: str, offset: int = 1, limit: int = 2_000
    ) -> ManagedPage:
        raise OutputNotFoundError(key, "the suite keeps no output")

    def saw(self, path: str, digest: str | None) -> None:
        return None

    def progress(self, text: str) -> None:
        self.lines.append(text)


# --- calling ----------------------------------------------------------------------


def _tool(host: Host, name: str) -> Tool[Any, Any]:
    found = host.services.tools.advertise().get(name)
    if found is None:
        offered = ", ".join(host.services.tools.advertise().names) or "none"
        raise NotOfferedError(
            f"there is no tool {name!r}{host.problem}; offered: {offered}"
        )
    return found.item.tool


def _runnable(case: Case[Any], host: Host, example: ToolExample) -> Runnable:
    arguments = example.given(str(case.folder))
    call = ToolCall(CALL, case.suite.tool, dumps(arguments).decode())
    _tool(host, case.suite.tool)
    plan = prepare(call, host.services.tools.advertise())
    if isinstance(plan, Failed):
        raise NotOfferedError(
            f"the example {arguments!r} is no valid input: {plan.failure.message}"
        )
    return plan


async def _settle(
    case: Case[Any],
    host: Host,
    example: ToolExample,
    context: RecordingContext | None = None,
) -> Settled:
    plan = _runnable(case, host, example)
    return await plan.run(context or RecordingContext(case))


def _each(
    bench: Bench[ToolConformance],
) -> Iterator[tuple[str, ToolExample]]:
    for number, example in enumerate(bench.suite.examples, 1):
        yield f"example {number}", example


def _shown(settled: Settled) -> str:
    if isinstance(settled, Failed):
        return settled.full or settled.failure.message
    texts = [one.text for one in settled.content if isinstance(one, TextContent)]
    return settled.full or "\n".join(texts)


# --- what it is -------------------------------------------------------------------


@check("definition", since=1)
def _definition(bench: Bench[ToolConformance]) -> Iterator[str]:
    """The plugin offers the tool, and the suite has examples that it takes, of which
    one succeeds."""

    async def look(case: Case[ToolConformance], host: Host) -> None:
        _tool(host, case.suite.tool)
        for example in case.suite.examples:
            _runnable(case, host, example)

    bench.hosted(look)
    if not any(not example.fails for example in bench.suite.examples):
        yield "the suite has no example that succeeds, so nothing can be shown"


@check("schema", since=1)
def _schema(bench: Bench[ToolConformance]) -> Iterator[str]:
    """What an example gives is decoded, and encodes back to what was given."""

    async def look(
        case: Case[ToolConformance], host: Host
    ) -> tuple[Tool[Any, Any], list[tuple[dict[str, Json], Any]]]:
        tool = _tool(host, case.suite.tool)
        inputs = []
        for example in case.suite.examples:
            arguments = example.given(str(case.folder))
            inputs.append((arguments, _runnable(case, host, example).input))
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
    if isinstance(given, bool) != isinstance(kept, bool) or given != kept:
        return f"{given!r} and kept as {kept!r}"
    return None


@check("output", since=1)
def _output(bench: Bench[ToolConformance]) -> Iterator[str]:
    """Each example ends as the suite says, and its output survives its encoding."""
    for name, example in _each(bench):

        async def call(
            case: Case[ToolConformance],
            host: Host,
            example: ToolExample = example,
        ) -> tuple[Tool[Any, Any], Settled]:
            settled = await _settle(case, host, example)
            return _tool(host, case.suite.tool), settled

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
    for name, example in _each(bench):

        async def call(
            case: Case[ToolConformance],
            host: Host,
            example: ToolExample = example,
        ) -> tuple[Settled, list[str]]:
            context = RecordingContext(case)
            return await _settle(case, host, example, context), context.lines

        settled, lines = bench.hosted(call)
        size = len(_shown(settled).encode("utf-8", "replace"))
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
        _tool(host, case.suite.tool)
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
    for name, example in _each(bench):

        async def call(
            case: Case[ToolConformance],
            host: Host,
            example: ToolExample = example,
        ) -> Settled:
            return await _settle(case, host, example)

        shown = _shown(bench.hosted(call))
        for one in addresses(shown):
            yield f"{name}: its result shows the address of an object ({one})"
        for secret, what in (
            (TOKEN, "the effect token"),
            (SESSION, "the session's id"),
            (MESSAGE, "the message's id"),
        ):
            if secret in shown:
                yield f"{name}: its result shows {what}"


# --- permission -------------------------------------------------------------------


@check("permission", since=1)
def _permission(bench: Bench[ToolConformance]) -> Iterator[str]:
    """Nothing is read, changed or reached before permission was given, nor after it
    was denied, and a denial is told as one."""
    for name, example in _each(bench):
        for deny in (True, False):

            async def call(
                case: Case[ToolConformance],
                host: Host,
                example: ToolExample = example,
                deny: bool = deny,
            ) -> "_Permitted":
                plan = _runnable(case, host, example)
                before = pictures(case)
                with watching(case.folder) as watch:
                    context = RecordingContext(case, watch, deny=deny)
                    settled = await plan.run(context)
                    opened, reached = tuple(watch.opened), tuple(watch.reached)
                return _Permitted(
                    settled, context.asked, before, pictures(case), opened, reached
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
            if not one.resources or not all(
                isinstance(each, str) and each for each in one.resources
            ):
                yield f"it asked about the resources {list(one.resources)!r}"


# --- effects ----------------------------------------------------------------------


@check("repeat", since=1)
def _repeat(bench: Bench[ToolConformance]) -> Iterator[str]:
    """A repeat does what the effect class says: nothing, the same, or what `check`
    foretells."""
    for name, example in _each(bench):

        async def twice(
            case: Case[ToolConformance], example: ToolExample = example
        ) -> list[str]:
            async with case.host() as host:
                effect = _tool(host, case.suite.tool).effect
                before = pictures(case)
                asked = await _ask_check(case, host, example)
                if effect == "reconcilable" and asked == "done":
                    return ["`check` says that it is done before it was"]
                if before != pictures(case):
                    return ["`check` has an effect of its own"]
                settled = await _settle(case, host, example)
                once = pictures(case)
                if effect == "pure":
                    return _moved("it is pure, and changed", before, once)
                if effect == "reconcilable" and isinstance(settled, Succeeded):
                    asked = await _ask_check(case, host, example)
                    if asked != "done":
                        return [f"`check` says that a finished call is {asked}"]
                    return _moved("`check` changed", once, pictures(case))
                if effect != "idempotent":
                    return []
            async with case.host() as host:
                await _settle(case, host, example)
            again = pictures(case)
            return _moved("it is idempotent, and a repeat changed", once, again)

        yield from (f"{name}: {one}" for one in bench.case(twice))


async def _ask_check(case: Case[Any], host: Host, example: ToolExample) -> str:
    """Return what ``check`` says: done, not done, or cannot tell."""
    plan = _runnable(case, host, example)
    if _tool(host, case.suite.tool).check is None:
        return "cannot tell"
    try:
        settled = await plan.check(RecordingContext(case))
    except ToolError:
        return "cannot tell"
    return "not done" if settled is None else "done"


def _moved(
    what: str, before: tuple[Tree, object], after: tuple[Tree, object]
) -> list[str]:
    found = []
    changed = before[0].changes(after[0])
    if changed:
        found.append(f"{what} {', '.join(changed[:3])}")
    if before[1] != after[1]:
        found.append(f"{what} the world: {before[1]!r} became {after[1]!r}")
    return found


@check("kill", since=1)
def _kill(bench: Bench[ToolConformance]) -> Iterator[str]:
    """Killed at any of its suspensions, or before any change of a file, and done again
    as its effect class allows, a call has the effect of one."""
    effect = bench.hosted(_effect)
    if effect == "unsafe":
        return
    for name, example in _each(bench):
        total = bench.hosted(_counting(example)).suspensions
        once, moments = bench.hosted(_finished(example))
        for at in spread(total, POINTS):
            found = bench.case(_killed(example, at, effect, once))
            if found:
                yield f"{name}, killed at its suspension {at} of {total}: {found[0]}"
                break
        if once.world is not None:
            # What changed in the world cannot be put back to that moment.
            continue
        for number in spread(len(moments), POINTS):
            found = bench.case(_left(example, moments[number - 1], effect, once))
            if found:
                where = f"change {number} of {len(moments)}"
                yield f"{name}, killed before its {where}: {found[0]}"
                break


@frozen
class _Once:
    """What one call leaves."""

    before: Tree
    tree: Tree
    world: object


async def _effect(case: Case[ToolConformance], host: Host) -> str:
    return _tool(host, case.suite.tool).effect


def _counting(
    example: ToolExample,
) -> Callable[[Case[ToolConformance], Host], Awaitable[Interrupted[Settled]]]:
    async def count(case: Case[ToolConformance], host: Host) -> Interrupted[Settled]:
        return await interrupted(lambda: _settle(case, host, example), 0)

    return count


def _finished(
    example: ToolExample,
) -> Callable[[Case[ToolConformance], Host], Awaitable[tuple[_Once, list[Tree]]]]:
    async def finish(
        case: Case[ToolConformance], host: Host
    ) -> tuple[_Once, list[Tree]]:
        before = Tree.of(case.folder)
        with watching(case.folder, moments=True) as watch:
            await _settle(case, host, example)
        return _Once(before, *pictures(case)), watch.moments or []

    return finish


def _killed(
    example: ToolExample, at: int, effect: str, once: _Once
) -> Callable[[Case[ToolConformance]], Awaitable[list[str]]]:
    async def kill(case: Case[ToolConformance]) -> list[str]:
        before = pictures(case)
        found: list[Tree] = []
        async with case.host() as host:
            # A process that is killed cleans nothing up: what its directory held in
            # that moment is what the next one finds.
            await interrupted(
                lambda: _settle(case, host, example),
                at,
                lambda: found.append(Tree.of(case.folder)),
            )
        return await _go_on(case, example, before, found, effect, once)

    return kill


def _left(
    example: ToolExample, moment: Tree, effect: str, once: _Once
) -> Callable[[Case[ToolConformance]], Awaitable[list[str]]]:
    async def kill(case: Case[ToolConformance]) -> list[str]:
        before = pictures(case)
        return await _go_on(case, example, before, [moment], effect, once)

    return kill


async def _go_on(
    case: Case[ToolConformance],
    example: ToolExample,
    before: tuple[Tree, object],
    left: Sequence[Tree],
    effect: str,
    once: _Once,
) -> list[str]:
    """Do with what was left behind what the effect class allows."""
    for tree in left:
        tree.restore(case.folder)
    async with case.host() as host:
        if effect == "pure":
            return _moved("it is pure, and changed", before, pictures(case))
        if effect == "reconcilable":
            asked = await _ask_check(case, host, example)
            if asked == "cannot tell":
                return []  # left to a person
            if asked == "done":
                return _unlike("`check` says that it is done", case, once)
        await _settle(case, host, example)
        return _unlike("it was done again", case, once)


def _unlike(what: str, case: Case[ToolConformance], once: _Once) -> list[str]:
    now, world = pictures(case)
    # Half-written files under names of their own are what a kill leaves of any
    # careful write; they count only under names that matter.
    names = once.before.entries.keys() | once.tree.entries.keys()
    changed = [name for name in once.tree.changes(now) if name in names]
    found = []
    if changed:
        shown = ", ".join(changed[:3])
        found.append(f"{what}, and {shown} is not what one call leaves")
    if world != once.world:
        found.append(f"{what}, and the world is {world!r} instead of {once.world!r}")
    return found


# --- cancellation and closing -----------------------------------------------------


@check("cancellation", since=1)
def _cancellation(bench: Bench[ToolConformance]) -> Iterator[str]:
    """Cancelled at any of its suspensions, it ends soon and lets the cancellation
    pass; and it never holds the event loop."""
    for name, example in _each(bench):

        async def call(
            case: Case[ToolConformance],
            host: Host,
            example: ToolExample = example,
        ) -> Settled:
            return await _settle(case, host, example)

        yield from (f"{name}: {one}" for one in bench.cancelled(call))


@check("leak", since=1)
def _leak(bench: Bench[ToolConformance]) -> Iterator[str]:
    """Nothing is left behind when its Location closes: no task, no thread, no file, no
    process."""
    for name, example in _each(bench):

        async def call(
            case: Case[ToolConformance], example: ToolExample = example
        ) -> None:
            async with case.host() as host:
                await _settle(case, host, example)

        yield from (f"{name}: {one}" for one in bench.leaks(call))
