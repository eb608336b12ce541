"""The contract of the ``Store`` port, as a class of tests for any store.

Owns one test per promise of ``ports``, in a part for each kind of thing that a store
keeps and one for each of what it does with them. Knows nothing of any particular store.
For the author of one::

    pytest.register_assert_rewrite("dovetail.kernel.testing.contracts.store")
    from dovetail.kernel.testing.contracts.store import StoreContract

    class TestMyStore(StoreContract):
        def open_store(self, name="main"):
            return open_my_store(f"my://{self.folder}/{name}")

Each part of the contract is a class of its own, for those that are kept apart
(``conformance.stores``). A part of a released version never gets new tests: new
promises are a new part.

The tests are plain ``async def`` functions: run them with anyio's pytest plugin
(``anyio_mode = "auto"``), on asyncio and on trio.
"""

from .blobs import BlobContract as BlobContract
from .cases import StoreCase as StoreCase, record as record
from .log import LogContract as LogContract
from .opening import OpeningContract as OpeningContract
from .operational import RowContract as RowContract
from .projections import ProjectionContract as ProjectionContract
from .reading import ReadingContract as ReadingContract
from .transactions import TransactionContract as TransactionContract


class StoreContract(
    LogContract,
    TransactionContract,
    ReadingContract,
    ProjectionContract,
    RowContract,
    BlobContract,
    OpeningContract,
):
    """All of it. Inherit it, name the class ``Test...``, and say how your store is
    opened."""
