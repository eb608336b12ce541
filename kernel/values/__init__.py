"""The words of dovetail: plain values that every room may use.

Owns ids, errors, the clock's face, and the attrs values that are stored, sent and
shown. Knows nothing of stores, tasks, plugins or providers, and never awaits.
"""
