"""Makes the snapshot of the package anew from what models.dev tells:

python tests/support/snapshot.py api.json

Set ``MADE`` of ``dovetail.plugins.providers.snapshot`` to the day that it was told.
"""

import sys
from pathlib import Path

import orjson
from dovetail.plugins.providers.snapshot import PACKAGED, Snapshot, written


def main(told: str) -> None:
    """Write the snapshot."""
    made = written(orjson.loads(Path(told).read_bytes()))
    print(Snapshot(made).check(), "models")
    PACKAGED.write_bytes(made)


if __name__ == "__main__":
    main(sys.argv[1])
