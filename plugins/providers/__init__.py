"""Providers of models: OpenAI's Chat Completions and Responses, Anthropic's Messages,
Gemini's generateContent, Amazon's Converse, Cohere's and Ollama's own chat, and all
that speak the same.

Six plugins, ``openai``, ``anthropic``, ``google``, ``bedrock``, ``cohere`` and
``ollama``. A protocol is a module that writes requests (``openai``, ``responses``,
``anthropic``, ``contents``) and one that reads the stream of an answer (``chat``,
``items``, ``messages``, ``candidates``); where they are short it is one (``converse``,
``cohere_chat``, ``ollama_chat``). They share what is the same for all: the framing
(``sse``, ``ndjson``,
``amazon``), where an endpoint is and what opens it (``endpoints``), what a failure
means (``faults``), the words of a transcript on the wire (``wording``), and the
connection (``transport`` and ``exchange``, the only modules that know httpx).
``adapters`` is the door for whoever brings another one. Importing any of them opens
nothing and imports no HTTP client.
"""
