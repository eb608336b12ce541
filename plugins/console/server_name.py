"""Where the address of ``--server`` is kept while a command runs, and its token."""

SERVER = "dovetail.server"
"""The name under which click's context has the address."""
TOKEN_VARIABLE = "DOVETAIL_TOKEN"
OVER_SERVERS = (
    "agents",
    "chat",
    "compact",
    "detach",
    "export",
    "fork",
    "import",
    "log",
    "models",
    "move",
    "permissions",
    "prune",
    "revert",
    "run",
    "sessions",
    "show",
    "skills",
    "stats",
    "unrevert",
    "verify",
)
"""Commands that work on the sessions of a server, too."""
