"""What all tests of servers need."""

import importlib

import pytest


@pytest.fixture(scope="session", autouse=True)
def imported() -> None:
    """Import what takes a second, and far more on a machine that is loaded, before any
    plugin has so many seconds to open."""
    for name in ("servers", "said", "told"):
        importlib.import_module(f"dovetail.plugins.mcp.{name}")
