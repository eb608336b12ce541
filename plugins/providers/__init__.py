"""Providers of models: OpenAI's Chat Completions, Anthropic's Messages, and all that
speak the same.

Two plugins, ``openai`` and ``anthropic``, each with its protocol: how a request is
written and how a stream is read. They share what is the same for both: the framing
(``sse``), where an endpoint is and what opens it (``endpoints``), what a failure means
(``faults``), the words of a transcript on the wire (``wording``), and the connection
(``transport``, the only module that knows httpx). Importing any of them opens nothing
and imports no HTTP client.
"""
