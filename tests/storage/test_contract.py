"""Both stores keep the contract of the ``Store`` port."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from dovetail.kernel import Store
from dovetail.kernel.testing.contracts.store import StoreContract
from dovetail.kernel.testing.memory_store import MemoryStorePlugin
from dovetail.storage.plugin import plugin


class TestSqliteFile(StoreContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def open_store(self, name: str = "main") -> AbstractAsyncContextManager[Store]:
        opened = plugin.dovetail_open_store(f"sqlite:///{self.folder}/{name}.db")
        assert opened is not None
        return opened


class TestMemory(StoreContract):
    @pytest.fixture(autouse=True)
    def _plugin(self) -> None:
        self.plugin = MemoryStorePlugin()

    def open_store(self, name: str = "main") -> AbstractAsyncContextManager[Store]:
        opened = self.plugin.dovetail_open_store(f"memory://{name}")
        assert opened is not None
        return opened


SHARED = ("again", "another_process", "nor_after", "separate_stores", "handed_over")


class TestSqliteInMemory(StoreContract):
    """Without what needs a second opening: such a database lives in one connection."""

    def open_store(self, name: str = "main") -> AbstractAsyncContextManager[Store]:
        opened = plugin.dovetail_open_store("sqlite://")
        assert opened is not None
        return opened

    @pytest.fixture(autouse=True)
    def _skip_shared(self, request: pytest.FixtureRequest) -> None:
        if any(part in request.node.name for part in SHARED):
            pytest.skip("a database in memory is opened once")
