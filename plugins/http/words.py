"""Words for fields: what their docstrings say of them, for the OpenAPI document.

A text behind a field of a class is kept by no interpreter, so it is read from the
source. Where there is none of it, as in a program that was packed, nothing is said.
"""

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from itertools import pairwise

SAME: Mapping[str, str] = {
    "above": "The sessions that it works for, the nearest first.",
    "action": "What is to be done, in a word.",
    "agent": "The name of an agent profile; null or left out: the configured one.",
    "aggregateID": "The session.",
    "answers": "For each question in order, what was chosen or said.",
    "api": "How it is asked.",
    "body": "What is added to the bodies of requests.",
    "budget": "What may be used; null for no limit.",
    "cache": "The part that a cache was read from, or written to.",
    "callID": "A call, as its provider named it.",
    "call_id": "A call, as its provider named it.",
    "capabilities": "What goes in and comes out.",
    "clean": "Whether nothing is unknown and nothing moved.",
    "code": "What it is, for programs: stable.",
    "completed": "When it ended, in milliseconds since 1970.",
    "content": "What it consists of, in order.",
    "cost": "US dollars.",
    "created": "When it was made, in milliseconds since 1970.",
    "cursor": "Where the listing goes on.",
    "data": "What was asked for.",
    "delivery": "``steer``: with the next Step; ``queue``: after the running work.",
    "description": "What it is, in a sentence.",
    "directory": "An absolute path on the server's machine.",
    "disabled": "Whether it cannot be asked, such as without a key.",
    "dovetail": "The kernel's own value.",
    "durable": "Where it is in the log of its session.",
    "effect": "What is done about it.",
    "error": "Why it failed.",
    "expires": "Until when, in milliseconds since 1970; null: without end.",
    "fallback": "Models that go on where this one does not answer, in this order.",
    "files": "Files of it.",
    "finish": "Why the model stopped.",
    "generation": "How answers are generated.",
    "hasMore": "Whether there is more after them.",
    "header": "A few words above it.",
    "headers": "What is added to the headers of requests; never a secret.",
    "hidden": "Whether it is not to be offered to a person.",
    "id": "What it is called by.",
    "input": "What goes in.",
    "instructions": "What it is to keep to.",
    "key": "Names the call, so that it counts once however often it is repeated.",
    "label": "What is chosen by.",
    "limit": "How much fits; 0 where that is unknown.",
    "location": "The Location.",
    "message": "For a person.",
    "messageID": "A message.",
    "message_id": "A message.",
    "metadata": "What else is known of it.",
    "mime": "Its media type.",
    "mode": "Whether a person can choose it, or another agent only.",
    "model": "The model; null or left out: the configured one.",
    "name": "What it is called.",
    "options": "What can be chosen.",
    "output": "What comes out.",
    "parent": "The session that it works for.",
    "parentID": "The session that it works for.",
    "path": "A path, relative to the Location where it is not absolute.",
    "permissions": "Its rules; the last that fits counts.",
    "projectID": "The project: each directory is one of its own.",
    "prompt": "What was said.",
    "providerID": "Who serves it.",
    "questions": "What is asked, in order.",
    "reasoning": "Of the output, what the model thought.",
    "request": "What is added to requests.",
    "resource": "What it is done to, as a pattern in a rule.",
    "resources": "What it is done to.",
    "resume": "Whether the session is woken.",
    "rules": "Rules of permissions.",
    "save": "Patterns that ``always`` would remember.",
    "seconds": "Seconds.",
    "seq": "The number of an event in the log of its session.",
    "sessionID": "The session.",
    "session_id": "The session.",
    "settings": "What is set of it; never a secret.",
    "shown": "A digest of what is asked: what is answered must be what was shown.",
    "source": "What it came from.",
    "state": "How far it is.",
    "status": "How far it is.",
    "structured": "The result as data, where there is any.",
    "system": "What it is told first.",
    "text": "Plain text.",
    "time": "When.",
    "timeCreated": "When it was admitted, in milliseconds since 1970.",
    "title": "What a person calls it.",
    "tokens": "Tokens that were used.",
    "tool": "The call that asks.",
    "type": "Tells it apart from what can stand in its place.",
    "updated": "When it last changed, in milliseconds since 1970.",
    "uri": "Where it is, or what it holds.",
    "url": "An address, down to its origin.",
    "usage": "Tokens that were used.",
    "variant": "Which kind of it.",
    "variants": "Which kinds there are.",
    "version": "Which version.",
    "workspace": "Tells apart several workspaces on one directory.",
    "workspaceID": "Tells apart several workspaces on one directory.",
}
"""What fields of these names are wherever they stand without words of their own."""


@cache
def field_words(kind: type) -> Mapping[str, str]:
    """Return what is said of the fields of a class, by their names."""
    found = dict(SAME)
    for base in reversed(kind.__mro__):
        found |= _in_module(base.__module__).get(base.__qualname__, {})
    return found


@cache
def _in_module(name: str) -> Mapping[str, Mapping[str, str]]:
    module = sys.modules.get(name)
    if module is None or not name.startswith("dovetail."):
        return {}
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError):
        return {}
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
    return {node.name: _of_class(node) for node in classes}


def _of_class(node: ast.ClassDef) -> Mapping[str, str]:
    found = {}
    for one, after in pairwise(node.body):
        match one, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split())
    return found
