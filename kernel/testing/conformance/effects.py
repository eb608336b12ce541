"""Effects: whether a repeat and a kill of a call keep to its effect class.

Owns what is done with a call that was done, or begun, before: nothing, the same again,
or what ``check`` says. Knows nothing of how a suite is made of it.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from attrs import frozen

from ...tools.settlement import Settled, Succeeded
from ...values.tool import Deed
from .calling import (
    RecordingContext,
    ToolExample,
    ask_check,
    each_example,
    settle,
    tool_of,
)
from .driving import Interrupted, interrupted, spread
from .looking import Moment, Tree, watching
from .suite import POINTS, Bench, Case, Host, pictures


def repeats(bench: Bench[Any]) -> Iterator[str]:
    """Yield what is wrong with a call that is done again after it ended."""
    for name, example in each_example(bench):

        async def twice(case: Case[Any], example: ToolExample = example) -> list[str]:
            deeds: list[Deed] = []
            async with case.host() as host:
                effect = tool_of(host, case.suite.tool).effect
                before = pictures(case)
                asked = await ask_check(case, host, example, deeds)
                if effect == "reconcilable" and asked == "done":
                    return ["`check` says that it is done before it was"]
                if before != pictures(case):
                    return ["`check` has an effect of its own"]
                context = RecordingContext(case, deeds=deeds)
                settled = await settle(case, host, example, context)
                once = pictures(case)
                if effect == "pure":
                    return _moved("it is pure, and changed", before, once)
                if effect == "reconcilable" and isinstance(settled, Succeeded):
                    asked = await ask_check(case, host, example, deeds)
                    if asked != "done":
                        return [f"`check` says that a finished call is {asked}"]
                    return _moved("`check` changed", once, pictures(case))
                if effect != "idempotent":
                    return []
            async with case.host() as host:
                context = RecordingContext(case, deeds=deeds)
                await settle(case, host, example, context)
            again = pictures(case)
            return _moved("it is idempotent, and a repeat changed", once, again)

        yield from (f"{name}: {one}" for one in bench.case(twice))


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


def kills(bench: Bench[Any]) -> Iterator[str]:
    """Yield what is wrong with a call that goes on after a kill."""
    effect = bench.hosted(_effect)
    if effect == "unsafe":
        return
    for name, example in each_example(bench):
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


async def _effect(case: Case[Any], host: Host) -> str:
    return tool_of(host, case.suite.tool).effect


def _counting(
    example: ToolExample,
) -> Callable[[Case[Any], Host], Awaitable[Interrupted[Settled]]]:
    async def count(case: Case[Any], host: Host) -> Interrupted[Settled]:
        return await interrupted(lambda: settle(case, host, example), 0)

    return count


def _finished(
    example: ToolExample,
) -> Callable[[Case[Any], Host], Awaitable[tuple[_Once, list[Moment]]]]:
    async def finish(case: Case[Any], host: Host) -> tuple[_Once, list[Moment]]:
        before = Tree.of(case.folder)
        deeds: list[Deed] = []
        context = RecordingContext(case, deeds=deeds)
        with watching(case.folder, moments=lambda: tuple(deeds)) as watch:
            await settle(case, host, example, context)
        return _Once(before, *pictures(case)), watch.moments

    return finish


def _killed(
    example: ToolExample, at: int, effect: str, once: _Once
) -> Callable[[Case[Any]], Awaitable[list[str]]]:
    async def kill(case: Case[Any]) -> list[str]:
        before = pictures(case)
        found: list[Moment] = []
        deeds: list[Deed] = []
        async with case.host() as host:
            # A process that is killed cleans nothing up: what its directory held in
            # that moment, and what was recorded, is what the next one finds.
            context = RecordingContext(case, deeds=deeds)
            await interrupted(
                lambda: settle(case, host, example, context),
                at,
                lambda: found.append(Moment(Tree.of(case.folder), tuple(deeds))),
            )
        return await _go_on(case, example, before, found, effect, once)

    return kill


def _left(
    example: ToolExample, moment: Moment, effect: str, once: _Once
) -> Callable[[Case[Any]], Awaitable[list[str]]]:
    async def kill(case: Case[Any]) -> list[str]:
        before = pictures(case)
        return await _go_on(case, example, before, [moment], effect, once)

    return kill


async def _go_on(
    case: Case[Any],
    example: ToolExample,
    before: tuple[Tree, object],
    left: Sequence[Moment],
    effect: str,
    once: _Once,
) -> list[str]:
    """Do with what was left behind what the effect class allows."""
    deeds: list[Deed] = []
    for moment in left:
        moment.tree.restore(case.folder)
        deeds = [*moment.deeds]
    if effect == "pure":
        # There is nothing to go on with.
        return _moved("it is pure, and changed", before, pictures(case))
    async with case.host() as host:
        if effect == "reconcilable":
            asked = await ask_check(case, host, example, deeds)
            if asked == "cannot tell":
                return []  # left to a person
            if asked == "done":
                return _unlike("`check` says that it is done", case, once)
        context = RecordingContext(case, deeds=deeds)
        await settle(case, host, example, context)
        return _unlike("it was done again", case, once)


def _unlike(what: str, case: Case[Any], once: _Once) -> list[str]:
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
