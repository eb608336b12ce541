"""The stores keep what their suite asks of a stranger's."""

from pathlib import Path
from typing import ClassVar

import pytest
from dovetail.kernel.testing import MemoryStorePlugin
from dovetail.kernel.testing.conformance import StoreConformance
from dovetail.storage.plugin import plugin

pytestmark = pytest.mark.law("plugins.7")


class TestSqlite(StoreConformance):
    version = 1
    plugin = plugin

    def url(self, folder: Path, name: str) -> str:
        return f"sqlite:///{folder}/{name}.db"


class TestSqliteInMemory(StoreConformance):
    version = 1
    plugin = plugin
    exempt: ClassVar = {
        "store.opening": "such a database is opened once, by one runtime",
        "store.kill": "such a database is gone with its process",
    }

    def url(self, folder: Path, name: str) -> str:
        return "sqlite://"


class TestMemory(StoreConformance):
    version = 1
    plugin = MemoryStorePlugin()

    def url(self, folder: Path, name: str) -> str:
        return f"memory://{folder}/{name}"
