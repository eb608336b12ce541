"""Tapes: the traffic of HTTP clients, recorded and played again, without secrets.

A tape sits between a client and the network. It writes down what is asked and answered,
piece by piece, and answers from what it has written down. ``tape`` is how it is used,
``reel`` what is on it, ``traffic`` what httpx sees of it, ``lines`` the form of the
file, ``hiding`` what never reaches the file, ``nearest`` what a request that is not on
the tape is compared with. Knows nothing of models and of what the bytes mean.
"""
