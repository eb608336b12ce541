"""The rehearsal: a stand-in for a model, so that everything else can be real.

A small program on loopback that speaks the Chat Completions streaming protocol. It
repairs small programs whose tests fail, deciding each time from the request that it
is sent: there is no model in it, and it says so. Owns the server, its policy and the
sample project. Knows nothing of sessions, stores or tools beyond their names.

Run it as a program with ``python -m dovetail.plugins.rehearsal``.
"""

from .sample import copy_sample, sample_prompt
from .server import RehearsalServer, rehearsal_server

__all__ = ["RehearsalServer", "copy_sample", "rehearsal_server", "sample_prompt"]
