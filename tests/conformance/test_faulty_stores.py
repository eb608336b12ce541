"""Each check of the suite for stores catches its fault, and it alone."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from dovetail.kernel import DovetailError, Reader, Store, Transaction, hookimpl
from dovetail.kernel.ports import LeaseRow
from dovetail.kernel.testing import MemoryStore, MemoryStorePlugin
from dovetail.kernel.testing.conformance import Report, StoreConformance, check
from dovetail.kernel.testing.memory_store import MemoryState
from support.bounds import HANG
from support.faults import LEFT_OPEN, cases, codes_of


class Altered:
    """A transaction or a view in which some methods are others."""

    def __init__(self, inner: Any, **others: Callable[..., Any]) -> None:
        self._inner = inner
        self._others = others

    def __getattr__(self, name: str) -> Any:
        other = self._others.get(name)
        if other is None:
            return getattr(self._inner, name)
        return lambda *given, **named: other(self._inner, *given, **named)


class Altering(MemoryStore):
    """A store in memory whose transactions and views are altered."""

    others: dict[str, Callable[..., Any]]

    async def transact(self, work: Any, on_commit: Any = None) -> Any:
        def altered(transaction: Transaction) -> Any:
            return work(Altered(transaction, **self.others))

        return await super().transact(altered, on_commit)

    async def read(self, work: Any) -> Any:
        def altered(reader: Reader) -> Any:
            return work(Altered(reader, **self.others))

        return await super().read(altered)


def altering(**others: Callable[..., Any]) -> type[MemoryStore]:
    return type("Altering", (Altering,), {"others": others})


def no_owner(transaction: Transaction, session_id: str, owner: str | None) -> None:
    """Keep no owner."""


def by_the_letter(reader: Reader, *, search: str | None = None, **more: Any) -> Any:
    found = reader.sessions(**more)
    return [one for one in found if search is None or search in (one.title or "")]


def any_fence(transaction: Transaction, row: LeaseRow) -> None:
    made: Any = transaction
    made.put(made.now().leases, row.session_id, row)


def no_hold(transaction: Transaction, session_id: str, seq: int, digest: str) -> None:
    """Keep every value for ever, as one that no event was said to need."""


class HushingUp(MemoryStore):
    """Tells nobody what ``on_commit`` raised."""

    async def transact(self, work: Any, on_commit: Any = None) -> Any:
        def quietly(result: Any) -> None:
            try:
                on_commit(result)
            except Exception:
                return

        return await super().transact(work, quietly if on_commit else None)


class ReadingInItsOwnWords(MemoryStore):
    """Makes an error of its own of what a read raised."""

    async def read(self, work: Any) -> Any:
        try:
            return await super().read(work)
        except DovetailError:
            raise
        except Exception as error:
            raise RuntimeError("the read failed") from error


class GettingStuck(MemoryStore):
    """Keeps its lock when it is cancelled while it has it."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._lock = anyio.Lock()

    async def transact(self, work: Any, on_commit: Any = None) -> Any:
        await self._lock.acquire()
        try:
            await anyio.lowlevel.checkpoint()
            result = await super().transact(work, on_commit)
        except Exception:
            self._lock.release()
            raise
        self._lock.release()
        return result


class LeavingAFile(MemoryStore):
    async def aclose(self) -> None:
        LEFT_OPEN.one_more()
        await super().aclose()


@attrs.define(eq=False, slots=False)
class Opening:
    """A plugin that opens stores of one kind under ``memory://FOLDER/NAME``."""

    kind: type[MemoryStore] = MemoryStore
    states: dict[str, MemoryState] = attrs.field(factory=dict)

    @hookimpl
    def dovetail_open_store(self, url: str) -> AbstractAsyncContextManager[Store]:
        return self.opened(url.removeprefix("memory://"))

    @asynccontextmanager
    async def opened(self, name: str) -> AsyncIterator[Store]:
        store = self.kind(self.states.setdefault(name, MemoryState()), name=name)
        try:
            yield store
        finally:
            await store.aclose()


class OpeningNothing:
    @hookimpl
    def dovetail_open_store(self, url: str) -> None:
        return None


class OneForAllNames(Opening):
    @asynccontextmanager
    async def opened(self, name: str) -> AsyncIterator[Store]:
        async with super().opened(name.rpartition("/")[0]) as store:
            yield store


@attrs.define(eq=False, slots=False)
class KeepingWhenClosed(Opening):
    """What was not closed is lost: a mark beside the store says whether it was."""

    in_use: dict[str, int] = attrs.field(factory=dict)

    def begin(self, name: str) -> None:
        mark = Path(f"{name}.closed")
        if not self.in_use.get(name) and not mark.exists():
            self.states.pop(name, None)
        self.in_use[name] = self.in_use.get(name, 0) + 1
        mark.unlink(missing_ok=True)

    @asynccontextmanager
    async def opened(self, name: str) -> AsyncIterator[Store]:
        self.begin(name)
        async with super().opened(name) as store:
            yield store
        self.in_use[name] -= 1
        Path(f"{name}.closed").touch()  # noqa: ASYNC240 - short


class Memory(StoreConformance):
    """A suite for a plugin that is sound but for one thing."""

    version = 1
    plugin: object = MemoryStorePlugin()
    patience = HANG

    def url(self, folder: Path, name: str) -> str:
        return f"memory://{folder}/{name}"


def suite(plugin: object) -> type[StoreConformance]:
    return type("Faulty", (Memory,), {"plugin": plugin})


def of(kind: type[MemoryStore]) -> type[StoreConformance]:
    return suite(Opening(kind))


class WithoutUrl(StoreConformance):
    version = 1
    plugin = MemoryStorePlugin()


FAULTS: list[tuple[str, str, type[StoreConformance]]] = [
    ("it opens nothing", "store.definition", suite(OpeningNothing())),
    ("it keeps no owners", "store.log", of(altering(set_owner=no_owner))),
    ("it hushes up", "store.transactions", of(HushingUp)),
    ("it reads in its own words", "store.reading", of(ReadingInItsOwnWords)),
    (
        "it searches by the letter",
        "store.projections",
        of(altering(sessions=by_the_letter)),
    ),
    ("it takes any fence", "store.rows", of(altering(put_lease=any_fence))),
    ("it holds no values", "store.blobs", of(altering(hold_blob=no_hold))),
    ("its names are one", "store.opening", suite(OneForAllNames())),
    ("it keeps when it closes", "store.kill", suite(KeepingWhenClosed())),
    ("it gets stuck", "store.cancellation", of(GettingStuck)),
    ("it leaves a file open", "store.leak", of(LeavingAFile)),
]


@pytest.mark.parametrize(("code", "faulty"), cases(FAULTS))
def test_a_fault_is_caught_by_its_check_alone(
    code: str, faulty: type[StoreConformance]
) -> None:
    report = check(faulty, backend="asyncio")
    assert report.codes == (code,), report.findings


def test_a_suite_that_names_no_url_is_told_so_by_every_check() -> None:
    report = check(WithoutUrl, backend="trio")
    assert report.codes == tuple(sorted(report.checked))
    assert all("`url`" in one.problem for one in report.findings)


def test_every_check_has_a_fault_that_it_catches() -> None:
    assert {code for _, code, _ in FAULTS} == codes_of(StoreConformance)


def test_without_its_fault_the_plugin_conforms() -> None:
    assert check(of(altering()), backend="trio") == Report(
        "store", 1, tuple(one.code for one in StoreConformance.checks.of(1))
    )
