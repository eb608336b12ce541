"""What both floors store and send: the schema, how durable it is, the headers."""

HEADERS = {"content-type": "application/json", "authorization": "Bearer none-needed"}
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS event (session TEXT, seq INTEGER, data BLOB)",
    "CREATE TABLE IF NOT EXISTS head (session TEXT PRIMARY KEY, seq INTEGER)",
    "CREATE TABLE IF NOT EXISTS waiting (id TEXT PRIMARY KEY, session TEXT, seq INT)",
)
INSERT = "INSERT INTO event VALUES (?, ?, ?)"
PRAGMAS = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL")
ANSWER = 3
"""text.ended, step.ended, execution.ended."""
