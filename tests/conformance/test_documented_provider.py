"""The provider that the page shows, with its real HTTP, keeps what the suite asks."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

from dovetail.kernel.testing.conformance import ProviderConformance
from support.pages import blocks_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "providers.md"


def shown(name: str) -> Any:
    """Return a file of the page as a module."""
    text = PAGE.read_text(encoding="utf-8")
    (block,) = [
        one for one in blocks_of(text) if (one.how, one.detail) == ("file", name)
    ]
    module_name = name.removesuffix(".py")
    spec = importlib.util.spec_from_loader(module_name, loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # The line numbers of a traceback are those of the page.
    code = compile("\n" * block.line + block.text, str(PAGE), "exec")
    sys.modules[module_name] = module
    exec(code, module.__dict__)
    return module


shown("dovetail_acme.py")
suite = shown("test_acme.py").TestAcme


class TestAcme(suite, ProviderConformance):  # type: ignore[misc, valid-type]
    """As the page has it."""
