"""The conversation at a terminal: ``dovetail`` alone, or ``dovetail chat``.

Line oriented: what is finished is printed once, above the prompt line, and belongs to
the terminal's scrollback from then on; only a few rows at the bottom change. Uses the
public API of the kernel, and of ``console`` the way of showing calls, requests and what
a crash left. prompt-toolkit and rich are imported when a conversation opens, and not
before.

The map, from the keys to the session:

- ``opening`` and ``hosting``: a conversation from its first row to its last.
- ``screen``: rows that change. Its parts are ``keys`` (``key_names``, ``unmarked``),
  ``prompt_line`` (``history``, ``pastes``), ``answering``, ``rows`` (``fitting``),
  ``scrollback``, ``reflow`` and ``device``. ``plain``: lines only. ``early`` hears what
  is typed at either before there is a talk.
- ``talk``: what is typed, and the session that is followed. Its parts are ``typed``,
  ``offer`` (``files``), ``commands`` (``chat_command``, ``exporting``), ``following``,
  ``requests`` (``asks``, ``cards``), ``unfinished``, ``paging``, ``going_on`` and
  ``status``.
- ``script``: what is written down. Its parts are ``writing`` (``blocks``), ``calls``
  (``changes``), ``inbox``, ``spending`` and ``beside``, on a ``sheet``, laid out by
  ``rendering`` (``markdown``).
- ``shown`` and ``talking``: the shapes by which screen, talk and its parts know each
  other.
"""
