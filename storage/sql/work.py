"""What the table of work holds: the kinds of things that are left to do."""

INPUT = "input"
"""An input that waits."""

EXECUTION = "execution"
"""An execution that has not ended."""
