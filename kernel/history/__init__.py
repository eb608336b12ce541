"""Session History: the transcript as a fold of events, for readers and for models."""
