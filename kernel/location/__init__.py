"""One Location: the graph of its services, and what plugins of it observe."""
