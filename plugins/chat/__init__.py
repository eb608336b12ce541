"""The conversation at a terminal: ``dovetail`` alone, or ``dovetail chat``.

Line oriented: what is finished is printed once, above the prompt line, and belongs to
the terminal's scrollback from then on; only a few rows at the bottom change. Uses the
public API of the kernel, and of ``console`` the way of showing calls, requests and what
a crash left. prompt-toolkit and rich are imported when a conversation opens, and not
before.
"""
