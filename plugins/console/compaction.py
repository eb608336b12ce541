"""A compaction in words: why it begins, and what it did. Pure."""

from dovetail.kernel import CompactionEnded, CompactionStarted


def compaction_text(event: CompactionEnded) -> str:
    """Return what a compaction did, on one line."""
    return (
        f"{event.replaced} messages are replaced by a summary for the model: about "
        f"{event.tokens_before:,} tokens before, {event.tokens_after:,} now"
    )


def begun(event: CompactionStarted) -> str:
    """Return why one begins, on one line."""
    why = {
        "full": "the model's window is nearly full",
        "asked": "it was asked for",
        "overflow": "the provider refused the request as too long",
    }[event.reason]
    return f"older history is being summarised: {why}"
