"""The suite for stores: what keeps the log and everything beside it.

::

    class TestRedis(StoreConformance):
        version = 1
        plugin = dovetail_redis.plugin

        def url(self, folder, name):
            return f"redis://localhost/{folder.parent.name}-{name}"

The promises of the port are those of the contract in ``testing.contracts.store``, of
which each part is one check here.
"""

import linecache
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar

from ...plugins.loader import load_plugins
from ...ports import Store, Transaction
from ...values.errors import raised
from ..contracts.store import (
    BlobContract,
    LogContract,
    OpeningContract,
    ProjectionContract,
    ReadingContract,
    RowContract,
    StoreCase,
    TransactionContract,
    record,
)
from .driving import HungError, Interrupted, interrupted, spread
from .looking import Tree
from .suite import POINTS, Bench, Case, Checks, NotOfferedError, NotShownError, Suite

SESSION = "ses_conformance"


class StoreConformance(Suite):
    """Inherit it, name the class ``Test...``, and say under which URL it is opened."""

    checks: ClassVar[Checks] = Checks("store")

    def url(self, folder: Path, name: str) -> str:
        """Return the URL of the store of this name.

        ``folder`` is another one for each try; within a try a name opened again has
        its contents again, also while it is open already.
        """
        raise NotShownError("the suite does not say under which `url` it is opened")


check = StoreConformance.checks.add


# --- opening ----------------------------------------------------------------------


def _opened(
    case: Case[StoreConformance], name: str = "main"
) -> AbstractAsyncContextManager[Store]:
    """Open a store as a runtime does, by the hook."""
    url = case.suite.url(case.folder, name)
    plugins = load_plugins(
        [case.suite.plugin], entry_points=False, environment=case.environment()
    )
    found = plugins.first("dovetail_open_store", url=url)
    if found is None:
        told = "; ".join(str(one.error) for one in plugins.states() if one.error)
        raise NotOfferedError(f"no store is opened for {url!r} {told}".strip())
    manager: AbstractAsyncContextManager[Store] = found
    return manager


@check("definition", since=1)
def _definition(bench: Bench[StoreConformance]) -> Iterator[str]:
    """The plugin opens a store under the suite's URL, and closing it twice is
    harmless."""

    async def look(case: Case[StoreConformance]) -> None:
        async with _opened(case) as store:
            await store.aclose()

    try:
        bench.case(look)
    except (HungError, NotOfferedError, NotShownError):
        raise
    except Exception as error:  # a stranger's store
        yield f"it cannot be opened and closed: {error!r}"


# --- the contract -----------------------------------------------------------------


def _kept(bench: Bench[StoreConformance], part: type[StoreCase]) -> Iterator[str]:
    """Yield which tests of a part of the contract fail."""
    for name in vars(part):
        if name.startswith("test_"):
            sentence = name.removeprefix("test_").replace("_", " ")
            try:
                problem = bench.case(_trying(part, name))
            except HungError as error:
                problem = str(error)
            if problem is not None:
                yield f"{sentence}: {problem}"


def _trying(
    part: type[StoreCase], name: str
) -> Callable[[Case[StoreConformance]], Awaitable[str | None]]:
    async def attempt(case: Case[StoreConformance]) -> str | None:
        def open_store(
            _: StoreCase, name: str = "main"
        ) -> AbstractAsyncContextManager[Store]:
            return _opened(case, name)

        one = type(part.__name__, (part,), {"open_store": open_store})()
        try:
            await getattr(one, name)()
        except (NotOfferedError, NotShownError):
            raise
        except Exception as error:  # a stranger's store
            return _reason(raised(error))
        return None

    return attempt


def _reason(error: BaseException) -> str:
    """Return what failed; of a bare ``assert`` its line."""
    if str(error) or not isinstance(error, AssertionError):
        return repr(error)
    frames = traceback.extract_tb(error.__traceback__)
    return linecache.getline(frames[-1].filename, frames[-1].lineno or 0).strip()


def _part(name: str, part: type[StoreCase]) -> None:
    def run(bench: Bench[Any]) -> Iterator[str]:
        yield from _kept(bench, part)

    run.__doc__ = part.__doc__
    check(name, since=1)(run)


_part("log", LogContract)
_part("transactions", TransactionContract)
_part("reading", ReadingContract)
_part("projections", ProjectionContract)
_part("rows", RowContract)
_part("blobs", BlobContract)
_part("opening", OpeningContract)


# --- kills, cancellation and closing ----------------------------------------------


def _append(transaction: Transaction) -> str:
    head = transaction.head(SESSION)
    seq = 0 if head is None else head.seq + 1
    transaction.append([record(SESSION, seq), record(SESSION, seq + 1)])
    return "appended"


async def _count(store: Store) -> int:
    return await store.read(lambda reader: len(reader.events(SESSION)))


@check("kill", since=1)
def _kill(bench: Bench[StoreConformance]) -> Iterator[str]:
    """What was confirmed is there after a kill, without having been closed."""

    async def kill(case: Case[StoreConformance]) -> tuple[int, int]:
        async with _opened(case) as store:
            await store.transact(_append)
            await store.transact(_append)
            # A process that is killed now leaves exactly this behind.
            left = Tree.of(case.folder)
        left.restore(case.folder)
        async with _opened(case) as store:
            kept = await _count(store)
            await store.transact(_append)
            return kept, await _count(store)

    found = bench.case(kill)
    if found != (4, 6):
        yield f"of 4 confirmed events {found[0]} were there, and then {found[1]} of 6"


@check("cancellation", since=1)
def _cancellation(bench: Bench[StoreConformance]) -> Iterator[str]:
    """Cancelled at any of its suspensions, a transaction is whole or nothing, its
    caller is told the truth, and the store works on."""

    def trying(
        at: int,
    ) -> Callable[[Case[StoreConformance]], Awaitable[tuple[Interrupted[str], int]]]:
        async def cancel(
            case: Case[StoreConformance],
        ) -> tuple[Interrupted[str], int]:
            async with _opened(case) as store:
                ended = await interrupted(lambda: store.transact(_append), at)
                count = await _count(store)
                await store.transact(_append)
                assert await _count(store) == count + 2
                return ended, count

        return cancel

    whole, _ = bench.case(trying(0))
    for at in spread(whole.suspensions, POINTS):
        where = f"cancelled at its suspension {at} of {whole.suspensions}"
        try:
            ended, count = bench.case(trying(at))
        except HungError as error:
            yield f"{where}, {error}"
            return
        except Exception as error:  # a stranger's store
            yield f"{where}, it works no more: {_reason(error)}"
            return
        if ended.error is not None:
            yield f"{where}, it made {ended.error!r} of its cancellation"
            return
        if count != (0 if ended.result is None else 2):
            told = "done" if ended.result is not None else "cancelled"
            yield f"{where}, its caller is told {told}, and {count} of 2 are there"
            return


@check("leak", since=1)
def _leak(bench: Bench[StoreConformance]) -> Iterator[str]:
    """Nothing is left behind when it is closed: no task, no thread, no file, no
    process."""

    async def use(case: Case[StoreConformance]) -> None:
        async with _opened(case) as store:
            await store.transact(_append)
            await _count(store)

    yield from bench.leaks(use)
