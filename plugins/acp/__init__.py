"""Editors: sessions over the Agent Client Protocol, on standard input and output.

``dovetail acp`` is what Zed, JetBrains, Neovim and others start. Needs the extra
``acp``; nothing of it is imported before the command is run. What of the protocol is
served, and how editors are set up, is in ``docs/acp.md``.
"""
