"""dovetail: durable sessions for AI agents. This page is the table of contents.

Every public name of the kernel is here, loaded on first use, so that importing
``dovetail.kernel`` stays cheap. The parts are described where they live; start with
``hookspecs`` (what a plugin may implement) and ``ports`` (what a store must keep).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .contents import *  # noqa: F403 - each name is listed there, once
else:
    from .lazy import lazy

    __getattr__, __dir__, __all__ = lazy(__name__)
