"""The agents that come with dovetail: ``build``, ``plan`` and ``explore``.

Owns their instructions and their rights. Everything about them can be said anew by a
plugin, by ``[agents.NAME]`` or by a file; what ``plan`` and ``explore`` may do at most
is a layer of rules, which nothing else that is said ever widens.
"""

from collections.abc import Sequence

from ..access.rules import DEFAULT_RULES
from ..contracts import AgentProfile, Rule, layer_of

DEFAULT_AGENT = "build"
"""The agent of sessions for which nobody names one."""
PLANS = ".dovetail/plans/*.md"
"""The only files that ``plan`` may change, relative to the Location."""

_LOOKING = ("read", "glob", "grep", "skill", "external_directory")
"""Actions that change nothing, and reach nobody."""

_BUILD = (
    "You are a careful software agent working in the directory described above. Use "
    "the tools to look before you change something, make the smallest change that does "
    "what was asked, and check it by running what can be run. Say plainly what you did "
    "and what you could not do."
)
_PLAN = (
    "You are a careful software agent that plans work in the directory described above "
    "and does not do it. You may look at everything and change nothing: the only files "
    f"that you can write are your plans, {PLANS}. Look until you know how things are, "
    "ask what only the person can decide, and end with a plan that somebody else can "
    "carry out: what to change and where, in which order, how to check it, and what is "
    "uncertain. Do not try to get around what you may not do."
)
_EXPLORE = (
    "You are a software agent that finds things out in the directory described above. "
    "You can only read and search; you change nothing and run nothing. Search with "
    "several words and names where one finds nothing, read what matters, and answer "
    "what was asked in a few sentences: with paths and line numbers, with what you did "
    "not find, and without guesses."
)

_FROM = ("dovetail",)

SHIPPED: Sequence[AgentProfile] = (
    AgentProfile(
        DEFAULT_AGENT,
        description="Reads, changes and runs things, with permission",
        instructions=_BUILD,
        rules=DEFAULT_RULES,
        sources=_FROM,
    ),
    AgentProfile(
        "plan",
        description="Looks and plans; changes nothing but its plan",
        instructions=_PLAN,
        rules=(
            *DEFAULT_RULES,
            Rule("edit", PLANS, "allow"),
            *layer_of(
                "plan",
                (
                    Rule("*", "*", "deny"),
                    *(
                        Rule(action, "*", "allow")
                        for action in (*_LOOKING, "webfetch", "websearch", "subagent")
                    ),
                    Rule("edit", PLANS, "allow"),
                ),
            ),
        ),
        tools=(
            *("read", "glob", "grep", "skill", "question", "todowrite", "recall"),
            *("webfetch", "websearch", "write", "edit", "apply_patch", "subagent"),
        ),
        sources=_FROM,
    ),
    AgentProfile(
        "explore",
        description="Reads and searches, to answer one question; changes nothing",
        instructions=_EXPLORE,
        rules=(
            *DEFAULT_RULES,
            *layer_of(
                "explore",
                (
                    Rule("*", "*", "deny"),
                    *(Rule(action, "*", "allow") for action in _LOOKING),
                ),
            ),
        ),
        tools=("read", "glob", "grep", "skill", "recall"),
        small=True,
        sources=_FROM,
    ),
)
