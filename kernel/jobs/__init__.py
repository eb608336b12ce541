"""Jobs: what goes on when the call that began it has its result."""
