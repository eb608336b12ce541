"""Where the address of ``--server`` is kept while a command runs, and its token."""

SERVER = "dovetail.server"
"""The name under which click's context has the address."""
TOKEN_VARIABLE = "DOVETAIL_TOKEN"
OVER_SERVERS = (
    "chat",
    "compact",
    "detach",
    "fork",
    "log",
    "prune",
    "revert",
    "run",
    "sessions",
    "show",
    "stats",
    "unrevert",
    "verify",
)
"""Commands that work on the sessions of a server, too."""
