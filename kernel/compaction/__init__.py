"""Compaction: older history is replaced for the model, and for the model only.

``limits`` says when a history is too long, ``plan`` what to do about it, ``carried``
what is told besides the summary. When that is done, and what is recorded of it, is the
business of ``execution.compacting``.
"""
