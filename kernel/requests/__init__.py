"""Requests: durable questions to a person, and what became of them."""
