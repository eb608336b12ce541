"""The tool ``subagent``: another agent does a part of the work, in a session of its
own.

The kernel owns that it is begun once, is bound by the rights of this Step, counts in
this session's budget and stops with it. Here is what the model says and is shown.
"""

from functools import partial

from attrs import frozen
from dovetail.kernel import (
    Action,
    AgentNotFoundError,
    ChildAnswer,
    Job,
    Tool,
    ToolContext,
    ToolFailure,
)

from . import _fields as fields
from ._text import cut

DESCRIPTION = """\
Give a part of the work to another agent, which works in a session of its own and \
sees nothing of this conversation: say all that it needs to know, and what it should \
answer. You are given its answer, and nothing else of what it did. For searching \
widely, or for parts that do not depend on each other: several calls in one answer \
work at the same time. In the background you go on at once, and are told when it has \
ended; job shows what it answered then."""

ASK = Action("subagent", "text", "give a part of the work to an agent")
_TITLE = 80


@frozen
class SubagentInput:
    agent: str = fields.text(
        "Which agent: explore looks and changes nothing; build works as you may."
    )
    prompt: str = fields.text("What it is to do, and what it needs to know for it.")
    description: str = fields.text(
        "What it is to do, in a few words, for a person.", default=""
    )
    background: bool = fields.flag("Go on at once, and be told when it has ended.")


@frozen
class SubagentOutput:
    """What is recorded of an agent beside what the model is shown."""

    session: str
    """The session that it works in."""
    job: str | None = None
    """The job that it is, in the background."""


@frozen
class Answered(SubagentOutput):
    """The whole result. What is shown is recorded as content, so not once more here."""

    shown: str = ""


def subagent_tool(depth: int = 1) -> Tool[SubagentInput, SubagentOutput]:
    """Return the tool ``subagent``. ``depth`` is how many agents may work for one
    another, below the one that a person talks to."""
    return Tool(
        name="subagent",
        description=DESCRIPTION,
        input=SubagentInput,
        output=SubagentOutput,
        # Another execution finds the session that the first one began.
        effect="idempotent",
        asks=(ASK,),
        execute=partial(_execute, depth),
        render=_render,
    )


async def _execute(
    depth: int, input: SubagentInput, context: ToolContext
) -> SubagentOutput:
    if not input.agent.strip() or not input.prompt.strip():
        raise ToolFailure("name an agent, and say in prompt what it is to do")
    await context.ask("subagent", [input.agent], save=[input.agent])
    title = cut(" ".join(input.description.split()) or input.prompt, _TITLE)
    try:
        child = await context.children.begin(
            input.prompt, agent=input.agent, title=title, depth=depth
        )
    except AgentNotFoundError as error:
        raise ToolFailure(str(error)) from error
    if input.background:
        job = await context.children.background(child, f"{input.agent}: {title}")
        return Answered(child, job.id, _at_work(job))
    context.progress(f"{input.agent} is at work in session {child}")
    answer = await context.children.run(child)
    if answer.status != "succeeded":
        raise ToolFailure(_failed(answer))
    return Answered(child, shown=_answer_text(answer))


def _failed(answer: ChildAnswer) -> str:
    reason = answer.reason
    why = "" if reason is None else f": {reason.message} ({reason.code})"
    said = f"\n\nWhat it said last:\n{answer.text}" if answer.text else ""
    return f"the agent did not finish, it {_ENDED[answer.status]}{why}{said}"


_ENDED = {
    "failed": "failed",
    "interrupted": "was interrupted",
    "paused": "paused",
    "running": "is still at work elsewhere",
    "idle": "did not begin",
}


def _at_work(job: Job) -> str:
    return (
        f"Job {job.id} is at work: {job.title}. You are told when it has ended; job "
        "shows its answer then."
    )


def _answer_text(answer: ChildAnswer) -> str:
    text = answer.text or "It ended without saying anything."
    if answer.left_out:
        text += f"\n\n({answer.left_out} more characters are left out)"
    return text


def _render(output: SubagentOutput) -> str:
    assert isinstance(output, Answered)
    return output.shown
